use std::net::IpAddr;
use std::sync::Arc;

use super::accounts::accounts::Environment;
use super::accounts::addresses::AddressRange;
use super::accounts::spending::SpendCap;
use super::ids::{AccountId, BatchId, KeyId, MemberId, RequestId};
use super::scopes::Scope;
use super::services::ReasonClass;
use super::{Path, Subtree, Time};

/// Who asks, for which account, with what rights, and when. Everything a use-case may know of its caller.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The account that owns the credential.
    pub principal_id: AccountId,
    pub principal_path: Path,
    /// The account acted for: the principal, or one below it.
    pub subject_id: AccountId,
    pub subject_path: Path,
    /// What the caller may reach: the account it acts for and all below, or what its key is narrowed to of it.
    pub reach: Subtree,
    /// Of a token that was exchanged, the accounts that act through each other, the nearest first.
    pub actors: Arc<[AccountId]>,
    pub key_id: KeyId,
    pub scopes: Arc<[Scope]>,
    /// For which reasons the key may place and lift holds.
    pub hold_classes: Arc<[ReasonClass]>,
    /// From where the key may be used, and until when.
    pub allowed_addresses: Arc<[AddressRange]>,
    pub expires_at: Option<Time>,
    /// How much may be ordered with the key.
    pub spend_cap: Option<SpendCap>,
    /// The person whose key it is.
    pub member_id: Option<MemberId>,
    /// Whether it is a shop's page, where anybody can have written what is asked.
    pub is_public: bool,
    /// The batch that the request was left in.
    pub batch_id: Option<BatchId>,
    pub environment: Environment,
    pub request_id: RequestId,
    pub address: Option<IpAddr>,
    pub now: Time,
}

impl Actor {
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// What the caller may reach.
    pub fn subtree(&self) -> Subtree {
        self.reach.clone()
    }
}
