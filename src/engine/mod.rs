//! Provisioning: takes operations out of the queue, calls connectors outside of any transaction, and records
//! what came of it.
//!
//! Any number of engines share a database. An operation is one engine's for the length of a lease, which it
//! lengthens while it works; each claim has a fence, and nothing is written without it.

mod backoff;
mod calls;
mod fanout;
mod goals;
mod housekeeping;
mod job;
mod record;
mod worker;
mod workflow;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, Notify, broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::access::seal::Sealer;
use crate::clock::Clock;
use crate::model::connector::Connector;
use crate::model::ids::OperationId;
use crate::store::Db;

/// Finds a connector by its name.
pub type Lookup = Arc<dyn Fn(&str) -> Option<Arc<dyn Connector>> + Send + Sync>;

/// How many endings of operations are kept for those who are slow to listen.
const ENDINGS: usize = 4096;

/// How an engine works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many operations are worked on at once.
    pub slots: usize,
    /// How often work is looked for when nobody has announced any.
    pub poll: Duration,
    /// How long a worker may be silent before its work is given to another; whole seconds.
    pub lease: Duration,
    /// How long a connector may take for one call.
    pub call: Duration,
    /// How long what runs may take to end when the program shuts down.
    pub drain: Duration,
    /// For how long answers to requests with an idempotency key are remembered.
    pub remember: Duration,
    /// For how long requests are kept for callers to look up.
    pub keep_requests: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            slots: 8,
            poll: Duration::from_millis(250),
            lease: seconds(60),
            call: seconds(30),
            drain: seconds(30),
            remember: seconds(72 * 3600),
            keep_requests: seconds(30 * 24 * 3600),
        }
    }
}

impl Settings {
    fn lease_seconds(&self) -> i64 {
        i64::try_from(self.lease.as_secs()).unwrap_or(i64::MAX).max(1)
    }
}

/// What an engine works with.
pub struct Parts {
    pub db: Db,
    pub clock: Clock,
    pub connectors: Lookup,
    /// Opens the servers' credentials.
    pub sealer: Arc<Sealer>,
    pub settings: Settings,
}

/// The workers of this process. A clone is the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    parts: Parts,
    wake: Notify,
    turn: Mutex<()>,
    ended: broadcast::Sender<OperationId>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("settings", &self.0.parts.settings).finish_non_exhaustive()
    }
}

impl Engine {
    pub fn new(parts: Parts) -> Self {
        let (ended, _) = broadcast::channel(ENDINGS);
        Self::telling(parts, ended)
    }

    /// An engine that tells of ends where others listen already.
    pub fn telling(parts: Parts, ended: broadcast::Sender<OperationId>) -> Self {
        Self(Arc::new(Inner { parts, wake: Notify::new(), turn: Mutex::new(()), ended }))
    }

    /// Works until `shutdown` turns true, or its sender is dropped; then lets what runs come to an end, and
    /// hands back what does not in time. Dropped before, it leaves its work to be taken up after the lease.
    pub async fn run(&self, shutdown: watch::Receiver<bool>) {
        let (closing, closed) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for _ in 0..self.parts().settings.slots {
            tasks.spawn(worker::slot(self.clone(), shutdown.clone(), closed.clone()));
        }
        tasks.spawn(housekeeping::keep(self.clone(), shutdown.clone()));
        worker::down(&mut shutdown.clone()).await;
        if timeout(self.parts().settings.drain, all_ended(&mut tasks)).await.is_err() {
            closing.send_replace(true);
            all_ended(&mut tasks).await;
        }
    }

    /// Has work looked for at once. To be called after the commit that queued it.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// Tells from now on which operations come to an end in this process. Whoever hears that it was too slow
    /// to listen must look at the operation itself.
    pub fn ended(&self) -> broadcast::Receiver<OperationId> {
        self.0.ended.subscribe()
    }

    fn parts(&self) -> &Parts {
        &self.0.parts
    }

    async fn turn(&self) -> MutexGuard<'_, ()> {
        self.0.turn.lock().await
    }

    async fn woken(&self) {
        self.0.wake.notified().await;
    }

    fn tell_ended(&self, id: OperationId) {
        // Nobody listening is no fault.
        let _ = self.0.ended.send(id);
    }
}

async fn all_ended(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}
