//! Writing down what came of the work: each time one short transaction, in a task that nothing cuts off.

use std::future::Future;
use std::panic::resume_unwind;

use tracing::{Instrument, Span};

use super::{Engine, fanout};
use crate::domain::services::outcomes::{self, Facts};
use crate::domain::services::{holds, operations};
use crate::domain::{Error, Result, Work};
use crate::model::Subtree;
use crate::model::events::events::Cause;
use crate::model::ids::{ResourceId, ServiceId};
use crate::model::services::Access;
use crate::model::services::operations::{Operation, OperationStatus, Step, StepStatus};
use crate::store;
use crate::store::services::operations::Left;

/// What a step has changed on a server.
#[derive(Debug, Clone)]
pub enum Done {
    /// Nothing but the operation itself.
    Nothing,
    Service(ServiceId, Access, Facts),
    Resource(ResourceId, Access, Facts),
    Removed(ResourceId),
    /// The access brought about; none where the service was not on its server.
    Access(ServiceId, Option<Access>),
    /// Operations for these services are to be made.
    Spread,
}

/// What became of an operation that was written.
#[derive(Debug)]
pub struct Written {
    pub operation: Operation,
    /// Whether other work was queued with it.
    pub queued: bool,
}

/// Runs a unit of work to its end, whatever becomes of the one who waits for it.
pub async fn unit<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    match tokio::spawn(work.instrument(Span::current())).await {
        Ok(result) => result,
        Err(stopped) if stopped.is_panic() => resume_unwind(stopped.into_panic()),
        Err(_) => Err(Error::Store(sqlx::Error::WorkerCrashed)),
    }
}

/// On behalf of the request that asked for the operation.
pub fn cause(operation: &Operation) -> Cause {
    Cause { key_id: None, request_id: Some(operation.request_id.clone()), reason_code: None }
}

/// Writes the operation as it is to be, with what was done; nothing at all if the worker has it no more.
/// A running one stays with the worker; a queued one is taken up again after the seconds given.
pub async fn write(
    engine: &Engine,
    next: Operation,
    again: f64,
    at: usize,
    done: Done,
) -> Result<Option<Written>> {
    let engine = engine.clone();
    unit(async move { transaction(&engine, next, again, at, done).await }).await
}

async fn transaction(
    engine: &Engine,
    mut next: Operation,
    mut again: f64,
    at: usize,
    done: Done,
) -> Result<Option<Written>> {
    let parts = engine.parts();
    let tx = parts.db.write(Subtree::everything()).await?;
    let mut work = Work::because(tx, cause(&next), parts.clock.now()).beside(next.lane);
    let mut queued = false;
    if let Done::Access(id, applied) = done {
        let settled = outcomes::access_applied(&mut work, &next, id, applied).await?;
        if !settled {
            once_more(&mut next.steps.0[at]);
            next.status = OperationStatus::Queued;
            next.outcome = None;
            (again, queued) = (0.0, true);
        }
    }
    let mut reached = Vec::new();
    if let Done::Spread = done {
        (reached, next.task.0) = fanout::page(&mut work, &next).await?;
    }
    let again_in_seconds = match next.status {
        OperationStatus::Running => Some(engine.parts().settings.lease.as_secs_f64()),
        OperationStatus::Queued => Some(again),
        _ => None,
    };
    let left = Left {
        status: next.status,
        steps: &next.steps,
        task: &next.task,
        again_in_seconds,
        waiting_on: next.waiting_on.as_deref(),
        retryable: next.retryable,
        outcome: next.outcome,
        error: next.error.as_deref(),
    };
    let left = store::services::operations::leave(&mut work.tx, next.id, next.fence, &left, work.now).await?;
    let Some(reserved) = left else {
        work.tx.undo().await?;
        return Ok(None);
    };
    next.reserved = reserved;
    next.version += 1;
    next.updated_at = work.now;
    if let Some(parent) = next.parent_id.filter(|_| next.status.is_final()) {
        queued |= store::services::operations::hurry(&mut work.tx, parent).await?;
    }
    match done {
        Done::Nothing | Done::Access(..) => {}
        Done::Service(id, access, facts) => {
            queued |= outcomes::service_ensured(&mut work, &next, id, access, &facts).await?;
        }
        Done::Resource(id, access, facts) => {
            queued |= outcomes::resource_ensured(&mut work, &next, id, access, &facts).await?;
        }
        Done::Removed(id) => outcomes::resource_removed(&mut work, id).await?,
        Done::Spread => {
            queued |= !reached.is_empty();
            for service in reached {
                let new = operations::NewOperation {
                    parent_id: Some(next.id),
                    ..holds::access_of(service.id, (service.account_id, &service.path))
                };
                operations::start(&mut work, &next.request_id, new).await?;
            }
        }
    }
    match next.status {
        OperationStatus::Succeeded => outcomes::succeeded(&mut work, &next).await?,
        OperationStatus::Failed => outcomes::failed(&mut work, &next).await?,
        OperationStatus::NeedsAttention => operations::ended(&mut work, &next),
        _ => {}
    }
    work.finish().await?;
    Ok(Some(Written { operation: next, queued }))
}

fn once_more(step: &mut Step) {
    step.status = StepStatus::Pending;
    step.finished_at = None;
}
