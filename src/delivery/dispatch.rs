//! Reads the feed and queues each event for the endpoints that are to hear of it.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::{Delivery, Fault, apart, stopped};
use crate::model::events::deliveries::{Attempt, DeliveryStatus};
use crate::model::events::events::Event;
use crate::model::events::webhooks::{EndpointSwitch, Listener, Payload};
use crate::model::ids::DeliveryId;
use crate::model::{Subtree, Time};
use crate::store::events::deliveries::NewDelivery;
use crate::store::events::{deliveries, events, webhooks};

/// Under what name the place in the feed is kept.
const READER: &str = "webhooks";
const PAGE: i64 = 200;
const PAUSE_AFTER_FAULT: Duration = Duration::from_secs(1);

#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// There may be more to read.
    More,
    /// The end of the feed is reached.
    Drained,
}

pub async fn run(delivery: Delivery, mut stop: watch::Receiver<()>) {
    while stop.has_changed().is_ok() {
        let turn = apart(page(delivery.clone())).await;
        let pause = match &turn {
            Ok(Turn::More) => continue,
            Ok(Turn::Drained) => delivery.0.parts.poll,
            Err(error) => {
                tracing::error!(%error, "events were not queued for webhooks");
                PAUSE_AFTER_FAULT
            }
        };
        tokio::select! {
            () = stopped(&mut stop) => {}
            () = delivery.0.events.notified(), if turn.is_ok() => {}
            () = sleep(pause) => {}
        }
    }
}

/// Queues what the next page of events calls for, and moves on in the feed, in one transaction.
async fn page(delivery: Delivery) -> Result<Turn, Fault> {
    let parts = &delivery.0.parts;
    let mut conn = parts.db.read(Subtree::everything()).await?;
    let (position, id) = events::reader(&mut conn, READER).await?.unwrap_or_default();
    let page = events::after(&mut conn, position, &id, PAGE).await?;
    drop(conn);
    let Some(last) = page.last() else { return Ok(Turn::Drained) };
    let mut tx = parts.db.write(Subtree::everything()).await?;
    let last = (last.position, last.id.to_string());
    // First, so that of two replicas with the same page one waits here for the other and then has nothing to do.
    if !events::advance(&mut tx, READER, (position, &id), (last.0, &last.1)).await? {
        tx.undo().await?;
        return Ok(Turn::More);
    }
    let paths: BTreeSet<_> = page.iter().flat_map(|event| event.path.upwards()).collect();
    let now = parts.clock.now();
    let queued = heard(&webhooks::listeners_at(&mut tx, &paths).await?, &page, now);
    if !queued.is_empty() {
        deliveries::queue(&mut tx, &queued, now).await?;
    }
    tx.commit().await?;
    if !queued.is_empty() {
        delivery.0.due.notify_one();
    }
    Ok(Turn::More)
}

/// The deliveries that the events call for, in the events' order. What an endpoint that is not in use would have been
/// sent is there to be seen, and to be recovered.
fn heard(endpoints: &[Listener], events: &[Event], now: Time) -> Vec<NewDelivery> {
    let hears = |endpoint: &Listener, event: &Event| {
        let types = &endpoint.event_types;
        endpoint.path.covers(&event.path)
            && (types.is_empty() || types.contains(&event.event_type))
            && !endpoint.is_younger_than(event.position)
    };
    let delivery = |endpoint: &Listener, event: &Event| {
        let attempts: Vec<_> = unused(endpoint).map(|why| unsent(why, now)).into_iter().collect();
        NewDelivery {
            id: DeliveryId::new(),
            account_id: endpoint.account_id,
            path: endpoint.path.clone(),
            endpoint_id: endpoint.id,
            event_id: event.id,
            event_type: event.event_type,
            thin: endpoint.payload == Payload::Thin,
            status: if attempts.is_empty() { DeliveryStatus::Pending } else { DeliveryStatus::Failed },
            attempts,
        }
    };
    let of = |event| {
        endpoints
            .iter()
            .filter(move |endpoint| hears(endpoint, event))
            .map(move |endpoint| delivery(endpoint, event))
    };
    events.iter().flat_map(of).collect()
}

/// Why the endpoint is sent nothing now.
fn unused(endpoint: &Listener) -> Option<&'static str> {
    match (endpoint.switch, &endpoint.challenge) {
        (EndpointSwitch::Disabled, _) => Some("endpoint_disabled"),
        (EndpointSwitch::Enabled, Some(_)) => Some("endpoint_unverified"),
        (EndpointSwitch::Enabled, None) => None,
    }
}

fn unsent(why: &str, at: Time) -> Attempt {
    Attempt { at, status: None, duration_ms: 0, error: Some(why.to_owned()), body: None }
}
