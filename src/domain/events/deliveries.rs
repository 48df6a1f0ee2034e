//! What is sent to an endpoint, and what is sent again.

use super::webhooks::find;
use crate::domain::{Error, Result, Work};
use crate::model::Time;
use crate::model::events::deliveries::{Delivery, DeliveryStatus};
use crate::model::events::events::EventType;
use crate::model::events::webhooks::{EndpointStatus, WebhookEndpoint};
use crate::model::ids::{DeliveryId, EventId, WebhookEndpointId};
use crate::store::events::deliveries::{self, NewDelivery};

/// How many deliveries one call recovers.
const RECOVERED: i64 = 1_000;

async fn find_delivery(work: &mut Work, id: DeliveryId) -> Result<Delivery> {
    deliveries::find(&mut work.tx, id).await?.ok_or(Error::NotFound("delivery"))
}

/// Has an event sent once more, whatever came of it before.
pub async fn resend(work: &mut Work, id: DeliveryId) -> Result<Delivery> {
    if find_delivery(work, id).await?.event_type == EventType::WebhookEndpointVerify {
        return Err(Error::State {
            current: "a challenge".into(),
            action: "Sending it again",
            allowed: vec!["verify"],
        });
    }
    deliveries::resend(&mut work.tx, id, work.now).await?;
    find_delivery(work, id).await
}

/// Has those deliveries of a period sent again that failed, or were never sent because the endpoint was not in use.
/// Says how many, and whether there are more.
pub async fn recover(
    work: &mut Work,
    id: WebhookEndpointId,
    since: Time,
    until: Time,
) -> Result<(u64, bool)> {
    let endpoint = find(work, id).await?;
    if since >= until {
        return Err(Error::invalid("/since", "after_the_end", "must lie before until"));
    }
    in_use(&endpoint, "Recovering deliveries")?;
    let queued = deliveries::recover(&mut work.tx, id, since, until, RECOVERED, work.now).await?;
    Ok((queued, queued == RECOVERED.unsigned_abs()))
}

fn in_use(endpoint: &WebhookEndpoint, action: &'static str) -> Result<()> {
    let allowed = match endpoint.status() {
        EndpointStatus::Enabled => return Ok(()),
        EndpointStatus::Pending => vec!["verify"],
        EndpointStatus::Disabled => vec!["update"],
    };
    Err(Error::State { current: endpoint.status().to_string(), action, allowed })
}

/// Has something sent to the endpoint that is no event of the feed.
pub async fn test(work: &mut Work, id: WebhookEndpointId) -> Result<Delivery> {
    let endpoint = find(work, id).await?;
    if endpoint.challenge.is_some() {
        return Err(Error::State {
            current: EndpointStatus::Pending.to_string(),
            action: "Testing the endpoint",
            allowed: vec!["verify"],
        });
    }
    let id = queue(work, &endpoint, EventType::WebhookEndpointTest).await?;
    find_delivery(work, id).await
}

/// Has the endpoint asked whether it wants to be sent events.
pub(super) async fn ask(work: &mut Work, endpoint: &WebhookEndpoint) -> Result<()> {
    deliveries::drop_challenges(&mut work.tx, endpoint.id, work.now).await?;
    queue(work, endpoint, EventType::WebhookEndpointVerify).await?;
    Ok(())
}

async fn queue(work: &mut Work, endpoint: &WebhookEndpoint, event_type: EventType) -> Result<DeliveryId> {
    let new = NewDelivery {
        id: DeliveryId::new(),
        account_id: endpoint.account_id,
        path: endpoint.path.clone(),
        endpoint_id: endpoint.id,
        event_id: EventId::new(),
        event_type,
        thin: false,
        status: DeliveryStatus::Pending,
        attempts: Vec::new(),
    };
    let id = new.id;
    deliveries::queue(&mut work.tx, &[new], work.now).await?;
    Ok(id)
}
