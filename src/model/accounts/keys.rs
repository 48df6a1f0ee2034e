use serde::Serialize;
use utoipa::ToSchema;

use super::accounts::Environment;
use super::addresses::AddressRange;
use super::clients::{AuthMethod, Jwk, Jwks};
use super::roots::Root;
use super::spending::SpendCap;
use crate::model::ids::{AccountId, KeyId, MemberId};
use crate::model::scopes::Scope;
use crate::model::services::ReasonClass;
use crate::model::{Json, Path, Time};
use crate::stored_as_text;

stored_as_text! {
    pub enum KeyStatus {
        Active = "active",
        Revoked = "revoked",
    }
}

/// The rate class of every key that was not put into another.
pub const STANDARD_CLASS: &str = "standard";

/// A credential's row. Of the secret it has only the SHA-256, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct Key {
    pub id: KeyId,
    pub account_id: AccountId,
    pub path: Path,
    pub environment: Environment,
    pub name: String,
    pub secret_hash: String,
    /// The hash of the secret before the last rotation, and until when it works.
    pub former_hash: Option<String>,
    pub former_until: Option<Time>,
    pub scopes: Json<Vec<Scope>>,
    pub hold_classes: Json<Vec<ReasonClass>>,
    /// From where it may be used; from everywhere if there is none.
    pub allowed_addresses: Json<Vec<AddressRange>>,
    /// The accounts to which it is narrowed; it reaches all below its own if there is none.
    pub roots: Json<Vec<Root>>,
    /// How it authenticates as an OAuth client, and the public keys of its assertions.
    pub auth_method: AuthMethod,
    pub jwks: Json<Vec<Jwk>>,
    pub status: KeyStatus,
    pub created_by: String,
    pub created_at: Time,
    pub not_before: Option<Time>,
    pub expires_at: Option<Time>,
    pub revoked_at: Option<Time>,
    pub last_used_at: Option<Time>,
    pub last_used_ip: Option<String>,
    /// How much may be asked for with it, by the name that the settings give.
    pub rate_class: String,
    pub spend_cap: Option<Json<SpendCap>>,
    /// The person whose key it is.
    pub member_id: Option<MemberId>,
    pub version: i64,
}

/// A key as callers see it; never its secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyView {
    /// Also the OAuth `client_id`.
    pub id: KeyId,
    /// The account the key acts for; it reaches that account and all below.
    pub account_id: AccountId,
    /// The member of the account whose key it is; none if it is the account's own.
    pub member_id: Option<MemberId>,
    pub name: String,
    pub environment: Environment,
    pub scopes: Vec<Scope>,
    /// For which reasons the key may place and lift holds.
    pub hold_classes: Vec<ReasonClass>,
    /// From where the key and its tokens are taken; from everywhere if there is none.
    pub allowed_addresses: Vec<AddressRange>,
    /// The accounts that the key and its tokens reach, each with all below it; everything below its own account
    /// if there is none.
    pub roots: Vec<AccountId>,
    /// How it authenticates to the OAuth endpoints: with its secret, in HTTP Basic or in the form, or with assertions.
    pub token_endpoint_auth_method: AuthMethod,
    /// The public keys of its assertions.
    pub jwks: Option<Jwks>,
    pub status: KeyStatus,
    pub created_at: Time,
    /// Before that the key is refused.
    pub not_before: Option<Time>,
    /// From then on the key is refused.
    pub expires_at: Option<Time>,
    /// Until then the secret before the last rotation works as well.
    pub overlap_ends_at: Option<Time>,
    /// Right to the minute.
    pub last_used_at: Option<Time>,
    /// The network from which it was used last: the first 24 bits of the address, of an IPv6 address 48.
    #[schema(example = "203.0.113.0/24")]
    pub last_used_ip: Option<String>,
    /// How much may be asked for with it; see `GET /v1/limits`.
    #[schema(example = "standard")]
    pub rate_class: String,
    /// How much may be ordered with it.
    pub spend_cap: Option<SpendCap>,
}

impl From<Key> for KeyView {
    fn from(key: Key) -> Self {
        Self {
            id: key.id,
            account_id: key.account_id,
            member_id: key.member_id,
            name: key.name,
            environment: key.environment,
            scopes: key.scopes.0,
            hold_classes: key.hold_classes.0,
            allowed_addresses: key.allowed_addresses.0,
            roots: key.roots.0.into_iter().map(|root| root.id).collect(),
            token_endpoint_auth_method: key.auth_method,
            jwks: Some(Jwks { keys: key.jwks.0 }).filter(|jwks| !jwks.keys.is_empty()),
            status: key.status,
            created_at: key.created_at,
            not_before: key.not_before,
            expires_at: key.expires_at,
            overlap_ends_at: key.former_until,
            last_used_at: key.last_used_at,
            last_used_ip: key.last_used_ip,
            rate_class: key.rate_class,
            spend_cap: key.spend_cap.map(|cap| cap.0),
        }
    }
}

/// A key with its secret, as it is told once: when it is made or rotated.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedKey {
    #[serde(flatten)]
    pub key: KeyView,
    /// The credential itself. It is not kept and cannot be shown again.
    #[schema(example = "tnk_live_01jq3v8z0kf5n9d2t7x4m6c1ab_…")]
    pub secret: String,
}
