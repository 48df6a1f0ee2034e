use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::domain::Error;
use crate::domain::events::deliveries;
use crate::model::Time;
use crate::model::events::deliveries::DeliveryView;
use crate::model::ids::{DeliveryId, WebhookEndpointId};
use crate::model::scopes::need;
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(webhook_endpoints_deliveries)
        .service(webhook_endpoints_test)
        .service(webhook_endpoints_recover)
        .service(deliveries_resend);
}

list!(DeliveryList, DeliveryView);

/// List an endpoint's deliveries
///
/// The newest first, each with its attempts, for 30 days. What was not sent because the endpoint was disabled or
/// pending is there as `failed`.
#[utoipa::path(
    tag = "events",
    security(("oauth2" = ["events:read"])),
    params(("id" = WebhookEndpointId, Path)),
    responses((status = 200, description = "Deliveries", body = DeliveryList)),
)]
#[get("/webhook_endpoints/{id}/deliveries")]
async fn webhook_endpoints_deliveries(mut caller: Caller<need::EventsRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let before: Option<DeliveryId> = page.after()?;
    let id = caller.id("webhook endpoint")?;
    let mut conn = caller.read().await?;
    let found = store::events::webhooks::find(&mut conn, id).await?;
    caller.saw(&found.ok_or(Error::NotFound("webhook endpoint"))?.path);
    let rows = store::events::deliveries::page(&mut conn, id, before, page.rows()).await?;
    let (rows, next) = page.cut(rows, |delivery| delivery.id);
    Ok(DeliveryList::answer(rows.into_iter().map(DeliveryView::from).collect(), next))
}

/// Test an endpoint
///
/// Sends it a `webhook_endpoint.test` event, once, whatever types it hears of and even if it is disabled. What it
/// answers is in its deliveries; it counts for nothing else.
#[utoipa::path(
    tag = "events",
    security(("oauth2" = ["webhooks:write"])),
    params(("id" = WebhookEndpointId, Path)),
    responses((status = 200, description = "Queued", body = DeliveryView)),
)]
#[post("/webhook_endpoints/{id}/test")]
async fn webhook_endpoints_test(caller: Caller<need::WebhooksWrite>) -> Result<HttpResponse, Problem> {
    let id = caller.id("webhook endpoint")?;
    caller
        .write(async move |work, _| {
            let delivery = deliveries::test(work, id).await?;
            Ok(Answer::ok(&DeliveryView::from(delivery)).about(id))
        })
        .await
}

/// The period whose deliveries are recovered.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct RecoverDeliveries {
    /// From then on, by when a delivery was queued…
    since: Time,
    /// …and before then; until now if left out.
    #[schema(nullable = false)]
    until: Option<Time>,
}

/// What was recovered.
#[derive(Debug, Serialize, ToSchema)]
struct RecoveredDeliveries {
    /// How many are sent again, the oldest of them first.
    queued: u64,
    /// Whether the period has more: then the same is asked once more.
    more: bool,
}

/// Recover a period
///
/// Sends again what failed in it, or was not sent because the endpoint was disabled or pending; at most 1000 deliveries
/// at once, each with the `webhook-id` it had.
#[utoipa::path(
    tag = "events",
    security(("oauth2" = ["webhooks:write"])),
    params(("id" = WebhookEndpointId, Path)),
    request_body = RecoverDeliveries,
    responses((status = 200, description = "Queued", body = RecoveredDeliveries)),
)]
#[post("/webhook_endpoints/{id}/recover")]
async fn webhook_endpoints_recover(mut caller: Caller<need::WebhooksWrite>) -> Result<HttpResponse, Problem> {
    let id = caller.id("webhook endpoint")?;
    let body: RecoverDeliveries = caller.json().await?;
    let until = body.until.unwrap_or(caller.now);
    caller
        .write(async move |work, _| {
            let (queued, more) = deliveries::recover(work, id, body.since, until).await?;
            Ok(Answer::ok(&RecoveredDeliveries { queued, more }).about(id))
        })
        .await
}

/// Send a delivery again
///
/// At once and whatever came of it before, with the same `webhook-id`.
#[utoipa::path(
    tag = "events",
    security(("oauth2" = ["webhooks:write"])),
    params(("id" = DeliveryId, Path)),
    responses((status = 200, description = "Queued", body = DeliveryView)),
)]
#[post("/deliveries/{id}/resend")]
async fn deliveries_resend(caller: Caller<need::WebhooksWrite>) -> Result<HttpResponse, Problem> {
    let id = caller.id("delivery")?;
    caller
        .write(async move |work, _| {
            let delivery = deliveries::resend(work, id).await?;
            Ok(Answer::ok(&DeliveryView::from(delivery)).about(id))
        })
        .await
}
