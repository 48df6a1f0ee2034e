use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::Ref;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};

use crate::model::ids::{AccountId, BatchId, KeyId, OperationId};
use crate::model::{Json, Path, Time};
use crate::stored_as_text;

stored_as_text! {
    /// Where a batch stands.
    pub enum BatchStatus {
        /// It waits for its turn, or for a refusal to pass.
        Queued = "queued",
        Running = "running",
        /// No further request of it will be sent.
        Cancelling = "cancelling",
        /// All have been answered, well or not.
        Completed = "completed",
        Cancelled = "cancelled",
    }
}

impl BatchStatus {
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled)
    }
}

stored_as_text! {
    /// What became of a batch's request.
    pub enum BatchItemStatus {
        Pending = "pending",
        /// It was answered with a status from 200 to 299.
        Succeeded = "succeeded",
        /// It was refused; `answer.problem` says why.
        Failed = "failed",
        /// It is not sent any more.
        Cancelled = "cancelled",
    }
}

stored_as_text! {
    /// A method that changes something.
    pub enum BatchMethod {
        Post = "POST",
        Put = "PUT",
        Patch = "PATCH",
        Delete = "DELETE",
    }
}

/// A batch's row.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct Batch {
    pub id: BatchId,
    pub account_id: AccountId,
    pub path: Path,
    /// Whose credential its requests are sent with.
    pub principal_id: AccountId,
    pub key_id: KeyId,
    /// What the access token said that it was left with, if it was one.
    pub claims: Option<Json<Value>>,
    /// Sealed: the body of all items that have none of their own.
    pub body: Option<String>,
    pub dry_run: bool,
    pub good_until: Time,
    pub status: BatchStatus,
    pub total: i64,
    pub succeeded: i64,
    pub failed: i64,
    pub cancelled: i64,
    pub fence: i64,
    pub version: i64,
    pub created_at: Time,
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
    pub updated_at: Time,
}

/// How many of a batch's requests are where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct BatchCounts {
    pub total: i64,
    pub pending: i64,
    pub succeeded: i64,
    pub failed: i64,
    pub cancelled: i64,
}

/// A batch as callers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Batch)]
pub struct BatchView {
    pub id: BatchId,
    /// The account that its requests act for, where they name none.
    pub account_id: AccountId,
    pub status: BatchStatus,
    /// Its requests are tried and leave nothing.
    pub dry_run: bool,
    pub items: BatchCounts,
    /// Until when its requests are sent, and sent again; what is left then is cancelled.
    pub good_until: Time,
    pub created_at: Time,
    /// When the first request was sent.
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
    pub updated_at: Time,
}

impl From<Batch> for BatchView {
    fn from(batch: Batch) -> Self {
        let Batch { total, succeeded, failed, cancelled, .. } = batch;
        Self {
            id: batch.id,
            account_id: batch.account_id,
            status: batch.status,
            dry_run: batch.dry_run,
            items: BatchCounts {
                total,
                pending: total - succeeded - failed - cancelled,
                succeeded,
                failed,
                cancelled,
            },
            good_until: batch.good_until,
            created_at: batch.created_at,
            started_at: batch.started_at,
            ended_at: batch.ended_at,
            updated_at: batch.updated_at,
        }
    }
}

/// The row of a batch's request.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct BatchItem {
    pub id: String,
    pub batch_id: BatchId,
    pub account_id: AccountId,
    pub path: Path,
    pub place: i64,
    pub method: BatchMethod,
    pub target: String,
    /// Which account it acts for, if it is another than the batch's.
    pub subject_id: Option<AccountId>,
    pub if_match: Option<String>,
    /// Sealed; none once it has been done.
    pub body: Option<String>,
    pub status: BatchItemStatus,
    pub attempts: i64,
    pub answer_status: Option<i64>,
    pub resource_id: Option<String>,
    pub operation_id: Option<OperationId>,
    pub problem: Option<Json<Value>>,
}

/// What identifies a batch's request, and what its body is sealed for. They sort as the requests are sent.
pub fn item_id(batch: BatchId, place: i64) -> String {
    format!("{batch}/{place:06}")
}

/// What a batch's request was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BatchAnswer {
    #[schema(example = 202)]
    pub status: i64,
    /// The object that the answer is of.
    #[schema(example = "svc_01jq3v8z0kf5n9d2t7x4m6c1ab")]
    pub resource_id: Option<String>,
    /// The work that goes on after the answer.
    pub operation_id: Option<OperationId>,
    /// Why it was refused.
    #[schema(schema_with = problem)]
    pub problem: Option<Json<Value>>,
}

/// The document's own problem, which is the edge's, or none.
fn problem() -> Schema {
    let none = ObjectBuilder::new().schema_type(Type::Null);
    OneOfBuilder::new().item(none).item(Ref::from_schema_name("Problem")).build().into()
}

/// A batch's request as callers see it. Its body is told to nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BatchItem)]
pub struct BatchItemView {
    /// Its place in the batch, from 0.
    pub index: i64,
    pub method: BatchMethod,
    #[schema(example = "/v1/services/svc_01jq3v8z0kf5n9d2t7x4m6c1ab/suspend")]
    pub path: String,
    /// The account it acts for, where it names one.
    pub account_id: Option<AccountId>,
    pub status: BatchItemStatus,
    /// How often it was sent.
    pub attempts: i64,
    /// What was answered last; `null` as long as nothing was.
    pub answer: Option<BatchAnswer>,
}

impl BatchItemView {
    /// As those see it who stand below whoever left the batch: why something was refused to him may tell of what is above them.
    pub fn for_those_below(mut self) -> Self {
        const TOLD: [&str; 8] =
            ["type", "title", "status", "code", "retryable", "instance", "request_id", "doc"];
        if let Some(Json(Value::Object(problem))) =
            self.answer.as_mut().and_then(|answer| answer.problem.as_mut())
        {
            problem.retain(|member, _| TOLD.contains(&member.as_str()));
            let title = problem.get("title").cloned().unwrap_or_default();
            problem.insert("detail".into(), title);
        }
        self
    }
}

impl From<BatchItem> for BatchItemView {
    fn from(item: BatchItem) -> Self {
        let BatchItem { answer_status, resource_id, operation_id, problem, .. } = item;
        let answer = |status| BatchAnswer { status, resource_id, operation_id, problem };
        Self {
            index: item.place,
            method: item.method,
            path: item.target,
            account_id: item.subject_id,
            status: item.status,
            attempts: item.attempts,
            answer: answer_status.map(answer),
        }
    }
}
