use serde::Serialize;

use crate::model::ids::{AccountId, SubscriptionId};
use crate::model::quotas::{Crossing, Mode, Quota, QuotaKey};
use crate::model::{Json, Path, Time};
use crate::sql;
use crate::store::query::Query;
use crate::store::{Conn, Result, Tx};

macro_rules! columns {
    () => {
        "q.holder, q.key, q.account_id, q.path, q.mode, q.ceiling, q.used, q.reserved, q.updated_at"
    };
}

/// By how much a level's counters are to move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shift {
    pub holder: String,
    pub key: QuotaKey,
    pub used: i64,
    pub reserved: i64,
}

/// How deep in the tree a holder is, for the order in which rows are locked: subscriptions deepest of all.
pub fn upwards(holder: &str) -> usize {
    if holder.starts_with('/') { holder.len() } else { usize::MAX }
}

/// Moves counters, all in one statement, and gives the rows as they now are; where there is no row there
/// is no ceiling. Whoever sees a ceiling passed must let the transaction end without a commit. The rows
/// are locked in the order they are given in, until the transaction ends.
pub async fn shift(tx: &mut Tx, shifts: &[Shift], now: Time) -> Result<Vec<Quota>> {
    if shifts.is_empty() {
        return Ok(Vec::new());
    }
    // Row-level security lets only plain columns search an index ahead of it, not what `->>` takes out of
    // JSON: so that is taken out first, or every quota there is would be read.
    tx.joined(sql!(
        pg("WITH asked AS MATERIALIZED (
                SELECT value ->> 'holder' AS h, value ->> 'key' AS k, CAST(value ->> 'used' AS BIGINT) AS u,
                       CAST(value ->> 'reserved' AS BIGINT) AS r, place
                FROM jsonb_array_elements($1) WITH ORDINALITY AS list (value, place)
            ), moved AS (
                SELECT h, k, u, r FROM asked JOIN quotas ON holder = h AND key = k ORDER BY place FOR UPDATE OF quotas
            ) ")
        sqlite("WITH moved AS (
                SELECT value ->> 'holder' AS h, value ->> 'key' AS k, value ->> 'used' AS u, value ->> 'reserved' AS r
                FROM json_each($1)
            ) ")
        "UPDATE quotas SET used = used + u, reserved = reserved + r, updated_at = $2
         FROM moved WHERE holder = h AND key = k
         RETURNING holder, key, account_id, path, mode, ceiling, used, reserved, updated_at"
    ))
    .bind(Json(shifts))
    .bind(now)
    .all()
    .await
}

/// The rows of some holders for some keys, each with its level's path.
pub async fn of_holders(conn: &mut Conn, holders: &[String], keys: &[QuotaKey]) -> Result<Vec<Quota>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM quotas q
         WHERE q.holder "
        sqlite("IN (SELECT value FROM json_each($1))")
        pg("= ANY (ARRAY(SELECT value FROM jsonb_array_elements_text($1)))") " AND q.key "
        sqlite("IN (SELECT value FROM json_each($2))")
        pg("= ANY (ARRAY(SELECT value FROM jsonb_array_elements_text($2)))")
    ))
    .bind(Json(holders))
    .bind(Json(keys))
    .all()
    .await
}

/// All ceilings of one holder in the subtree, by key.
pub async fn of_holder(conn: &mut Conn, holder: &str) -> Result<Vec<Quota>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM quotas q WHERE q.holder = $1 AND q.path >= $2 AND q.path < $3 ORDER BY q.key"
    ))
    .bind(holder)
    .within()
    .all()
    .await
}

/// All ceilings of one holder in the subtree, which nobody else changes until the transaction ends.
pub async fn locked(tx: &mut Tx, holder: &str) -> Result<Vec<Quota>> {
    tx.query(sql!(
        "SELECT " columns!() " FROM quotas q
         WHERE q.holder = $1 AND q.path >= $2 AND q.path < $3 ORDER BY q.key " pg("FOR UPDATE")
    ))
    .bind(holder)
    .within()
    .all()
    .await
}

/// Every row of the accounts between two paths, from the top down.
pub async fn between(conn: &mut Conn, from: &str, to: &str) -> Result<Vec<Quota>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM quotas q WHERE q.path >= $1 AND q.path < $2 ORDER BY q.path, q.holder, q.key"
    ))
    .bind(from)
    .bind(to)
    .all()
    .await
}

/// How many rows the accounts between two paths have, counted up to a number.
pub async fn count_between(conn: &mut Conn, from: &str, to: &str, most: i64) -> Result<i64> {
    let row: (i64,) = conn
        .query(
            "SELECT COUNT(*) FROM (SELECT 1 FROM quotas WHERE path >= $1 AND path < $2 LIMIT $3) AS ceilings",
        )
        .bind(from)
        .bind(to)
        .bind(most)
        .one()
        .await?;
    Ok(row.0)
}

/// Every row for a key in the subtree, from the top down.
pub async fn of_key(conn: &mut Conn, key: QuotaKey) -> Result<Vec<Quota>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM quotas q WHERE q.key = $1 AND q.path >= $2 AND q.path < $3
         ORDER BY q.path, q.holder"
    ))
    .bind(key)
    .within()
    .all()
    .await
}

/// Keeps everybody else from moving counters until the transaction ends: while a ceiling is put where there
/// was none, what is used below it must not change.
pub async fn stop_all(tx: &mut Tx) -> Result<()> {
    tx.query(sql!(
        pg("LOCK TABLE quotas IN SHARE ROW EXCLUSIVE MODE")
        sqlite("UPDATE quotas SET used = used WHERE holder = ''")
    ))
    .execute()
    .await?;
    Ok(())
}

/// Puts a ceiling, or moves the one that is there; its counters stay, or start as given.
pub async fn put(tx: &mut Tx, quota: &Quota) -> Result<()> {
    tx.query(
        "INSERT INTO quotas (holder, key, account_id, path, mode, ceiling, used, reserved, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (holder, key) DO UPDATE SET ceiling = excluded.ceiling, mode = excluded.mode,
             updated_at = excluded.updated_at",
    )
    .bind(&quota.holder)
    .bind(quota.key)
    .bind(quota.account_id)
    .bind(&quota.path)
    .bind(quota.mode)
    .bind(quota.ceiling)
    .bind(quota.used)
    .bind(quota.reserved)
    .bind(quota.updated_at)
    .execute()
    .await?;
    Ok(())
}

/// A ceiling that a subscription is given.
#[derive(Debug, Clone, Serialize)]
pub struct Grant {
    pub key: QuotaKey,
    pub mode: Mode,
    pub ceiling: i64,
}

/// Whose ceilings they are to be.
#[derive(Debug, Clone, Copy)]
pub struct Holder<'a> {
    pub subscription: SubscriptionId,
    pub account: AccountId,
    pub path: &'a Path,
}

macro_rules! granting {
    ($end:literal) => {
        sql!(
            "INSERT INTO quotas (holder, key, account_id, path, mode, ceiling, updated_at)
             SELECT $1, value ->> 'key', $2, $3, value ->> 'mode', "
            sqlite("value ->> 'ceiling', $5 FROM json_each($4) WHERE TRUE ")
            pg("CAST(value ->> 'ceiling' AS BIGINT), $5 FROM jsonb_array_elements($4) ")
            $end
        )
    };
}

fn granted<'c>(query: Query<'c>, to: Holder<'_>, grants: &[Grant], now: Time) -> Query<'c> {
    query.bind(to.subscription).bind(to.account).bind(to.path).bind(Json(grants)).bind(now)
}

/// Gives a new subscription its ceilings, all in one statement.
pub async fn grant(tx: &mut Tx, to: Holder<'_>, grants: &[Grant], now: Time) -> Result<()> {
    granted(tx.later(granting!("")), to, grants, now).send().await
}

/// Moves a subscription's ceilings, and gives it those it did not have, all in one statement.
pub async fn regrant(tx: &mut Tx, to: Holder<'_>, grants: &[Grant], now: Time) -> Result<()> {
    let text = granting!(
        "ON CONFLICT (holder, key) DO UPDATE SET ceiling = excluded.ceiling, mode = excluded.mode,
             updated_at = excluded.updated_at"
    );
    granted(tx.query(text), to, grants, now).execute().await.map(drop)
}

/// Quotas that are fuller or emptier than was told last.
pub async fn crossed(conn: &mut Conn, limit: i64) -> Result<Vec<Crossing>> {
    conn.query(sql!(
        "SELECT " columns!() ", q.filled, q.told FROM quotas q
         WHERE q.filled <> q.told ORDER BY q.holder, q.key LIMIT $1"
    ))
    .limit(limit)
    .all()
    .await
}

/// Notes how full these are told to be, of those of which nobody else has told; says how many these are. Rows are locked as by
/// [`shift`].
pub async fn set_told(tx: &mut Tx, crossings: &[Crossing]) -> Result<usize> {
    #[derive(Serialize)]
    struct Told<'a> {
        holder: &'a str,
        key: QuotaKey,
        filled: i64,
        told: i64,
    }
    let mut told: Vec<_> = crossings
        .iter()
        .map(|Crossing { quota, filled, told }| Told {
            holder: &quota.holder,
            key: quota.key,
            filled: *filled,
            told: *told,
        })
        .collect();
    told.sort_by_key(|told| (std::cmp::Reverse(upwards(told.holder)), told.holder, told.key));
    let told: Vec<(String,)> = tx
        .query(sql!(
            pg("WITH asked AS MATERIALIZED (
                    SELECT value ->> 'holder' AS h, value ->> 'key' AS k, CAST(value ->> 'filled' AS BIGINT) AS f,
                           CAST(value ->> 'told' AS BIGINT) AS t, place
                    FROM jsonb_array_elements($1) WITH ORDINALITY AS list (value, place)
                ), moved AS (
                    SELECT h, k, f, t FROM asked JOIN quotas ON holder = h AND key = k ORDER BY place FOR UPDATE OF quotas
                ) ")
            sqlite("WITH moved AS (
                    SELECT value ->> 'holder' AS h, value ->> 'key' AS k, value ->> 'filled' AS f, value ->> 'told' AS t
                    FROM json_each($1)
                ) ")
            "UPDATE quotas SET told = f FROM moved WHERE holder = h AND key = k AND told = t RETURNING holder"
        ))
        .bind(Json(told))
        .all()
        .await?;
    Ok(told.len())
}

/// Takes a ceiling away: from then on the level is unlimited.
pub async fn remove(tx: &mut Tx, holder: &str, key: QuotaKey) -> Result<()> {
    tx.query("DELETE FROM quotas WHERE holder = $1 AND key = $2").bind(holder).bind(key).execute().await?;
    Ok(())
}
