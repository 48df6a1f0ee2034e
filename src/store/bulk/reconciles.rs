use std::collections::BTreeSet;

use crate::model::bulk::{
    Believed, BelievedStatus, Counts, Difference, DifferenceKind, Progress, ReconcileRun, ReconcileStatus,
};
use crate::model::ids::{AccountId, ReconcileRunId, SubscriptionId};
use crate::model::{Json, Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! run {
    () => {
        "id, account_id, path, compared_id, principal_id, status, row_count, counts, progress, fence, version, created_at,
         compared_at, updated_at"
    };
}

pub async fn insert(tx: &mut Tx, run: &ReconcileRun) -> Result<()> {
    tx.query(sql!(
        "INSERT INTO reconcile_runs (" run!() ")
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
    ))
    .bind(run.id)
    .bind(run.account_id)
    .bind(&run.path)
    .bind(run.compared_id)
    .bind(run.principal_id)
    .bind(run.status)
    .bind(run.row_count)
    .bind(run.counts)
    .bind(&run.progress)
    .bind(run.fence)
    .bind(run.version)
    .bind(run.created_at)
    .bind(run.compared_at)
    .bind(run.updated_at)
    .execute()
    .await?;
    Ok(())
}

pub async fn find(conn: &mut Conn, id: ReconcileRunId) -> Result<Option<ReconcileRun>> {
    conn.query(sql!("SELECT " run!() " FROM reconcile_runs WHERE id = $1 AND path >= $2 AND path < $3"))
        .bind(id)
        .within()
        .optional()
        .await
}

/// A page of the subtree's runs in the order of (path, id), after the one named.
pub async fn page(
    conn: &mut Conn,
    after: Option<&(Path, ReconcileRunId)>,
    limit: i64,
) -> Result<Vec<ReconcileRun>> {
    conn.query(sql!(
        "SELECT " run!() " FROM reconcile_runs
         WHERE (path, id) > ($1, $2) AND path < $3 ORDER BY path, id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// How many runs of the account have not been compared.
pub async fn under_way(conn: &mut Conn, account: AccountId) -> Result<i64> {
    let row: (i64,) = conn
        .query("SELECT COUNT(*) FROM reconcile_runs WHERE account_id = $1 AND status <> 'compared'")
        .bind(account)
        .one()
        .await?;
    Ok(row.0)
}

/// Keeps rows, the later one of two of the same name; says how many names are new.
pub async fn add_rows(tx: &mut Tx, run: &ReconcileRun, rows: &[&Believed]) -> Result<i64> {
    let count = async |tx: &mut Tx| -> Result<i64> {
        let row: (i64,) = tx
            .query(sql!(
                "SELECT COUNT(*) FROM reconcile_rows WHERE run_id = $1 AND name "
                sqlite("IN (SELECT value ->> 'subscription' FROM json_each($2))")
                pg("= ANY (ARRAY(SELECT value ->> 'subscription' FROM jsonb_array_elements($2) AS list (value)))")
            ))
            .bind(run.id)
            .bind(Json(rows))
            .one()
            .await?;
        Ok(row.0)
    };
    let before = count(tx).await?;
    tx.query(sql!(
        "INSERT INTO reconcile_rows (run_id, name, account_id, path, status, plan, quantity)
         SELECT $2, value ->> 'subscription', $3, $4, value ->> 'status', value ->> 'plan', "
        sqlite("value ->> 'quantity' FROM json_each($1)")
        pg("CAST(value ->> 'quantity' AS BIGINT) FROM jsonb_array_elements($1) AS list (value)")
        " WHERE TRUE
         ON CONFLICT (run_id, name) DO UPDATE SET
             status = excluded.status, plan = excluded.plan, quantity = excluded.quantity"
    ))
    .bind(Json(rows))
    .bind(run.id)
    .bind(run.account_id)
    .bind(&run.path)
    .execute()
    .await?;
    Ok(count(tx).await? - before)
}

/// Writes how many rows a run has and where it stands, if it is at the version that was read.
pub async fn turn(
    tx: &mut Tx,
    run: &ReconcileRun,
    rows: i64,
    status: ReconcileStatus,
    now: Time,
) -> Result<bool> {
    let due = (status == ReconcileStatus::Comparing).then_some(Time::EPOCH);
    let changed = tx
        .query(
            "UPDATE reconcile_runs SET row_count = $2, status = $3, due_at = $4, version = version + 1, updated_at = $5
             WHERE id = $1 AND version = $6",
        )
        .bind(run.id)
        .bind(rows)
        .bind(status)
        .bind(due)
        .bind(now)
        .bind(run.version)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// Whether there is a run to be gone on with.
pub async fn is_due(conn: &mut Conn) -> Result<bool> {
    let row: Option<(String,)> =
        conn.query(sql!("SELECT id FROM reconcile_runs WHERE due_at <= " now " LIMIT 1")).optional().await?;
    Ok(row.is_some())
}

/// Gives the run that waits longest to a worker for the length of a lease, with a fence that no other worker has.
pub async fn claim(tx: &mut Tx, lease_seconds: i64, now: Time) -> Result<Option<ReconcileRun>> {
    tx.query(sql!(
        "UPDATE reconcile_runs SET fence = fence + 1, due_at = " later("$1") ", updated_at = $2
         WHERE id = (
             SELECT id FROM reconcile_runs WHERE due_at <= " now " ORDER BY due_at, id LIMIT 1 "
             pg("FOR UPDATE SKIP LOCKED") "
         )
         RETURNING " run!()
    ))
    .bind(lease_seconds)
    .bind(now)
    .optional()
    .await
}

/// Keeps how far a comparison has come, if the worker still has the run: it goes on for another lease, or, without one, it
/// is done.
pub async fn advance(
    tx: &mut Tx,
    run: &ReconcileRun,
    counts: &Counts,
    progress: &Progress,
    lease_seconds: Option<i64>,
    now: Time,
) -> Result<Option<ReconcileRun>> {
    tx.query(sql!(
        "UPDATE reconcile_runs SET counts = $3, progress = $4,
             status = CASE WHEN CAST($5 AS BIGINT) IS NULL THEN 'compared' ELSE status END,
             compared_at = CASE WHEN CAST($5 AS BIGINT) IS NULL THEN $6 END,
             due_at = CASE WHEN CAST($5 AS BIGINT) IS NULL THEN NULL ELSE " later("$5") " END,
             version = version + 1, updated_at = $6
         WHERE id = $1 AND fence = $2 RETURNING " run!()
    ))
    .bind(run.id)
    .bind(run.fence)
    .bind(Json(counts))
    .bind(Json(progress))
    .bind(lease_seconds)
    .bind(now)
    .optional()
    .await
}

/// A row as it lies there.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
struct Row {
    name: String,
    status: BelievedStatus,
    plan: Option<String>,
    quantity: Option<i64>,
}

/// The rows after a name, in the order of names.
pub async fn rows_after(
    conn: &mut Conn,
    run: ReconcileRunId,
    after: &str,
    limit: i64,
) -> Result<Vec<Believed>> {
    let rows: Vec<Row> = conn
        .query(
            "SELECT name, status, plan, quantity FROM reconcile_rows
             WHERE run_id = $1 AND name > $2 ORDER BY name LIMIT $3",
        )
        .bind(run)
        .bind(after)
        .limit(limit)
        .all()
        .await?;
    let believed =
        |Row { name, status, plan, quantity }| Believed { subscription: name, status, plan, quantity };
    Ok(rows.into_iter().map(believed).collect())
}

/// Who has suspended what for payment, of some targets: subscriptions, and accounts by their paths.
pub async fn payment_holds(conn: &mut Conn, targets: &BTreeSet<String>) -> Result<Vec<(String, AccountId)>> {
    conn.query(sql!(
        "SELECT target, placed_by FROM holds
         WHERE status = 'active' AND effect = 'suspend' AND reason_class = 'payment'
             AND target " sqlite("IN (SELECT value FROM json_each($1))")
             pg("= ANY (ARRAY(SELECT value FROM jsonb_array_elements_text($1)))")
    ))
    .bind(Json(targets))
    .all()
    .await
}

/// Notes which subscription each row was found to be of.
pub async fn note_found(tx: &mut Tx, run: ReconcileRunId, found: &[(String, SubscriptionId)]) -> Result<()> {
    tx.query(sql!(
        "UPDATE reconcile_rows SET subscription_id = list.id
         FROM (SELECT value ->> 0 AS name, value ->> 1 AS id FROM "
         sqlite("json_each($2)") pg("jsonb_array_elements($2) AS each (value)") ") AS list
         WHERE run_id = $1 AND reconcile_rows.name = list.name"
    ))
    .bind(run)
    .bind(Json(found))
    .execute()
    .await?;
    Ok(())
}

/// Of which of the subscriptions there were rows.
pub async fn listed(
    conn: &mut Conn,
    run: ReconcileRunId,
    subscriptions: &[SubscriptionId],
) -> Result<BTreeSet<String>> {
    let rows: Vec<(String,)> = conn
        .query(sql!(
            "SELECT subscription_id FROM reconcile_rows
             WHERE run_id = $1 AND subscription_id " sqlite("IN (SELECT value FROM json_each($2))")
             pg("= ANY (ARRAY(SELECT value FROM jsonb_array_elements_text($2)))")
        ))
        .bind(run)
        .bind(Json(subscriptions))
        .all()
        .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Keeps differences, all in one statement.
pub async fn add_differences(tx: &mut Tx, run: &ReconcileRun, found: &[Difference]) -> Result<()> {
    tx.query(sql!(
        "INSERT INTO reconcile_differences (run_id, place, account_id, path, kind, name, subscription_id, theirs, ours, repair)
         SELECT $2, " sqlite("value ->> 'place'") pg("CAST(value ->> 'place' AS BIGINT)") ", $3, $4, value ->> 'kind',
             value ->> 'name', value ->> 'subscription_id', "
        sqlite("NULLIF(value -> 'theirs', 'null'), NULLIF(value -> 'ours', 'null'), NULLIF(value -> 'repair', 'null') FROM json_each($1)")
        pg("NULLIF(value -> 'theirs', 'null'), NULLIF(value -> 'ours', 'null'), NULLIF(value -> 'repair', 'null')
            FROM jsonb_array_elements($1) AS list (value)")
    ))
    .bind(Json(found))
    .bind(run.id)
    .bind(run.account_id)
    .bind(&run.path)
    .execute()
    .await?;
    Ok(())
}

/// A run's differences after a place, of one kind or of all.
pub async fn differences(
    conn: &mut Conn,
    run: ReconcileRunId,
    kind: Option<DifferenceKind>,
    after: i64,
    limit: i64,
) -> Result<Vec<Difference>> {
    let query = match kind {
        None => conn.query(
            "SELECT place, kind, name, subscription_id, theirs, ours, repair FROM reconcile_differences
             WHERE run_id = $1 AND place > $2 ORDER BY place LIMIT $3",
        ),
        Some(_) => conn.query(
            "SELECT place, kind, name, subscription_id, theirs, ours, repair FROM reconcile_differences
             WHERE run_id = $1 AND kind = $4 AND place > $2 ORDER BY place LIMIT $3",
        ),
    };
    let query = query.bind(run).bind(after).limit(limit);
    match kind {
        None => query.all().await,
        Some(kind) => query.bind(kind).all().await,
    }
}

/// Removes a run's differences of one kind.
pub async fn drop_differences(tx: &mut Tx, run: ReconcileRunId, kind: DifferenceKind) -> Result<()> {
    tx.query("DELETE FROM reconcile_differences WHERE run_id = $1 AND kind = $2")
        .bind(run)
        .bind(kind)
        .execute()
        .await?;
    Ok(())
}

/// Removes some of a run's rows; says how many.
pub async fn drop_rows(tx: &mut Tx, run: ReconcileRunId, limit: i64) -> Result<u64> {
    tx.query(sql!(
        "DELETE FROM reconcile_rows WHERE run_id = $1 AND name " pg("= ANY (ARRAY(") sqlite("IN (")
        "SELECT name FROM reconcile_rows WHERE run_id = $1 ORDER BY name LIMIT $2" pg("))") sqlite(")")
    ))
    .bind(run)
    .bind(limit)
    .execute()
    .await
}

/// Removes a little of a run that was made before a time: some of its rows, then some of its differences, and it when it has
/// neither; says how much.
pub async fn forget(tx: &mut Tx, before: Time, limit: i64) -> Result<u64> {
    let made: Option<(ReconcileRunId,)> = tx
        .query("SELECT id FROM reconcile_runs WHERE created_at < $1 ORDER BY created_at LIMIT 1")
        .bind(before)
        .optional()
        .await?;
    let Some((id,)) = made else { return Ok(0) };
    let rows = drop_rows(tx, id, limit).await?;
    if rows > 0 {
        return Ok(rows);
    }
    let differences = tx
        .query(sql!(
            "DELETE FROM reconcile_differences WHERE run_id = $1 AND place " pg("= ANY (ARRAY(") sqlite("IN (")
            "SELECT place FROM reconcile_differences WHERE run_id = $1 LIMIT $2" pg("))") sqlite(")")
        ))
        .bind(id)
        .bind(limit)
        .execute()
        .await?;
    match differences {
        0 => tx.query("DELETE FROM reconcile_runs WHERE id = $1").bind(id).execute().await,
        differences => Ok(differences),
    }
}
