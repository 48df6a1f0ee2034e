use crate::model::accounts::accounts::AccountType;
use crate::model::ids::{AccountId, HoldId};
use crate::model::services::holds::{Effect, Hold, HoldStatus, ReasonClass};
use crate::model::{Json, Path, Subtree, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! columns {
    () => {
        "h.id, h.account_id, h.path, h.target_type, h.target_id, h.target, h.status, h.effect, h.reason_class,
         h.reason_code, h.reason, h.placed_by, h.placed_by_path, h.placed_by_type, h.starts_at, h.expires_at,
         h.ended_at, h.ended_by, h.version, h.created_at, h.updated_at"
    };
}

/// Adds the hold; says whether there was none equal to it in force.
pub async fn insert(tx: &mut Tx, hold: &Hold) -> Result<bool> {
    let added = tx
        .query(
            "INSERT INTO holds (id, account_id, path, target_type, target_id, target, status, effect,
                 reason_class, reason_code, reason, placed_by, placed_by_path, placed_by_type, starts_at,
                 expires_at, ended_at, ended_by, version, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
             ON CONFLICT (target, placed_by, reason_class, effect) WHERE status = 'active' DO NOTHING",
        )
        .bind(hold.id)
        .bind(hold.account_id)
        .bind(&hold.path)
        .bind(hold.target_type)
        .bind(&hold.target_id)
        .bind(&hold.target)
        .bind(hold.status)
        .bind(hold.effect)
        .bind(hold.reason_class)
        .bind(&hold.reason_code)
        .bind(&hold.reason)
        .bind(hold.placed_by)
        .bind(&hold.placed_by_path)
        .bind(hold.placed_by_type)
        .bind(hold.starts_at)
        .bind(hold.expires_at)
        .bind(hold.ended_at)
        .bind(&hold.ended_by)
        .bind(hold.version)
        .bind(hold.created_at)
        .bind(hold.updated_at)
        .execute()
        .await?;
    Ok(added == 1)
}

/// The hold in force that one equal to it would be.
pub async fn find_equal(
    conn: &mut Conn,
    target: &str,
    placed_by: AccountId,
    class: ReasonClass,
    effect: Effect,
) -> Result<Option<Hold>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM holds h
         WHERE h.target = $1 AND h.placed_by = $2 AND h.reason_class = $3 AND h.effect = $4 AND h.status = 'active'"
    ))
    .bind(target)
    .bind(placed_by)
    .bind(class)
    .bind(effect)
    .optional()
    .await
}

/// Every hold in force on any of the targets, the oldest first.
pub async fn in_force(conn: &mut Conn, targets: &[String]) -> Result<Vec<Hold>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM holds h
         WHERE h.status = 'active' AND h.target "
        sqlite("IN (SELECT value FROM json_each($1))")
        pg("= ANY (ARRAY(SELECT value FROM jsonb_array_elements_text($1)))") " ORDER BY h.id"
    ))
    .bind(Json(targets))
    .all()
    .await
}

/// Keeps others from placing and lifting holds on a target, or on what is above it, until the transaction ends: what is read
/// of them afterwards stands. `above` begins with the root. Who holds the same lock on what is above only shares it.
pub async fn lock(tx: &mut Tx, above: &[String], own: &str) -> Result<()> {
    let shared = sql!(
        pg("SELECT COUNT(pg_advisory_xact_lock_shared(hashtextextended(value, 0))::text)
            FROM jsonb_array_elements_text($1)")
        sqlite("SELECT json_array_length($1)")
    );
    let _: (i64,) = tx.query(shared).bind(Json(above)).one().await?;
    let alone = sql!(
        pg("SELECT COUNT(pg_advisory_xact_lock(hashtextextended($1, 0))::text)") sqlite("SELECT length($1)")
    );
    let _: (i64,) = tx.query(alone).bind(own).one().await?;
    Ok(())
}

/// The holds on one target that are yet to come into force.
pub async fn scheduled(conn: &mut Conn, target: &str) -> Result<Vec<Hold>> {
    conn.query(sql!("SELECT " columns!() " FROM holds h WHERE h.target = $1 AND h.status = 'scheduled' ORDER BY h.id"))
        .bind(target)
        .all()
        .await
}

/// A page of the holds placed on one target itself, in force or not, as they were placed.
pub async fn page(conn: &mut Conn, target_id: &str, after: Option<HoldId>, limit: i64) -> Result<Vec<Hold>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM holds h
         WHERE h.target_id = $1 AND h.id > $2 AND h.path >= $3 AND h.path < $4 ORDER BY h.id LIMIT $5"
    ))
    .bind(target_id)
    .bind(after.map(|id| id.to_string()).unwrap_or_default())
    .within()
    .bind(limit)
    .all()
    .await
}

/// Ends the hold as released or expired; says whether it had not ended before.
pub async fn end(tx: &mut Tx, id: HoldId, status: HoldStatus, by: Option<&str>, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE holds SET status = $2, ended_at = $3, ended_by = $4, version = version + 1, updated_at = $3
             WHERE id = $1 AND status IN ('active', 'scheduled')",
        )
        .bind(id)
        .bind(status)
        .bind(now)
        .bind(by)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// The holds at and below the place, in force or to come, that were placed by an account at one of some places, the
/// oldest first.
pub async fn placed_from(conn: &mut Conn, place: &Path, from: &[Path]) -> Result<Vec<Hold>> {
    let inside = Subtree::of(place);
    conn.query(sql!(
        "SELECT " columns!() " FROM holds h
         WHERE h.path >= $1 AND h.path < $2 AND h.status IN ('active', 'scheduled') AND h.placed_by_path "
        sqlite("IN (SELECT value FROM json_each($3))")
        pg("= ANY (ARRAY(SELECT value FROM jsonb_array_elements_text($3)))") " ORDER BY h.id"
    ))
    .bind(inside.from())
    .bind(inside.to())
    .bind(Json(from))
    .all()
    .await
}

/// Has the hold stand in the name of another account, which stands at the path and is of the type; why it was placed is
/// not handed over.
pub async fn hand_over(
    tx: &mut Tx,
    id: HoldId,
    by: (AccountId, &Path, AccountType),
    now: Time,
) -> Result<()> {
    tx.query(
        "UPDATE holds SET placed_by = $2, placed_by_path = $3, placed_by_type = $4, reason = NULL,
             version = version + 1, updated_at = $5
         WHERE id = $1",
    )
    .bind(id)
    .bind(by.0)
    .bind(by.1)
    .bind(by.2)
    .bind(now)
    .execute()
    .await?;
    Ok(())
}

/// Puts a scheduled hold in force; says whether it was still scheduled.
pub async fn start(tx: &mut Tx, id: HoldId, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE holds SET status = 'active', version = version + 1, updated_at = $2
             WHERE id = $1 AND status = 'scheduled'",
        )
        .bind(id)
        .bind(now)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// Holds whose start or end has come, the longest due first.
pub async fn due(conn: &mut Conn, now: Time, limit: i64) -> Result<Vec<Hold>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM holds h WHERE h.status = 'scheduled' AND h.starts_at <= $1
         UNION ALL
         SELECT " columns!() " FROM holds h
         WHERE h.status = 'active' AND h.expires_at IS NOT NULL AND h.expires_at <= $1
         ORDER BY updated_at, id LIMIT $2"
    ))
    .bind(now)
    .bind(limit)
    .all()
    .await
}

/// The targets by which the holds on an account and on all above it are found.
pub fn targets_above(path: &Path) -> Vec<String> {
    path.upwards().map(|path| path.to_string()).collect()
}
