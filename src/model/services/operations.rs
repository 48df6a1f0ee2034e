use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::model::ids::{AccountId, OperationId, OrderId, ResourceId, ServiceId};
use crate::model::quotas::Taken;
use crate::model::{Json, Path, Time};
use crate::stored_as_text;

stored_as_text! {
    /// What an operation does.
    pub enum OperationKind {
        /// Makes what an order asks for, service by service.
        OrderProvision = "order.provision",
        ResourceCreate = "resource.create",
        ResourceUpdate = "resource.update",
        ResourceDelete = "resource.delete",
        /// Makes a service's access what its holds say.
        ServiceAccess = "service.access",
        /// Does so for every service of a subscription, or of an account and all below it.
        AccessFanout = "access.fanout",
        /// Asks a server's connector whether it answers.
        ServerTest = "server.test",
    }
}

stored_as_text! {
    pub enum OperationStatus {
        Queued = "queued",
        Running = "running",
        WaitingInput = "waiting_input",
        Succeeded = "succeeded",
        Failed = "failed",
        Cancelled = "cancelled",
        /// The outcome of a step is unknown, or what was to be undone could not be: someone must look.
        NeedsAttention = "needs_attention",
    }
}

impl OperationStatus {
    /// Whether nothing more will happen by itself.
    pub fn is_final(self) -> bool {
        use OperationStatus::*;
        matches!(self, Succeeded | Failed | Cancelled | NeedsAttention)
    }
}

stored_as_text! {
    /// What a finished operation left behind.
    pub enum Outcome {
        Succeeded = "succeeded",
        /// Nothing: what had been done was undone.
        RolledBack = "rolled_back",
        /// Something: see the steps.
        LeftPartial = "left_partial",
    }
}

stored_as_text! {
    pub enum StepStatus {
        Pending = "pending",
        Running = "running",
        Done = "done",
        Failed = "failed",
        Undoing = "undoing",
        Undone = "undone",
        UndoFailed = "undo_failed",
    }
}

stored_as_text! {
    /// What a step does on a server. Each can be repeated without harm.
    pub enum Action {
        EnsureService = "ensure_service",
        EnsureResource = "ensure_resource",
        RemoveResource = "remove_resource",
        SetAccess = "set_access",
        FanOut = "fan_out",
        Test = "test",
    }
}

/// One step of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    pub action: Action,
    /// The service or resource (or, of a test, server) that the step is about.
    pub target_id: String,
    pub status: StepStatus,
    /// How often it was tried.
    pub attempts: u32,
    pub error: Option<OperationError>,
    /// What a test found out about its server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub facts: Option<Map<String, Value>>,
    pub started_at: Option<Time>,
    pub finished_at: Option<Time>,
}

impl Step {
    pub fn new(action: Action, target: impl ToString) -> Self {
        Self {
            action,
            target_id: target.to_string(),
            status: StepStatus::Pending,
            attempts: 0,
            error: None,
            facts: None,
            started_at: None,
            finished_at: None,
        }
    }
}

/// Why a step or an operation did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationError {
    /// A stable word: `connector_unavailable`, `connector_refused`, `name_taken`, `outcome_unknown` and so on.
    #[schema(example = "connector_unavailable")]
    pub code: String,
    /// For people; without host names, paths or credentials.
    pub detail: String,
}

/// How urgent the work is: what waits in a lower lane goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Suspend and resume overtake everything.
    Access = 0,
    Interactive = 1,
    Bulk = 2,
}

/// How far an operation that goes through many services has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The last service for which an operation was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<(Path, ServiceId)>,
    /// Whether all were.
    #[serde(default)]
    pub spread: bool,
    /// The account or subscription whose services it goes through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_id: Option<String>,
    /// For a change of a resource: what is to be, applied to the row when it was brought about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<super::specs::ResourceSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
}

/// An operation's row, which is also its place in the queue.
#[derive(Debug, Clone, PartialEq, crate::model::rows::Record)]
pub struct Operation {
    pub id: OperationId,
    pub account_id: AccountId,
    pub path: Path,
    pub kind: OperationKind,
    pub status: OperationStatus,
    pub order_id: Option<OrderId>,
    pub service_id: Option<ServiceId>,
    pub resource_id: Option<ResourceId>,
    pub parent_id: Option<OperationId>,
    pub lock: Option<String>,
    pub exclusive: bool,
    pub lane: i64,
    pub due_at: Option<Time>,
    pub fence: i64,
    pub attempts: i64,
    pub steps: Json<Vec<Step>>,
    pub task: Json<Task>,
    pub reserved: Json<Vec<Taken>>,
    pub waiting_on: Option<String>,
    pub retryable: bool,
    pub outcome: Option<Outcome>,
    pub error: Option<Json<OperationError>>,
    pub request_id: String,
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

/// The work behind a 202, as callers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Operation)]
pub struct OperationView {
    pub id: OperationId,
    pub account_id: AccountId,
    pub kind: OperationKind,
    pub status: OperationStatus,
    pub order_id: Option<OrderId>,
    pub service_id: Option<ServiceId>,
    pub resource_id: Option<ResourceId>,
    /// The operation this one is a part of.
    pub parent_id: Option<OperationId>,
    pub steps: Vec<Step>,
    /// Steps done, of all.
    pub progress: Progress,
    /// What the operation waits for, such as a server that is down.
    pub waiting_on: Option<String>,
    /// Whether `retry` may be called.
    pub retryable: bool,
    pub outcome: Option<Outcome>,
    pub error: Option<OperationError>,
    /// The request that asked for it.
    pub request_id: String,
    pub created_at: Time,
    pub updated_at: Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Progress {
    pub done: usize,
    pub total: usize,
}

impl From<Operation> for OperationView {
    fn from(operation: Operation) -> Self {
        let steps = operation.steps.0;
        let done = steps.iter().filter(|step| step.status == StepStatus::Done).count();
        Self {
            id: operation.id,
            account_id: operation.account_id,
            kind: operation.kind,
            status: operation.status,
            order_id: operation.order_id,
            service_id: operation.service_id,
            resource_id: operation.resource_id,
            parent_id: operation.parent_id,
            progress: Progress { done, total: steps.len() },
            steps,
            waiting_on: operation.waiting_on,
            retryable: operation.retryable,
            outcome: operation.outcome,
            error: operation.error.map(|error| error.0),
            request_id: operation.request_id,
            created_at: operation.created_at,
            updated_at: operation.updated_at,
        }
    }
}
