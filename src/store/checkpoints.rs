//! The audit's checkpoints.

use serde::Serialize;

use super::{Conn, Result, Tx};
use crate::model::accounts::checkpoints::Head;
use crate::model::ids::AccountId;
use crate::model::{Json, Time};
use crate::sql;

/// A checkpoint's row: its signed line, the lines of its heads, and whether it stands in a file by now.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct Kept {
    pub number: i64,
    pub made_at: Time,
    pub heads: String,
    pub line: String,
    pub kept: bool,
}

/// The last checkpoint's number and line, and whether it was made so many seconds ago by the database's clock.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct Last {
    pub number: i64,
    pub line: String,
    pub made_at: Time,
    pub is_old: bool,
}

pub async fn last(conn: &mut Conn, seconds: i64) -> Result<Option<Last>> {
    conn.query(sql!(
        "SELECT number, line, made_at, made_at <= " later("$1") " AS is_old
         FROM audit_checkpoints ORDER BY number DESC LIMIT 1"
    ))
    .bind(-seconds)
    .optional()
    .await
}

/// How far an account's chain has come, and which of its lines a checkpoint told last.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct Standing {
    pub account_id: AccountId,
    pub sequence: i64,
    pub hash: String,
    pub witnessed: i64,
}

/// How the chains of accounts after the one named stand, in the order of their identifiers.
pub async fn standing(conn: &mut Conn, after: Option<AccountId>, limit: i64) -> Result<Vec<Standing>> {
    conn.query(
        "SELECT c.account_id, c.audit AS sequence, c.audit_head AS hash,
             COALESCE((SELECT w.sequence FROM audit_witnessed w WHERE w.account_id = c.account_id), 0) AS witnessed
         FROM account_counters c WHERE c.account_id > $1 AND c.path >= $2 AND c.path < $3 ORDER BY c.account_id LIMIT $4",
    )
    .bind(after.map(|id| id.to_string()).unwrap_or_default())
    .within()
    .bind(limit)
    .all()
    .await
}

/// Keeps a checkpoint; says whether there was none of its number yet.
pub async fn insert(tx: &mut Tx, checkpoint: &Kept) -> Result<bool> {
    let added = tx
        .query(
            "INSERT INTO audit_checkpoints (number, made_at, heads, line, kept) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (number) DO NOTHING",
        )
        .bind(checkpoint.number)
        .bind(checkpoint.made_at)
        .bind(&checkpoint.heads)
        .bind(&checkpoint.line)
        .bind(checkpoint.kept)
        .execute()
        .await?;
    Ok(added == 1)
}

#[derive(Debug, Serialize)]
struct Witnessed {
    account_id: AccountId,
    sequence: i64,
}

/// Takes note of the heads that a checkpoint tells.
pub async fn witness(tx: &mut Tx, heads: &[Head]) -> Result<()> {
    let told: Vec<_> =
        heads.iter().map(|head| Witnessed { account_id: head.account_id, sequence: head.sequence }).collect();
    tx.query(sql!(
        "INSERT INTO audit_witnessed (account_id, sequence)
         SELECT value ->> 'account_id', CAST(value ->> 'sequence' AS BIGINT) FROM "
        pg("jsonb_array_elements($1)") sqlite("json_each($1)")
        " WHERE true ON CONFLICT (account_id) DO UPDATE SET sequence = excluded.sequence"
    ))
    .bind(Json(told))
    .execute()
    .await?;
    Ok(())
}

/// The checkpoints after a number, in order.
pub async fn after(conn: &mut Conn, number: i64, limit: i64) -> Result<Vec<Kept>> {
    conn.query(
        "SELECT number, made_at, heads, line, kept FROM audit_checkpoints
         WHERE number > $1 ORDER BY number LIMIT $2",
    )
    .bind(number)
    .bind(limit)
    .all()
    .await
}

/// Takes note that a checkpoint stands in a file.
pub async fn keep(tx: &mut Tx, number: i64) -> Result<()> {
    tx.query("UPDATE audit_checkpoints SET kept = TRUE WHERE number = $1").bind(number).execute().await?;
    Ok(())
}
