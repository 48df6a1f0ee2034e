//! Comparing, a little in each transaction, so that nobody waits for it.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use super::{AFTER_FAILURE, Bulk, LONGEST_POLL};
use crate::domain::bulk::reconciles as domain;
use crate::domain::{Error, Result};
use crate::model::Subtree;
use crate::model::bulk::{ReconcileRun, ReconcileStatus};
use crate::store::bulk::reconciles as store;

/// Works until `stop` turns true. What is left then, another one goes on with.
pub async fn run(mut bulk: Bulk, mut stop: watch::Receiver<bool>) {
    let mut pause = bulk.poll;
    while !*stop.borrow() {
        match AssertUnwindSafe(some(&bulk, &stop)).catch_unwind().await.unwrap_or(Err(Error::Busy)) {
            Ok(true) => pause = bulk.poll,
            Ok(false) => {
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => {}
                    _ = bulk.wake.changed() => pause = bulk.poll,
                    () = sleep(pause) => pause = (pause * 2).min(LONGEST_POLL.max(bulk.poll)),
                }
            }
            Err(error) => {
                warn!(%error, "a comparison was left as it is");
                sleep(AFTER_FAILURE).await;
            }
        }
    }
}

/// Compares for one run, if there is one to be gone on with.
async fn some(bulk: &Bulk, stop: &watch::Receiver<bool>) -> Result<bool> {
    let Some(mut run) = claim(bulk).await? else { return Ok(false) };
    while run.status == ReconcileStatus::Comparing {
        // Whoever comes next goes on at once.
        let lease = if *stop.borrow() { 0 } else { bulk.lease };
        let mut work = bulk.begin().await?;
        match domain::go_on(&mut work, &run, lease).await? {
            Some(next) => {
                work.finish().await?;
                run = next;
            }
            None => {
                work.tx.undo().await?;
                return Ok(true);
            }
        }
        if lease == 0 {
            return Ok(true);
        }
    }
    (bulk.state.signals.recorded)();
    Ok(true)
}

async fn claim(bulk: &Bulk) -> Result<Option<ReconcileRun>> {
    // Nobody waits for a look.
    if !store::is_due(&mut bulk.state.db.read(Subtree::everything()).await?).await? {
        return Ok(None);
    }
    let mut tx = bulk.state.db.write(Subtree::everything()).await?;
    let run = store::claim(&mut tx, bulk.lease, bulk.state.clock.now()).await?;
    match run {
        Some(_) => tx.commit().await?,
        None => tx.undo().await?,
    }
    Ok(run)
}
