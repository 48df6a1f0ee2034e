use serde::Serialize;
use utoipa::ToSchema;

use super::services::Access;
use crate::model::accounts::accounts::AccountType;
use crate::model::ids::{AccountId, HoldId};
use crate::model::{Path, Time};
use crate::stored_as_text;

stored_as_text! {
    /// What a hold does while it is in force.
    pub enum Effect {
        /// No use at all; data stay.
        Suspend = "suspend",
        /// Less use, as the service type has it: reading but no sending, for one.
        Degrade = "degrade",
        /// Use goes on, changes are refused.
        FreezeChanges = "freeze_changes",
        /// Data may not be deleted for good.
        BlockPurge = "block_purge",
    }
}

impl Effect {
    /// What the hold leaves of a service's access.
    pub fn access(self) -> Access {
        match self {
            Effect::Suspend => Access::Suspended,
            Effect::Degrade => Access::Degraded,
            Effect::FreezeChanges | Effect::BlockPurge => Access::Full,
        }
    }
}

stored_as_text! {
    /// Why a hold was placed. Reasons are kept apart: lifting the holds of one leaves those of the others.
    pub enum ReasonClass {
        Payment = "payment",
        Abuse = "abuse",
        Legal = "legal",
        Administrative = "administrative",
        Voluntary = "voluntary",
        Policy = "policy",
        /// Its subscription has come to its end. Nobody places or lifts such a hold: a renewal lifts it.
        Ended = "ended",
    }
}

impl ReasonClass {
    /// The reasons for which callers place and lift holds.
    pub const PLACED: &'static [Self] =
        &[Self::Payment, Self::Abuse, Self::Legal, Self::Administrative, Self::Voluntary, Self::Policy];
}

stored_as_text! {
    /// Where a hold stands.
    pub enum HoldStatus {
        Scheduled = "scheduled",
        Active = "active",
        Released = "released",
        Expired = "expired",
    }
}

stored_as_text! {
    /// What kind of thing a hold is on; it reaches everything below.
    pub enum TargetType {
        Account = "account",
        Subscription = "subscription",
        Service = "service",
    }
}

stored_as_text! {
    /// How far down a hold on an account reaches.
    pub enum HoldScope {
        /// The account and all below it, with all that they have.
        All = "all",
        /// The account's own keys, and with them its orders: no service of its or of its customers'.
        AccountOnly = "account_only",
    }
}

/// A hold's row. `target` is an account's path, or the identifier of a subscription or service; or that of an account,
/// whose path is the target of a hold that reaches further down.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct Hold {
    pub id: HoldId,
    pub account_id: AccountId,
    pub path: Path,
    pub target_type: TargetType,
    pub target_id: String,
    pub target: String,
    pub status: HoldStatus,
    pub effect: Effect,
    pub reason_class: ReasonClass,
    pub reason_code: String,
    pub reason: Option<String>,
    pub placed_by: AccountId,
    pub placed_by_path: Path,
    pub placed_by_type: AccountType,
    pub starts_at: Option<Time>,
    pub expires_at: Option<Time>,
    pub ended_at: Option<Time>,
    pub ended_by: Option<String>,
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

/// A hold as a caller sees it: who placed one from further up is told by role, not by name.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Hold)]
pub struct HoldView {
    pub id: HoldId,
    pub target_type: TargetType,
    /// None where the hold is on an account above the caller's own.
    pub target_id: Option<String>,
    /// How far down it reaches.
    pub scope: HoldScope,
    pub status: HoldStatus,
    pub effect: Effect,
    pub reason_class: ReasonClass,
    /// The word the caller that placed it used: a reason class, or its own code below one.
    pub reason_code: String,
    pub reason: Option<String>,
    /// The account that placed it; none where that stands above the caller's own.
    pub placed_by: Option<AccountId>,
    /// What that account is in the channel.
    pub placed_by_role: AccountType,
    pub starts_at: Option<Time>,
    pub expires_at: Option<Time>,
    pub ended_at: Option<Time>,
    pub created_at: Time,
}

impl Hold {
    /// How far down it reaches.
    pub fn scope(&self) -> HoldScope {
        match self.target_type == TargetType::Account && self.target == self.target_id {
            true => HoldScope::AccountOnly,
            false => HoldScope::All,
        }
    }

    /// The hold as the account at `viewer` sees it.
    pub fn seen_by(self, viewer: &Path) -> HoldView {
        let own = viewer.covers(&self.placed_by_path);
        HoldView {
            scope: self.scope(),
            id: self.id,
            target_type: self.target_type,
            target_id: viewer.covers(&self.path).then_some(self.target_id),
            status: self.status,
            effect: self.effect,
            reason_class: self.reason_class,
            reason_code: self.reason_code,
            reason: if own { self.reason } else { None },
            placed_by: own.then_some(self.placed_by),
            placed_by_role: self.placed_by_type,
            starts_at: self.starts_at,
            expires_at: self.expires_at,
            ended_at: self.ended_at,
            created_at: self.created_at,
        }
    }
}
