use serde::Serialize;
use utoipa::ToSchema;

use super::accounts::{AccountStatus, AccountType, Environment};
use super::keys::KeyStatus;
use super::origins::Origin;
use crate::model::ids::{AccountId, KeyId};
use crate::model::{Json, Path, Time};

/// The row of a key that stands in a shop's pages, where everybody can read it.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct StorefrontKey {
    pub id: KeyId,
    pub account_id: AccountId,
    pub path: Path,
    pub environment: Environment,
    pub name: String,
    /// The key as it is sent; it is no secret.
    pub key: String,
    /// From which pages it is taken.
    pub origins: Json<Vec<Origin>>,
    pub requests_per_minute: i64,
    pub requests_per_minute_per_address: i64,
    pub signups_per_hour: i64,
    pub signups_per_hour_per_address: i64,
    pub signup_max_quantity: i64,
    pub status: KeyStatus,
    pub created_by: String,
    pub expires_at: Time,
    pub revoked_at: Option<Time>,
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

/// The key with what its account's state means for it.
#[derive(Debug, Clone, crate::model::rows::Record)]
pub struct Storefront {
    #[record(flatten)]
    pub key: StorefrontKey,
    pub account_status: AccountStatus,
    pub account_type: AccountType,
    pub account_environment: Environment,
    /// The weight of the strongest hold on the account or above it.
    pub held: Option<i64>,
}

/// A storefront's key as callers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = StorefrontKey)]
pub struct StorefrontKeyView {
    pub id: KeyId,
    /// The account whose offer it shows.
    pub account_id: AccountId,
    pub name: String,
    pub environment: Environment,
    /// What the shop's pages send as `Authorization: Bearer`. It is no secret, and can be read again here.
    #[schema(example = "tnp_live_01jq3v8z0kf5n9d2t7x4m6c1ab_…")]
    pub key: String,
    /// From which pages it is taken.
    pub origins: Vec<Origin>,
    /// How many requests are taken with it in a minute, of all visitors together.
    pub requests_per_minute: i64,
    /// The same of one address.
    pub requests_per_minute_per_address: i64,
    /// How many sign-ups are taken with it in an hour, of all visitors together; if 0, it takes none.
    pub signups_per_hour: i64,
    /// The same of one address.
    pub signups_per_hour_per_address: i64,
    /// How much of a plan a sign-up with it takes at most.
    pub signup_max_quantity: i64,
    pub status: KeyStatus,
    /// From then on it is refused.
    pub expires_at: Time,
    pub created_at: Time,
    pub updated_at: Time,
}

impl From<StorefrontKey> for StorefrontKeyView {
    fn from(key: StorefrontKey) -> Self {
        Self {
            id: key.id,
            account_id: key.account_id,
            name: key.name,
            environment: key.environment,
            key: key.key,
            origins: key.origins.0,
            requests_per_minute: key.requests_per_minute,
            requests_per_minute_per_address: key.requests_per_minute_per_address,
            signups_per_hour: key.signups_per_hour,
            signups_per_hour_per_address: key.signups_per_hour_per_address,
            signup_max_quantity: key.signup_max_quantity,
            status: key.status,
            expires_at: key.expires_at,
            created_at: key.created_at,
            updated_at: key.updated_at,
        }
    }
}
