//! Takes due deliveries from the queue and has them sent, so that no endpoint keeps others waiting.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::attempt::attempt;
use super::record::record;
use super::send::{Fate, Outcome};
use super::slots::{Slots, Took};
use super::{Delivery, Fault, Parts, apart, stopped};
use crate::model::Subtree;
use crate::model::events::deliveries::{self as model, DeliveryStatus};
use crate::store::events::deliveries::{self, LeaveOut};
use crate::telemetry::count_delivery;

/// Longer than an attempt can last, with time to record it.
const LEASE_SECONDS: i64 = 60;
const PATIENCE_AT_SHUTDOWN: Duration = Duration::from_secs(20);
const PAUSE_AFTER_FAULT: Duration = Duration::from_secs(1);
/// How often, with that pause, a delivery is begun with while the database is away: half the lease, so that the
/// rest suffices for an attempt…
const TRIES_TO_BEGIN: i64 = LEASE_SECONDS / 2;
/// …and how often it is tried to record what came of it: until another worker has it.
const TRIES_TO_RECORD: i64 = LEASE_SECONDS;

pub async fn run(delivery: Delivery, mut stop: watch::Receiver<()>) {
    let mut slots = Slots::new(delivery.0.parts.concurrency);
    let mut tasks = JoinSet::new();
    while stop.has_changed().is_ok() {
        while let Some(ended) = tasks.try_join_next_with_id() {
            slots.free(ended);
        }
        let room = slots.has_room();
        let full = slots.full(delivery.0.parts.clock.now());
        let claimed = if room { apart(claim(delivery.clone(), full)).await } else { Ok(None) };
        let pause = match claimed {
            Ok(Some(due)) => {
                let whose = (due.account_id, due.endpoint_id);
                let task = tasks.spawn(deliver(delivery.clone(), due));
                slots.take(task.id(), whose);
                continue;
            }
            Ok(None) => delivery.0.parts.poll,
            Err(error) => {
                tracing::error!(%error, "no webhook delivery could be taken from the queue");
                PAUSE_AFTER_FAULT
            }
        };
        tokio::select! {
            () = stopped(&mut stop) => {}
            Some(ended) = tasks.join_next_with_id() => slots.free(ended),
            () = delivery.0.due.notified(), if room => {}
            () = sleep(pause) => {}
        }
    }
    if timeout(PATIENCE_AT_SHUTDOWN, async { while tasks.join_next().await.is_some() {} }).await.is_err() {
        // A transaction may be open in them. What they do not record is sent again.
        tasks.detach_all();
    }
}

async fn claim(delivery: Delivery, leave_out: LeaveOut) -> Result<Option<model::Delivery>, Fault> {
    let parts = &delivery.0.parts;
    let mut tx = parts.db.write(Subtree::everything()).await?;
    let due = deliveries::claim(&mut tx, LEASE_SECONDS, &leave_out, parts.clock.now()).await?;
    match due {
        Some(_) => tx.commit().await?,
        None => tx.undo().await?,
    }
    Ok(due)
}

/// Sends one delivery and records what came of it.
async fn deliver(delivery: Delivery, due: model::Delivery) -> Took {
    let parts = &delivery.0.parts;
    let (id, endpoint_id) = (due.id, due.endpoint_id);
    let outcome = match attempted(parts, &due).await {
        Ok(Some(outcome)) => outcome,
        Ok(None) => return None,
        Err(error) => {
            tracing::error!(%error, delivery = %id, "a webhook delivery was not sent");
            return None;
        }
    };
    let now = parts.clock.now();
    let took = match outcome.fate {
        Fate::Delivered => Some((true, now)),
        Fate::Refused(_) => Some((false, now)),
        Fate::Gone | Fate::Unsent { .. } => None,
    };
    if let Some(error) = &outcome.attempt.error {
        let status = outcome.attempt.status;
        tracing::info!(delivery = %id, endpoint = %endpoint_id, error, status, "a webhook attempt failed");
    }
    match recorded(parts, due, outcome).await {
        Ok(Some(status)) => count_delivery(match status {
            DeliveryStatus::Delivered => "delivered",
            DeliveryStatus::Pending => "retrying",
            DeliveryStatus::Failed => "failed",
        }),
        Ok(None) => tracing::info!(delivery = %id, "a webhook delivery was taken over"),
        Err(error) => tracing::error!(%error, delivery = %id, "a webhook attempt was not recorded"),
    }
    took
}

/// Records what has happened already and would happen again if it were forgotten: tried more than once.
async fn recorded(
    parts: &Parts,
    due: model::Delivery,
    outcome: Outcome,
) -> Result<Option<DeliveryStatus>, Fault> {
    for _ in 1..TRIES_TO_RECORD {
        match record(parts, due.clone(), outcome.clone()).await {
            Err(error) => tracing::warn!(%error, delivery = %due.id, "a webhook attempt is not recorded yet"),
            done => return done,
        }
        sleep(PAUSE_AFTER_FAULT).await;
    }
    record(parts, due, outcome).await
}

/// Nothing was sent while there was an error: the database is asked again.
async fn attempted(parts: &Parts, due: &model::Delivery) -> Result<Option<Outcome>, Fault> {
    for _ in 1..TRIES_TO_BEGIN {
        match attempt(parts, due).await {
            Err(error) => tracing::warn!(%error, delivery = %due.id, "a webhook delivery is not sent yet"),
            done => return done,
        }
        sleep(PAUSE_AFTER_FAULT).await;
    }
    attempt(parts, due).await
}
