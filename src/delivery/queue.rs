//! Takes due deliveries from the queue and has them sent, so that no endpoint keeps others waiting.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::record::record;
use super::send::{Fate, Outcome, post};
use super::sign::Secret;
use super::{Delivery, Fault, Parts, apart, payload, stopped};
use crate::access::seal::Context;
use crate::model::Subtree;
use crate::model::events::webhooks::{self as model, DeliveryStatus, EndpointStatus, WebhookEndpoint};
use crate::model::ids::WebhookEndpointId;
use crate::store::events::{events, webhooks};
use crate::telemetry::count_delivery;

/// Longer than an attempt can last, with time to record it.
const LEASE_SECONDS: i64 = 60;
/// How many attempts run at once for one endpoint…
const PER_ENDPOINT: usize = 4;
/// …and for one whose last attempt failed.
const PER_FAILING: usize = 1;
/// Those that failed last have this part of all slots together.
const SHARE_OF_FAILING: usize = 4;
const PATIENCE_AT_SHUTDOWN: Duration = Duration::from_secs(20);
const TRIES_TO_RECORD: usize = 5;
const PAUSE_AFTER_FAULT: Duration = Duration::from_secs(1);

pub async fn run(delivery: Delivery, mut stop: watch::Receiver<()>) {
    let mut slots = Slots::new(delivery.0.parts.concurrency);
    let mut tasks = JoinSet::new();
    while stop.has_changed().is_ok() {
        while let Some(ended) = tasks.try_join_next_with_id() {
            slots.free(ended);
        }
        let room = slots.running.len() < slots.limit;
        let claimed = if room { apart(claim(delivery.clone(), slots.full())).await } else { Ok(None) };
        let pause = match claimed {
            Ok(Some(due)) => {
                let endpoint = due.endpoint_id;
                let task = tasks.spawn(deliver(delivery.clone(), due));
                slots.running.insert(task.id(), endpoint);
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

async fn claim(
    delivery: Delivery,
    leave_out: Vec<WebhookEndpointId>,
) -> Result<Option<model::Delivery>, Fault> {
    let parts = &delivery.0.parts;
    let mut tx = parts.db.write(Subtree::everything()).await?;
    let due = webhooks::claim(&mut tx, LEASE_SECONDS, &leave_out, parts.clock.now()).await?;
    match due {
        Some(_) => tx.commit().await?,
        None => tx.undo().await?,
    }
    Ok(due)
}

/// How an endpoint took an attempt; none if it was not asked.
type Took = Option<bool>;

/// Who has which slot.
struct Slots {
    limit: usize,
    running: HashMap<Id, WebhookEndpointId>,
    /// Whose last attempt failed, as far as this process knows.
    failing: HashSet<WebhookEndpointId>,
}

impl Slots {
    fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), running: HashMap::new(), failing: HashSet::new() }
    }

    /// The endpoints that get no further slot now.
    fn full(&self) -> Vec<WebhookEndpointId> {
        let mut counts: HashMap<WebhookEndpointId, usize> = HashMap::new();
        for &endpoint in self.running.values() {
            *counts.entry(endpoint).or_default() += 1;
        }
        let failing: usize = self.failing.iter().filter_map(|endpoint| counts.get(endpoint)).sum();
        let mut full: HashSet<WebhookEndpointId> = counts
            .into_iter()
            .filter(|(endpoint, count)| {
                *count >= if self.failing.contains(endpoint) { PER_FAILING } else { PER_ENDPOINT }
            })
            .map(|(endpoint, _)| endpoint)
            .collect();
        if failing >= (self.limit / SHARE_OF_FAILING).max(1) {
            full.extend(&self.failing);
        }
        full.into_iter().collect()
    }

    fn free(&mut self, ended: Result<(Id, Took), JoinError>) {
        let (id, took) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "a webhook delivery ended badly");
                (error.id(), None)
            }
        };
        match (self.running.remove(&id), took) {
            (Some(endpoint), Some(false)) => drop(self.failing.insert(endpoint)),
            (Some(endpoint), _) => drop(self.failing.remove(&endpoint)),
            (None, _) => {}
        }
    }
}

/// Sends one delivery and records what came of it.
async fn deliver(delivery: Delivery, due: model::Delivery) -> Took {
    let parts = &delivery.0.parts;
    let (id, endpoint_id) = (due.id, due.endpoint_id);
    let outcome = match attempt(parts, &due).await {
        Ok(Some(outcome)) => outcome,
        Ok(None) => return None,
        Err(error) => {
            tracing::error!(%error, delivery = %id, "a webhook delivery was not sent");
            return None;
        }
    };
    let took = match outcome.fate {
        Fate::Delivered => Some(true),
        Fate::Refused(_) => Some(false),
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

/// Sends the delivery, if that is still right; none if the endpoint is no more.
async fn attempt(parts: &Parts, due: &model::Delivery) -> Result<Option<Outcome>, Fault> {
    let mut conn = parts.db.read(Subtree::everything()).await?;
    let Some(endpoint) = webhooks::find(&mut conn, due.endpoint_id).await? else { return Ok(None) };
    let event = events::find(&mut conn, due.event_id).await?;
    drop(conn);
    let unsent = |why, again| Ok(Some(Outcome::unsent(parts.clock.now(), why, again)));
    if endpoint.status != EndpointStatus::Enabled {
        return unsent("endpoint_disabled", false);
    }
    let Some(event) = event else { return unsent("event_expired", false) };
    if !endpoint.path.covers(&event.path) {
        return unsent("no_access", false);
    }
    let Some(secret) = secret(parts, &endpoint) else { return unsent("secret", true) };
    let id = event.id.to_string();
    Ok(Some(post(&parts.client, &parts.clock, &endpoint.url, &secret, &id, payload::body(event)).await))
}

fn secret(parts: &Parts, endpoint: &WebhookEndpoint) -> Option<Secret> {
    let (account_id, record_id) = (endpoint.account_id.to_string(), endpoint.id.to_string());
    let context = Context {
        table: "webhook_endpoints",
        column: "secret",
        account_id: &account_id,
        record_id: &record_id,
    };
    let opened: Result<SecretString, _> = parts.sealer.open_text(&context, &endpoint.secret);
    match opened {
        Ok(text) => Secret::parse(&text).ok(),
        Err(error) => {
            tracing::error!(%error, endpoint = %endpoint.id, "a webhook secret cannot be opened");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(slots: &mut Slots, tasks: &mut JoinSet<()>, endpoint: WebhookEndpointId) {
        slots.running.insert(tasks.spawn(std::future::pending()).id(), endpoint);
    }

    #[tokio::test]
    async fn an_endpoint_gets_four_slots_and_a_failing_one_gets_one() {
        let (mut slots, mut tasks) = (Slots::new(32), JoinSet::new());
        let (sound, failing) = (WebhookEndpointId::new(), WebhookEndpointId::new());
        slots.failing.insert(failing);
        for _ in 0..3 {
            fill(&mut slots, &mut tasks, sound);
        }
        assert_eq!(slots.full(), []);
        fill(&mut slots, &mut tasks, failing);
        assert_eq!(slots.full(), [failing]);
        fill(&mut slots, &mut tasks, sound);
        assert_eq!(slots.full().len(), 2);
    }

    #[tokio::test]
    async fn failing_endpoints_together_get_a_quarter_of_the_slots() {
        let (mut slots, mut tasks) = (Slots::new(8), JoinSet::new());
        let failing = [(); 5].map(|()| WebhookEndpointId::new());
        slots.failing.extend(failing);
        fill(&mut slots, &mut tasks, failing[0]);
        assert_eq!(slots.full(), [failing[0]]);
        fill(&mut slots, &mut tasks, failing[1]);
        assert_eq!(slots.full().into_iter().collect::<HashSet<_>>(), HashSet::from(failing));
    }
}
