//! Sending the requests of batches, and recording what each was answered. One that was done and not recorded is sent
//! again under its idempotency key, and answered as before.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{Instrument, info_span, warn};

use super::{AFTER_FAILURE, Bulk, LONGEST_POLL, item};
use crate::api::inside::Inside;
use crate::domain::bulk::batches as domain;
use crate::domain::{Error, Result};
use crate::model::Subtree;
use crate::model::bulk::{Batch, BatchItem, BatchItemStatus, BatchStatus};
use crate::store::bulk::batches::{self as store, Answered, Next};
use crate::store::faults::is_unique_violation;
use crate::store::replies::is_answered;

/// How many batches a process works on at once, each of another account.
const AT_ONCE: usize = 4;
/// How many requests are read at once.
const PAGE: i64 = 50;
/// How often a request is sent that is refused for a reason that may pass, and how long it rests each time.
const RESTS: [i64; 4] = [1, 2, 4, 8];

/// Works until `stop` turns true, and lets the requests under way be answered.
pub async fn run(mut bulk: Bulk, mut stop: watch::Receiver<bool>) {
    let inside = Rc::new(Inside::new(bulk.state.clone()).await);
    let mut tasks = JoinSet::new();
    let mut pause = bulk.poll;
    while !*stop.borrow() {
        while tasks.try_join_next().is_some() {}
        let room = tasks.len() < AT_ONCE;
        if room && let Some(batch) = bulk.claim().await {
            pause = bulk.poll;
            let span = info_span!("batch", batch_id = %batch.id);
            let work = bulk.clone().work_on(inside.clone(), batch, stop.clone());
            tasks.spawn_local(AssertUnwindSafe(work.instrument(span)).catch_unwind());
            continue;
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            Some(_) = tasks.join_next() => {}
            _ = bulk.wake.changed(), if room => pause = bulk.poll,
            () = sleep(pause), if room => pause = (pause * 2).min(LONGEST_POLL.max(bulk.poll)),
        }
    }
    while tasks.join_next().await.is_some() {}
}

impl Bulk {
    async fn claim(&self) -> Option<Batch> {
        let claimed = async {
            // Nobody waits for a look.
            if !store::is_due(&mut self.state.db.read(Subtree::everything()).await?).await? {
                return Ok(None);
            }
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
            // Another worker has one of the same account, from this moment on.
            Err(Error::Store(error)) if is_unique_violation(&error) => None,
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
            self.record_done(inside, batch).await?;
            return self.end(batch, BatchStatus::Cancelled).await;
        }
        loop {
            let items = self.pending(batch).await?;
            if items.is_empty() {
                return self.end(batch, BatchStatus::Completed).await;
            }
            for item in items {
                if batch.good_until <= self.state.clock.now() {
                    return self.end(batch, BatchStatus::Cancelled).await;
                }
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

    /// Records the request that was done by whoever had the batch before and did not come to record it: it is answered again.
    async fn record_done(&self, inside: &Inside, batch: &Batch) -> Result<()> {
        let Some(next) = self.pending(batch).await?.into_iter().next() else { return Ok(()) };
        let mut conn = self.state.db.read(Subtree::everything()).await?;
        let subject = next.subject_id.unwrap_or(batch.account_id);
        if is_answered(&mut conn, batch.principal_id, subject, &item::key(&next)).await? {
            drop(conn);
            let told = item::send(&self.state, inside, batch, &next).await;
            self.record(batch, &next, &told.answered, Next::On(self.lease)).await?;
        }
        Ok(())
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
}
