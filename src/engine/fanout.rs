//! A hold on an account or subscription reaches every service below: one operation for each, made in pages,
//! and then waited for.

use super::job::{Halt, Job};
use super::record::Done;
use super::workflow;
use crate::domain::{Error, Work};
use crate::model::Subtree;
use crate::model::ids::SubscriptionId;
use crate::model::services::operations::{
    Operation, OperationError, OperationStatus, Outcome, StepStatus, Task,
};
use crate::model::services::services::{Lifecycle, Service};
use crate::store;

/// How many services a page has.
const PAGE: i64 = 100;
/// How long until it is looked again whether all have ended.
const LOOK_AGAIN: f64 = 0.3;

pub async fn run(job: &mut Job) -> Result<(), Halt> {
    while !job.operation.task.spread {
        job.check()?;
        spread(job).await?;
    }
    finish(job).await
}

async fn spread(job: &mut Job) -> Result<(), Halt> {
    let mut next = job.operation.clone();
    let now = job.engine.parts().clock.now();
    for step in &mut next.steps.0 {
        step.status = StepStatus::Running;
        step.started_at.get_or_insert(now);
        step.attempts = step.attempts.max(1);
    }
    job.write(next, 0.0, 0, Done::Spread).await
}

/// What is still on its way to a server may have read the holds before this one was placed.
fn reaches(lifecycle: Lifecycle) -> bool {
    matches!(lifecycle, Lifecycle::Requested | Lifecycle::Provisioning | Lifecycle::Active)
}

/// The next services that are reached, and how far the operation has come with them. They are looked for where the
/// account stands, which it does not leave before the transaction ends.
pub async fn page(work: &mut Work, operation: &Operation) -> Result<(Vec<Service>, Task), Error> {
    let place = store::places::place(&mut work.tx, &operation.account_id.to_string()).await?;
    let place = place.ok_or(Error::AccountNotFound)?;
    let target = operation.task.target_id.as_deref().unwrap_or_default();
    let (mut services, task) = if let Ok(subscription) = target.parse::<SubscriptionId>() {
        let services = store::services::services::of_subscription(&mut work.tx, subscription).await?;
        (services, Task { spread: true, ..operation.task.0.clone() })
    } else {
        // Of an account that has moved since, all services are gone through again.
        let after = operation.task.after.as_ref().filter(|(path, _)| place.covers(path));
        let everything = work.tx.turn(Subtree::of(&place)).await?;
        let services = store::services::services::page(&mut work.tx, after, PAGE).await?;
        work.tx.turn(everything).await?;
        let spread = (services.len() as i64) < PAGE;
        let last = services.last().map(|last| (last.path.clone(), last.id));
        let after = last.or_else(|| operation.task.after.clone());
        (services, Task { after, spread, ..operation.task.0.clone() })
    };
    services.retain(|service| reaches(service.lifecycle));
    Ok((services, task))
}

async fn finish(job: &mut Job) -> Result<(), Halt> {
    let read = job.engine.parts().db.read(Subtree::everything()).await;
    let mut conn = read.map_err(Error::Store)?;
    let counted = store::services::operations::children(&mut conn, job.operation.id).await;
    drop(conn);
    let (open, failed) = counted.map_err(Error::Store)?;
    let mut next = job.operation.clone();
    if open > 0 {
        next.status = OperationStatus::Queued;
        next.waiting_on = Some("services".into());
        return job.write(next, LOOK_AGAIN, 0, Done::Nothing).await;
    }
    next.waiting_on = None;
    let now = job.engine.parts().clock.now();
    for step in &mut next.steps.0 {
        step.status = if failed > 0 { StepStatus::Failed } else { StepStatus::Done };
        step.finished_at = Some(now);
    }
    if failed > 0 {
        fail(&mut next, failed);
    } else {
        workflow::end_if_over(&mut next);
    }
    job.write(next, 0.0, 0, Done::Nothing).await
}

/// Taken up again, it goes through all services once more.
fn fail(next: &mut Operation, failed: i64) {
    let detail = format!("The access of {failed} services could not be changed; see their operations.");
    let error = OperationError { code: "services_failed".into(), detail };
    for step in &mut next.steps.0 {
        step.error = Some(error.clone());
    }
    next.error = Some(crate::model::Json(error));
    next.status = OperationStatus::Failed;
    next.outcome = Some(Outcome::LeftPartial);
    next.retryable = true;
    next.task.0.after = None;
    next.task.0.spread = false;
}
