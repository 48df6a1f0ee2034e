use crate::model::accounts::storefront_keys::{Storefront, StorefrontKey};
use crate::model::ids::KeyId;
use crate::model::{Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! columns {
    () => {
        "k.id, k.account_id, k.path, k.environment, k.name, k.key, k.origins, k.requests_per_minute,
         k.requests_per_minute_per_address, k.signups_per_hour, k.signups_per_hour_per_address,
         k.signup_max_quantity, k.status, k.created_by, k.expires_at, k.revoked_at, k.version,
         k.created_at, k.updated_at"
    };
}

pub async fn insert(tx: &mut Tx, key: &StorefrontKey) -> Result<()> {
    tx.later(
        "INSERT INTO storefront_keys (id, account_id, path, environment, name, key, origins, requests_per_minute,
             requests_per_minute_per_address, status, created_by, expires_at, version, created_at, updated_at,
             signups_per_hour, signups_per_hour_per_address, signup_max_quantity)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
    )
    .bind(key.id)
    .bind(key.account_id)
    .bind(&key.path)
    .bind(key.environment)
    .bind(&key.name)
    .bind(&key.key)
    .bind(&key.origins)
    .bind(key.requests_per_minute)
    .bind(key.requests_per_minute_per_address)
    .bind(key.status)
    .bind(&key.created_by)
    .bind(key.expires_at)
    .bind(key.version)
    .bind(key.created_at)
    .bind(key.updated_at)
    .bind(key.signups_per_hour)
    .bind(key.signups_per_hour_per_address)
    .bind(key.signup_max_quantity)
    .send()
    .await
}

pub async fn find(conn: &mut Conn, id: KeyId) -> Result<Option<StorefrontKey>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM storefront_keys k WHERE k.id = $1 AND k.path >= $2 AND k.path < $3"
    ))
    .bind(id)
    .within()
    .optional()
    .await
}

/// The key and its account, for authentication.
pub async fn storefront(conn: &mut Conn, id: KeyId) -> Result<Option<Storefront>> {
    conn.query(sql!(
        "SELECT " columns!() ", a.status AS account_status, a.type AS account_type,
             a.environment AS account_environment, " held("a.path") " AS held
         FROM storefront_keys k JOIN accounts a ON a.id = k.account_id WHERE k.id = $1"
    ))
    .bind(id)
    .optional()
    .await
}

/// A page of the subtree's keys in the order of (path, id), after the one named.
pub async fn page(conn: &mut Conn, after: Option<&(Path, KeyId)>, limit: i64) -> Result<Vec<StorefrontKey>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM storefront_keys k
         WHERE (k.path, k.id) > ($1, $2) AND k.path < $3 ORDER BY k.path, k.id LIMIT $4"
    ))
    .after(after)
    .bind(limit)
    .all()
    .await
}

/// Writes what can change of a key; says whether its version was still the one that was read.
pub async fn update(tx: &mut Tx, key: &StorefrontKey, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE storefront_keys SET name = $2, origins = $3, requests_per_minute = $4,
                 requests_per_minute_per_address = $5, status = $6, expires_at = $7, revoked_at = $8,
                 signups_per_hour = $9, signups_per_hour_per_address = $10, signup_max_quantity = $11,
                 version = version + 1, updated_at = $12
             WHERE id = $1 AND version = $13",
        )
        .bind(key.id)
        .bind(&key.name)
        .bind(&key.origins)
        .bind(key.requests_per_minute)
        .bind(key.requests_per_minute_per_address)
        .bind(key.status)
        .bind(key.expires_at)
        .bind(key.revoked_at)
        .bind(key.signups_per_hour)
        .bind(key.signups_per_hour_per_address)
        .bind(key.signup_max_quantity)
        .bind(now)
        .bind(key.version)
        .execute()
        .await?;
    Ok(changed == 1)
}
