use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::delegation::{Allow, Delegation};
use super::signups::SignupPolicy;
use crate::model::commerce::approvals::OrderPolicy;
use crate::model::ids::AccountId;
use crate::model::services::Access;
use crate::model::{Json, Path, Time};
use crate::stored_as_text;

stored_as_text! {
    /// What an account is in the channel.
    pub enum AccountType {
        /// Owns the installation; there is one.
        Operator = "operator",
        /// Sells to resellers.
        Distributor = "distributor",
        /// Sells to tenants and sub-resellers.
        Reseller = "reseller",
        /// Earns beside the tree; has no accounts below.
        Agent = "agent",
        /// Uses services.
        Tenant = "tenant",
    }
}

impl AccountType {
    /// Whether it has customers.
    pub fn sells(self) -> bool {
        !matches!(self, AccountType::Tenant | AccountType::Agent)
    }

    /// Which accounts may stand directly below one of this type.
    pub fn may_hold(self, child: AccountType) -> bool {
        use AccountType::*;
        match self {
            Operator => child != Operator,
            Distributor => matches!(child, Reseller | Agent | Tenant),
            Reseller => matches!(child, Reseller | Agent | Tenant),
            Agent | Tenant => false,
        }
    }
}

stored_as_text! {
    /// Whether an account is in use. Suspension is not a status: it follows from holds.
    pub enum AccountStatus {
        Active = "active",
        Closed = "closed",
    }
}

stored_as_text! {
    /// Test accounts are for trying out: their keys reach nothing live, and live keys nothing of theirs.
    pub enum Environment {
        Live = "live",
        Test = "test",
    }
}

/// A row of the tree.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct Account {
    pub id: AccountId,
    pub path: Path,
    pub parent_id: Option<AccountId>,
    #[record(rename = "type")]
    pub account_type: AccountType,
    pub status: AccountStatus,
    pub environment: Environment,
    pub name: String,
    pub contact_email: Option<String>,
    pub country: Option<String>,
    pub locale: Option<String>,
    pub time_zone: Option<String>,
    pub currency: Option<String>,
    pub external_id: Option<String>,
    pub external_id_by: Option<AccountId>,
    pub fingerprint: String,
    pub metadata: Json<BTreeMap<String, String>>,
    pub delegation: Allow,
    pub require_idempotency_key: bool,
    pub signup_policy: Option<Json<SignupPolicy>>,
    pub order_policy: Option<Json<OrderPolicy>>,
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
    /// The weight of the strongest hold in force on the account or above it; see [`crate::model::services::Access`].
    #[record(default)]
    pub held: Option<i64>,
}

/// An account as callers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountView {
    pub id: AccountId,
    #[serde(rename = "type")]
    pub account_type: AccountType,
    /// The account directly above; none for the operator and, to a caller, for its own account.
    pub parent_id: Option<AccountId>,
    pub name: String,
    pub environment: Environment,
    pub status: AccountStatus,
    /// Whether a hold on the account or on one above it is in force.
    pub suspended: bool,
    pub contact_email: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// BCP 47.
    pub locale: Option<String>,
    /// IANA time zone.
    pub time_zone: Option<String>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// The caller's own name for the account, unique among the accounts it made.
    pub external_id: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// What the accounts above may do in this one and in all below it.
    pub delegation: Delegation,
    /// Whether the account's own keys and tokens must send an `Idempotency-Key` with each change.
    pub require_idempotency_key: bool,
    /// What the account asks of those who sign up at it and below it; what those above it ask is asked as well. Where
    /// nobody has said anything, addresses are verified and nobody has to approve.
    pub signup_policy: Option<SignupPolicy>,
    /// What the account asks of orders from below it; what those above it ask is asked as well.
    pub order_policy: Option<OrderPolicy>,
    pub created_at: Time,
    pub updated_at: Time,
}

impl Account {
    /// Whether a hold on the account or on one above it is in force.
    pub fn is_suspended(&self) -> bool {
        self.held.is_some_and(|weight| weight >= Access::Suspended.weight())
    }

    /// The account as the one at `viewer` sees it.
    pub fn seen_by(self, viewer: &Path) -> AccountView {
        let (suspended, account) = (self.is_suspended(), self);
        let from_above = viewer.covers(&account.path) && viewer != &account.path;
        AccountView {
            id: account.id,
            account_type: account.account_type,
            parent_id: account.parent_id.filter(|_| from_above),
            name: account.name,
            environment: account.environment,
            status: account.status,
            suspended,
            contact_email: account.contact_email,
            country: account.country,
            locale: account.locale,
            time_zone: account.time_zone,
            currency: account.currency,
            external_id: account.external_id,
            metadata: account.metadata.0,
            delegation: Delegation { allow: account.delegation },
            require_idempotency_key: account.require_idempotency_key,
            signup_policy: account.signup_policy.map(|policy| policy.0),
            order_policy: account.order_policy.map(|policy| policy.0),
            created_at: account.created_at,
            updated_at: account.updated_at,
        }
    }
}
