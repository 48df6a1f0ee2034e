//! What happened to a service or a subscription, and what holds it now.

use super::holds;
use crate::domain::{Error, Result};
use crate::model::commerce::subscriptions::Subscription;
use crate::model::events::events::Event;
use crate::model::ids::{ServiceId, SubscriptionId};
use crate::model::services::holds::Hold;
use crate::model::services::services::Service;
use crate::store;
use crate::store::Conn;

/// A thing with what holds it and a part of what happened to it, the last first.
#[derive(Debug, Clone)]
pub struct Timeline<T> {
    pub of: T,
    /// In force on it and above it.
    pub holds: Vec<Hold>,
    pub events: Vec<Event>,
}

/// Behind all that has happened.
pub const NOW: (i64, String) = (i64::MAX, String::new());

/// The service's: what happened to it, and to the subscription and the account that it is of.
pub async fn of_service(
    conn: &mut Conn,
    id: ServiceId,
    before: &(i64, String),
    limit: i64,
) -> Result<Timeline<Service>> {
    let found = store::services::services::find(conn, id).await?;
    let service = found.ok_or(Error::NotFound("service"))?;
    let subscription = store::commerce::subscriptions::find(conn, service.subscription_id).await?;
    let order = subscription.map(|subscription| subscription.order_id.to_string());
    let mut things =
        vec![id.to_string(), service.subscription_id.to_string(), service.account_id.to_string()];
    things.extend(order);
    let held = vec![id.to_string(), service.subscription_id.to_string()];
    let holds = holds::standing(conn, held, &service.path).await?;
    Ok(Timeline { of: service, holds, events: told(conn, &things, before, limit).await? })
}

/// The subscription's: what happened to it, to its services, and to the account that it is of.
pub async fn of_subscription(
    conn: &mut Conn,
    id: SubscriptionId,
    before: &(i64, String),
    limit: i64,
) -> Result<Timeline<Subscription>> {
    let found = store::commerce::subscriptions::find(conn, id).await?;
    let subscription = found.ok_or(Error::NotFound("subscription"))?;
    let services = store::services::services::of_subscription(conn, id).await?;
    let mut things =
        vec![id.to_string(), subscription.order_id.to_string(), subscription.account_id.to_string()];
    things.extend(services.iter().map(|service| service.id.to_string()));
    let holds = holds::standing(conn, vec![id.to_string()], &subscription.path).await?;
    Ok(Timeline { of: subscription, holds, events: told(conn, &things, before, limit).await? })
}

/// The last events about any of the things. Each is read by itself, in its order by the index: there are few of them.
async fn told(conn: &mut Conn, things: &[String], before: &(i64, String), limit: i64) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    for thing in things {
        events.extend(store::events::events::about(conn, thing, before, limit).await?);
    }
    events.sort_by_key(|event| std::cmp::Reverse((event.position, event.id)));
    events.truncate(usize::try_from(limit).unwrap_or_default());
    Ok(events)
}
