use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use super::orders;
use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::domain::commerce::subscriptions::{self, Turned, When};
use crate::domain::commerce::transfers;
use crate::domain::{Error, Fault};
use crate::model::commerce::addons::AddonQuantity;
use crate::model::commerce::orders::{OrderView, SubscriptionChange};
use crate::model::commerce::subscriptions::SubscriptionView;
use crate::model::ids::{AccountId, QuoteId, SubscriptionId};
use crate::model::scopes::need;
use crate::model::{Path, Time};
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(subscriptions_list)
        .service(subscriptions_get)
        .service(subscriptions_change_plan)
        .service(subscriptions_change_quantity)
        .service(subscriptions_change_addon)
        .service(subscriptions_convert_trial)
        .service(subscriptions_renew)
        .service(subscriptions_cancel)
        .service(subscriptions_uncancel)
        .service(subscriptions_transfer);
}

list!(SubscriptionList, SubscriptionView);

/// When a cancellation takes effect: at the end of the billing period that runs, or of the trial; or now.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum CancelWhen {
    PeriodEnd,
    Now,
}

/// When a subscription is to end.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Cancel {
    /// `period_end` if neither this nor `at` is given.
    #[schema(nullable = false)]
    when: Option<CancelWhen>,
    /// At a time ahead; instead of `when`.
    #[schema(nullable = false)]
    at: Option<Time>,
}

impl Cancel {
    fn when(&self) -> Result<When, Error> {
        match (self.when, self.at) {
            (Some(_), Some(_)) => Err(Error::invalid("/at", "one_of_two", "give either `when` or `at`")),
            (None, Some(at)) => Ok(When::At(at)),
            (Some(CancelWhen::Now), None) => Ok(When::Now),
            (Some(CancelWhen::PeriodEnd) | None, None) => Ok(When::PeriodEnd),
        }
    }
}

/// How long a subscription is to run.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Renew {
    /// Until when the lease is paid for, by the word of an account above the subscription's; by the length of the plan's lease
    /// if left out. Repeating it with the same time changes nothing.
    #[schema(nullable = false)]
    through: Option<Time>,
}

/// Another plan.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangePlan {
    /// The code or identifier of a plan with the same services.
    #[schema(min_length = 1, max_length = 64, example = "hosted-mail-plus")]
    plan: String,
    /// As it is if left out.
    #[schema(minimum = 1, maximum = 1_000_000, nullable = false, example = 30)]
    quantity: Option<i64>,
    /// The add-ons of which it is to have more or less with it; the others stay, and have to go with the plan.
    #[serde(default)]
    #[schema(max_items = 20)]
    addons: Vec<AddonQuantity>,
    /// A quote that still holds, of just this change.
    #[schema(nullable = false)]
    quote_id: Option<QuoteId>,
}

/// Another quantity.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeQuantity {
    #[schema(minimum = 1, maximum = 1_000_000, example = 30)]
    quantity: i64,
    /// A quote that still holds, of just this change.
    #[schema(nullable = false)]
    quote_id: Option<QuoteId>,
}

/// Another number of an add-on.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeAddon {
    /// The add-on's code or identifier.
    #[schema(min_length = 1, max_length = 64, example = "storage-10g")]
    addon: String,
    /// How many of it the subscription is to have, all in all; none with 0.
    #[schema(minimum = 0, maximum = 1_000_000, example = 2)]
    quantity: i64,
    /// A quote that still holds, of just this change.
    #[schema(nullable = false)]
    quote_id: Option<QuoteId>,
}

/// Whose a subscription is to be.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Transfer {
    /// Whose it is to be; a live account's stays with a live one, a test account's with a test one.
    account_id: AccountId,
}

/// List subscriptions
#[utoipa::path(
    tag = "subscriptions",
    security(("oauth2" = ["subscriptions:read"])),
    responses((status = 200, description = "Subscriptions", body = SubscriptionList)),
)]
#[get("/subscriptions")]
async fn subscriptions_list(mut caller: Caller<need::SubscriptionsRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, SubscriptionId)> = page.after()?;
    let now = caller.now;
    let mut conn = caller.read().await?;
    let rows = store::commerce::subscriptions::page(&mut conn, after.as_ref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |subscription| (subscription.path.clone(), subscription.id));
    caller.saw_each(rows.iter().map(|subscription| &subscription.path));
    Ok(SubscriptionList::answer(rows.into_iter().map(|row| row.seen_at(now)).collect(), next))
}

/// Get a subscription
#[utoipa::path(
    tag = "subscriptions",
    security(("oauth2" = ["subscriptions:read"])),
    params(("id" = SubscriptionId, Path)),
    responses((status = 200, description = "The subscription", body = SubscriptionView)),
)]
#[get("/subscriptions/{id}")]
async fn subscriptions_get(mut caller: Caller<need::SubscriptionsRead>) -> Result<HttpResponse, Problem> {
    let id = caller.id("subscription")?;
    let found = store::commerce::subscriptions::find(&mut caller.read().await?, id).await?;
    let subscription = found.ok_or(Error::NotFound("subscription"))?;
    let version = subscription.version;
    caller.saw(&subscription.path);
    caller.show(version, &subscription.seen_at(caller.now))
}

/// Move a subscription to another plan
///
/// Places an order with this one change, which is done when it is answered: quota and price are checked first. The plan has
/// the same services; it has to be sold to the account, and the quotas it gives have to hold what is in use. From a trial only
/// a plan that has one can be moved to.
#[utoipa::path(
    tag = "subscriptions",
    security(("oauth2" = ["orders:place"])),
    params(("id" = SubscriptionId, Path)),
    request_body = ChangePlan,
    responses((status = 201, description = "Done, by this order", body = OrderView)),
)]
#[post("/subscriptions/{id}/change_plan")]
async fn subscriptions_change_plan(mut caller: Caller<need::OrdersPlace>) -> Result<HttpResponse, Problem> {
    let subscription_id = caller.id("subscription")?;
    let ChangePlan { plan, quantity, addons, quote_id } = caller.json().await?;
    let to = SubscriptionChange { subscription_id, quantity, plan: Some(plan), addons };
    change(caller, to, quote_id, ITEM).await
}

/// Change a subscription's quantity
///
/// Places an order with this one change, which is done when it is answered: quota and price are checked first. Less than is
/// in use is refused.
#[utoipa::path(
    tag = "subscriptions",
    security(("oauth2" = ["orders:place"])),
    params(("id" = SubscriptionId, Path)),
    request_body = ChangeQuantity,
    responses((status = 201, description = "Done, by this order", body = OrderView)),
)]
#[post("/subscriptions/{id}/change_quantity")]
async fn subscriptions_change_quantity(
    mut caller: Caller<need::OrdersPlace>,
) -> Result<HttpResponse, Problem> {
    let subscription_id = caller.id("subscription")?;
    let ChangeQuantity { quantity, quote_id } = caller.json().await?;
    let to = SubscriptionChange { subscription_id, quantity: Some(quantity), plan: None, addons: Vec::new() };
    change(caller, to, quote_id, ITEM).await
}

/// Change how many of an add-on a subscription has
///
/// Places an order with this one change, which is done when it is answered: quota and price are checked first. What it gets
/// anew is in the terms and at the price of now; what it had stays as it was ordered. Less than is in use is refused.
#[utoipa::path(
    tag = "subscriptions",
    security(("oauth2" = ["orders:place"])),
    params(("id" = SubscriptionId, Path)),
    request_body = ChangeAddon,
    responses((status = 201, description = "Done, by this order", body = OrderView)),
)]
#[post("/subscriptions/{id}/change_addon")]
async fn subscriptions_change_addon(mut caller: Caller<need::OrdersPlace>) -> Result<HttpResponse, Problem> {
    let subscription_id = caller.id("subscription")?;
    let ChangeAddon { addon, quantity, quote_id } = caller.json().await?;
    let addons = vec![AddonQuantity { addon, quantity }];
    let to = SubscriptionChange { subscription_id, quantity: None, plan: None, addons };
    change(caller, to, quote_id, ADDON).await
}

/// Where the order's only item stands in it.
const ITEM: &[&str] = &["/items/0"];
/// Where the only add-on of that does.
const ADDON: &[&str] = &["/items/0/addons/0", "/items/0"];

/// Places the order. What is wrong with what `body` points to is wrong with this call's body.
async fn change(
    caller: Caller<need::OrdersPlace>,
    to: SubscriptionChange,
    quote_id: Option<QuoteId>,
    body: &'static [&'static str],
) -> Result<HttpResponse, Problem> {
    caller
        .write(async move |work, actor| {
            let placed = crate::domain::commerce::orders::change(work, actor, to, quote_id).await;
            let order = placed.map_err(|error| here(error, body))?;
            Ok(orders::answer(order, StatusCode::CREATED, true))
        })
        .await
}

fn here(error: Error, body: &[&str]) -> Error {
    let Error::Invalid(faults) = error else { return error };
    let here = |fault: Fault| {
        let inside = body.iter().find_map(|whole| fault.pointer.strip_prefix(whole));
        let pointer = inside.unwrap_or(&fault.pointer).to_owned();
        Fault { pointer, ..fault }
    };
    Error::Invalid(faults.into_iter().map(here).collect())
}

/// Convert a trial
///
/// Ends the trial: the subscription runs, and its first billing period and its lease begin now. One that runs without a trial
/// is left as it is; one that has ended is renewed instead.
#[utoipa::path(
    tag = "subscriptions",
    security(("oauth2" = ["subscriptions:write"])),
    params(("id" = SubscriptionId, Path)),
    responses((status = 200, description = "It runs", body = SubscriptionView)),
)]
#[post("/subscriptions/{id}/convert_trial")]
async fn subscriptions_convert_trial(
    caller: Caller<need::SubscriptionsWrite>,
) -> Result<HttpResponse, Problem> {
    let (id, expected, now) = (caller.id("subscription")?, caller.if_match()?, caller.now);
    caller
        .write(async move |work, actor| {
            Ok(answer(subscriptions::convert(work, actor, id, &expected).await?, now))
        })
        .await
}

/// Renew a subscription
///
/// A lease runs longer. A subscription that has expired or was cancelled runs again, at the price it had, with all that is
/// in it: on with what was paid for, or its trial, if that is not over; else its first billing period begins now. One that
/// runs until it is cancelled is left as it is. What was cancelled is renewed by whoever cancelled it, or from above.
#[utoipa::path(
    tag = "subscriptions",
    security(("oauth2" = ["subscriptions:write"])),
    params(("id" = SubscriptionId, Path)),
    request_body(content = Renew, description = "May be left out"),
    responses(
        (status = 202, description = "Renewed; the operation gives access again", body = SubscriptionView),
        (status = 200, description = "Renewed; access is as it was, or was changed within the time waited", body = SubscriptionView),
    ),
)]
#[post("/subscriptions/{id}/renew")]
async fn subscriptions_renew(mut caller: Caller<need::SubscriptionsWrite>) -> Result<HttpResponse, Problem> {
    let (id, expected, now) = (caller.id("subscription")?, caller.if_match()?, caller.now);
    let body: Renew = caller.json_or(Renew::default()).await?;
    caller
        .write(async move |work, actor| {
            Ok(answer(subscriptions::renew(work, actor, id, body.through, &expected).await?, now))
        })
        .await
}

/// Cancel a subscription
///
/// At the end of the billing period, now, or at a time ahead. From then on its services are suspended (reason `ended`), what
/// is in them stays, and its quota stays in use; until then it can be taken back (`uncancel`), and later renewed (`renew`).
/// A cancellation by an account above is neither put off nor taken back from below. Repeating it changes nothing.
#[utoipa::path(
    tag = "subscriptions",
    security(("oauth2" = ["subscriptions:write"])),
    params(("id" = SubscriptionId, Path)),
    request_body(content = Cancel, description = "May be left out"),
    responses(
        (status = 202, description = "Cancelled; the operation takes the access away", body = SubscriptionView),
        (status = 200, description = "To be cancelled, or cancelled with the access as it was, or changed within the time waited", body = SubscriptionView),
    ),
)]
#[post("/subscriptions/{id}/cancel")]
async fn subscriptions_cancel(mut caller: Caller<need::SubscriptionsWrite>) -> Result<HttpResponse, Problem> {
    let (id, expected, now) = (caller.id("subscription")?, caller.if_match()?, caller.now);
    let body: Cancel = caller.json_or(Cancel::default()).await?;
    caller
        .write(async move |work, actor| {
            Ok(answer(subscriptions::cancel(work, actor, id, body.when()?, &expected).await?, now))
        })
        .await
}

/// Take back a cancellation
///
/// One that lies ahead, by whoever cancelled it or from above. A subscription that is not to be cancelled is left as it is.
#[utoipa::path(
    tag = "subscriptions",
    security(("oauth2" = ["subscriptions:write"])),
    params(("id" = SubscriptionId, Path)),
    responses((status = 200, description = "It runs on", body = SubscriptionView)),
)]
#[post("/subscriptions/{id}/uncancel")]
async fn subscriptions_uncancel(caller: Caller<need::SubscriptionsWrite>) -> Result<HttpResponse, Problem> {
    let (id, expected, now) = (caller.id("subscription")?, caller.if_match()?, caller.now);
    caller
        .write(async move |work, actor| {
            Ok(answer(subscriptions::uncancel(work, actor, id, &expected).await?, now))
        })
        .await
}

/// Transfer a subscription
///
/// It becomes another account's, with its services and all that is in them; both are in the caller's reach. It keeps its plan, its
/// price and its course; its orders stay where they are, and names that those who are left behind gave are forgotten. What it draws is drawn from the new account and
/// those above it, or it is refused. The operation gives its services the access that the holds at its new place leave. While
/// anything in it is being made or changed it is refused (409 `operation_in_progress`), before it has run at all, and out of an
/// account that somebody above the caller holds (409 `state_conflict`), and where there is no room for it (409 `quota_exceeded`).
#[utoipa::path(
    tag = "subscriptions",
    security(("oauth2" = ["accounts:write"])),
    params(("id" = SubscriptionId, Path)),
    request_body = Transfer,
    responses(
        (status = 202, description = "Transferred; the operation brings its access about", body = SubscriptionView),
        (status = 200, description = "It was the account's already, or its access was brought about within the time waited", body = SubscriptionView),
    ),
)]
#[post("/subscriptions/{id}/transfer")]
async fn subscriptions_transfer(mut caller: Caller<need::AccountsWrite>) -> Result<HttpResponse, Problem> {
    let (id, expected, now) = (caller.id("subscription")?, caller.if_match()?, caller.now);
    let Transfer { account_id } = caller.json().await?;
    caller
        .write(async move |work, actor| {
            Ok(answer(transfers::transfer(work, actor, id, account_id, &expected).await?, now))
        })
        .await
}

fn answer(turned: Turned, now: Time) -> Answer {
    let Turned { subscription, operation_id } = turned;
    let (id, version) = (subscription.id, subscription.version);
    let shown = subscription.seen_at(now);
    let body = SubscriptionView { operation_id, ..shown.clone() };
    Answer::accepted(operation_id, StatusCode::OK, &body).version_of(version, &shown).about(id)
}
