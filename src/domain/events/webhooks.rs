//! Who is told what happens.

use serde_json::json;

use crate::domain::accounts::accounts::{check_version, open};
use crate::domain::{Error, Object, Result, Work};
use crate::model::events::events::EventType;
use crate::model::events::webhooks::{Delivery, EndpointStatus, WebhookEndpoint, WebhookEndpointView};
use crate::model::ids::{DeliveryId, WebhookEndpointId};
use crate::model::{Actor, Json};
use crate::store;

/// A new endpoint as it was asked for; its secret is sealed, its address was checked at the edge.
#[derive(Debug, Clone)]
pub struct Registration {
    pub id: WebhookEndpointId,
    pub url: String,
    pub description: Option<String>,
    pub event_types: Vec<EventType>,
    pub secret: String,
}

/// Registers an endpoint for the events of the caller's account and all below.
pub async fn register(work: &mut Work, actor: &Actor, new: Registration) -> Result<WebhookEndpoint> {
    let account = open(&mut work.tx, actor.subject_id).await?;
    let endpoint = WebhookEndpoint {
        id: new.id,
        account_id: account.id,
        path: account.path,
        url: new.url,
        description: new.description,
        event_types: Json(new.event_types),
        secret: new.secret,
        status: EndpointStatus::Enabled,
        failing_since: None,
        version: 1,
        created_at: work.now,
        updated_at: work.now,
    };
    store::events::webhooks::insert(&mut work.tx, &endpoint).await?;
    recorded(work, EventType::WebhookEndpointCreated, &endpoint, None);
    Ok(endpoint)
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

async fn find(work: &mut Work, id: WebhookEndpointId) -> Result<WebhookEndpoint> {
    store::events::webhooks::find(&mut work.tx, id).await?.ok_or(Error::NotFound("webhook endpoint"))
}

/// What is to change of an endpoint.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub url: Option<String>,
    pub description: Option<Option<String>>,
    pub event_types: Option<Vec<EventType>>,
    pub status: Option<EndpointStatus>,
}

/// Changes an endpoint; one that is enabled again starts with a clean slate.
pub async fn change(
    work: &mut Work,
    id: WebhookEndpointId,
    change: Change,
    expected: Option<i64>,
) -> Result<WebhookEndpoint> {
    let mut endpoint = find(work, id).await?;
    check_version(endpoint.version, expected)?;
    let before = WebhookEndpointView::from(endpoint.clone());
    endpoint.url = change.url.unwrap_or(endpoint.url);
    endpoint.description = change.description.unwrap_or(endpoint.description);
    endpoint.event_types = change.event_types.map_or(endpoint.event_types, Json);
    if change.status == Some(EndpointStatus::Enabled) {
        endpoint.failing_since = None;
    }
    endpoint.status = change.status.unwrap_or(endpoint.status);
    if !store::events::webhooks::update(&mut work.tx, &endpoint, work.now).await? {
        return Err(Error::Busy);
    }
    endpoint.version += 1;
    endpoint.updated_at = work.now;
    recorded(work, EventType::WebhookEndpointUpdated, &endpoint, Some(before));
    Ok(endpoint)
}

/// Removes an endpoint and what was still to be sent to it.
pub async fn delete(work: &mut Work, id: WebhookEndpointId) -> Result<()> {
    let endpoint = find(work, id).await?;
    store::events::webhooks::delete(&mut work.tx, id).await?;
    recorded(work, EventType::WebhookEndpointDeleted, &endpoint, None);
    Ok(())
}

/// Has an event sent once more, whatever came of it before.
pub async fn resend(work: &mut Work, id: DeliveryId) -> Result<Delivery> {
    let known = store::events::webhooks::find_delivery(&mut work.tx, id).await?;
    known.ok_or(Error::NotFound("delivery"))?;
    store::events::webhooks::resend(&mut work.tx, id, work.now).await?;
    let delivery = store::events::webhooks::find_delivery(&mut work.tx, id).await?;
    delivery.ok_or(Error::NotFound("delivery"))
}

/// Takes an endpoint out of use that nothing can be delivered to, and says so to the others, once.
pub async fn disable(work: &mut Work, mut endpoint: WebhookEndpoint) -> Result<()> {
    if !store::events::webhooks::disable(&mut work.tx, endpoint.id, work.now).await? {
        return Ok(());
    }
    endpoint.status = EndpointStatus::Disabled;
    endpoint.version += 1;
    endpoint.updated_at = work.now;
    recorded(work, EventType::WebhookEndpointDisabled, &endpoint, None);
    Ok(())
}
