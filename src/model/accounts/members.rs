use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::accounts::AccountType;
use crate::model::ids::{AccountId, MemberId};
use crate::model::scopes::{Bundle, Scope};
use crate::model::{Json, Path, Time};
use crate::stored_as_text;

stored_as_text! {
    /// What a person is to an account.
    pub enum MemberRole {
        /// Answers for the account, and may do all that the account may.
        Owner = "owner",
        /// Administers a part of it: a delegated administrator.
        Peer = "peer",
        /// Pays for it: sees what it has ordered, renews and cancels.
        Billing = "billing",
        /// Looks at it.
        Viewer = "viewer",
    }
}

impl MemberRole {
    /// What a person in this role may do in an account of this type, with what a peer is given.
    pub fn may(self, given: &[Scope], of: AccountType) -> Vec<Scope> {
        match self {
            MemberRole::Peer => given.to_vec(),
            role => role.scopes(of),
        }
    }

    /// What the role lets a person do in an account of this type; a peer's is said of each.
    pub fn scopes(self, of: AccountType) -> Vec<Scope> {
        use Scope::*;
        match (self, of) {
            (MemberRole::Owner, AccountType::Operator) => Bundle::OperatorAdmin.scopes(),
            (MemberRole::Owner, AccountType::Distributor | AccountType::Reseller) => {
                Bundle::ResellerAdmin.scopes()
            }
            (MemberRole::Owner, AccountType::Agent | AccountType::Tenant) => Bundle::TenantAdmin.scopes(),
            (MemberRole::Peer, _) => Vec::new(),
            (MemberRole::Billing, _) => {
                vec![AccountsRead, CatalogRead, OrdersRead, SubscriptionsRead, SubscriptionsWrite, QuotasRead]
            }
            (MemberRole::Viewer, _) => vec![
                AccountsRead,
                CatalogRead,
                OrdersRead,
                SubscriptionsRead,
                ServicesRead,
                ResourcesRead,
                QuotasRead,
                OperationsRead,
            ],
        }
    }
}

/// A person's row.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct Member {
    pub id: MemberId,
    pub account_id: AccountId,
    pub path: Path,
    pub role: MemberRole,
    pub name: String,
    pub email: String,
    /// What a peer may do; the other roles say it themselves.
    pub scopes: Json<Vec<Scope>>,
    pub metadata: Json<BTreeMap<String, String>>,
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
    /// What its account is in the channel.
    pub account_type: AccountType,
}

/// A person of an account, as callers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Member)]
pub struct MemberView {
    pub id: MemberId,
    pub account_id: AccountId,
    pub role: MemberRole,
    pub name: String,
    /// In lower case; the account has one member with it.
    #[schema(example = "alice@acme.example")]
    pub email: String,
    /// What the member may do: its keys have no other scopes. A peer's as they were given, of the others what the role is.
    pub scopes: Vec<Scope>,
    pub metadata: BTreeMap<String, String>,
    pub created_at: Time,
    pub updated_at: Time,
}

impl Member {
    /// What the member may do in its account.
    pub fn may(&self) -> Vec<Scope> {
        self.role.may(&self.scopes, self.account_type)
    }
}

impl From<Member> for MemberView {
    fn from(member: Member) -> Self {
        Self {
            scopes: member.may(),
            id: member.id,
            account_id: member.account_id,
            role: member.role,
            name: member.name,
            email: member.email,
            metadata: member.metadata.0,
            created_at: member.created_at,
            updated_at: member.updated_at,
        }
    }
}
