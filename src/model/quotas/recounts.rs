use serde::Serialize;
use utoipa::ToSchema;

use super::QuotaKey;
use crate::model::ids::AccountId;

/// A counter that was not what there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = QuotaCorrection)]
pub struct Correction {
    /// The subscription or account whose ceiling it is.
    pub holder: String,
    pub key: QuotaKey,
    pub used_before: i64,
    pub reserved_before: i64,
    pub used: i64,
    pub reserved: i64,
}

/// What a recount came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = QuotaRecount)]
pub struct Recount {
    pub account_id: AccountId,
    /// What was set right; empty where all was right.
    pub corrections: Vec<Correction>,
    /// The subscriptions that operations in flight have taken of: they were left as they are.
    pub skipped: Vec<String>,
}
