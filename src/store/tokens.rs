//! Access tokens that were revoked before their time, and assertions that were used.

use super::{Conn, Result, Tx};
use crate::model::Time;

/// Ends a token, by its `jti`, whose own end is `expires`.
pub async fn revoke(tx: &mut Tx, jti: &str, expires: Time) -> Result<()> {
    tx.query("INSERT INTO revoked_tokens (jti, expires_at) VALUES ($1, $2) ON CONFLICT (jti) DO NOTHING")
        .bind(jti)
        .bind(expires)
        .execute()
        .await?;
    Ok(())
}

/// Whether the token was revoked.
pub async fn is_revoked(conn: &mut Conn, jti: &str) -> Result<bool> {
    let row: Option<(String,)> =
        conn.query("SELECT jti FROM revoked_tokens WHERE jti = $1").bind(jti).optional().await?;
    Ok(row.is_some())
}

/// Forgets tokens that have ended by themselves, some at once; says how many.
pub async fn forget(tx: &mut Tx, now: Time, limit: i64) -> Result<u64> {
    tx.query(
        "DELETE FROM revoked_tokens WHERE jti IN (
             SELECT jti FROM revoked_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
    )
    .bind(now)
    .bind(limit)
    .execute()
    .await
}

/// Notes that an assertion was used; says whether it had not been until now.
pub async fn use_assertion(tx: &mut Tx, digest: &str, expires: Time) -> Result<bool> {
    let added = tx
        .query("INSERT INTO used_assertions (digest, expires_at) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING")
        .bind(digest)
        .bind(expires)
        .execute()
        .await?;
    Ok(added == 1)
}

/// Forgets used assertions that would be refused for their end, some at once; says how many.
pub async fn forget_assertions(tx: &mut Tx, now: Time, limit: i64) -> Result<u64> {
    tx.query(
        "DELETE FROM used_assertions WHERE digest IN (
             SELECT digest FROM used_assertions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
    )
    .bind(now)
    .bind(limit)
    .execute()
    .await
}
