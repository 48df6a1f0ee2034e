//! Who is told what happens.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::deliveries;
use crate::domain::accounts::accounts::open;
use crate::domain::{Error, Object, Result, Work, check_version};
use crate::model::events::events::EventType;
use crate::model::events::webhooks::{EndpointSwitch, Payload, WebhookEndpoint, WebhookEndpointView};
use crate::model::ids::{WebhookEndpointId, WebhookSecretId};
use crate::model::secrets::SecretMark;
use crate::model::{Actor, Json, Precondition, Time};
use crate::store;
use crate::store::versions::Versioned;

/// How many secrets before an endpoint's deliveries are signed with at most, beside its own.
const OLD_SECRETS: usize = 5;

/// A new endpoint as it was asked for; its secrets are sealed, its address was checked at the edge.
#[derive(Debug, Clone)]
pub struct Registration {
    pub id: WebhookEndpointId,
    pub url: String,
    pub description: Option<String>,
    pub event_types: Vec<EventType>,
    pub payload: Payload,
    pub headers: BTreeMap<String, String>,
    pub secret_headers: Option<SecretHeaders>,
    pub secret: String,
    pub signing: Option<Signing>,
    /// What it has to answer before it is sent events, if anything.
    pub challenge: Option<String>,
}

/// Headers whose values are sealed, all in one text.
#[derive(Debug, Clone)]
pub struct SecretHeaders {
    /// What each is recognised by, by its name.
    pub fingerprints: BTreeMap<String, String>,
    pub sealed: String,
}

/// A key pair for signatures that others can check but not make; its private half is sealed.
#[derive(Debug, Clone)]
pub struct Signing {
    pub private: String,
    pub public: String,
}

/// Registers an endpoint for the events of the caller's account and all below.
pub async fn register(work: &mut Work, actor: &Actor, new: Registration) -> Result<WebhookEndpoint> {
    let account = open(work, actor.subject_id).await?;
    let (signing_key, public_key) = halves(new.signing);
    let mut endpoint = WebhookEndpoint {
        id: new.id,
        account_id: account.id,
        path: account.path,
        url: new.url,
        description: new.description,
        event_types: Json(new.event_types),
        payload: new.payload,
        headers: Json(new.headers),
        secret_headers: None,
        secret_header_names: Json(Vec::new()),
        secret_header_marks: Json(BTreeMap::new()),
        secret: new.secret,
        signing_key,
        public_key,
        old_secrets_until: None,
        switch: EndpointSwitch::Enabled,
        verify: new.challenge.is_some(),
        challenge: new.challenge,
        failing_since: None,
        version: 1,
        created_at: work.now,
        updated_at: work.now,
    };
    set_headers(&mut endpoint, new.secret_headers, work.now);
    check_headers(&endpoint)?;
    store::events::webhooks::insert(&mut work.tx, &endpoint).await?;
    if endpoint.challenge.is_some() {
        deliveries::ask(work, &endpoint).await?;
    }
    recorded(work, EventType::WebhookEndpointCreated, &endpoint, None);
    Ok(endpoint)
}

/// Refuses a header that would be sent twice.
fn check_headers(endpoint: &WebhookEndpoint) -> Result<()> {
    let twice = |name: &&String| endpoint.headers.contains_key(*name);
    match endpoint.secret_header_names.iter().find(twice) {
        None => Ok(()),
        Some(name) => {
            Err(Error::invalid("/headers", "repeated", format!("{name} is a secret header as well")))
        }
    }
}

fn halves(signing: Option<Signing>) -> (Option<String>, Option<String>) {
    signing.map(|signing| (signing.private, signing.public)).unzip()
}

/// Gives an endpoint these secret headers in the place of those it has.
fn set_headers(endpoint: &mut WebhookEndpoint, headers: Option<SecretHeaders>, now: Time) {
    let (fingerprints, sealed) = headers.map(|headers| (headers.fingerprints, headers.sealed)).unzip();
    let mark = |(name, fingerprint)| (name, SecretMark { fingerprint, set_at: now });
    endpoint.secret_header_marks = Json(fingerprints.into_iter().flatten().map(mark).collect());
    endpoint.secret_header_names = Json(endpoint.secret_header_marks.keys().cloned().collect());
    endpoint.secret_headers = sealed;
}

fn recorded(
    work: &mut Work,
    event: EventType,
    endpoint: &WebhookEndpoint,
    before: Option<WebhookEndpointView>,
) {
    let view = WebhookEndpointView::from(endpoint.clone());
    let mut object = Object::new(endpoint.id, endpoint.version, &view);
    if let Some(before) = before {
        object = object.instead_of(json!(before));
    }
    work.event(event, (endpoint.account_id, &endpoint.path), "webhook_endpoint", object);
}

pub(super) async fn find(work: &mut Work, id: WebhookEndpointId) -> Result<WebhookEndpoint> {
    store::events::webhooks::find(&mut work.tx, id).await?.ok_or(Error::NotFound("webhook endpoint"))
}

/// What is to change of an endpoint.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub url: Option<String>,
    pub description: Option<Option<String>>,
    pub event_types: Option<Vec<EventType>>,
    pub payload: Option<Payload>,
    pub headers: Option<BTreeMap<String, String>>,
    /// All of them; none at all where there is none inside.
    pub secret_headers: Option<Option<SecretHeaders>>,
    /// The pair that is taken if it is to sign so and does not yet; none if it is not to.
    pub signing: Option<Option<Signing>>,
    pub switch: Option<EndpointSwitch>,
    /// What an endpoint that is to be asked has to answer if it moves.
    pub challenge: String,
}

/// Changes an endpoint; one that is enabled again starts with a clean slate, and one that was asked whether it wants
/// events is asked anew at another address.
pub async fn change(
    work: &mut Work,
    id: WebhookEndpointId,
    change: Change,
    expected: &Precondition,
) -> Result<WebhookEndpoint> {
    let mut endpoint = find(work, id).await?;
    check_version(work, Versioned::WebhookEndpoint, id, endpoint.version, expected).await?;
    let before = WebhookEndpointView::from(endpoint.clone());
    let moves = change.url.as_ref().is_some_and(|url| *url != endpoint.url);
    endpoint.url = change.url.unwrap_or(endpoint.url);
    endpoint.description = change.description.unwrap_or(endpoint.description);
    endpoint.event_types = change.event_types.map_or(endpoint.event_types, Json);
    endpoint.payload = change.payload.unwrap_or(endpoint.payload);
    endpoint.headers = change.headers.map_or(endpoint.headers, Json);
    if let Some(headers) = change.secret_headers {
        set_headers(&mut endpoint, headers, work.now);
    }
    check_headers(&endpoint)?;
    match change.signing {
        Some(None) => (endpoint.signing_key, endpoint.public_key) = (None, None),
        Some(signing) if endpoint.signing_key.is_none() => {
            (endpoint.signing_key, endpoint.public_key) = halves(signing);
        }
        _ => {}
    }
    if change.switch == Some(EndpointSwitch::Enabled) {
        endpoint.failing_since = None;
    }
    endpoint.switch = change.switch.unwrap_or(endpoint.switch);
    let asks = moves && endpoint.verify;
    if asks {
        endpoint.challenge = Some(change.challenge);
    }
    let endpoint = written(work, endpoint).await?;
    if asks {
        deliveries::ask(work, &endpoint).await?;
    }
    recorded(work, EventType::WebhookEndpointUpdated, &endpoint, Some(before));
    Ok(endpoint)
}

/// The endpoint as it is once it is written, if nobody else wrote it meanwhile.
async fn written(work: &mut Work, mut endpoint: WebhookEndpoint) -> Result<WebhookEndpoint> {
    if !store::events::webhooks::update(&mut work.tx, &endpoint, work.now).await? {
        return Err(Error::Busy);
    }
    endpoint.version += 1;
    endpoint.updated_at = work.now;
    Ok(endpoint)
}

/// Gives an endpoint a new secret, and a new key pair if it has one. Until the overlap is over deliveries are signed
/// with those before as well; without an overlap all that were before end at once.
pub async fn rotate_secret(
    work: &mut Work,
    id: WebhookEndpointId,
    secret: String,
    signing: Signing,
    overlap: Duration,
    expected: &Precondition,
) -> Result<WebhookEndpoint> {
    let mut endpoint = find(work, id).await?;
    check_version(work, Versioned::WebhookEndpoint, id, endpoint.version, expected).await?;
    let ends_at = work.now.plus(overlap);
    let over = if overlap.is_zero() { Time::END } else { work.now };
    store::events::webhooks::drop_old_secrets(&mut work.tx, id, over).await?;
    if !overlap.is_zero() {
        let old = store::events::webhooks::old_secrets(&mut work.tx, id, work.now).await?;
        if old.len() >= OLD_SECRETS {
            return Err(Error::State {
                current: format!("signed with {OLD_SECRETS} secrets before"),
                action: "Rotating the secret with an overlap",
                allowed: Vec::new(),
            });
        }
        store::events::webhooks::keep_secret(&mut work.tx, WebhookSecretId::new(), &endpoint, ends_at)
            .await?;
    }
    let others_until = endpoint.old_secrets_until.filter(|until| *until > work.now);
    endpoint.old_secrets_until = others_until.max(Some(ends_at)).filter(|_| !overlap.is_zero());
    endpoint.secret = secret;
    if endpoint.signing_key.is_some() {
        (endpoint.signing_key, endpoint.public_key) = halves(Some(signing));
    }
    let endpoint = written(work, endpoint).await?;
    recorded(work, EventType::WebhookEndpointSecretRotated, &endpoint, None);
    Ok(endpoint)
}

/// Asks an endpoint once more whether it wants to be sent events.
pub async fn verify(work: &mut Work, id: WebhookEndpointId, challenge: String) -> Result<WebhookEndpoint> {
    let mut endpoint = find(work, id).await?;
    if endpoint.challenge.is_none() {
        return Err(Error::State {
            current: "verified".into(),
            action: "Asking the endpoint",
            allowed: vec!["test"],
        });
    }
    endpoint.challenge = Some(challenge);
    let endpoint = written(work, endpoint).await?;
    deliveries::ask(work, &endpoint).await?;
    Ok(endpoint)
}

/// Notes that an endpoint has answered what it was asked, so that events flow from now on.
pub async fn verified(work: &mut Work, mut endpoint: WebhookEndpoint, challenge: &str) -> Result<()> {
    let before = WebhookEndpointView::from(endpoint.clone());
    if !store::events::webhooks::set_verified(&mut work.tx, endpoint.id, challenge, work.now).await? {
        return Ok(());
    }
    endpoint.challenge = None;
    endpoint.version += 1;
    endpoint.updated_at = work.now;
    recorded(work, EventType::WebhookEndpointUpdated, &endpoint, Some(before));
    Ok(())
}

/// Removes an endpoint and what was still to be sent to it.
pub async fn delete(work: &mut Work, id: WebhookEndpointId, expected: &Precondition) -> Result<()> {
    let endpoint = find(work, id).await?;
    check_version(work, Versioned::WebhookEndpoint, id, endpoint.version, expected).await?;
    store::events::webhooks::delete(&mut work.tx, id).await?;
    recorded(work, EventType::WebhookEndpointDeleted, &endpoint, None);
    Ok(())
}

/// Takes an endpoint out of use that nothing can be delivered to, and says so to the others, once.
pub async fn disable(work: &mut Work, mut endpoint: WebhookEndpoint) -> Result<()> {
    if !store::events::webhooks::disable(&mut work.tx, endpoint.id, work.now).await? {
        return Ok(());
    }
    endpoint.switch = EndpointSwitch::Disabled;
    endpoint.version += 1;
    endpoint.updated_at = work.now;
    recorded(work, EventType::WebhookEndpointDisabled, &endpoint, None);
    Ok(())
}
