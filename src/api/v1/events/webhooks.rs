use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use actix_web::{HttpResponse, delete, get, patch, post};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::access::random;
use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::{Code, Fault, Problem};
use crate::api::v1::fields;
use crate::delivery::guard::Guard;
use crate::delivery::headers::{MAX_HEADERS, is_value, may_be_sent};
use crate::delivery::secrets::Place;
use crate::delivery::sign::Secret;
use crate::domain::Error;
use crate::domain::events::webhooks::{self, Change, Registration};
use crate::model::Path;
use crate::model::events::events::EventType;
use crate::model::events::webhooks::{
    CreatedWebhookEndpoint, EndpointSwitch, Payload, WebhookEndpoint, WebhookEndpointView,
};
use crate::model::ids::{AccountId, WebhookEndpointId};
use crate::model::scopes::need;
use crate::model::text::pointer_step;
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(webhook_endpoints_list)
        .service(webhook_endpoints_create)
        .service(webhook_endpoints_get)
        .service(webhook_endpoints_update)
        .service(webhook_endpoints_delete)
        .service(webhook_endpoints_rotate_secret)
        .service(webhook_endpoints_verify);
}

list!(WebhookEndpointList, WebhookEndpointView);

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
    /// `full` if left out. Bodies over 20 KB are thin in any case.
    #[schema(nullable = false)]
    payload: Option<Payload>,
    /// What every delivery is to carry beside its own headers: names that begin with `X-`, `Api-Key`, or those
    /// of Cloudflare Access.
    #[serde(default)]
    #[schema(example = json!({"X-Tenant": "acme"}))]
    headers: BTreeMap<String, String>,
    /// The same where the values are never shown again; here `Authorization` is possible, too.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    secret_headers: BTreeMap<String, SecretString>,
    /// Whether deliveries are signed with Ed25519 as well (`v1a`), to be checked with the `public_key`.
    #[serde(default)]
    asymmetric: bool,
    /// Whether the endpoint is asked first: until it has answered a `webhook_endpoint.verify` event with its
    /// `challenge`, as text or as a member of a JSON object, it is `pending` and is sent no events.
    #[serde(default)]
    verify: bool,
}

/// The headers under the names they are sent with, or what is wrong with them.
fn headers<V>(
    given: BTreeMap<String, V>,
    place: &str,
    told: impl Fn(&V) -> (&str, bool),
) -> Result<BTreeMap<String, V>, Problem> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for (name, value) in &given {
        let (text, is_secret) = told(value);
        let at = format!("{place}/{}", pointer_step(name));
        if !may_be_sent(name, is_secret) {
            faults.push(Fault::at(at, "header", "is not a header that an endpoint can have of its own here"));
        } else if !is_value(text) {
            faults.push(Fault::at(at, "header_value", "must be one line of 1 to 1024 visible characters"));
        } else if !seen.insert(name.to_ascii_lowercase()) {
            faults.push(Fault::at(at, "repeated", "is there in another spelling"));
        }
    }
    if given.len() > MAX_HEADERS {
        faults.push(Fault::at(place, "too_many", format!("are more than {MAX_HEADERS}")));
    }
    match faults.is_empty() {
        true => Ok(given.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()),
        false => {
            Err(Problem::new(Code::ValidationFailed, "Some headers cannot be sent.").with_errors(faults))
        }
    }
}

fn shown(given: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Problem> {
    headers(given, "/headers", |value| (value, false))
}

fn secret(given: BTreeMap<String, SecretString>) -> Result<BTreeMap<String, SecretString>, Problem> {
    headers(given, "/secret_headers", |value| (value.expose_secret(), true))
}

/// What an endpoint has to answer.
fn challenge() -> String {
    random::base62(32)
}

/// The endpoint with its new secret.
fn told(endpoint: WebhookEndpoint, secret: &SecretString, made: bool) -> Answer {
    let (id, version) = (endpoint.id, endpoint.version);
    let told =
        CreatedWebhookEndpoint { endpoint: endpoint.into(), secret: secret.expose_secret().to_owned() };
    let answer = match made {
        true => Answer::made(true, format!("/v1/webhook_endpoints/{id}"), &told),
        false => Answer::ok(&told),
    };
    answer.version_of(version, &told.endpoint).about(id).secret()
}

/// Whose the endpoint is.
async fn owner<S>(caller: &mut Caller<S>, id: WebhookEndpointId) -> Result<AccountId, Problem> {
    let found = store::events::webhooks::find(&mut caller.read().await?, id).await?;
    Ok(found.ok_or(Error::NotFound("webhook endpoint"))?.account_id)
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
    caller.saw_each(rows.iter().map(|endpoint| &endpoint.path));
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
    let (shown, hidden) = (shown(body.headers)?, secret(body.secret_headers)?);
    let (account, _) = caller.subject().await?;
    let (id, sealer) = (WebhookEndpointId::new(), &caller.state.sealer);
    let digests = &caller.state.keys.digests;
    let (place, secret) = (Place::of(account, id), Secret::generate().text());
    let registration = Registration {
        id,
        url: body.url,
        description: body.description,
        event_types: body.event_types,
        payload: body.payload.unwrap_or(Payload::Full),
        headers: shown,
        secret_headers: place.headers(sealer, digests, &hidden),
        secret: place.secret(sealer, &secret),
        signing: body.asymmetric.then(|| place.pair(sealer)),
        challenge: body.verify.then(challenge),
    };
    caller
        .write(async move |work, actor| {
            let endpoint = webhooks::register(work, actor, registration).await?;
            Ok(told(endpoint, &secret, true))
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
    caller.saw(&endpoint.path);
    caller.show(version, &WebhookEndpointView::from(endpoint))
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
    payload: Option<Payload>,
    /// All of them: they take the place of those that are there.
    #[schema(nullable = false)]
    headers: Option<BTreeMap<String, String>>,
    /// The same where the values are never shown again.
    #[schema(value_type = Option<BTreeMap<String, String>>, nullable = false)]
    secret_headers: Option<BTreeMap<String, SecretString>>,
    /// Whether deliveries are signed with Ed25519 as well; a pair that is there stays.
    #[schema(nullable = false)]
    asymmetric: Option<bool>,
    #[schema(nullable = false)]
    status: Option<EndpointSwitch>,
}

/// Change a webhook endpoint
///
/// One that was disabled is enabled again with `status`. One that had to be verified is asked again if its `url`
/// changes.
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
    let (headers, hidden) =
        (body.headers.map(shown).transpose()?, body.secret_headers.map(secret).transpose()?);
    let place = Place::of(owner(&mut caller, id).await?, id);
    let (sealer, digests) = (&caller.state.sealer, &caller.state.keys.digests);
    let change = Change {
        url: body.url,
        description: body.description,
        event_types: body.event_types,
        payload: body.payload,
        headers,
        secret_headers: hidden.map(|hidden| place.headers(sealer, digests, &hidden)),
        signing: body.asymmetric.map(|wanted| wanted.then(|| place.pair(sealer))),
        switch: body.status,
        challenge: challenge(),
    };
    caller
        .write(async move |work, _| {
            let endpoint = webhooks::change(work, id, change, &expected).await?;
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
    let (id, expected) = (caller.id("webhook endpoint")?, caller.if_match()?);
    caller
        .write(async move |work, _| {
            webhooks::delete(work, id, &expected).await?;
            Ok(Answer::none().about(id))
        })
        .await
}

/// For how long the secret before is good.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct RotateSecret {
    /// For how many hours deliveries are signed with the secret before as well. With 0 all that were before end at
    /// once: for a secret that somebody else has.
    #[serde(default = "a_day")]
    #[schema(minimum = 0, maximum = 168, default = 24)]
    overlap_hours: u8,
}

fn a_day() -> u8 {
    24
}

/// Rotate an endpoint's secret
///
/// Gives it a new one, which is in this answer and in no other, and a new key pair if it has one. Until the overlap is
/// over every delivery is signed with those before as well, of which there are five at most.
#[utoipa::path(
    tag = "events",
    security(("oauth2" = ["webhooks:write"])),
    params(("id" = WebhookEndpointId, Path)),
    request_body(content = RotateSecret, description = "May be left out"),
    responses((status = 200, description = "Rotated; the new secret is told once", body = CreatedWebhookEndpoint)),
)]
#[post("/webhook_endpoints/{id}/rotate_secret")]
async fn webhook_endpoints_rotate_secret(
    mut caller: Caller<need::WebhooksWrite>,
) -> Result<HttpResponse, Problem> {
    let (id, expected) = (caller.id("webhook endpoint")?, caller.if_match()?);
    let body = caller.json_or(RotateSecret { overlap_hours: a_day() }).await?;
    let place = Place::of(owner(&mut caller, id).await?, id);
    let (sealer, secret) = (&caller.state.sealer, Secret::generate().text());
    let (sealed, pair) = (place.secret(sealer, &secret), place.pair(sealer));
    let overlap = Duration::from_secs(u64::from(body.overlap_hours) * 3_600);
    caller
        .write(async move |work, _| {
            let endpoint = webhooks::rotate_secret(work, id, sealed, pair, overlap, &expected).await?;
            Ok(told(endpoint, &secret, false))
        })
        .await
}

/// Ask an endpoint again whether it wants events
///
/// Sends another `webhook_endpoint.verify` event with a new challenge to an endpoint that is still `pending`.
#[utoipa::path(
    tag = "events",
    security(("oauth2" = ["webhooks:write"])),
    params(("id" = WebhookEndpointId, Path)),
    responses((status = 200, description = "Being asked", body = WebhookEndpointView)),
)]
#[post("/webhook_endpoints/{id}/verify")]
async fn webhook_endpoints_verify(caller: Caller<need::WebhooksWrite>) -> Result<HttpResponse, Problem> {
    let id = caller.id("webhook endpoint")?;
    caller
        .write(async move |work, _| {
            let endpoint = webhooks::verify(work, id, challenge()).await?;
            let version = endpoint.version;
            Ok(Answer::ok(&WebhookEndpointView::from(endpoint)).version(version).about(id))
        })
        .await
}
