use crate::model::ids::OperationId;
use crate::model::quotas::Taken;
use crate::model::services::operations::{Operation, OperationError, OperationStatus, Outcome, Step, Task};
use crate::model::{Json, Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! columns {
    () => {
        "id, account_id, path, kind, status, order_id, service_id, resource_id, parent_id, lock, exclusive, lane,
         due_at, fence, attempts, steps, task, reserved, waiting_on, retryable, outcome, error, request_id,
         version, created_at, updated_at"
    };
}

/// Adds the operation to the queue; says whether nothing else is changing what it is to change.
pub async fn insert(tx: &mut Tx, operation: &Operation) -> Result<bool> {
    let insert = tx
        .later(sql!(
            "INSERT INTO operations (" columns!() ")
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                 $21, $22, $23, $24, $25, $26)
             ON CONFLICT (lock)
                 WHERE exclusive AND status IN ('queued', 'running', 'waiting_input', 'needs_attention') DO NOTHING
             RETURNING id"
        ))
        .bind(operation.id)
        .bind(operation.account_id)
        .bind(&operation.path)
        .bind(operation.kind)
        .bind(operation.status)
        .bind(operation.order_id)
        .bind(operation.service_id)
        .bind(operation.resource_id)
        .bind(operation.parent_id)
        .bind(&operation.lock)
        .bind(operation.exclusive)
        .bind(operation.lane)
        .bind(operation.due_at)
        .bind(operation.fence)
        .bind(operation.attempts)
        .bind(&operation.steps)
        .bind(&operation.task)
        .bind(&operation.reserved)
        .bind(&operation.waiting_on)
        .bind(operation.retryable)
        .bind(operation.outcome)
        .bind(&operation.error)
        .bind(&operation.request_id)
        .bind(operation.version)
        .bind(operation.created_at)
        .bind(operation.updated_at);
    let of_its_own = operation.order_id.is_some_and(|order| operation.lock == Some(order.to_string()));
    if of_its_own || !operation.exclusive {
        // An order begins with its operation: nothing else can have its lock.
        return insert.send().await.map(|()| true);
    }
    Ok(insert.optional::<(OperationId,)>().await?.is_some())
}

pub async fn find(conn: &mut Conn, id: OperationId) -> Result<Option<Operation>> {
    conn.query(sql!("SELECT " columns!() " FROM operations WHERE id = $1 AND path >= $2 AND path < $3"))
        .bind(id)
        .within()
        .optional()
        .await
}

/// The exclusive operation that holds a lock.
pub async fn holding(conn: &mut Conn, lock: &str) -> Result<Option<OperationId>> {
    let row: Option<(OperationId,)> = conn
        .query(
            "SELECT id FROM operations
             WHERE lock = $1 AND exclusive AND status IN ('queued', 'running', 'waiting_input', 'needs_attention')",
        )
        .bind(lock)
        .optional()
        .await?;
    Ok(row.map(|(id,)| id))
}

pub async fn page(
    conn: &mut Conn,
    after: Option<&(Path, OperationId)>,
    limit: i64,
) -> Result<Vec<Operation>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM operations
         WHERE (path, id) > ($1, $2) AND path < $3 ORDER BY path, id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// How many operations that are part of one have not ended, and how many of those that have did not succeed
/// and were not followed by another for the same service.
pub async fn children(conn: &mut Conn, parent: OperationId) -> Result<(i64, i64)> {
    conn.query(
        "SELECT CAST(COALESCE(SUM(CASE WHEN due_at IS NOT NULL THEN 1 ELSE 0 END), 0) AS BIGINT),
                CAST(COALESCE(SUM(CASE WHEN due_at IS NULL AND status <> 'succeeded' AND NOT EXISTS (
                    SELECT 1 FROM operations n
                    WHERE n.parent_id = $1 AND n.id > o.id AND n.service_id = o.service_id) THEN 1 ELSE 0 END), 0) AS BIGINT)
         FROM operations o WHERE parent_id = $1",
    )
    .bind(parent)
    .one()
    .await
}

/// Gives the most urgent due operation to a worker for the length of a lease, and a fence that no other
/// worker has. What runs under a lock keeps others with the same lock waiting. An error that is a unique
/// violation means that two workers were after the same lock: claim again.
pub async fn claim(tx: &mut Tx, lease_seconds: i64, now: Time) -> Result<Option<Operation>> {
    tx.query(sql!(
        "UPDATE operations SET status = 'running', fence = fence + 1, attempts = attempts + 1,
             due_at = " later("$1") ", version = version + 1, updated_at = $2
         WHERE id = (
             SELECT o.id FROM operations o
             WHERE o.due_at <= " now " AND NOT EXISTS (
                 SELECT 1 FROM operations r WHERE r.lock = o.lock AND r.status = 'running' AND r.id <> o.id)
             ORDER BY o.lane, o.due_at, o.id LIMIT 1 " pg("FOR UPDATE SKIP LOCKED") "
         )
         RETURNING " columns!()
    ))
    .bind(lease_seconds)
    .bind(now)
    .optional()
    .await
}

/// Has a waiting operation looked at again at once; says whether it was waiting. It never waits itself: whoever
/// holds the row is looking at it already.
pub async fn hurry(tx: &mut Tx, id: OperationId) -> Result<bool> {
    let changed = tx
        .query(sql!(
            "UPDATE operations SET due_at = $2 WHERE id = (
                 SELECT id FROM operations WHERE id = $1 AND status = 'queued' AND due_at > $2 "
            pg("FOR UPDATE SKIP LOCKED") ")"
        ))
        .bind(id)
        .bind(Time::EPOCH)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// Lengthens a worker's lease; says whether it still has it.
pub async fn heartbeat(tx: &mut Tx, id: OperationId, fence: i64, lease_seconds: i64) -> Result<bool> {
    let changed = tx
        .query(sql!(
            "UPDATE operations SET due_at = " later("$3") " WHERE id = $1 AND fence = $2 AND status = 'running'"
        ))
        .bind(id)
        .bind(fence)
        .bind(lease_seconds)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// How a worker leaves an operation.
#[derive(Debug, Clone)]
pub struct Left<'a> {
    pub status: OperationStatus,
    pub steps: &'a [Step],
    pub task: &'a Task,
    /// When it is to go on; none once it has ended.
    pub again_in_seconds: Option<f64>,
    pub waiting_on: Option<&'a str>,
    pub retryable: bool,
    pub outcome: Option<Outcome>,
    pub error: Option<&'a OperationError>,
}

/// Records what a worker has done, if the worker still has the operation; tells what the operation has taken, which
/// moves with its account. One that is to go on later is nobody's from then on: its fence is another one.
pub async fn leave(
    tx: &mut Tx,
    id: OperationId,
    fence: i64,
    left: &Left<'_>,
    now: Time,
) -> Result<Option<Json<Vec<Taken>>>> {
    let row: Option<(Json<Vec<Taken>>,)> = tx
        .query(sql!(
            "UPDATE operations SET status = $3, steps = $4, task = $5,
                 due_at = CASE WHEN CAST($6 AS " sqlite("REAL") pg("double precision") ") IS NULL THEN NULL ELSE " later("$6") " END,
                 fence = fence + CASE WHEN $3 = 'queued' THEN 1 ELSE 0 END,
                 waiting_on = $7, retryable = $8, outcome = $9, error = $10, version = version + 1,
                 updated_at = $11
             WHERE id = $1 AND fence = $2 AND status = 'running' RETURNING reserved"
        ))
        .bind(id)
        .bind(fence)
        .bind(left.status)
        .bind(Json(left.steps))
        .bind(Json(left.task))
        .bind(left.again_in_seconds)
        .bind(left.waiting_on)
        .bind(left.retryable)
        .bind(left.outcome)
        .bind(left.error.map(Json))
        .bind(now)
        .optional()
        .await?;
    Ok(row.map(|(reserved,)| reserved))
}

/// Keeps what a worker has done so far, while it goes on; says whether the worker still has the operation.
pub async fn progress(tx: &mut Tx, id: OperationId, fence: i64, steps: &[Step], now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE operations SET steps = $3, version = version + 1, updated_at = $4
             WHERE id = $1 AND fence = $2 AND status = 'running'",
        )
        .bind(id)
        .bind(fence)
        .bind(Json(steps))
        .bind(now)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// Puts an operation that has ended without success back into the queue, or takes a queued one out of it;
/// says whether its version was still the one that was read.
pub async fn move_by_hand(
    tx: &mut Tx,
    operation: &Operation,
    status: OperationStatus,
    due_at: Option<Time>,
    now: Time,
) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE operations SET status = $2, due_at = $3, steps = $4, reserved = $5, retryable = $6,
                 outcome = NULL, error = NULL, waiting_on = NULL, fence = fence + 1, version = version + 1,
                 updated_at = $7
             WHERE id = $1 AND version = $8",
        )
        .bind(operation.id)
        .bind(status)
        .bind(due_at)
        .bind(&operation.steps)
        .bind(&operation.reserved)
        .bind(operation.retryable)
        .bind(now)
        .bind(operation.version)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// An operation that is in flight or has failed, and what it took or would take again.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct Reserving {
    pub id: OperationId,
    pub status: OperationStatus,
    pub reserved: Json<Vec<Taken>>,
}

/// Those of the accounts between two paths.
pub async fn reserving(conn: &mut Conn, from: &str, to: &str) -> Result<Vec<Reserving>> {
    conn.query(
        "SELECT id, status, reserved FROM operations
         WHERE path >= $1 AND path < $2 AND status NOT IN ('succeeded', 'cancelled') ORDER BY path, id",
    )
    .bind(from)
    .bind(to)
    .all()
    .await
}

/// Writes down anew what an operation took.
pub async fn set_reserved(tx: &mut Tx, id: OperationId, reserved: &[Taken]) -> Result<()> {
    tx.query("UPDATE operations SET reserved = $2 WHERE id = $1")
        .bind(id)
        .bind(Json(reserved))
        .execute()
        .await?;
    Ok(())
}

/// What the operations in flight in the subtree have reserved.
pub async fn reservations(conn: &mut Conn) -> Result<Vec<Taken>> {
    let rows: Vec<(Json<Vec<Taken>>,)> = conn
        .query(
            "SELECT reserved FROM operations
             WHERE status IN ('queued', 'running', 'waiting_input', 'needs_attention') AND path >= $1 AND path < $2",
        )
        .within()
        .all()
        .await?;
    Ok(rows.into_iter().flat_map(|(reserved,)| reserved.0).collect())
}
