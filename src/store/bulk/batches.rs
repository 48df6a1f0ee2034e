use serde::Serialize;
use serde_json::Value;

use crate::model::bulk::{Batch, BatchItem, BatchItemStatus, BatchMethod, BatchStatus};
use crate::model::ids::{AccountId, BatchId, OperationId};
use crate::model::{Json, Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! batch {
    () => {
        "id, account_id, path, principal_id, key_id, claims, body, dry_run, good_until, status, total, succeeded, failed, cancelled, fence,
         version, created_at, started_at, ended_at, updated_at"
    };
}

macro_rules! item {
    () => {
        "id, batch_id, account_id, path, place, method, target, subject_id, if_match, body, status, attempts,
         answer_status, resource_id, operation_id, problem"
    };
}

/// A request about to be kept.
#[derive(Debug, Clone, Serialize)]
pub struct NewBatchItem {
    pub id: String,
    pub place: i64,
    pub method: BatchMethod,
    pub target: String,
    pub subject_id: Option<AccountId>,
    pub if_match: Option<String>,
    pub body: Option<String>,
}

/// Adds a batch, to be taken up at once.
pub async fn insert(tx: &mut Tx, batch: &Batch) -> Result<()> {
    tx.query(sql!(
        "INSERT INTO batches (" batch!() ", due_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)"
    ))
    .bind(batch.id)
    .bind(batch.account_id)
    .bind(&batch.path)
    .bind(batch.principal_id)
    .bind(batch.key_id)
    .bind(&batch.claims)
    .bind(&batch.body)
    .bind(batch.dry_run)
    .bind(batch.good_until)
    .bind(batch.status)
    .bind(batch.total)
    .bind(batch.succeeded)
    .bind(batch.failed)
    .bind(batch.cancelled)
    .bind(batch.fence)
    .bind(batch.version)
    .bind(batch.created_at)
    .bind(batch.started_at)
    .bind(batch.ended_at)
    .bind(batch.updated_at)
    .bind(Time::EPOCH)
    .execute()
    .await?;
    Ok(())
}

/// Adds the batch's requests, all in one statement.
pub async fn insert_items(tx: &mut Tx, batch: &Batch, items: &[NewBatchItem]) -> Result<()> {
    tx.query(sql!(
        "INSERT INTO batch_items (" item!() ")
         SELECT value ->> 'id', $2, $3, $4, "
        sqlite("value ->> 'place'") pg("CAST(value ->> 'place' AS BIGINT)")
        ", value ->> 'method', value ->> 'target', value ->> 'subject_id', value ->> 'if_match', value ->> 'body',
             'pending', 0, NULL, NULL, NULL, NULL
         FROM " sqlite("json_each($1)") pg("jsonb_array_elements($1) AS list (value)")
    ))
    .bind(Json(items))
    .bind(batch.id)
    .bind(batch.account_id)
    .bind(&batch.path)
    .execute()
    .await?;
    Ok(())
}

/// How many batches of the account have not ended.
pub async fn under_way(conn: &mut Conn, account: AccountId) -> Result<i64> {
    let row: (i64,) = conn
        .query("SELECT COUNT(*) FROM batches WHERE account_id = $1 AND due_at IS NOT NULL")
        .bind(account)
        .one()
        .await?;
    Ok(row.0)
}

pub async fn find(conn: &mut Conn, id: BatchId) -> Result<Option<Batch>> {
    conn.query(sql!("SELECT " batch!() " FROM batches WHERE id = $1 AND path >= $2 AND path < $3"))
        .bind(id)
        .within()
        .optional()
        .await
}

/// A page of the subtree's batches in the order of (path, id), after the one named.
pub async fn page(conn: &mut Conn, after: Option<&(Path, BatchId)>, limit: i64) -> Result<Vec<Batch>> {
    conn.query(sql!(
        "SELECT " batch!() " FROM batches
         WHERE (path, id) > ($1, $2) AND path < $3 ORDER BY path, id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// A page of a batch's requests as they are sent, after the one named.
pub async fn items(
    conn: &mut Conn,
    batch: BatchId,
    status: Option<BatchItemStatus>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<BatchItem>> {
    let query = match status {
        None => conn.query(sql!(
            "SELECT " item!() " FROM batch_items WHERE batch_id = $1 AND id > $2 ORDER BY id LIMIT $3"
        )),
        Some(_) => conn.query(sql!(
            "SELECT " item!() " FROM batch_items
             WHERE batch_id = $1 AND status = $4 AND id > $2 ORDER BY id LIMIT $3"
        )),
    };
    let query = query.bind(batch).bind(after.unwrap_or_default()).limit(limit);
    match status {
        None => query.all().await,
        Some(status) => query.bind(status).all().await,
    }
}

/// Has the batch's requests of one status be of another, those that were refused to be sent again or those that wait to be
/// sent never; says how many.
pub async fn turn_items(
    tx: &mut Tx,
    batch: BatchId,
    from: BatchItemStatus,
    to: BatchItemStatus,
) -> Result<u64> {
    tx.query(
        "UPDATE batch_items SET status = $3, attempts = CASE WHEN $3 = 'pending' THEN 0 ELSE attempts END,
             body = CASE WHEN $3 = 'cancelled' THEN NULL ELSE body END
         WHERE batch_id = $1 AND status = $2",
    )
    .bind(batch)
    .bind(from)
    .bind(to)
    .execute()
    .await
}

/// How a caller leaves a batch: to be taken up at once.
#[derive(Debug, Clone, Copy)]
pub struct Turned {
    pub status: BatchStatus,
    pub failed: i64,
}

/// Writes what a caller made of a batch and with whose credential it goes on, if it is at the version that was read.
pub async fn turn(tx: &mut Tx, batch: &Batch, to: Turned, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE batches SET status = $2, failed = $3, key_id = $7, claims = $8, ended_at = NULL,
                 due_at = CASE WHEN status = 'running' THEN due_at ELSE $4 END, version = version + 1, updated_at = $5
             WHERE id = $1 AND version = $6",
        )
        .bind(batch.id)
        .bind(to.status)
        .bind(to.failed)
        .bind(Time::EPOCH)
        .bind(now)
        .bind(batch.version)
        .bind(batch.key_id)
        .bind(&batch.claims)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// Whether there is a batch to be taken up.
pub async fn is_due(conn: &mut Conn) -> Result<bool> {
    let row: Option<(String,)> =
        conn.query(sql!("SELECT id FROM batches WHERE due_at <= " now " LIMIT 1")).optional().await?;
    Ok(row.is_some())
}

/// Gives the oldest batch that waits to a worker for the length of a lease, with a fence that no other worker has. Of one
/// account one is worked on at a time; one that is only to be cancelled need not wait. An error that is a unique violation
/// means that two workers were after two of one account: claim again.
pub async fn claim(tx: &mut Tx, lease_seconds: i64, now: Time) -> Result<Option<Batch>> {
    tx.query(sql!(
        "UPDATE batches SET status = CASE WHEN status = 'cancelling' THEN status ELSE 'running' END,
             started_at = COALESCE(started_at, $2), fence = fence + 1, due_at = " later("$1") ", updated_at = $2
         WHERE id = (
             SELECT b.id FROM batches b
             WHERE b.due_at <= " now " AND (b.status = 'cancelling' OR NOT EXISTS (
                 SELECT 1 FROM batches r
                 WHERE r.account_id = b.account_id AND r.status = 'running' AND r.id <> b.id))
             ORDER BY b.id LIMIT 1 " pg("FOR UPDATE SKIP LOCKED") "
         )
         RETURNING " batch!()
    ))
    .bind(lease_seconds)
    .bind(now)
    .optional()
    .await
}

/// What a request was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    pub status: BatchItemStatus,
    pub answer_status: i64,
    pub resource_id: Option<String>,
    pub operation_id: Option<OperationId>,
    pub problem: Option<Value>,
}

/// Keeps what a request was answered; its body is dropped once it is done.
pub async fn answer(tx: &mut Tx, item: &BatchItem, told: &Answered) -> Result<()> {
    tx.query(
        "UPDATE batch_items SET status = $2, attempts = attempts + 1, answer_status = $3, resource_id = $4,
             operation_id = $5, problem = $6, body = CASE WHEN $2 = 'succeeded' THEN NULL ELSE body END
         WHERE id = $1",
    )
    .bind(&item.id)
    .bind(told.status)
    .bind(told.answer_status)
    .bind(&told.resource_id)
    .bind(told.operation_id)
    .bind(told.problem.as_ref().map(Json))
    .execute()
    .await?;
    Ok(())
}

/// How a worker goes on with a batch.
#[derive(Debug, Clone, Copy)]
pub enum Next {
    /// It works on, with a new lease of so many seconds.
    On(i64),
    /// Somebody takes it up again after so many seconds.
    Later(i64),
}

/// Counts what the requests sent meanwhile came to, if the worker still has the batch; tells how it stands then.
pub async fn count(
    tx: &mut Tx,
    batch: &Batch,
    succeeded: i64,
    failed: i64,
    next: Next,
    now: Time,
) -> Result<Option<BatchStatus>> {
    let (seconds, passes_on) = match next {
        Next::On(seconds) => (seconds, false),
        Next::Later(seconds) => (seconds, true),
    };
    let row: Option<(BatchStatus,)> = tx
        .query(sql!(
            "UPDATE batches SET succeeded = succeeded + $3, failed = failed + $4, due_at = " later("$5") ",
                 status = CASE WHEN $6 AND status = 'running' THEN 'queued' ELSE status END, updated_at = $7
             WHERE id = $1 AND fence = $2 AND status IN ('running', 'cancelling') RETURNING status"
        ))
        .bind(batch.id)
        .bind(batch.fence)
        .bind(succeeded)
        .bind(failed)
        .bind(seconds)
        .bind(passes_on)
        .bind(now)
        .optional()
        .await?;
    Ok(row.map(|(status,)| status))
}

/// Ends a batch, if the worker still has it; as it is then.
pub async fn end(
    tx: &mut Tx,
    batch: &Batch,
    status: BatchStatus,
    cancelled: i64,
    now: Time,
) -> Result<Option<Batch>> {
    tx.query(sql!(
        "UPDATE batches SET status = $3, cancelled = cancelled + $4, due_at = NULL, ended_at = $5,
             version = version + 1, updated_at = $5
         WHERE id = $1 AND fence = $2 AND status IN ('running', 'cancelling') RETURNING " batch!()
    ))
    .bind(batch.id)
    .bind(batch.fence)
    .bind(status)
    .bind(cancelled)
    .bind(now)
    .optional()
    .await
}

/// Removes a little of a batch that ended before a time: some of its requests, or it when it has none; says how much.
pub async fn forget(tx: &mut Tx, before: Time, limit: i64) -> Result<u64> {
    let ended: Option<(BatchId,)> = tx
        .query("SELECT id FROM batches WHERE ended_at < $1 ORDER BY ended_at LIMIT 1")
        .bind(before)
        .optional()
        .await?;
    let Some((id,)) = ended else { return Ok(0) };
    let items = tx
        .query(sql!(
            "DELETE FROM batch_items WHERE id " pg("= ANY (ARRAY(") sqlite("IN (")
            "SELECT id FROM batch_items WHERE batch_id = $1 LIMIT $2" pg("))") sqlite(")")
        ))
        .bind(id)
        .bind(limit)
        .execute()
        .await?;
    match items {
        0 => tx.query("DELETE FROM batches WHERE id = $1").bind(id).execute().await,
        items => Ok(items),
    }
}
