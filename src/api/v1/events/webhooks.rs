use actix_web::{HttpResponse, delete, get, http::header, patch, post};
use secrecy::ExposeSecret;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::access::seal::Context;
use crate::api::answer::{Answer, etag};
use crate::api::caller::Caller;
use crate::api::problem::{Code, Fault, Problem};
use crate::api::v1::fields;
use crate::delivery::guard::Guard;
use crate::delivery::sign::Secret;
use crate::domain::Error;
use crate::domain::events::webhooks::{self, Change, Registration};
use crate::model::Path;
use crate::model::events::events::EventType;
use crate::model::events::webhooks::{
    CreatedWebhookEndpoint, DeliveryView, EndpointStatus, WebhookEndpointView,
};
use crate::model::ids::{DeliveryId, WebhookEndpointId};
use crate::model::scopes::need;
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(webhook_endpoints_list)
        .service(webhook_endpoints_create)
        .service(webhook_endpoints_get)
        .service(webhook_endpoints_update)
        .service(webhook_endpoints_delete)
        .service(webhook_endpoints_deliveries)
        .service(deliveries_resend);
}

list!(WebhookEndpointList, WebhookEndpointView);
list!(DeliveryList, DeliveryView);

/// A new webhook endpoint.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewWebhookEndpoint {
    /// Where deliveries go: https, and nowhere inside a private network.
    #[schema(min_length = 8, max_length = 2048, example = "https://hooks.reseller.example/tenantry")]
    url: String,
    #[schema(min_length = 1, max_length = 500, nullable = false)]
    description: Option<String>,
    /// Every type if empty or left out.
    #[serde(default)]
    #[schema(max_items = 100)]
    event_types: Vec<EventType>,
}

fn check_url(guard: &Guard, url: &str) -> Result<(), Problem> {
    guard.check_url(url).map(drop).map_err(|refusal| {
        let fault = Fault::at("/url", "rejected", refusal.to_string());
        Problem::new(Code::WebhookUrlRejected, "Webhooks cannot be sent to this address.")
            .with_errors(vec![fault])
    })
}

/// List webhook endpoints
#[utoipa::path(
    tag = "events",
    security(("oauth2" = ["events:read"])),
    responses((status = 200, description = "Endpoints", body = WebhookEndpointList)),
)]
#[get("/webhook_endpoints")]
async fn webhook_endpoints_list(mut caller: Caller<need::EventsRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, WebhookEndpointId)> = page.after()?;
    let rows = store::events::webhooks::page(&mut caller.read().await?, after.as_ref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |endpoint| (endpoint.path.clone(), endpoint.id));
    Ok(WebhookEndpointList::answer(rows.into_iter().map(WebhookEndpointView::from).collect(), next))
}

/// Register a webhook endpoint
///
/// For the events of the caller's account and all below. Deliveries are signed after Standard Webhooks; the
/// secret is in this answer and in no other.
#[utoipa::path(
    tag = "events",
    security(("oauth2" = ["webhooks:write"])),
    request_body = NewWebhookEndpoint,
    responses((status = 201, description = "Registered; the secret is told once", body = CreatedWebhookEndpoint)),
)]
#[post("/webhook_endpoints")]
async fn webhook_endpoints_create(mut caller: Caller<need::WebhooksWrite>) -> Result<HttpResponse, Problem> {
    let body: NewWebhookEndpoint = caller.json().await?;
    check_url(&caller.state.guard, &body.url)?;
    let (account, _) = caller.subject().await?;
    let id = WebhookEndpointId::new();
    let secret = Secret::generate().text();
    let (account, record) = (account.to_string(), id.to_string());
    let context =
        Context { table: "webhook_endpoints", column: "secret", account_id: &account, record_id: &record };
    let registration = Registration {
        id,
        url: body.url,
        description: body.description,
        event_types: body.event_types,
        secret: caller.state.sealer.seal(&context, secret.expose_secret().as_bytes()),
    };
    caller
        .write(async move |work, actor| {
            let endpoint = webhooks::register(work, actor, registration).await?;
            let version = endpoint.version;
            let told = CreatedWebhookEndpoint {
                endpoint: endpoint.into(),
                secret: secret.expose_secret().to_owned(),
            };
            Ok(Answer::made(true, format!("/v1/webhook_endpoints/{id}"), &told)
                .version(version)
                .about(id)
                .secret())
        })
        .await
}

/// Get a webhook endpoint
#[utoipa::path(
    tag = "events",
    security(("oauth2" = ["events:read"])),
    params(("id" = WebhookEndpointId, Path)),
    responses((status = 200, description = "The endpoint", body = WebhookEndpointView)),
)]
#[get("/webhook_endpoints/{id}")]
async fn webhook_endpoints_get(mut caller: Caller<need::EventsRead>) -> Result<HttpResponse, Problem> {
    let id = caller.id("webhook endpoint")?;
    let found = store::events::webhooks::find(&mut caller.read().await?, id).await?;
    let endpoint = found.ok_or(Error::NotFound("webhook endpoint"))?;
    let version = endpoint.version;
    Ok(HttpResponse::Ok()
        .insert_header((header::ETAG, etag(version)))
        .json(WebhookEndpointView::from(endpoint)))
}

/// What is to change of an endpoint: what is left out stays, `null` clears.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct WebhookEndpointChange {
    #[schema(min_length = 8, max_length = 2048, nullable = false)]
    url: Option<String>,
    #[serde(default, deserialize_with = "fields::present")]
    #[schema(min_length = 1, max_length = 500, value_type = Option<String>)]
    description: Option<Option<String>>,
    #[schema(max_items = 100, nullable = false)]
    event_types: Option<Vec<EventType>>,
    #[schema(nullable = false)]
    status: Option<EndpointStatus>,
}

/// Change a webhook endpoint
///
/// One that was disabled is enabled again with `status`.
#[utoipa::path(
    tag = "events",
    security(("oauth2" = ["webhooks:write"])),
    params(("id" = WebhookEndpointId, Path)),
    request_body = WebhookEndpointChange,
    responses((status = 200, description = "Changed", body = WebhookEndpointView)),
)]
#[patch("/webhook_endpoints/{id}")]
async fn webhook_endpoints_update(mut caller: Caller<need::WebhooksWrite>) -> Result<HttpResponse, Problem> {
    let (body, expected): (WebhookEndpointChange, _) = (caller.json().await?, caller.if_match()?);
    if let Some(url) = &body.url {
        check_url(&caller.state.guard, url)?;
    }
    let id = caller.id("webhook endpoint")?;
    let change = Change {
        url: body.url,
        description: body.description,
        event_types: body.event_types,
        status: body.status,
    };
    caller
        .write(async move |work, _| {
            let endpoint = webhooks::change(work, id, change, expected).await?;
            let version = endpoint.version;
            Ok(Answer::ok(&WebhookEndpointView::from(endpoint)).version(version).about(id))
        })
        .await
}

/// Delete a webhook endpoint
///
/// With what was still to be sent to it.
#[utoipa::path(
    tag = "events",
    security(("oauth2" = ["webhooks:write"])),
    params(("id" = WebhookEndpointId, Path)),
    responses((status = 204, description = "Deleted")),
)]
#[delete("/webhook_endpoints/{id}")]
async fn webhook_endpoints_delete(caller: Caller<need::WebhooksWrite>) -> Result<HttpResponse, Problem> {
    let id = caller.id("webhook endpoint")?;
    caller
        .write(async move |work, _| {
            webhooks::delete(work, id).await?;
            Ok(Answer::none().about(id))
        })
        .await
}

/// List an endpoint's deliveries
///
/// The newest first, each with its attempts.
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
    store::events::webhooks::find(&mut conn, id).await?.ok_or(Error::NotFound("webhook endpoint"))?;
    let rows = store::events::webhooks::deliveries(&mut conn, id, before, page.rows()).await?;
    let (rows, next) = page.cut(rows, |delivery| delivery.id);
    Ok(DeliveryList::answer(rows.into_iter().map(DeliveryView::from).collect(), next))
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
            let delivery = webhooks::resend(work, id).await?;
            Ok(Answer::ok(&DeliveryView::from(delivery)).about(id))
        })
        .await
}
