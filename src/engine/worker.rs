//! The slots: each takes the most urgent work there is, does it, and looks for more.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep};
use tracing::{Instrument, error, info_span, warn};

use super::job::{Halt, Job};
use super::record::{self, unit};
use super::{Engine, backoff};
use crate::domain::services::outcomes;
use crate::domain::{Error, Result, Work};
use crate::model::Subtree;
use crate::model::services::operations::{Operation, OperationError, OperationStatus, StepStatus};
use crate::store;
use crate::store::faults::is_unique_violation;

/// The longest that an idle slot waits before it looks again.
const LONGEST_POLL: Duration = Duration::from_secs(1);
/// How long work rests that could not be recorded.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Works until the program shuts down.
pub async fn slot(engine: Engine, mut shutdown: watch::Receiver<bool>, closing: watch::Receiver<bool>) {
    let mut busy = false;
    while !*shutdown.borrow() {
        let found = if busy { engine.claim().await } else { None };
        let found = match found {
            Some(found) => Some(found),
            None => engine.wait_for_work(&mut shutdown).await,
        };
        busy = found.is_some();
        if let Some(operation) = found {
            engine.work_on(operation, closing.clone()).await;
        }
    }
}

/// Resolves when the program shuts down, or when nobody is left who could say so.
pub async fn down(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|down| *down).await;
}

impl Engine {
    /// The next work there is; none when the program shuts down. Of all idle slots one looks at a time.
    async fn wait_for_work(&self, shutdown: &mut watch::Receiver<bool>) -> Option<Operation> {
        let poll = self.parts().settings.poll;
        let _turn = tokio::select! {
            biased;
            () = down(shutdown) => return None,
            turn = self.turn() => turn,
        };
        let mut pause = poll;
        while !*shutdown.borrow() {
            if let Some(found) = self.claim().await {
                return Some(found);
            }
            tokio::select! {
                () = down(shutdown) => return None,
                () = self.woken() => pause = poll,
                () = sleep(pause.mul_f64(0.75 + backoff::share() / 2.0)) => {
                    pause = (pause * 2).min(LONGEST_POLL.max(poll));
                }
            }
        }
        None
    }

    /// Takes the most urgent due operation, if there is one.
    async fn claim(&self) -> Option<Operation> {
        loop {
            let engine = self.clone();
            match unit(async move { claim(&engine).await }).await {
                Ok(found) => return found,
                Err(Error::Store(error)) if is_unique_violation(&error) => {}
                Err(error) => {
                    warn!(%error, "no work could be taken up");
                    sleep(AFTER_FAILURE).await;
                    return None;
                }
            }
        }
    }

    /// Works on the operation until it has ended or must wait, and lengthens the lease meanwhile.
    async fn work_on(&self, operation: Operation, closing: watch::Receiver<bool>) {
        let span = info_span!(
            "operation",
            operation_id = %operation.id,
            request_id = %operation.request_id,
            kind = %operation.kind,
        );
        async move {
            let (losing, lost) = watch::channel(false);
            let (_alive, ended) = oneshot::channel();
            tokio::spawn(heartbeat(self.clone(), operation.clone(), losing, ended).in_current_span());
            let mut job = Job { engine: self.clone(), operation, lost, closing };
            match AssertUnwindSafe(job.run()).catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(halt)) => left_early(&mut job, halt).await,
                Err(_) => panicked(&mut job).await,
            }
        }
        .instrument(span)
        .await;
    }
}

async fn claim(engine: &Engine) -> Result<Option<Operation>> {
    let parts = engine.parts();
    let mut tx = parts.db.write(Subtree::everything()).await?;
    let now = parts.clock.now();
    let lease = parts.settings.lease_seconds();
    let Some(operation) = store::services::operations::claim(&mut tx, lease, now).await? else {
        tx.undo().await?;
        return Ok(None);
    };
    let mut work = Work::because(tx, record::cause(&operation), now);
    if operation.steps.iter().all(|step| step.status == StepStatus::Pending && step.attempts == 0) {
        outcomes::begun(&mut work, &operation).await?;
    }
    work.finish().await?;
    Ok(Some(operation))
}

/// Lengthens the lease until the job has ended; tells the job when another worker has it.
async fn heartbeat(
    engine: Engine,
    operation: Operation,
    losing: watch::Sender<bool>,
    mut ended: oneshot::Receiver<()>,
) {
    let every = engine.parts().settings.lease / 3;
    loop {
        tokio::select! {
            biased;
            _ = &mut ended => return,
            () = sleep(every) => {}
        }
        match beat(&engine, &operation).await {
            Ok(true) => {}
            Ok(false) => {
                losing.send_replace(true);
                return;
            }
            Err(error) => warn!(%error, "the lease could not be lengthened"),
        }
    }
}

async fn beat(engine: &Engine, operation: &Operation) -> Result<bool> {
    let parts = engine.parts();
    let lease = parts.settings.lease_seconds();
    let mut tx = parts.db.write(Subtree::everything()).await?;
    let held = store::services::operations::heartbeat(&mut tx, operation.id, operation.fence, lease).await?;
    tx.commit().await?;
    Ok(held)
}

/// What cannot be handed back, because the database is away, is tried again until the lease is over; then
/// another one takes it up.
async fn left_early(job: &mut Job, halt: Halt) {
    let again = match halt {
        Halt::Lost => {
            warn!("another worker has the operation");
            return;
        }
        Halt::Closing => 0.0,
        Halt::Failed(error) => {
            error!(%error, "what came of the work could not be recorded");
            AFTER_FAILURE.as_secs_f64()
        }
    };
    let given_up = Instant::now() + job.engine.parts().settings.lease;
    while let Err(halt) = job.put_back(again).await {
        warn!(?halt, "the operation could not be handed back");
        let closing = *job.closing.borrow();
        if matches!(halt, Halt::Lost) || closing || Instant::now() >= given_up {
            return;
        }
        sleep(AFTER_FAILURE).await;
    }
}

/// A fault of the program's own counts as an attempt; what fails it again and again is set aside.
async fn panicked(job: &mut Job) {
    error!("the worker panicked");
    let attempts = u32::try_from(job.operation.attempts).unwrap_or(u32::MAX);
    let left = if attempts < backoff::ATTEMPTS {
        job.put_back(backoff::pause(attempts, None).as_secs_f64()).await
    } else {
        let mut next = job.operation.clone();
        next.status = OperationStatus::NeedsAttention;
        next.retryable = true;
        let detail = "The program failed on it again and again; its logs say more.".to_owned();
        next.error = Some(crate::model::Json(OperationError { code: "internal_error".into(), detail }));
        job.write(next, 0.0, 0, record::Done::Nothing).await
    };
    if let Err(halt) = left {
        warn!(?halt, "the operation could not be handed back");
    }
}
