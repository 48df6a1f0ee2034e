//! Placing orders.

use std::collections::BTreeMap;

use serde_json::Map;

use super::{changes, spending};
use crate::domain::accounts::accounts::{Made, open};
use crate::domain::catalog::pricing::Counter;
use crate::domain::services::operations::{self, NewOperation};
use crate::domain::services::resources::{self, NewResource};
use crate::domain::{Error, Fault, Object, Result, Work, check_version, quotas};
use crate::model::accounts::accounts::{Account, AccountType};
use crate::model::catalog::plans::{Plan, PlanTerms};
use crate::model::catalog::price_lists::Passed;
use crate::model::commerce::charges::{Agreed, Charges};
use crate::model::commerce::orders::{Item, ItemRequest, ItemStatus, Order, OrderStatus, OrderView};
use crate::model::commerce::subscriptions::{Subscription, SubscriptionStatus};
use crate::model::events::events::EventType;
use crate::model::ids::{AccountId, OperationId, OrderId, ServiceId, SubscriptionId};
use crate::model::quotas::{Mode, QuotaKey, Taken};
use crate::model::services::Access;
use crate::model::services::operations::{Action, Lane, OperationKind, Step};
use crate::model::services::services::{Lifecycle, Service};
use crate::model::services::specs::{ResourceSpec, ResourceType};
use crate::model::{Actor, Json, Precondition};
use crate::store;
use crate::store::catalog::plans::Offer;
use crate::store::quotas::quotas::{Grant, Holder};
use crate::store::versions::Versioned;

/// An order as it was asked for.
#[derive(Debug, Clone)]
pub struct Placing {
    /// Whom it is for; the caller's own account if none is named.
    pub account_id: Option<AccountId>,
    pub items: Vec<NewItem>,
    pub external_id: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// Of the creating body, without passwords.
    pub fingerprint: String,
}

#[derive(Debug, Clone)]
pub enum NewItem {
    Add { plan: String, quantity: i64, resources: Vec<NewResource>, external_id: Option<String> },
    Change { subscription_id: SubscriptionId, quantity: Option<i64>, plan: Option<String> },
}

/// Places an order: finds what it names, takes the quota, and queues the work. An order that only changes
/// quantities or plans is done at once.
pub async fn place(work: &mut Work, actor: &Actor, placing: Placing) -> Result<Made<Order>> {
    if let Some(external_id) = &placing.external_id {
        let known =
            store::commerce::orders::find_by_external_id(&mut work.tx, actor.principal_id, external_id);
        if let Some(known) = known.await? {
            return same(known, &placing.fingerprint).map(Made::Existing);
        }
    }
    let account = open(&mut work.tx, placing.account_id.unwrap_or(actor.subject_id)).await?;
    if account.account_type == AccountType::Agent {
        return Err(Error::PlanNotApplicable("an agent has no services of its own".into()));
    }
    check_mix(&placing.items)?;
    let id = OrderId::new();
    let operation_id = OperationId::new();
    let mut job =
        Job { account: &account, order_id: id, operation_id, steps: Vec::new(), reserved: Vec::new() };
    let first = work.place();
    let (mut items, mut spent) = (Vec::new(), Vec::new());
    for (at, item) in placing.items.into_iter().enumerate() {
        let (item, costs) = match item {
            NewItem::Add { plan, quantity, resources, external_id } => {
                let item = add(work, actor, &mut job, at, plan, quantity, resources, external_id).await?;
                let costs = item.charges.as_ref().map(Charges::first);
                (item, costs)
            }
            NewItem::Change { subscription_id, quantity, plan } => {
                changes::apply(work, &account, at, subscription_id, quantity, plan).await?
            }
        };
        items.push(item);
        spent.push(costs);
    }
    spending::count(work, actor, &spent).await?;
    let (steps, reserved) = (job.steps, job.reserved);
    let at_once = steps.is_empty();
    let order = Order {
        id,
        account_id: account.id,
        path: account.path.clone(),
        status: if at_once { OrderStatus::Completed } else { OrderStatus::Queued },
        items: Json(items),
        outcome: None,
        retryable: false,
        error: None,
        placed_by: actor.principal_id,
        operation_id: (!at_once).then_some(operation_id),
        external_id_by: placing.external_id.is_some().then_some(actor.principal_id),
        external_id: placing.external_id,
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
struct Job<'a> {
    account: &'a Account,
    order_id: OrderId,
    operation_id: OperationId,
    steps: Vec<Step>,
    reserved: Vec<Taken>,
}

/// The ceilings that a plan gives for a quantity.
pub(super) fn grants(terms: &PlanTerms, quantity: i64) -> Vec<Grant> {
    let grant = |quota: &crate::model::catalog::plans::PlanQuota| Grant {
        key: quota.key,
        mode: quota.mode,
        ceiling: quota.ceiling(quantity),
    };
    terms.quotas.iter().map(grant).collect()
}

/// Of those, what is taken from the accounts above as a whole.
pub(super) fn allocated(grants: &[Grant]) -> Vec<(QuotaKey, i64)> {
    let whole = |grant: &&Grant| grant.mode == Mode::Allocated;
    grants.iter().filter(whole).map(|grant| (grant.key, grant.ceiling)).collect()
}

/// The plan that an item names, for the quantity it asks.
pub(super) async fn offer(
    work: &mut Work,
    account: &Account,
    at: usize,
    plan: &str,
    quantity: i64,
) -> Result<Offer> {
    let Some(offer) = store::catalog::plans::offered(&mut work.tx, &account.path, plan).await? else {
        return Err(not_on_sale(at, plan));
    };
    match offer.plan.terms.max_quantity {
        Some(most) if quantity > most => {
            let detail = format!("the plan goes up to {most}");
            Err(Error::invalid(format!("/items/{at}/quantity"), "too_large", detail))
        }
        _ => Ok(offer),
    }
}

/// The price at which the plan is sold to the account now; a plan that is not is refused.
pub(super) async fn agreed(
    work: &mut Work,
    account: &Account,
    at: usize,
    plan: &Plan,
) -> Result<Option<Agreed>> {
    let Some(counter) = Counter::of(&mut work.tx, &account.path).await? else { return Ok(None) };
    let passed = counter.prices(&mut work.tx, std::slice::from_ref(plan), work.now).await?;
    match passed.into_iter().next() {
        None | Some(Passed::Unpriced) => Ok(None),
        Some(Passed::Priced(price)) => Ok(Some(Agreed {
            components: plan.terms.components.clone(),
            billing_period: plan.terms.billing_period,
            price,
        })),
        Some(Passed::Kept(_)) => Err(not_on_sale(at, &plan.code)),
    }
}

/// What the item costs in this quantity.
pub(super) fn charges(at: usize, agreed: Option<&Agreed>, quantity: i64) -> Result<Option<Charges>> {
    let Some(agreed) = agreed else { return Ok(None) };
    let charges = agreed.charges(quantity).ok_or_else(|| {
        let detail = "costs more than can be counted; order less at once";
        Error::invalid(format!("/items/{at}/quantity"), "too_large", detail)
    })?;
    Ok(Some(charges))
}

fn not_on_sale(at: usize, plan: &str) -> Error {
    let detail = format!("{plan:?} is not on sale to this account");
    Error::invalid(format!("/items/{at}/plan"), "plan_not_applicable", detail)
}

#[expect(clippy::too_many_arguments, reason = "the members of an item, each once")]
async fn add(
    work: &mut Work,
    actor: &Actor,
    job: &mut Job<'_>,
    at: usize,
    plan: String,
    quantity: i64,
    new_resources: Vec<NewResource>,
    external_id: Option<String>,
) -> Result<Item> {
    let account = job.account;
    let offer = offer(work, account, at, &plan, quantity).await?;
    if offer.in_maintenance {
        let detail = "a server that the plan runs on is in maintenance; try again later".to_owned();
        return Err(Error::PlanNotApplicable(detail));
    }
    let terms = &offer.plan.terms;
    check_resources(at, terms, &new_resources)?;
    let agreed = agreed(work, account, at, &offer.plan).await?;
    let charges = charges(at, agreed.as_ref(), quantity)?;
    let subscription = Subscription {
        id: SubscriptionId::new(),
        account_id: account.id,
        path: account.path.clone(),
        status: SubscriptionStatus::Pending,
        plan_id: offer.plan.id,
        plan_version: offer.plan.current,
        quantity,
        order_id: job.order_id,
        price: agreed.map(Json),
        external_id,
        metadata: Json(BTreeMap::new()),
        version: 1,
        created_at: work.now,
        updated_at: work.now,
        held: None,
        plan_code: Some(offer.plan.code.clone()),
    };
    let grants = grants(terms, quantity);
    let above = allocated(&grants);
    job.reserved.extend(quotas::granted(work, &account.path, &above, subscription.id, false).await?);
    store::commerce::subscriptions::insert(&mut work.tx, &subscription).await?;
    let services = services(work, job, &offer, &subscription).await?;
    let to = Holder { subscription: subscription.id, account: account.id, path: &account.path };
    store::quotas::quotas::grant(&mut work.tx, to, &grants, work.now).await?;

    let requested = new_resources.iter().map(|new| new.spec.clone()).collect();
    let resource_ids = first_resources(work, actor, job, &services, subscription.id, new_resources).await?;
    Ok(Item {
        request: ItemRequest::Add { plan: offer.plan.code, quantity, resources: requested },
        status: ItemStatus::Pending,
        subscription_id: subscription.id,
        service_ids: services.iter().map(|service| service.id).collect(),
        resource_ids,
        charges,
    })
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

/// The resources that come with the order: what others stand on is made first.
async fn first_resources(
    work: &mut Work,
    actor: &Actor,
    job: &mut Job<'_>,
    services: &[Service],
    subscription: SubscriptionId,
    mut new_resources: Vec<NewResource>,
) -> Result<Vec<crate::model::ids::ResourceId>> {
    new_resources.sort_by_key(|new| new.spec.resource_type().rank());
    let mut takes: BTreeMap<QuotaKey, i64> = BTreeMap::new();
    let mut ids = Vec::new();
    for new in new_resources {
        let of = new.spec.resource_type().service_type();
        let Some(service) = services.iter().find(|service| service.service_type == of) else { continue };
        for (key, amount) in new.spec.takes() {
            *takes.entry(key).or_default() += amount;
        }
        let resource = resources::insert(work, actor, service, new).await?;
        job.steps.push(Step::new(Action::EnsureResource, resource.id));
        ids.push(resource.id);
    }
    let takes: Vec<_> = takes.into_iter().collect();
    job.reserved.extend(quotas::charge(work, subscription, &job.account.path, &takes).await?);
    Ok(ids)
}

fn check_resources(at: usize, terms: &PlanTerms, new_resources: &[NewResource]) -> Result<()> {
    let mut faults = Vec::new();
    for (n, new) in new_resources.iter().enumerate() {
        let of = new.spec.resource_type().service_type();
        if !terms.services.iter().any(|service| service.service_type == of) {
            let detail = format!("the plan gives no {of} service to put it in");
            faults.push(Fault::at(format!("/items/{at}/resources/{n}/type"), "not_in_plan", detail));
        }
        let has_domain = |domain: &str| {
            let is =
                |spec: &ResourceSpec| spec.resource_type() == ResourceType::Domain && spec.name() == domain;
            new_resources.iter().any(|other| is(&other.spec))
        };
        if new.spec.domain_of_address().is_some_and(|domain| !has_domain(domain)) {
            let detail = "its domain must be among the order's resources";
            faults.push(Fault::at(
                format!("/items/{at}/resources/{n}/spec/address"),
                "no_such_domain",
                detail,
            ));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
}

/// Takes back an order of which nothing has been done yet.
pub async fn cancel(work: &mut Work, id: OrderId, expected: &Precondition) -> Result<Order> {
    let mut order = find(work, id).await?;
    check_version(work, Versioned::Order, id, order.version, expected).await?;
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
    if let Some(operation) = order.operation_id {
        operations::withdraw(work, operation).await?;
    }
    for item in &mut order.items.0 {
        item.status = ItemStatus::Cancelled;
        dismantle(work, item).await?;
    }
    order.status = OrderStatus::Cancelled;
    if !store::commerce::orders::update(&mut work.tx, &order, work.now).await? {
        return Err(Error::Busy);
    }
    order.version += 1;
    order.updated_at = work.now;
    let view = OrderView::from(order.clone());
    let object = Object::new(order.id, order.version, &view);
    work.event(EventType::OrderCancelled, (order.account_id, &order.path), "order", object);
    Ok(order)
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
    let order = find(work, id).await?;
    check_version(work, Versioned::Order, id, order.version, expected).await?;
    let operation = match order.operation_id {
        Some(operation) if order.retryable && order.status.may_become(OrderStatus::Queued) => operation,
        _ => {
            return Err(Error::State {
                current: order.status.to_string(),
                action: "A retry",
                allowed: Vec::new(),
            });
        }
    };
    operations::retry(work, operation).await?;
    find(work, id).await
}

async fn find(work: &mut Work, id: OrderId) -> Result<Order> {
    store::commerce::orders::find(&mut work.tx, id).await?.ok_or(Error::NotFound("order"))
}
