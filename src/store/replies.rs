//! What was answered to requests that carried an Idempotency-Key.

use super::{Conn, Result, Tx};
use crate::model::ids::{AccountId, OperationId};
use crate::model::{Path, Time};

/// Whose key it is: two accounts that use the same word never meet.
#[derive(Debug, Clone)]
pub struct Slot<'a> {
    pub principal_id: AccountId,
    pub subject_id: AccountId,
    pub path: &'a Path,
    pub key: &'a str,
}

/// What was answered before; `status` is 0 for as long as the request has not been answered.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct Reply {
    /// The request's fingerprint.
    pub request: String,
    pub status: i64,
    pub location: Option<String>,
    pub etag: Option<String>,
    pub operation_id: Option<OperationId>,
    /// Whether the body has a secret and is sealed.
    pub sealed: bool,
    pub body: String,
    pub created_at: Time,
}

/// Takes the key for this transaction, or gives back what was answered under it. A second request with the
/// key waits here until the first has committed or rolled back.
pub async fn begin(tx: &mut Tx, slot: &Slot<'_>, request: &str, now: Time) -> Result<Option<Reply>> {
    let taken = tx
        .query(
            "INSERT INTO replies (principal_id, subject_id, key, path, request, status, sealed, body, created_at)
             VALUES ($1, $2, $3, $4, $5, 0, FALSE, '', $6) ON CONFLICT (principal_id, subject_id, key) DO NOTHING",
        )
        .bind(slot.principal_id)
        .bind(slot.subject_id)
        .bind(slot.key)
        .bind(slot.path)
        .bind(request)
        .bind(now)
        .execute()
        .await?;
    if taken == 1 {
        return Ok(None);
    }
    find(tx, slot).await
}

/// What was answered under the key.
pub async fn find(tx: &mut Tx, slot: &Slot<'_>) -> Result<Option<Reply>> {
    tx.query(
        "SELECT request, status, location, etag, operation_id, sealed, body, created_at FROM replies
         WHERE principal_id = $1 AND subject_id = $2 AND key = $3",
    )
    .bind(slot.principal_id)
    .bind(slot.subject_id)
    .bind(slot.key)
    .optional()
    .await
}

/// Whether something was answered under the key.
pub async fn is_answered(
    conn: &mut Conn,
    principal: AccountId,
    subject: AccountId,
    key: &str,
) -> Result<bool> {
    let row: Option<(String,)> = conn
        .query(
            "SELECT key FROM replies WHERE principal_id = $1 AND subject_id = $2 AND key = $3 AND status > 0",
        )
        .bind(principal)
        .bind(subject)
        .bind(key)
        .optional()
        .await?;
    Ok(row.is_some())
}

/// Takes a key whose answer is no longer kept; says whether nobody else took it first.
pub async fn take_over(tx: &mut Tx, slot: &Slot<'_>, old: &Reply, now: Time) -> Result<bool> {
    let taken = tx
        .query(
            "UPDATE replies SET created_at = $4
             WHERE principal_id = $1 AND subject_id = $2 AND key = $3 AND created_at = $5",
        )
        .bind(slot.principal_id)
        .bind(slot.subject_id)
        .bind(slot.key)
        .bind(now)
        .bind(old.created_at)
        .execute()
        .await?;
    Ok(taken == 1)
}

/// Keeps the answer.
pub async fn finish(tx: &mut Tx, slot: &Slot<'_>, reply: &Reply) -> Result<()> {
    tx.later(
        "UPDATE replies SET request = $4, status = $5, location = $6, etag = $7, operation_id = $8, sealed = $9,
             body = $10, created_at = $11
         WHERE principal_id = $1 AND subject_id = $2 AND key = $3",
    )
    .bind(slot.principal_id)
    .bind(slot.subject_id)
    .bind(slot.key)
    .bind(&reply.request)
    .bind(reply.status)
    .bind(&reply.location)
    .bind(&reply.etag)
    .bind(reply.operation_id)
    .bind(reply.sealed)
    .bind(&reply.body)
    .bind(reply.created_at)
    .send()
    .await
}

/// Forgets answers from before a time, some at once; says how many.
pub async fn forget(tx: &mut Tx, before: Time, limit: i64) -> Result<u64> {
    tx.query(
        "DELETE FROM replies WHERE (principal_id, subject_id, key) IN (
             SELECT principal_id, subject_id, key FROM replies WHERE created_at < $1 ORDER BY created_at LIMIT $2)",
    )
    .bind(before)
    .bind(limit)
    .execute()
    .await
}
