//! Events out: who hears of what, what is signed, where it may be sent, and when it is tried again.

pub mod addresses;
mod attempt;
pub mod client;
mod dispatch;
pub mod guard;
pub mod headers;
mod payload;
mod queue;
mod record;
mod schedule;
pub mod secrets;
mod send;
pub mod sign;
mod slots;
mod tidy;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::access::seal::Sealer;
use crate::clock::Clock;
use crate::store::Db;

/// How many attempts run at once where nothing else is asked for: four times what one account may have.
pub const CONCURRENCY: usize = 128;

/// What delivery works with.
#[derive(Debug)]
pub struct Parts {
    pub db: Db,
    pub clock: Clock,
    /// Opens the endpoints' secrets.
    pub sealer: Arc<Sealer>,
    pub client: client::Client,
    /// How many attempts run at once.
    pub concurrency: usize,
    /// How often work is looked for when nobody has announced any.
    pub poll: Duration,
}

/// Delivers every committed event to the endpoints that are to hear of it, at least once. Any number of these
/// can work on one database.
#[derive(Debug, Clone)]
pub struct Delivery(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: Parts,
    events: Notify,
    due: Notify,
}

impl Delivery {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner { parts, events: Notify::new(), due: Notify::new() }))
    }

    /// Announces that there are new events, or deliveries to be sent once more.
    pub fn wake(&self) {
        self.0.events.notify_one();
        self.0.due.notify_one();
    }

    /// Forgets the deliveries that ended and are older than they are kept, and the secrets that have ended.
    pub async fn tidy(&self) {
        tidy::tidy(self).await;
    }

    /// Works until `shutdown` is ready, then begins nothing more and gives what is under way 20 seconds.
    /// Dropped, it stops in the same way, only that nobody waits for it.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let (running, stop) = watch::channel(());
        let dispatcher = tokio::spawn(dispatch::run(self.clone(), stop.clone()));
        let queue = tokio::spawn(queue::run(self.clone(), stop.clone()));
        let tidier = tokio::spawn(tidy::run(self, stop));
        shutdown.await;
        drop(running);
        for ended in [dispatcher.await, queue.await, tidier.await] {
            if let Err(error) = ended {
                tracing::error!(%error, "webhook delivery ended badly");
            }
        }
    }
}

/// Ready when the work is to stop, which is when the other end is gone.
async fn stopped(stop: &mut watch::Receiver<()>) {
    while stop.changed().await.is_ok() {}
}

/// Why a piece of work was not done; it is taken up again later.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Store(#[from] sqlx::Error),
    #[error(transparent)]
    Domain(#[from] crate::domain::Error),
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
}

/// Runs a transaction where nothing cancels it, and where a panic is an error like others.
async fn apart<T: Send + 'static>(
    work: impl Future<Output = Result<T, Fault>> + Send + 'static,
) -> Result<T, Fault> {
    tokio::spawn(work).await?
}
