//! One operation in a worker's hands, from its claim until the worker leaves it.

use tokio::sync::watch;
use tracing::{info, warn};

use super::calls::{self, Kind, Trouble};
use super::goals::{self, Call, Plan, Prepared};
use super::record::{self, Done};
use super::workflow::{self, Next};
use super::{Engine, backoff, fanout};
use crate::domain::Error;
use crate::model::connector::{Observed, Repeat};
use crate::model::services::operations::{
    Action, Operation, OperationKind, OperationStatus, Outcome, Step, StepStatus,
};

/// Why a worker leaves an operation before it has come to a point of rest.
#[derive(Debug)]
pub enum Halt {
    /// Another worker has it.
    Lost,
    /// The program is closing.
    Closing,
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Halt::Failed(error)
    }
}

/// An operation as it was last written.
pub struct Job {
    pub engine: Engine,
    pub operation: Operation,
    /// Turns true when the lease is lost.
    pub lost: watch::Receiver<bool>,
    /// Turns true when all must be handed back.
    pub closing: watch::Receiver<bool>,
}

impl Job {
    /// Works until the operation has ended or must wait.
    pub async fn run(&mut self) -> Result<(), Halt> {
        if self.operation.kind == OperationKind::AccessFanout {
            return fanout::run(self).await;
        }
        while self.operation.status == OperationStatus::Running {
            self.check()?;
            match workflow::next(&self.operation.steps) {
                Next::Do(at) => self.forward(at).await?,
                Next::Undo(at) => self.backward(at).await?,
                Next::End => {
                    let mut next = self.operation.clone();
                    workflow::end_if_over(&mut next);
                    self.write(next, 0.0, 0, Done::Nothing).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether the worker still has the operation and may go on.
    pub fn check(&self) -> Result<(), Halt> {
        match (*self.lost.borrow(), *self.closing.borrow()) {
            (true, _) => Err(Halt::Lost),
            (_, true) => Err(Halt::Closing),
            _ => Ok(()),
        }
    }

    async fn forward(&mut self, at: usize) -> Result<(), Halt> {
        let mut next = self.operation.clone();
        next.waiting_on = None;
        let now = self.engine.parts().clock.now();
        let step = &mut next.steps.0[at];
        step.attempts += 1;
        step.started_at.get_or_insert(now);
        step.error = None;
        let plan = goals::forward(&self.engine, &next, &next.steps[at]).await?;
        match self.carried_out(plan).await? {
            Ok(carried) => {
                let done = done(&next.steps[at], &carried);
                let step = &mut next.steps.0[at];
                step.status = StepStatus::Done;
                step.finished_at = Some(self.engine.parts().clock.now());
                if let (Action::Test, Some((_, observed))) = (step.action, carried) {
                    step.facts = Some(observed.facts);
                }
                workflow::end_if_over(&mut next);
                if next.status == OperationStatus::Succeeded {
                    // A hash of a password stays with its resource alone.
                    next.task.0.password_hash = None;
                }
                self.write(next, 0.0, at, done).await
            }
            Err(trouble) => self.not_done(next, at, trouble).await,
        }
    }

    async fn not_done(&mut self, mut next: Operation, at: usize, trouble: Trouble) -> Result<(), Halt> {
        let now = self.engine.parts().clock.now();
        let kind = next.kind;
        if kind == OperationKind::ServerTest {
            return self.test_failed(next, at, trouble).await;
        }
        let step = &mut next.steps.0[at];
        step.error = Some(trouble.error.clone());
        let transient = trouble.kind == Kind::Transient;
        if transient && !backoff::exhausted(step, now) {
            step.status = StepStatus::Pending;
            return self.wait(next, at, trouble).await;
        }
        step.status = StepStatus::Failed;
        step.finished_at = Some(now);
        next.error = Some(crate::model::Json(trouble.error));
        // What a deletion could not remove is in use again, and can be deleted again.
        next.retryable = trouble.kind == Kind::Unknown || transient || kind == OperationKind::ResourceDelete;
        if trouble.kind == Kind::Unknown {
            next.status = OperationStatus::NeedsAttention;
        } else if !workflow::undoes(kind) {
            next.status = OperationStatus::Failed;
            let nothing = trouble.kind == Kind::Permanent;
            next.outcome = Some(if nothing { Outcome::RolledBack } else { Outcome::LeftPartial });
        } else {
            workflow::end_if_over(&mut next);
        }
        self.write(next, 0.0, at, Done::Nothing).await
    }

    /// How a server stands is told at once: nobody waits for it to stand otherwise.
    async fn test_failed(&mut self, mut next: Operation, at: usize, trouble: Trouble) -> Result<(), Halt> {
        let step = &mut next.steps.0[at];
        step.status = StepStatus::Failed;
        step.error = Some(trouble.error.clone());
        step.finished_at = Some(self.engine.parts().clock.now());
        next.status = OperationStatus::Failed;
        next.error = Some(crate::model::Json(trouble.error));
        self.write(next, 0.0, at, Done::Nothing).await
    }

    async fn backward(&mut self, at: usize) -> Result<(), Halt> {
        let mut next = self.operation.clone();
        next.waiting_on = None;
        let now = self.engine.parts().clock.now();
        let step = &mut next.steps.0[at];
        if step.status != StepStatus::Undoing {
            step.status = StepStatus::Undoing;
            step.attempts = 0;
            step.started_at = Some(now);
            step.finished_at = None;
        }
        step.attempts += 1;
        let plan = goals::backward(&self.engine, &next, &next.steps[at]).await?;
        let result = self.carried_out(plan).await?;
        let now = self.engine.parts().clock.now();
        let step = &mut next.steps.0[at];
        match result {
            Ok(_) => step.status = StepStatus::Undone,
            Err(trouble) if trouble.kind == Kind::Transient && !backoff::exhausted(step, now) => {
                return self.wait(next, at, trouble).await;
            }
            Err(trouble) => {
                step.status = StepStatus::UndoFailed;
                step.error = Some(trouble.error);
            }
        }
        step.finished_at = Some(now);
        workflow::end_if_over(&mut next);
        self.write(next, 0.0, at, Done::Nothing).await
    }

    /// Puts the operation back into the queue until the server may have recovered.
    async fn wait(&mut self, mut next: Operation, at: usize, trouble: Trouble) -> Result<(), Halt> {
        let pause = backoff::pause(next.steps[at].attempts, trouble.retry_after);
        next.status = OperationStatus::Queued;
        next.waiting_on = Some(trouble.waiting_on);
        self.write(next, pause.as_secs_f64(), at, Done::Nothing).await
    }

    /// Makes the call, unless the lease is lost or the program closes meanwhile.
    async fn carried_out(&mut self, plan: Plan) -> Result<Result<Option<(Call, Observed)>, Trouble>, Halt> {
        let prepared = match plan {
            Plan::Call(prepared) => prepared,
            Plan::Nothing => return Ok(Ok(None)),
            Plan::Trouble(trouble) => return Ok(Err(trouble)),
        };
        let within = self.engine.parts().settings.call;
        let answer = tokio::select! {
            answer = calls::call(&prepared, within) => answer,
            _ = self.lost.wait_for(|lost| *lost) => return Err(Halt::Lost),
            () = closed(&mut self.closing, &prepared) => return Err(Halt::Closing),
        };
        Ok(answer.map(|observed| Some((prepared.call, observed))))
    }

    /// Writes the operation as it is to be; from then on that is what it is.
    pub async fn write(&mut self, next: Operation, again: f64, at: usize, done: Done) -> Result<(), Halt> {
        let written = record::write(&self.engine, next, again, at, done).await?.ok_or(Halt::Lost)?;
        self.operation = written.operation;
        let soon = self.operation.status == OperationStatus::Queued && again == 0.0;
        if written.queued || soon {
            self.engine.wake();
        }
        let Operation { id, kind, status, .. } = self.operation;
        if status.is_final() {
            crate::telemetry::count_operation(kind.as_str(), status.as_str());
            match status {
                OperationStatus::Succeeded => info!(%status, "the operation has ended"),
                _ => warn!(%status, "the operation has ended"),
            }
            self.engine.tell_ended(id);
        }
        Ok(())
    }

    /// Puts the operation, as it was last written, back into the queue.
    pub async fn put_back(&mut self, again: f64) -> Result<(), Halt> {
        let next = Operation { status: OperationStatus::Queued, ..self.operation.clone() };
        self.write(next, again, 0, Done::Nothing).await
    }
}

/// When the program closes; a call that must not be repeated is waited for nevertheless.
async fn closed(closing: &mut watch::Receiver<bool>, prepared: &Prepared) {
    if prepared.connector.descriptor().repeat == Repeat::Unsafe {
        std::future::pending::<()>().await;
    }
    // When the sender is gone, so is all that could be closed.
    if closing.wait_for(|closing| *closing).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn done(step: &Step, carried: &Option<(Call, Observed)>) -> Done {
    let facts = || carried.as_ref().map(|(_, observed)| observed.facts.clone()).unwrap_or_default();
    let access = carried.as_ref().map(|(call, _)| call.access());
    match (step.action, access) {
        (Action::EnsureService, Some(access)) => {
            step.target_id.parse().map_or(Done::Nothing, |id| Done::Service(id, access, facts()))
        }
        (Action::EnsureResource, Some(access)) => {
            step.target_id.parse().map_or(Done::Nothing, |id| Done::Resource(id, access, facts()))
        }
        (Action::RemoveResource, _) => step.target_id.parse().map_or(Done::Nothing, Done::Removed),
        (Action::SetAccess, access) => {
            step.target_id.parse().map_or(Done::Nothing, |id| Done::Access(id, access))
        }
        _ => Done::Nothing,
    }
}
