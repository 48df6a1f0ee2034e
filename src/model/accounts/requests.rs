use serde::Serialize;
use utoipa::ToSchema;

use crate::model::ids::{AccountId, KeyId, RequestId};
use crate::model::{Path, Time};

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, crate::model::rows::Record)]
pub struct Request {
    pub id: RequestId,
    /// Whose credential it was.
    pub account_id: AccountId,
    pub path: Path,
    pub key_id: KeyId,
    pub operation: String,
    pub method: String,
    pub target: String,
    pub status: i64,
    pub code: Option<String>,
    pub idempotency_key: Option<String>,
    pub replayed: bool,
    pub address: Option<String>,
    pub user_agent: Option<String>,
    pub client_request_id: Option<String>,
    pub duration_us: i64,
    pub received_at: Time,
}

/// A request as callers see it: what was asked and what was answered, without bodies and queries.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Request)]
pub struct RequestView {
    /// Stands in `X-Request-Id` of the answer.
    pub id: RequestId,
    /// The account of the credential.
    pub account_id: AccountId,
    pub key_id: KeyId,
    /// The operation's name in this document.
    #[schema(example = "orders_place")]
    pub operation: String,
    #[schema(example = "POST")]
    pub method: String,
    #[schema(example = "/v1/orders")]
    pub path: String,
    #[schema(example = 202)]
    pub status: i64,
    /// The refusal's code; none where nothing was refused.
    #[schema(example = "quota_exceeded")]
    pub code: Option<String>,
    pub idempotency_key: Option<String>,
    /// Whether an earlier answer was repeated.
    pub replayed: bool,
    /// From where it came.
    pub address: Option<String>,
    pub user_agent: Option<String>,
    /// What the caller sent as `X-Request-Id`, up to 128 characters of visible ASCII; others are passed over.
    pub client_request_id: Option<String>,
    /// From its head to its answer, in microseconds.
    pub duration_us: i64,
    pub received_at: Time,
}

impl From<Request> for RequestView {
    fn from(request: Request) -> Self {
        Self {
            id: request.id,
            account_id: request.account_id,
            key_id: request.key_id,
            operation: request.operation,
            method: request.method,
            path: request.target,
            status: request.status,
            code: request.code,
            idempotency_key: request.idempotency_key,
            replayed: request.replayed,
            address: request.address,
            user_agent: request.user_agent,
            client_request_id: request.client_request_id,
            duration_us: request.duration_us,
            received_at: request.received_at,
        }
    }
}
