use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use crate::model::Time;
use crate::model::ids::AccountId;
use crate::model::money::Currency;
use crate::stored_as_text;

/// Which orders of the accounts below need that somebody at the account or above approves of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderPolicy {
    /// All of them.
    #[serde(default)]
    pub approval: bool,
    /// Those that cost more than this at first: what recurs, for its first period, and what is due once. One in another
    /// currency needs it, too; one without a price does not.
    #[serde(default)]
    pub approval_above: Option<OrderLimit>,
}

/// An amount that orders may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderLimit {
    /// In minor units.
    #[schema(minimum = 0, maximum = 1_000_000_000_000_i64, example = 50_000)]
    pub amount: i64,
    pub currency: Currency,
}

stored_as_text! {
    /// Why an order needs approval.
    pub enum ApprovalReason {
        /// A plan in it asks for that.
        Plan = "plan",
        /// An account above has all orders approved.
        Account = "account",
        /// It costs more than an account above lets through.
        Amount = "amount",
    }
}

/// Who has to approve of an order, and what was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// It takes this account or one above it.
    pub required_by: AccountId,
    pub reasons: Vec<ApprovalReason>,
    pub decided_at: Option<Time>,
    pub note: Option<String>,
}

/// The approval that an order needs, as callers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OrderApproval)]
pub struct ApprovalView {
    pub reasons: Vec<ApprovalReason>,
    /// Until when somebody has to say something; the order expires then.
    pub expires_at: Option<Time>,
    /// When it was approved or rejected.
    pub decided_at: Option<Time>,
    /// What was said with that.
    pub note: Option<String>,
}
