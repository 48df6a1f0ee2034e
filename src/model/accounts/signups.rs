use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use crate::model::ids::{AccountId, MemberId, OperationId, OrderId, SignupId};
use crate::model::services::operations::OperationView;
use crate::model::{Json, Path, Time};
use crate::stored_as_text;

stored_as_text! {
    /// Where a sign-up stands.
    pub enum SignupStatus {
        /// It waits for what `awaits` names.
        Pending = "pending",
        /// The account is there, and its first order is placed.
        Accepted = "accepted",
        Rejected = "rejected",
        /// Nobody saw to it in time.
        Expired = "expired",
    }
}

stored_as_text! {
    /// What a sign-up can wait for.
    pub enum Awaited {
        /// That the administrator shows that the address is his.
        EmailVerification = "email_verification",
        /// That the seller says yes.
        Approval = "approval",
    }
}

/// What is asked of those who sign up below an account, at whichever depth: what an account above demands is demanded,
/// whatever those below it say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignupPolicy {
    /// The administrator's address has to be verified, by a token that is sent there.
    pub verify_email: bool,
    /// Somebody has to approve of each.
    pub approval: bool,
}

/// Where nobody has said anything.
pub const UNSAID: SignupPolicy = SignupPolicy { verify_email: true, approval: false };

impl SignupPolicy {
    /// What several accounts demand together.
    pub fn together(said: impl IntoIterator<Item = SignupPolicy>) -> SignupPolicy {
        let both = |one: SignupPolicy, other: SignupPolicy| SignupPolicy {
            verify_email: one.verify_email || other.verify_email,
            approval: one.approval || other.approval,
        };
        said.into_iter().reduce(both).unwrap_or(UNSAID)
    }
}

/// What the account is to be that somebody signs up for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignupAccount {
    pub name: String,
    pub external_id: Option<String>,
    pub country: Option<String>,
    pub locale: Option<String>,
    pub time_zone: Option<String>,
    pub currency: Option<String>,
}

/// Who is to own it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignupAdministrator {
    #[schema(example = "Alice Ames")]
    pub name: String,
    /// In lower case.
    #[schema(example = "alice@acme.example")]
    pub email: String,
}

/// A sign-up's row.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct Signup {
    pub id: SignupId,
    /// The seller below whom the account is to stand.
    pub account_id: AccountId,
    pub path: Path,
    pub status: SignupStatus,
    pub account: Json<SignupAccount>,
    pub administrator: Json<SignupAdministrator>,
    pub domain: Option<String>,
    /// The name that the account is to have, which is taken from now on.
    pub external_id: Option<String>,
    pub plan: String,
    pub quantity: i64,
    pub needs_email: bool,
    pub needs_approval: bool,
    pub token_hash: Option<String>,
    pub email_verified_at: Option<Time>,
    pub approved_at: Option<Time>,
    pub opened_id: Option<AccountId>,
    pub member_id: Option<MemberId>,
    pub order_id: Option<OrderId>,
    pub operation_id: Option<OperationId>,
    pub reason: Option<String>,
    pub metadata: Json<BTreeMap<String, String>>,
    pub fingerprint: String,
    pub expires_at: Time,
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

impl Signup {
    /// What it waits for, in the order in which it mostly comes.
    pub fn awaits(&self) -> Vec<Awaited> {
        let email = self.needs_email && self.email_verified_at.is_none();
        let approval = self.needs_approval && self.approved_at.is_none();
        let awaited = [(email, Awaited::EmailVerification), (approval, Awaited::Approval)];
        match self.status {
            SignupStatus::Pending => {
                awaited.into_iter().filter(|(is, _)| *is).map(|(_, what)| what).collect()
            }
            SignupStatus::Accepted | SignupStatus::Rejected | SignupStatus::Expired => Vec::new(),
        }
    }
}

/// A sign-up as callers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Signup)]
pub struct SignupView {
    pub id: SignupId,
    /// The seller below whom the account is to stand.
    pub parent_id: AccountId,
    pub status: SignupStatus,
    /// What has to come before it is accepted.
    pub awaits: Vec<Awaited>,
    pub account: SignupAccount,
    pub administrator: SignupAdministrator,
    /// The customer's first domain.
    #[schema(example = "acme.example")]
    pub domain: Option<String>,
    /// The plan's code or identifier, as it was asked for.
    #[schema(example = "hosted-mail")]
    pub plan: String,
    pub quantity: i64,
    pub email_verified_at: Option<Time>,
    pub approved_at: Option<Time>,
    /// The account that was opened.
    pub opened_account_id: Option<AccountId>,
    /// Its owner.
    pub member_id: Option<MemberId>,
    /// Its first order, and the operation that makes what it asks for.
    pub order_id: Option<OrderId>,
    pub operation_id: Option<OperationId>,
    /// Why it was rejected.
    pub reason: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// Until then it waits.
    pub expires_at: Time,
    pub created_at: Time,
    pub updated_at: Time,
    /// The order's operation as it ended; only in an answer that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub operation: Option<OperationView>,
}

impl From<Signup> for SignupView {
    fn from(signup: Signup) -> Self {
        Self {
            awaits: signup.awaits(),
            id: signup.id,
            parent_id: signup.account_id,
            status: signup.status,
            account: signup.account.0,
            administrator: signup.administrator.0,
            domain: signup.domain,
            plan: signup.plan,
            quantity: signup.quantity,
            email_verified_at: signup.email_verified_at,
            approved_at: signup.approved_at,
            opened_account_id: signup.opened_id,
            member_id: signup.member_id,
            order_id: signup.order_id,
            operation_id: signup.operation_id,
            reason: signup.reason,
            metadata: signup.metadata.0,
            expires_at: signup.expires_at,
            created_at: signup.created_at,
            updated_at: signup.updated_at,
            operation: None,
        }
    }
}

impl SignupView {
    /// The sign-up as a shop's page sees it: what whoever signs up has written, and where it stands.
    pub fn published(self) -> Self {
        Self {
            account: SignupAccount { external_id: None, ..self.account },
            opened_account_id: None,
            member_id: None,
            order_id: None,
            operation_id: None,
            reason: None,
            metadata: BTreeMap::new(),
            ..self
        }
    }
}

/// What shows that an address is the administrator's, as it is told once.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerificationToken {
    pub signup_id: SignupId,
    /// Where it is to be sent, and nowhere else.
    #[schema(example = "alice@acme.example")]
    pub email: String,
    /// It is not kept and cannot be shown again.
    pub token: String,
    pub expires_at: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_account_demands_is_demanded_whatever_the_others_say() {
        let policy = |verify_email, approval| SignupPolicy { verify_email, approval };
        assert_eq!(SignupPolicy::together([]), policy(true, false));
        assert_eq!(SignupPolicy::together([policy(false, false)]), policy(false, false));
        let said = [policy(false, true), policy(true, false), policy(false, false)];
        assert_eq!(SignupPolicy::together(said), policy(true, true));
    }
}
