use serde::Serialize;
use utoipa::ToSchema;

use super::accounts::{Account, AccountStatus, AccountType};
use crate::model::ids::AccountId;
use crate::model::{Path, Time};
use crate::stored_as_text;

stored_as_text! {
    /// What is wrong with an account.
    pub enum ProblemKind {
        /// Work that goes on when somebody has looked at it.
        OperationNeedsAttention = "operation_needs_attention",
        /// More is taken than there is, since the ceiling was lowered.
        QuotaPassed = "quota_passed",
        /// A hold suspends or degrades the account, or something in it that has not come to its end.
        Held = "held",
    }
}

stored_as_text! {
    /// How an account is.
    pub enum Health {
        Ok = "ok",
        /// Something is as somebody wants it, but not as it was sold.
        Attention = "attention",
        /// Something does not go on by itself.
        Failing = "failing",
    }
}

/// So much of one kind is wrong with the account that stands at a path.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct Trouble {
    pub path: Path,
    pub kind: ProblemKind,
    pub count: i64,
    pub since: Time,
}

/// A problem of an account.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ConsoleProblem)]
pub struct ProblemView {
    pub kind: ProblemKind,
    /// How many operations, quotas or holds.
    #[schema(minimum = 1)]
    pub count: i64,
    /// When the oldest of them began or, of quotas, was last moved.
    pub since: Time,
}

/// An account below a seller, and how it is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConsoleEntry {
    pub id: AccountId,
    #[serde(rename = "type")]
    pub account_type: AccountType,
    /// The account directly above.
    pub parent_id: Option<AccountId>,
    pub name: String,
    pub status: AccountStatus,
    /// Whether a hold on the account or on one above it is in force.
    pub suspended: bool,
    /// The name of its own that whoever opened the account gave it.
    pub external_id: Option<String>,
    pub health: Health,
    /// The worst first; none of what is below the account, nor of what holds above it.
    pub problems: Vec<ProblemView>,
}

impl ConsoleEntry {
    /// The account as the one at `viewer` sees it, with what is wrong with it.
    pub fn of(account: Account, viewer: &Path, troubles: &[Trouble]) -> Self {
        let mut own: Vec<_> = troubles.iter().filter(|trouble| trouble.path == account.path).collect();
        own.sort_by_key(|trouble| ProblemKind::ALL.iter().position(|kind| *kind == trouble.kind));
        let health = match own.first().map(|trouble| trouble.kind) {
            None => Health::Ok,
            Some(ProblemKind::Held | ProblemKind::QuotaPassed) => Health::Attention,
            Some(_) => Health::Failing,
        };
        let problem = |trouble: &Trouble| ProblemView {
            kind: trouble.kind,
            count: trouble.count,
            since: trouble.since,
        };
        let problems = own.into_iter().map(problem).collect();
        let shown = account.seen_by(viewer);
        Self {
            id: shown.id,
            account_type: shown.account_type,
            parent_id: shown.parent_id,
            name: shown.name,
            status: shown.status,
            suspended: shown.suspended,
            external_id: shown.external_id,
            health,
            problems,
        }
    }
}
