use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::model::Time;
use crate::model::ids::{AccountId, KeyId};
use crate::stored_as_text;

stored_as_text! {
    /// Who acted, as far as the reader may know.
    pub enum ActedAs {
        /// The account itself, or one between it and the reader.
        Account = "account",
        /// Somebody above the reader.
        Operator = "operator",
    }
}

/// An audit line as callers see it: who did what to the account, and when.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = AuditLine)]
pub struct AuditLineView {
    /// The account that was acted for.
    pub account_id: AccountId,
    /// The account's lines are numbered from 1, without a gap.
    pub sequence: i64,
    /// The operation's name in this document.
    #[schema(example = "orders_place")]
    pub action: String,
    /// The identifier of the object that was made or changed.
    pub resource: Option<String>,
    /// `operator` where whoever acted stands above the caller; then it is not told who it was.
    pub acted_as: ActedAs,
    /// Whose credential it was; none where that account stands above the caller's.
    pub principal_id: Option<AccountId>,
    /// None where its account stands above the caller's.
    pub key_id: Option<KeyId>,
    /// From where the request came; none where it came from above.
    pub address: Option<String>,
    pub request_id: String,
    #[schema(example = "done")]
    pub outcome: String,
    pub detail: Map<String, Value>,
    /// A SHA-256 over the line before's hash, the sequence and what the line says; empty in lines from before
    /// there was a chain.
    pub hash: String,
    pub occurred_at: Time,
}
