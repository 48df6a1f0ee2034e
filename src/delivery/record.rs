//! Writes down what an attempt came to, and what follows for the delivery and its endpoint.

use std::time::Duration;

use super::schedule::again_in;
use super::send::{Fate, Outcome};
use super::{Fault, Parts};
use crate::domain::Work;
use crate::domain::events::webhooks::{disable, verified};
use crate::model::Subtree;
use crate::model::events::deliveries::{Delivery, DeliveryStatus};
use crate::model::events::events::{Cause, EventType};
use crate::store::events::{deliveries, webhooks};

/// An endpoint that does nothing but fail for so long is disabled.
const PATIENCE: Duration = Duration::from_secs(5 * 86_400);
/// How many attempts are kept; a delivery has more only if it is sent again by hand.
const KEPT: usize = 32;

/// Records the outcome; none if another worker has taken the delivery over meanwhile, or it was deleted.
pub async fn record(
    parts: &Parts,
    mut delivery: Delivery,
    outcome: Outcome,
) -> Result<Option<DeliveryStatus>, Fault> {
    let Outcome { attempt, fate } = outcome;
    delivery.attempts.push(attempt);
    let surplus = delivery.attempts.len().saturating_sub(KEPT);
    delivery.attempts.drain(..surplus);
    let now = parts.clock.now();
    let tx = parts.db.write(Subtree::everything()).await?;
    let cause = Cause { key_id: None, request_id: None, reason_code: None };
    let mut work = Work::because(tx, cause, now);
    // The endpoint before the delivery, as where an endpoint is deleted with its deliveries.
    let disabled = match delivery.event_type {
        EventType::WebhookEndpointTest => false,
        EventType::WebhookEndpointVerify => {
            if fate == Fate::Delivered {
                set_verified(&mut work, &delivery).await?;
            }
            false
        }
        _ => set_health(&mut work, &delivery, fate).await?,
    };
    let again = match fate {
        _ if delivery.event_type == EventType::WebhookEndpointTest => None,
        Fate::Refused(wish) if !disabled => again_in(delivery.attempts.len(), wish),
        Fate::Unsent { again: true } => again_in(delivery.attempts.len(), None),
        Fate::Delivered | Fate::Gone | Fate::Refused(_) | Fate::Unsent { again: false } => None,
    };
    let status = match fate {
        Fate::Delivered => DeliveryStatus::Delivered,
        _ if again.is_some() => DeliveryStatus::Pending,
        _ => DeliveryStatus::Failed,
    };
    if !deliveries::record(&mut work.tx, &delivery, status, again, now).await? {
        work.tx.undo().await?;
        return Ok(None);
    }
    work.finish().await?;
    Ok(Some(status))
}

/// Notes that the endpoint has answered the challenge that it was sent last: any before were given up with it.
async fn set_verified(work: &mut Work, delivery: &Delivery) -> Result<(), Fault> {
    let Some(endpoint) = webhooks::find(&mut work.tx, delivery.endpoint_id).await? else { return Ok(()) };
    if let Some(challenge) = endpoint.challenge.clone() {
        verified(work, endpoint, &challenge).await?;
    }
    Ok(())
}

/// Notes how the endpoint does; says whether it is disabled for it.
async fn set_health(work: &mut Work, delivery: &Delivery, fate: Fate) -> Result<bool, Fault> {
    let (id, now) = (delivery.endpoint_id, work.now);
    match fate {
        Fate::Unsent { .. } => return Ok(false),
        Fate::Delivered => {
            webhooks::set_working(&mut work.tx, id, now).await?;
            return Ok(false);
        }
        Fate::Refused(_) | Fate::Gone => webhooks::set_failing(&mut work.tx, id, now).await?,
    }
    let Some(endpoint) = webhooks::find(&mut work.tx, id).await? else { return Ok(true) };
    let failing = endpoint.failing_since.map_or(Duration::ZERO, |since| now.since(since));
    if fate == Fate::Gone || failing >= PATIENCE {
        disable(work, endpoint).await?;
        return Ok(true);
    }
    Ok(false)
}
