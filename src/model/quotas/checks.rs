use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Level, QuotaKey, QuotaView, Remedy, Violation};

/// So much of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QuotaAmount)]
pub struct Amount {
    pub key: QuotaKey,
    /// In the quota's unit.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_i64)]
    pub amount: i64,
}

/// Whether so much could be taken as things stand.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = QuotaCheckResult)]
pub struct Checked {
    pub fits: bool,
    /// What does not suffice.
    pub violations: Vec<Violation>,
    /// Calls that would make room, ready to be sent; for a subscription, to a caller that may place orders.
    pub remedies: Vec<Remedy>,
}

/// One level of those that a quota is taken from.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = QuotaLevel)]
pub struct ExplainedLevel {
    pub level: Level,
    /// The subscription or account whose quota it is.
    pub holder: String,
    /// It is the level that lets the least through.
    pub binds: bool,
    #[serde(flatten)]
    pub quota: QuotaView,
}

/// How much of a quota can still be taken, and by which level that is so.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = QuotaExplanation)]
pub struct Explanation {
    pub key: QuotaKey,
    #[schema(example = "1")]
    pub unit: &'static str,
    /// What the levels here let through; `null` where none of them is bounded. It is less that can be taken, if `binding` is
    /// `upstream`.
    pub available_here: Option<i64>,
    /// How near the level is that lets the least through; `null` where there is no ceiling at all. Of those above the
    /// caller's own account, no more is told than that it is one of them.
    pub binding: Option<Level>,
    /// The levels that bound it, the first one first, without those above the caller's own account.
    pub levels: Vec<ExplainedLevel>,
}
