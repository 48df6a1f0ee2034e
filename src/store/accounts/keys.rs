use crate::model::accounts::accounts::{AccountStatus, AccountType, Environment};
use crate::model::accounts::clients::{AuthMethod, Jwk};
use crate::model::accounts::keys::Key;
use crate::model::ids::{AccountId, KeyId, MemberId};
use crate::model::{Json, Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! columns {
    () => {
        "k.id, k.account_id, k.path, k.environment, k.name, k.secret_hash, k.former_hash, k.former_until,
         k.scopes, k.hold_classes, k.allowed_addresses, k.roots, k.auth_method, k.jwks, k.status, k.created_by,
         k.created_at, k.not_before, k.expires_at, k.revoked_at, k.last_used_at, k.last_used_ip, k.rate_class,
         k.spend_cap, k.member_id, k.version"
    };
}

pub async fn insert(tx: &mut Tx, key: &Key) -> Result<()> {
    tx.later(
        "INSERT INTO api_keys (id, account_id, path, environment, name, secret_hash, scopes, hold_classes,
             status, created_by, created_at, expires_at, revoked_at, last_used_at, version, allowed_addresses,
             not_before, rate_class, roots, spend_cap, member_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)",
    )
    .bind(key.id)
    .bind(key.account_id)
    .bind(&key.path)
    .bind(key.environment)
    .bind(&key.name)
    .bind(&key.secret_hash)
    .bind(&key.scopes)
    .bind(&key.hold_classes)
    .bind(key.status)
    .bind(&key.created_by)
    .bind(key.created_at)
    .bind(key.expires_at)
    .bind(key.revoked_at)
    .bind(key.last_used_at)
    .bind(key.version)
    .bind(&key.allowed_addresses)
    .bind(key.not_before)
    .bind(&key.rate_class)
    .bind(&key.roots)
    .bind(key.spend_cap)
    .bind(key.member_id)
    .send()
    .await
}

pub async fn find(conn: &mut Conn, id: KeyId) -> Result<Option<Key>> {
    conn.query(sql!("SELECT " columns!() " FROM api_keys k WHERE k.id = $1 AND k.path >= $2 AND k.path < $3"))
        .bind(id)
        .within()
        .optional()
        .await
}

/// A key with what its account's state means for it.
#[derive(Debug, Clone, crate::model::rows::Record)]
pub struct Credential {
    #[record(flatten)]
    pub key: Key,
    pub account_status: AccountStatus,
    pub account_type: AccountType,
    pub require_idempotency_key: bool,
    pub account_environment: Environment,
    /// The weight of the strongest hold on the account or above it.
    pub held: Option<i64>,
}

/// The key and its account, for authentication, with its roots where they stand now.
pub async fn credential(conn: &mut Conn, id: KeyId) -> Result<Option<Credential>> {
    let mut found: Option<Credential> = conn.query(sql!(
        "SELECT " columns!() ", a.status AS account_status, a.type AS account_type,
             a.require_idempotency_key, a.environment AS account_environment, " held("a.path", "a.id") " AS held
         FROM api_keys k JOIN accounts a ON a.id = k.account_id WHERE k.id = $1"
    ))
    .bind(id)
    .optional()
    .await?;
    if let Some(credential) = found.as_mut().filter(|found| !found.key.roots.is_empty()) {
        let at: Vec<(AccountId, Path)> = conn
            .query(sql!(
                "SELECT id, path FROM accounts WHERE id "
                sqlite("IN (SELECT value FROM json_each($1))")
                pg("= ANY (ARRAY(SELECT value FROM jsonb_array_elements_text($1)))")
            ))
            .bind(Json(credential.key.roots.iter().map(|root| root.id).collect::<Vec<_>>()))
            .all()
            .await?;
        credential.key.stand_at(&at);
    }
    Ok(found)
}

/// A page of the subtree's keys in the order of (path, id), after the one named.
pub async fn page(conn: &mut Conn, after: Option<&(Path, KeyId)>, limit: i64) -> Result<Vec<Key>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM api_keys k
         WHERE (k.path, k.id) > ($1, $2) AND k.path < $3 ORDER BY k.path, k.id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// Revokes the key; says whether it was active until now.
pub async fn revoke(tx: &mut Tx, id: KeyId, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE api_keys SET status = 'revoked', revoked_at = $2, version = version + 1
             WHERE id = $1 AND status = 'active'",
        )
        .bind(id)
        .bind(now)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// Writes the key's rate class and its cap; says whether it was active, in the version that was read.
pub async fn update(tx: &mut Tx, key: &Key) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE api_keys SET rate_class = $2, spend_cap = $3, version = version + 1
             WHERE id = $1 AND status = 'active' AND version = $4",
        )
        .bind(key.id)
        .bind(&key.rate_class)
        .bind(key.spend_cap)
        .bind(key.version)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// The keys in force of a person's.
pub async fn of_member(conn: &mut Conn, member: MemberId) -> Result<Vec<Key>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM api_keys k
         WHERE k.member_id = $1 AND k.status = 'active' AND k.path >= $2 AND k.path < $3 ORDER BY k.id"
    ))
    .bind(member)
    .within()
    .all()
    .await
}

/// Writes which scopes the key has from now on; says whether it was active, in the version that was read.
pub async fn narrow(tx: &mut Tx, key: &Key) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE api_keys SET scopes = $2, version = version + 1
             WHERE id = $1 AND status = 'active' AND version = $3",
        )
        .bind(key.id)
        .bind(&key.scopes)
        .bind(key.version)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// Gives the key a new secret. The one it had goes on working until `former_until`, or ends if that is none;
/// one that was on its way out ends. Says whether the key was active.
pub async fn rotate(tx: &mut Tx, id: KeyId, secret_hash: &str, former_until: Option<Time>) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE api_keys SET former_until = $3,
                 former_hash = CASE WHEN $3 IS NULL THEN NULL ELSE secret_hash END,
                 secret_hash = $2, version = version + 1
             WHERE id = $1 AND status = 'active'",
        )
        .bind(id)
        .bind(secret_hash)
        .bind(former_until)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// Sets how the key authenticates as an OAuth client. Says whether the key was active.
pub async fn set_client(
    tx: &mut Tx,
    id: KeyId,
    auth_method: AuthMethod,
    jwks: &Json<Vec<Jwk>>,
) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE api_keys SET auth_method = $2, jwks = $3, version = version + 1
             WHERE id = $1 AND status = 'active'",
        )
        .bind(id)
        .bind(auth_method)
        .bind(jwks)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// Notes when a key was last used and from which network; only ever forward.
pub async fn touch(tx: &mut Tx, id: KeyId, used: Time, network: Option<&str>) -> Result<()> {
    tx.query(
        "UPDATE api_keys SET last_used_at = $2, last_used_ip = $3
         WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)",
    )
    .bind(id)
    .bind(used)
    .bind(network)
    .execute()
    .await?;
    Ok(())
}
