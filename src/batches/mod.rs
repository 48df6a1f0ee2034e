//! Batches: sends the requests that were left in them through the API's own routes, and records what each was answered.
//!
//! Any number of processes share a database. A batch is one worker's for the length of a lease, which it lengthens with
//! each request. A request that was done and not recorded is sent again under its idempotency key, and answered as before.

mod item;

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet, LocalSet, spawn_blocking};
use tokio::time::sleep;
use tracing::{Instrument, info_span, warn};

use crate::api::State;
use crate::api::inside::Inside;
use crate::domain::bulk::batches as domain;
use crate::domain::{Error, Result, Work};
use crate::model::Subtree;
use crate::model::bulk::{Batch, BatchItem, BatchItemStatus, BatchStatus};
use crate::model::events::events::Cause;
use crate::store::bulk::batches::{self as store, Answered, Next};

/// How many batches a process works on at once, each of another account.
const AT_ONCE: usize = 4;
/// How many requests are read at once.
const PAGE: i64 = 50;
/// How often a request is sent that is refused for a reason that may pass, and how long it rests each time.
const RESTS: [i64; 4] = [1, 2, 4, 8];
const AFTER_FAILURE: Duration = Duration::from_secs(1);
const LONGEST_POLL: Duration = Duration::from_secs(1);

/// What works on batches.
#[derive(Clone)]
pub struct Batches {
    pub state: web::Data<State>,
    /// Says that there is something to do.
    pub wake: Arc<Notify>,
    /// How often work is looked for when nobody has announced any.
    pub poll: Duration,
    /// How long a worker may be silent before its batch is given to another, in seconds. A request that takes longer is sent
    /// by that one too, and answered as the first time.
    pub lease: i64,
}

impl Batches {
    /// Works in a thread of its own until `stop` turns true, and lets the requests under way be answered: the API's routes
    /// stay where they were made.
    pub fn start(self, stop: watch::Receiver<bool>) -> JoinHandle<()> {
        let runtime = Handle::current();
        spawn_blocking(move || runtime.block_on(LocalSet::new().run_until(self.run(stop))))
    }

    async fn run(self, mut stop: watch::Receiver<bool>) {
        let inside = Rc::new(Inside::new(self.state.clone()).await);
        let mut tasks = JoinSet::new();
        let mut pause = self.poll;
        while !*stop.borrow() {
            while tasks.try_join_next().is_some() {}
            let room = tasks.len() < AT_ONCE;
            if room && let Some(batch) = self.claim().await {
                pause = self.poll;
                let span = info_span!("batch", batch_id = %batch.id);
                let work = self.clone().work_on(inside.clone(), batch, stop.clone());
                tasks.spawn_local(AssertUnwindSafe(work.instrument(span)).catch_unwind());
                continue;
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => {}
                Some(_) = tasks.join_next() => {}
                () = self.wake.notified(), if room => pause = self.poll,
                () = sleep(pause), if room => pause = (pause * 2).min(LONGEST_POLL.max(self.poll)),
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn claim(&self) -> Option<Batch> {
        let claimed = async {
            let mut tx = self.state.db.write(Subtree::everything()).await?;
            let batch = store::claim(&mut tx, self.lease, self.state.clock.now()).await?;
            match batch {
                Some(_) => tx.commit().await?,
                None => tx.undo().await?,
            }
            Ok::<_, Error>(batch)
        };
        match claimed.await {
            Ok(batch) => batch,
            Err(error) => {
                warn!(%error, "no batch could be taken up");
                sleep(AFTER_FAILURE).await;
                None
            }
        }
    }

    /// Sends the batch's requests until none is left, one has to rest, or the program shuts down.
    async fn work_on(self, inside: Rc<Inside>, batch: Batch, stop: watch::Receiver<bool>) {
        if let Err(error) = self.send_all(&inside, &batch, &stop).await {
            // Somebody else has it, or takes it up once the lease is over.
            warn!(%error, "a batch was left as it is");
            sleep(AFTER_FAILURE).await;
        }
    }

    async fn send_all(&self, inside: &Inside, batch: &Batch, stop: &watch::Receiver<bool>) -> Result<()> {
        if batch.status == BatchStatus::Cancelling {
            return self.end(batch, BatchStatus::Cancelled).await;
        }
        loop {
            let items = self.pending(batch).await?;
            if items.is_empty() {
                return self.end(batch, BatchStatus::Completed).await;
            }
            for item in items {
                let told = item::send(&self.state, inside, batch, &item).await;
                let rests = RESTS.get(usize::try_from(item.attempts).unwrap_or(usize::MAX));
                let (told, next) = match rests {
                    Some(rest) if told.may_pass => (told.pending(), Next::Later(*rest)),
                    _ if *stop.borrow() => (told.answered, Next::Later(0)),
                    _ => (told.answered, Next::On(self.lease)),
                };
                match (self.record(batch, &item, &told, next).await?, next) {
                    (BatchStatus::Cancelling, _) => return self.end(batch, BatchStatus::Cancelled).await,
                    (_, Next::Later(_)) => return Ok(()),
                    _ => {}
                }
            }
        }
    }

    async fn pending(&self, batch: &Batch) -> Result<Vec<BatchItem>> {
        let mut conn = self.state.db.read(Subtree::everything()).await?;
        Ok(store::items(&mut conn, batch.id, Some(BatchItemStatus::Pending), None, PAGE).await?)
    }

    /// Keeps what a request was answered; tells how the batch stands then.
    async fn record(
        &self,
        batch: &Batch,
        item: &BatchItem,
        told: &Answered,
        next: Next,
    ) -> Result<BatchStatus> {
        let mut work = self.begin().await?;
        match domain::answered(&mut work, batch, item, told, next).await? {
            Some(status) => {
                work.finish().await?;
                Ok(status)
            }
            None => {
                work.tx.undo().await?;
                Err(Error::Busy)
            }
        }
    }

    async fn end(&self, batch: &Batch, status: BatchStatus) -> Result<()> {
        let mut work = self.begin().await?;
        domain::end(&mut work, batch, status).await?;
        work.finish().await?;
        (self.state.signals.recorded)();
        Ok(())
    }

    async fn begin(&self) -> Result<Work> {
        let tx = self.state.db.write(Subtree::everything()).await?;
        let cause = Cause { key_id: None, request_id: None, reason_code: None };
        Ok(Work::because(tx, cause, self.state.clock.now()))
    }
}
