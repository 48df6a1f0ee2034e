//! The work behind a 202: queuing it, and moving it by hand.

use super::outcomes;
use crate::domain::commerce::orders;
use crate::domain::{Error, Object, Result, Work, quotas};
use crate::model::Time;
use crate::model::events::events::EventType;
use crate::model::ids::{AccountId, OperationId, OrderId, ResourceId, ServiceId};
use crate::model::quotas::Taken;
use crate::model::services::operations::{
    Lane, Operation, OperationKind, OperationStatus, OperationView, Step, StepStatus, Task,
};
use crate::model::services::resources::ResourceLifecycle;
use crate::model::{Json, Path, Precondition};
use crate::store;

/// Work to be queued.
#[derive(Debug, Clone)]
pub struct NewOperation {
    pub id: OperationId,
    pub kind: OperationKind,
    pub account_id: AccountId,
    pub path: Path,
    pub lane: Lane,
    pub steps: Vec<Step>,
    pub task: Task,
    pub reserved: Vec<Taken>,
    pub order_id: Option<OrderId>,
    pub service_id: Option<ServiceId>,
    pub resource_id: Option<ResourceId>,
    pub parent_id: Option<OperationId>,
    pub lock: Option<String>,
    pub exclusive: bool,
    /// Whether somebody has to say first that it may begin.
    pub waits: bool,
}

impl NewOperation {
    pub fn of(kind: OperationKind, (account_id, path): (AccountId, &Path), lane: Lane) -> Self {
        Self {
            id: OperationId::new(),
            kind,
            account_id,
            path: path.clone(),
            lane,
            steps: Vec::new(),
            task: Task::default(),
            reserved: Vec::new(),
            order_id: None,
            service_id: None,
            resource_id: None,
            parent_id: None,
            lock: None,
            exclusive: false,
            waits: false,
        }
    }
}

/// Queues the work, to be begun at once, unless it waits. Of two exclusive ones with the same lock the second is refused.
pub async fn start(work: &mut Work, request_id: &str, new: NewOperation) -> Result<Operation> {
    let operation = Operation {
        id: new.id,
        account_id: new.account_id,
        path: new.path,
        kind: new.kind,
        status: if new.waits { OperationStatus::WaitingInput } else { OperationStatus::Queued },
        order_id: new.order_id,
        service_id: new.service_id,
        resource_id: new.resource_id,
        parent_id: new.parent_id,
        lock: new.lock,
        exclusive: new.exclusive,
        lane: work.lane(new.lane) as i64,
        due_at: Some(Time::EPOCH).filter(|_| !new.waits),
        fence: 0,
        attempts: 0,
        steps: Json(new.steps),
        task: Json(new.task),
        reserved: Json(new.reserved),
        waiting_on: None,
        retryable: false,
        outcome: None,
        error: None,
        request_id: request_id.to_owned(),
        version: 1,
        created_at: work.now,
        updated_at: work.now,
    };
    if store::services::operations::insert(&mut work.tx, &operation).await? {
        return Ok(operation);
    }
    let lock = operation.lock.as_deref().unwrap_or_default();
    match store::services::operations::holding(&mut work.tx, lock).await? {
        Some(id) => Err(Error::OperationInProgress(id)),
        None => Err(Error::Busy),
    }
}

async fn find(work: &mut Work, id: OperationId) -> Result<Operation> {
    store::services::operations::find(&mut work.tx, id).await?.ok_or(Error::NotFound("operation"))
}

/// Takes up again what failed or needs attention. Steps that were done stay done.
pub async fn retry(work: &mut Work, id: OperationId) -> Result<Operation> {
    let mut operation = find(work, id).await?;
    match (operation.retryable && operation.status.is_final(), operation.status) {
        (true, _) => {}
        (false, OperationStatus::Failed) => return Err(Error::NotRetryable),
        (false, status) => {
            let current = status.to_string();
            return Err(Error::State { current, action: "A retry", allowed: Vec::new() });
        }
    }
    if operation.status == OperationStatus::Failed {
        if let Some(lock) = operation.lock.as_deref().filter(|_| operation.exclusive)
            && let Some(id) = store::services::operations::holding(&mut work.tx, lock).await?
        {
            return Err(Error::OperationInProgress(id));
        }
        // What it gave back when it failed it must take again before it goes on.
        quotas::retake(work, &operation.reserved);
        outcomes::reopened(work, &operation).await?;
    }
    for step in &mut operation.steps.0 {
        if step.status != StepStatus::Done {
            step.status = StepStatus::Pending;
            step.attempts = 0;
            step.error = None;
            step.started_at = None;
            step.finished_at = None;
        }
    }
    operation.retryable = false;
    let queued = OperationStatus::Queued;
    if !store::services::operations::move_by_hand(
        &mut work.tx,
        &operation,
        queued,
        Some(Time::EPOCH),
        work.now,
    )
    .await?
    {
        return Err(Error::Busy);
    }
    operation.status = queued;
    operation.due_at = Some(Time::EPOCH);
    operation.version += 1;
    Ok(operation)
}

/// Cancels what has not been begun, with what it was for: an order is cancelled, a resource is not made or
/// stays. What holds say is brought about in any case; lift the hold instead.
pub async fn cancel(work: &mut Work, id: OperationId) -> Result<Operation> {
    let operation = find(work, id).await?;
    match (operation.kind, operation.order_id, operation.resource_id) {
        (OperationKind::OrderProvision, Some(order), _) => {
            orders::cancel(work, order, &Precondition::NONE).await?;
            find(work, id).await
        }
        (OperationKind::ResourceCreate, _, Some(resource)) => {
            let failed = ResourceLifecycle::Failed;
            store::services::resources::set_lifecycle(&mut work.tx, resource, failed, None, work.now).await?;
            withdraw(work, id).await
        }
        (OperationKind::ResourceDelete, _, Some(resource)) => {
            let active = ResourceLifecycle::Active;
            store::services::resources::set_lifecycle(&mut work.tx, resource, active, None, work.now).await?;
            withdraw(work, id).await
        }
        (OperationKind::ResourceUpdate | OperationKind::ServerTest, ..) => withdraw(work, id).await,
        _ => Err(Error::State {
            current: format!("the work of {}", operation.kind),
            action: "A cancellation",
            allowed: Vec::new(),
        }),
    }
}

/// Queues what waited for somebody to say that it may begin.
pub(in crate::domain) async fn release(work: &mut Work, id: OperationId) -> Result<()> {
    let operation = find(work, id).await?;
    let (queued, at_once) = (OperationStatus::Queued, Some(Time::EPOCH));
    match operation.status == OperationStatus::WaitingInput
        && store::services::operations::move_by_hand(&mut work.tx, &operation, queued, at_once, work.now)
            .await?
    {
        true => Ok(()),
        false => Err(Error::Busy),
    }
}

/// Takes a queued operation out of the queue before anything was done.
pub(in crate::domain) async fn withdraw(work: &mut Work, id: OperationId) -> Result<Operation> {
    let mut operation = find(work, id).await?;
    let untouched = operation.steps.iter().all(|step| step.attempts == 0);
    let waits = matches!(operation.status, OperationStatus::Queued | OperationStatus::WaitingInput);
    if !waits || !untouched {
        return Err(Error::State {
            current: operation.status.to_string(),
            action: "A cancellation",
            allowed: Vec::new(),
        });
    }
    quotas::release(work, &operation.reserved);
    let cancelled = OperationStatus::Cancelled;
    if !store::services::operations::move_by_hand(&mut work.tx, &operation, cancelled, None, work.now).await?
    {
        return Err(Error::Busy);
    }
    operation.status = cancelled;
    operation.due_at = None;
    operation.version += 1;
    Ok(operation)
}

/// Has the end of an operation recorded as an event.
pub fn ended(work: &mut Work, operation: &Operation) {
    let event = match operation.status {
        OperationStatus::Succeeded => EventType::OperationSucceeded,
        OperationStatus::NeedsAttention => EventType::OperationNeedsAttention,
        _ => EventType::OperationFailed,
    };
    let view = OperationView::from(operation.clone());
    work.event(
        event,
        (operation.account_id, &operation.path),
        "operation",
        Object::new(operation.id, operation.version, &view),
    );
}
