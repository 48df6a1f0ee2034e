use serde::Serialize;
use utoipa::ToSchema;

use super::QuotaKey;
use crate::model::ids::{AccountId, QuotaRequestId};
use crate::model::{Path, Time};
use crate::stored_as_text;

stored_as_text! {
    /// Where a quota request stands.
    pub enum QuotaRequestStatus {
        Pending = "pending",
        Approved = "approved",
        Rejected = "rejected",
        /// Taken back by the account whose it is.
        Withdrawn = "withdrawn",
    }
}

/// A quota request's row.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct QuotaRequest {
    pub id: QuotaRequestId,
    pub account_id: AccountId,
    pub path: Path,
    pub key: QuotaKey,
    pub ceiling: i64,
    pub granted: Option<i64>,
    pub reason: Option<String>,
    pub status: QuotaRequestStatus,
    pub note: Option<String>,
    pub decided_at: Option<Time>,
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

/// A quota request as callers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = QuotaRequest)]
pub struct QuotaRequestView {
    pub id: QuotaRequestId,
    /// Whose ceiling it is.
    pub account_id: AccountId,
    pub key: QuotaKey,
    /// What is asked for, in the quota's unit.
    pub ceiling: i64,
    pub reason: Option<String>,
    pub status: QuotaRequestStatus,
    /// The ceiling that was set when it was approved.
    pub granted: Option<i64>,
    /// What was said with the decision.
    pub note: Option<String>,
    pub decided_at: Option<Time>,
    pub created_at: Time,
    pub updated_at: Time,
}

impl From<QuotaRequest> for QuotaRequestView {
    fn from(request: QuotaRequest) -> Self {
        Self {
            id: request.id,
            account_id: request.account_id,
            key: request.key,
            ceiling: request.ceiling,
            reason: request.reason,
            status: request.status,
            granted: request.granted,
            note: request.note,
            decided_at: request.decided_at,
            created_at: request.created_at,
            updated_at: request.updated_at,
        }
    }
}
