//! Placing orders.

use std::collections::BTreeMap;

use serde_json::Map;

use super::addons::{self, Beside, by_code};
use super::approvals::{self, Demand};
use super::ceilings::{allocated, grants};
use super::contents::{check_resources, first_resources};
use super::offers::{Sold, comes_to, sold};
use super::{changes, quotes, spending};
use crate::domain::accounts::accounts::{Made, open};
use crate::domain::services::operations::{self, NewOperation};
use crate::domain::services::resources::NewResource;
use crate::domain::{Error, Object, Result, Work, check_version, quotas};
use crate::model::accounts::accounts::{Account, AccountType};
use crate::model::commerce::addons::AddonQuantity;
use crate::model::commerce::charges::Charges;
use crate::model::commerce::orders::{
    Item, ItemRequest, ItemStatus, Order, OrderStatus, OrderView, SubscriptionChange,
};
use crate::model::commerce::quotes::Quoted;
use crate::model::commerce::subscriptions::{Subscription, SubscriptionStatus};
use crate::model::events::events::EventType;
use crate::model::ids::{AccountId, OperationId, OrderId, QuoteId, ServiceId, SubscriptionId};
use crate::model::money::Money;
use crate::model::quotas::Taken;
use crate::model::services::Access;
use crate::model::services::operations::{Action, Lane, OperationKind, Step};
use crate::model::services::services::{Lifecycle, Service};
use crate::model::{Actor, Json, Precondition};
use crate::store;
use crate::store::catalog::plans::Offer;
use crate::store::quotas::quotas::Holder;
use crate::store::versions::Versioned;

/// An order as it was asked for.
#[derive(Debug, Clone)]
pub struct Placing {
    /// Whom it is for; the caller's own account if none is named.
    pub account_id: Option<AccountId>,
    pub items: Vec<NewItem>,
    /// The quote whose prices it is placed at.
    pub quote_id: Option<QuoteId>,
    pub external_id: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// Of the creating body, without passwords.
    pub fingerprint: String,
}

#[derive(Debug, Clone)]
pub enum NewItem {
    Add(NewSubscription),
    Change(SubscriptionChange),
}

/// A subscription as it was asked for.
#[derive(Debug, Clone)]
pub struct NewSubscription {
    pub plan: String,
    pub quantity: i64,
    pub addons: Vec<AddonQuantity>,
    pub resources: Vec<NewResource>,
    pub external_id: Option<String>,
}

/// Places an order: finds what it names, takes the quota, and queues the work. An order that only changes
/// subscriptions is done at once.
pub async fn place(work: &mut Work, actor: &Actor, placing: Placing) -> Result<Made<Order>> {
    if let Some(external_id) = &placing.external_id {
        let known =
            store::commerce::orders::find_by_external_id(&mut work.tx, actor.principal_id, external_id);
        match known.await? {
            // What came to nothing keeps its name from nothing else. The same again is only told.
            Some(known) if known.is_void() && known.fingerprint != placing.fingerprint => {
                store::commerce::orders::forget_name(&mut work.tx, known.id).await?;
            }
            Some(known) => return same(known, &placing.fingerprint).map(Made::Existing),
            None => {}
        }
    }
    let account = open(work, placing.account_id.unwrap_or(actor.subject_id)).await?;
    if account.account_type == AccountType::Agent {
        return Err(Error::PlanNotApplicable("an agent has no services of its own".into()));
    }
    check_mix(&placing.items)?;
    let id = OrderId::new();
    let quote = match placing.quote_id {
        Some(quote) => Some(quotes::accepted(work, &account, quote, id, &placing.items).await?),
        None => None,
    };
    let operation_id = OperationId::new();
    let mut job = Job {
        account: &account,
        order_id: id,
        operation_id,
        steps: Vec::new(),
        reserved: Vec::new(),
        demands: Vec::new(),
    };
    let first = work.place();
    let (mut items, mut spent) = (Vec::new(), Vec::new());
    for (at, item) in placing.items.into_iter().enumerate() {
        let quoted = quote.as_ref().and_then(|quote| quote.items.get(at));
        let (item, costs) = match item {
            NewItem::Add(new) => {
                let (item, costs) = add(work, actor, &mut job, at, new, quoted).await?;
                (item, costs)
            }
            NewItem::Change(change) => {
                changes::apply(work, &account, at, change, quoted, &mut job.demands).await?
            }
        };
        items.push(item);
        spent.push(costs);
    }
    spending::count(work, actor, &spent).await?;
    let (steps, reserved, mut demands) = (job.steps, job.reserved, job.demands);
    let at_once = steps.is_empty();
    demands.extend(approvals::demanded(work, &account.path, &spent).await?);
    let approval = approvals::awaited(actor, demands);
    if at_once && approval.is_some() {
        let detail = "an account above has to approve of such a change, and makes it itself".to_owned();
        return Err(Error::PlanNotApplicable(detail));
    }
    let waits = approval.is_some();
    let order = Order {
        id,
        account_id: account.id,
        path: account.path.clone(),
        status: match (at_once, waits) {
            (true, _) => OrderStatus::Completed,
            (false, true) => OrderStatus::PendingApproval,
            (false, false) => OrderStatus::Queued,
        },
        items: Json(items),
        outcome: None,
        retryable: false,
        error: None,
        placed_by: actor.principal_id,
        operation_id: (!at_once).then_some(operation_id),
        external_id_by: placing.external_id.is_some().then_some(actor.principal_id),
        external_id: placing.external_id,
        quote_id: placing.quote_id,
        approval_due: waits.then(|| work.now.plus(approvals::WAITS)),
        approval: approval.map(Json),
        fingerprint: placing.fingerprint,
        metadata: Json(placing.metadata),
        version: 1,
        created_at: work.now,
        updated_at: work.now,
    };
    if !store::commerce::orders::insert(&mut work.tx, &order).await? {
        return Err(Error::Busy);
    }
    if !at_once {
        let operation = NewOperation {
            id: operation_id,
            steps,
            reserved,
            order_id: Some(id),
            lock: Some(id.to_string()),
            exclusive: true,
            waits,
            ..NewOperation::of(OperationKind::OrderProvision, (account.id, &account.path), Lane::Interactive)
        };
        operations::start(work, &actor.request_id.to_string(), operation).await?;
    }
    let view = OrderView::from(order.clone());
    let object = Object::new(order.id, order.version, &view);
    work.event(EventType::OrderCreated, (account.id, &account.path), "order", object);
    work.tell_at(first);
    if at_once {
        let object = Object::new(order.id, order.version, &view);
        work.event(EventType::OrderCompleted, (account.id, &account.path), "order", object);
    }
    Ok(Made::New(order))
}

/// Places the order that changes one subscription, for the account that it belongs to.
pub async fn change(
    work: &mut Work,
    actor: &Actor,
    change: SubscriptionChange,
    quote_id: Option<QuoteId>,
) -> Result<Order> {
    let found = store::commerce::subscriptions::find(&mut work.tx, change.subscription_id).await?;
    let subscription = found.ok_or(Error::NotFound("subscription"))?;
    let placing = Placing {
        account_id: Some(subscription.account_id),
        items: vec![NewItem::Change(change)],
        quote_id,
        external_id: None,
        metadata: BTreeMap::new(),
        fingerprint: String::new(),
    };
    Ok(place(work, actor, placing).await?.into_inner())
}

fn same(known: Order, fingerprint: &str) -> Result<Order> {
    match known.fingerprint == fingerprint {
        true => Ok(known),
        false => Err(Error::ExternalIdConflict { id: known.id.to_string() }),
    }
}

/// What is done at once and what an operation does stand in orders of their own: one undoes, the other
/// does not.
fn check_mix(items: &[NewItem]) -> Result<()> {
    let adds = items.iter().filter(|item| matches!(item, NewItem::Add { .. })).count();
    if adds == 0 || adds == items.len() {
        return Ok(());
    }
    let detail = "an order either adds subscriptions or changes them; place two orders";
    Err(Error::invalid("/items", "mixed_actions", detail))
}

/// What an order's operation is to do, as it is put together.
pub(super) struct Job<'a> {
    pub(super) account: &'a Account,
    order_id: OrderId,
    operation_id: OperationId,
    pub(super) steps: Vec<Step>,
    pub(super) reserved: Vec<Taken>,
    /// Who wants to approve of it.
    demands: Vec<Demand>,
}

async fn add(
    work: &mut Work,
    actor: &Actor,
    job: &mut Job<'_>,
    at: usize,
    new: NewSubscription,
    quoted: Option<&Quoted>,
) -> Result<(Item, Option<Money>)> {
    let NewSubscription { plan, quantity, addons: asked, resources: new_resources, external_id } = new;
    let account = job.account;
    let Sold { offer, agreed } = sold(work, account, at, &plan, quantity, quoted).await?;
    if offer.in_maintenance {
        let detail = "a server that the plan runs on is in maintenance; try again later".to_owned();
        return Err(Error::PlanNotApplicable(detail));
    }
    job.demands.extend(Demand::of_plan(&offer.plan));
    let terms = &offer.plan.terms;
    check_resources(at, terms, &new_resources)?;
    let currency = agreed.as_ref().map(|agreed| agreed.price.currency);
    let beside = Beside { plan_id: offer.plan.id, terms, currency };
    let addons = addons::bought(work, account, at, &beside, &[], &asked, quoted).await?;
    let charges = comes_to(at, agreed.as_ref(), quantity, &addons)?;
    let costs = charges.as_ref().map(Charges::first);
    let costs = costs.filter(|_| spending::is_priced(agreed.as_ref(), &addons));
    let subscription = Subscription {
        id: SubscriptionId::new(),
        account_id: account.id,
        path: account.path.clone(),
        status: SubscriptionStatus::Pending,
        plan_id: offer.plan.id,
        plan_code: offer.plan.code.clone(),
        plan_version: offer.plan.current,
        quantity,
        order_id: job.order_id,
        price: agreed.map(Json),
        addons: Json(addons),
        billing_period: Json(terms.billing_period),
        anchored_at: None,
        trial_ends_at: None,
        tried_plan_id: None,
        expires_at: None,
        cancel_at: None,
        cancelled_above: None,
        ended_at: None,
        external_id,
        metadata: Json(BTreeMap::new()),
        version: 1,
        created_at: work.now,
        updated_at: work.now,
        held: None,
    };
    let grants = grants(terms, quantity, &subscription.addons);
    let above = allocated(&grants);
    job.reserved.extend(quotas::granted(work, &account.path, &above, subscription.id, false).await?);
    store::commerce::subscriptions::insert(&mut work.tx, &subscription).await?;
    let services = services(work, job, &offer, &subscription).await?;
    let to = Holder { subscription: subscription.id, account: account.id, path: &account.path };
    store::quotas::quotas::grant(&mut work.tx, to, &grants, work.now).await?;

    let requested = new_resources.iter().map(|new| new.spec.clone()).collect();
    let resource_ids = first_resources(work, actor, job, &services, subscription.id, new_resources).await?;
    let item = Item {
        request: ItemRequest::Add {
            plan: offer.plan.code,
            quantity,
            addons: by_code(asked, &subscription.addons),
            resources: requested,
        },
        status: ItemStatus::Pending,
        subscription_id: subscription.id,
        service_ids: services.iter().map(|service| service.id).collect(),
        resource_ids,
        charges,
        proration: None,
    };
    Ok((item, costs))
}

async fn services(
    work: &mut Work,
    job: &mut Job<'_>,
    offer: &Offer,
    subscription: &Subscription,
) -> Result<Vec<Service>> {
    let mut services = Vec::new();
    for planned in &offer.plan.terms.services {
        let place = offer.placement.iter().find(|place| place.service_type == planned.service_type);
        let Some(place) = place else {
            let detail = format!("nothing places {} any more", planned.service_type);
            return Err(Error::PlanNotApplicable(detail));
        };
        let service = Service {
            id: ServiceId::new(),
            account_id: job.account.id,
            path: job.account.path.clone(),
            subscription_id: subscription.id,
            service_type: planned.service_type,
            name: planned.service_type.title().to_owned(),
            lifecycle: Lifecycle::Requested,
            applied_access: Access::Full,
            server_id: place.server_id,
            settings: Json(planned.settings.clone()),
            observed: Json(Map::new()),
            version: 1,
            created_at: work.now,
            updated_at: work.now,
            held: None,
            operation_id: Some(job.operation_id),
        };
        store::services::services::insert(&mut work.tx, &service).await?;
        job.steps.push(Step::new(Action::EnsureService, service.id));
        services.push(service);
    }
    Ok(services)
}

/// Takes back an order of which nothing has been done yet.
pub async fn cancel(work: &mut Work, id: OrderId, expected: &Precondition) -> Result<Order> {
    let order = find(work, id, expected).await?;
    if order.status == OrderStatus::Cancelled {
        return Ok(order);
    }
    if !order.status.may_become(OrderStatus::Cancelled) {
        return Err(Error::State {
            current: order.status.to_string(),
            action: "A cancellation",
            allowed: Vec::new(),
        });
    }
    call_off(work, order, OrderStatus::Cancelled, EventType::OrderCancelled).await
}

/// Ends an order of which nothing has been done yet, with all that it had opened; nothing of that if somebody else has
/// changed it.
pub(super) async fn call_off(
    work: &mut Work,
    mut order: Order,
    status: OrderStatus,
    event: EventType,
) -> Result<Order> {
    for item in &mut order.items.0 {
        item.status = ItemStatus::Cancelled;
    }
    (order.status, order.approval_due) = (status, None);
    let order = written(work, order).await?;
    if let Some(operation) = order.operation_id {
        operations::withdraw(work, operation).await?;
    }
    for item in &order.items.0 {
        dismantle(work, item).await?;
    }
    recorded(work, &order, event);
    Ok(order)
}

/// Writes the order and tells what became of it.
pub(super) async fn write(work: &mut Work, order: Order, event: EventType) -> Result<Order> {
    let order = written(work, order).await?;
    recorded(work, &order, event);
    Ok(order)
}

async fn written(work: &mut Work, order: Order) -> Result<Order> {
    if !store::commerce::orders::update(&mut work.tx, &order, work.now).await? {
        return Err(Error::Busy);
    }
    Ok(Order { version: order.version + 1, updated_at: work.now, ..order })
}

fn recorded(work: &mut Work, order: &Order, event: EventType) {
    let view = OrderView::from(order.clone());
    let object = Object::new(order.id, order.version, &view);
    work.event(event, (order.account_id, &order.path), "order", object);
}

/// Closes what an item that came to nothing had opened: its subscription, services and resources.
pub async fn dismantle(work: &mut Work, item: &Item) -> Result<()> {
    use crate::model::services::resources::ResourceLifecycle;
    for id in &item.resource_ids {
        let failed = ResourceLifecycle::Failed;
        store::services::resources::set_lifecycle(&mut work.tx, *id, failed, None, work.now).await?;
    }
    for id in &item.service_ids {
        store::services::services::set_lifecycle(&mut work.tx, *id, Lifecycle::Failed, None, work.now)
            .await?;
    }
    let cancelled = SubscriptionStatus::Cancelled;
    store::commerce::subscriptions::set_status(&mut work.tx, item.subscription_id, cancelled, work.now)
        .await?;
    Ok(())
}

/// Takes up a failed order again.
pub async fn retry(work: &mut Work, id: OrderId, expected: &Precondition) -> Result<Order> {
    let order = find(work, id, expected).await?;
    let operation = match order.operation_id {
        Some(operation) if order.retryable && order.status.may_become(OrderStatus::Queued) => operation,
        _ if order.status == OrderStatus::Failed => return Err(Error::NotRetryable),
        _ => {
            return Err(Error::State {
                current: order.status.to_string(),
                action: "A retry",
                allowed: Vec::new(),
            });
        }
    };
    operations::retry(work, operation).await?;
    find(work, id, &Precondition::NONE).await
}

/// The order, in the version that the caller names.
pub(super) async fn find(work: &mut Work, id: OrderId, expected: &Precondition) -> Result<Order> {
    let found = store::commerce::orders::find(&mut work.tx, id).await?;
    let order = found.ok_or(Error::NotFound("order"))?;
    check_version(work, Versioned::Order, id, order.version, expected).await?;
    Ok(order)
}
