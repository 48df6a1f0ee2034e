use crate::model::ids::{AccountId, QuotaRequestId};
use crate::model::quotas::{QuotaKey, QuotaRequest};
use crate::model::{Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! columns {
    () => {
        "id, account_id, path, key, ceiling, granted, reason, status, note, decided_at, version, created_at, updated_at"
    };
}

/// Adds the request; says whether nothing else was asked for of the same quota.
pub async fn insert(tx: &mut Tx, request: &QuotaRequest) -> Result<bool> {
    let added = tx
        .query(sql!(
            "INSERT INTO quota_requests (" columns!() ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
             ON CONFLICT (account_id, key) WHERE status = 'pending' DO NOTHING"
        ))
        .bind(request.id)
        .bind(request.account_id)
        .bind(&request.path)
        .bind(request.key)
        .bind(request.ceiling)
        .bind(request.granted)
        .bind(&request.reason)
        .bind(request.status)
        .bind(&request.note)
        .bind(request.decided_at)
        .bind(request.version)
        .bind(request.created_at)
        .bind(request.updated_at)
        .execute()
        .await?;
    Ok(added == 1)
}

/// The request, if it is in the subtree.
pub async fn find(conn: &mut Conn, id: QuotaRequestId) -> Result<Option<QuotaRequest>> {
    conn.query(sql!("SELECT " columns!() " FROM quota_requests WHERE id = $1 AND path >= $2 AND path < $3"))
        .bind(id)
        .within()
        .optional()
        .await
}

/// A page of the subtree's requests in the order of (path, id), after the one named.
pub async fn page(
    conn: &mut Conn,
    after: Option<&(Path, QuotaRequestId)>,
    limit: i64,
) -> Result<Vec<QuotaRequest>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM quota_requests
         WHERE (path, id) > ($1, $2) AND path < $3 ORDER BY path, id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// The same of those of which nobody has decided.
pub async fn pending(
    conn: &mut Conn,
    after: Option<&(Path, QuotaRequestId)>,
    limit: i64,
) -> Result<Vec<QuotaRequest>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM quota_requests
         WHERE status = 'pending' AND (path, id) > ($1, $2) AND path < $3 ORDER BY path, id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// The quotas for which the account has asked and nobody has decided.
pub async fn asked_for(conn: &mut Conn, account: AccountId) -> Result<Vec<QuotaKey>> {
    let rows: Vec<(QuotaKey,)> = conn
        .query("SELECT key FROM quota_requests WHERE account_id = $1 AND status = 'pending'")
        .bind(account)
        .all()
        .await?;
    Ok(rows.into_iter().map(|(key,)| key).collect())
}

/// Writes what became of a request that was pending in the version that was read; says whether it was.
pub async fn decide(tx: &mut Tx, request: &QuotaRequest, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE quota_requests SET status = $2, granted = $3, note = $4, decided_at = $5, version = version + 1,
                 updated_at = $6
             WHERE id = $1 AND version = $7 AND status = 'pending'",
        )
        .bind(request.id)
        .bind(request.status)
        .bind(request.granted)
        .bind(&request.note)
        .bind(request.decided_at)
        .bind(now)
        .bind(request.version)
        .execute()
        .await?;
    Ok(changed == 1)
}
