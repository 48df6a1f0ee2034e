use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::{Code, Fault, Problem};
use crate::api::v1::fields;
use crate::api::v1::services::resources::NewResource;
use crate::domain::accounts::accounts::Made;
use crate::domain::commerce::approvals;
use crate::domain::commerce::orders::{self, NewItem, NewSubscription, Placing};
use crate::domain::{Error, digest};
use crate::model::Path;
use crate::model::commerce::addons::AddonQuantity;
use crate::model::commerce::orders::{Order, OrderStatus, OrderView, SubscriptionChange};
use crate::model::ids::{AccountId, OrderId, QuoteId, SubscriptionId};
use crate::model::scopes::need;
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(orders_list)
        .service(orders_place)
        .service(orders_get)
        .service(orders_cancel)
        .service(orders_approve)
        .service(orders_reject)
        .service(orders_retry);
}

list!(OrderList, OrderView);

/// What one item of an order is to do.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
enum NewOrderItem {
    /// A new subscription to a plan, with the first things in it.
    Add(AddItem),
    /// Another quantity, plan or number of add-ons for a subscription that runs.
    Change(ChangeItem),
}

#[derive(Debug, Clone, Serialize, Deserialize, Validate, ToSchema)]
struct AddItem {
    /// The plan's code or identifier.
    #[schema(min_length = 1, max_length = 64, example = "hosted-mail")]
    plan: String,
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 1_000_000, default = 1, example = 25)]
    quantity: i64,
    /// What it has beside the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 20)]
    addons: Vec<AddonQuantity>,
    /// The caller's own name for the subscription.
    #[schema(min_length = 1, max_length = 128, nullable = false)]
    external_id: Option<String>,
    /// What is made right away: a domain, its zone, the first mailboxes.
    #[serde(default)]
    #[validate(nested)]
    #[schema(max_items = 100)]
    resources: Vec<NewResource>,
}

#[derive(Debug, Clone, Serialize, Deserialize, Validate, ToSchema)]
pub(super) struct ChangeItem {
    pub subscription_id: SubscriptionId,
    #[schema(minimum = 1, maximum = 1_000_000, nullable = false, example = 30)]
    pub quantity: Option<i64>,
    /// The code or identifier of a plan with the same services.
    #[schema(min_length = 1, max_length = 64, nullable = false, example = "hosted-mail-plus")]
    pub plan: Option<String>,
    /// The add-ons of which it is to have more or less; the others stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 20)]
    pub addons: Vec<AddonQuantity>,
}

impl From<ChangeItem> for SubscriptionChange {
    fn from(ChangeItem { subscription_id, quantity, plan, addons }: ChangeItem) -> Self {
        Self { subscription_id, quantity, plan, addons }
    }
}

pub(super) fn one() -> i64 {
    1
}

impl Validate for NewOrderItem {
    fn validate(&self) -> Result<(), validator::ValidationErrors> {
        match self {
            NewOrderItem::Add(item) => item.validate(),
            NewOrderItem::Change(item) => item.validate(),
        }
    }
}

/// A new order.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewOrder {
    /// Whom it is for; the account acted for if left out.
    #[schema(nullable = false)]
    account_id: Option<AccountId>,
    #[validate(nested)]
    #[schema(min_items = 1, max_items = 20)]
    items: Vec<NewOrderItem>,
    /// A quote that still holds: the items are the quote's, with what is made right away, and cost what it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    quote_id: Option<QuoteId>,
    /// The caller's own name for the order. A second order with the same name and content answers 200 with
    /// the order that is there; but one that was cancelled or failed for good keeps its name from no other content.
    #[schema(min_length = 1, max_length = 128, nullable = false, example = "crm:order:4711")]
    external_id: Option<String>,
    #[serde(default)]
    #[validate(custom(function = fields::metadata))]
    metadata: BTreeMap<String, String>,
}

impl NewOrder {
    /// The order with its passwords hashed.
    async fn placing(self) -> Result<Placing, Problem> {
        let fingerprint = digest(&self);
        let mut items = Vec::new();
        for item in self.items {
            items.push(match item {
                NewOrderItem::Add(item) => {
                    let mut resources = Vec::new();
                    for resource in item.resources {
                        resources.push(resource.hashed().await?);
                    }
                    let AddItem { plan, quantity, addons, external_id, .. } = item;
                    NewItem::Add(NewSubscription { plan, quantity, addons, resources, external_id })
                }
                NewOrderItem::Change(item) => NewItem::Change(item.into()),
            });
        }
        let Self { account_id, quote_id, external_id, metadata, .. } = self;
        Ok(Placing { account_id, items, quote_id, external_id, metadata, fingerprint })
    }
}

/// List orders
///
/// All in the caller's reach, or those that wait for somebody to approve of them.
#[utoipa::path(
    tag = "orders",
    security(("oauth2" = ["orders:read"])),
    params(("status" = Option<String>, Query, description = "`pending_approval` alone can be asked for", nullable = false, pattern = "^pending_approval$")),
    responses((status = 200, description = "Orders", body = OrderList)),
)]
#[get("/orders")]
async fn orders_list(mut caller: Caller<need::OrdersRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, OrderId)> = page.after()?;
    let mut conn = caller.read().await?;
    let rows = match caller.parameter("status") {
        None => store::commerce::orders::page(&mut conn, after.as_ref(), page.rows()).await?,
        Some(status) if status == OrderStatus::PendingApproval.as_str() => {
            store::commerce::orders::to_approve(&mut conn, after.as_ref(), page.rows()).await?
        }
        Some(_) => {
            let fault = Fault::parameter("status", "invalid", "must be pending_approval");
            return Err(
                Problem::new(Code::ValidationFailed, "A parameter is not valid.").with_errors(vec![fault])
            );
        }
    };
    let (rows, next) = page.cut(rows, |order| (order.path.clone(), order.id));
    caller.saw_each(rows.iter().map(|order| &order.path));
    Ok(OrderList::answer(rows.into_iter().map(OrderView::from).collect(), next))
}

/// Place an order
///
/// Takes the quota on every level at once, or is refused with what would make room. What it asks for is made
/// by an operation; follow that, or the events, or wait with `Prefer: wait=25`. An order that only changes
/// subscriptions is done when it is answered.
#[utoipa::path(
    tag = "orders",
    security(("oauth2" = ["orders:place"])),
    request_body = NewOrder,
    responses(
        (status = 202, description = "Placed; the operation makes it, once somebody has approved of it if it is `pending_approval`", body = OrderView),
        (status = 201, description = "Done", body = OrderView),
        (status = 200, description = "It was there already, under this external_id and with this content", body = OrderView),
    ),
)]
#[post("/orders")]
async fn orders_place(mut caller: Caller<need::OrdersPlace>) -> Result<HttpResponse, Problem> {
    let body: NewOrder = caller.json().await?;
    let placing = body.placing().await?;
    caller
        .write(async move |work, actor| {
            Ok(match orders::place(work, actor, placing).await? {
                // What somebody has to say first is not waited for.
                Made::New(order) if order.status == OrderStatus::PendingApproval => {
                    Answer { status: 202, ..answer(order, StatusCode::CREATED, false) }
                }
                Made::New(order) => answer(order, StatusCode::CREATED, true),
                // Whoever asks again waits for the same work.
                Made::Existing(order) => {
                    let operation_id = order.operation_id.filter(|_| order.is_open());
                    Answer { operation_id, ..answer(order, StatusCode::OK, false) }
                }
            })
        })
        .await
}

pub(super) fn answer(order: Order, done: StatusCode, follow: bool) -> Answer {
    let (id, version) = (order.id, order.version);
    let operation = order.operation_id.filter(|_| follow);
    let answer = Answer::accepted(operation, done, &OrderView::from(order)).version(version).about(id);
    Answer { location: answer.location.or(Some(format!("/v1/orders/{id}"))), ..answer }
}

/// Get an order
#[utoipa::path(
    tag = "orders",
    security(("oauth2" = ["orders:read"])),
    params(("id" = OrderId, Path)),
    responses((status = 200, description = "The order", body = OrderView)),
)]
#[get("/orders/{id}")]
async fn orders_get(mut caller: Caller<need::OrdersRead>) -> Result<HttpResponse, Problem> {
    let id = caller.id("order")?;
    let found = store::commerce::orders::find(&mut caller.read().await?, id).await?;
    let order = found.ok_or(Error::NotFound("order"))?;
    caller.saw(&order.path);
    caller.show(order.version, &OrderView::from(order))
}

/// What is said with a decision.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct OrderDecision {
    /// For whoever placed the order.
    #[schema(min_length = 1, max_length = 500, nullable = false)]
    note: Option<String>,
}

/// Approve an order
///
/// One that is `pending_approval`, by the account that wants to be asked or one above it: its plan's owner, or whoever set an
/// `order_policy`. Its work begins. One that was approved already stays as it is.
#[utoipa::path(
    tag = "orders",
    security(("oauth2" = ["orders:approve"])),
    params(("id" = OrderId, Path)),
    request_body(content = OrderDecision, description = "May be left out"),
    responses(
        (status = 202, description = "Approved; the operation makes it", body = OrderView),
        (status = 200, description = "Ended, within the time waited", body = OrderView),
    ),
)]
#[post("/orders/{id}/approve")]
async fn orders_approve(mut caller: Caller<need::OrdersApprove>) -> Result<HttpResponse, Problem> {
    let OrderDecision { note } = caller.json_or(OrderDecision::default()).await?;
    let (id, expected) = (caller.id("order")?, caller.if_match()?);
    caller
        .write(async move |work, actor| {
            let order = approvals::approve(work, actor, id, note, &expected).await?;
            Ok(answer(order, StatusCode::OK, true))
        })
        .await
}

/// Reject an order
///
/// By whoever could approve of it. Its quota is free again.
#[utoipa::path(
    tag = "orders",
    security(("oauth2" = ["orders:approve"])),
    params(("id" = OrderId, Path)),
    request_body(content = OrderDecision, description = "May be left out"),
    responses((status = 200, description = "Rejected", body = OrderView)),
)]
#[post("/orders/{id}/reject")]
async fn orders_reject(mut caller: Caller<need::OrdersApprove>) -> Result<HttpResponse, Problem> {
    let OrderDecision { note } = caller.json_or(OrderDecision::default()).await?;
    let (id, expected) = (caller.id("order")?, caller.if_match()?);
    caller
        .write(async move |work, actor| {
            let order = approvals::reject(work, actor, id, note, &expected).await?;
            Ok(answer(order, StatusCode::OK, false))
        })
        .await
}

/// Cancel an order
///
/// As long as nothing of it has been begun; its quota is free again.
#[utoipa::path(
    tag = "orders",
    security(("oauth2" = ["orders:cancel"])),
    params(("id" = OrderId, Path)),
    responses((status = 200, description = "Cancelled", body = OrderView)),
)]
#[post("/orders/{id}/cancel")]
async fn orders_cancel(caller: Caller<need::OrdersCancel>) -> Result<HttpResponse, Problem> {
    let (id, expected) = (caller.id("order")?, caller.if_match()?);
    caller
        .write(async move |work, _| {
            Ok(answer(orders::cancel(work, id, &expected).await?, StatusCode::OK, false))
        })
        .await
}

/// Retry an order
///
/// One that failed for a reason that may have passed.
#[utoipa::path(
    tag = "orders",
    security(("oauth2" = ["orders:place"])),
    params(("id" = OrderId, Path)),
    responses(
        (status = 202, description = "Queued again", body = OrderView),
        (status = 200, description = "Ended, within the time waited", body = OrderView),
    ),
)]
#[post("/orders/{id}/retry")]
async fn orders_retry(caller: Caller<need::OrdersPlace>) -> Result<HttpResponse, Problem> {
    let (id, expected) = (caller.id("order")?, caller.if_match()?);
    caller
        .write(async move |work, _| {
            Ok(answer(orders::retry(work, id, &expected).await?, StatusCode::OK, true))
        })
        .await
}
