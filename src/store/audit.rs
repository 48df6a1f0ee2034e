//! Who did what: one line for each change, with a sequence for each account that has no gap.

use serde_json::{Map, Value};

use super::{Conn, Result, Tx};
use crate::model::ids::{AccountId, KeyId};
use crate::model::{Json, Path, Time};

/// An audit line's row.
#[derive(Debug, Clone, PartialEq, crate::model::rows::Record)]
pub struct Line {
    pub account_id: AccountId,
    pub sequence: i64,
    pub path: Path,
    /// Whose credential it was.
    pub principal_id: AccountId,
    pub key_id: KeyId,
    /// What was called: the operation's name in the document.
    pub action: String,
    /// The object that was made or changed.
    pub resource: Option<String>,
    pub request_id: String,
    pub address: Option<String>,
    pub outcome: String,
    pub detail: Json<Map<String, Value>>,
    pub occurred_at: Time,
}

pub async fn append(tx: &mut Tx, line: &Line) -> Result<()> {
    tx.later(
        "INSERT INTO audit (account_id, sequence, path, principal_id, key_id, action, resource, request_id,
             address, outcome, detail, occurred_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(line.account_id)
    .bind(line.sequence)
    .bind(&line.path)
    .bind(line.principal_id)
    .bind(line.key_id)
    .bind(&line.action)
    .bind(&line.resource)
    .bind(&line.request_id)
    .bind(&line.address)
    .bind(&line.outcome)
    .bind(&line.detail)
    .bind(line.occurred_at)
    .send()
    .await
}

/// An account's lines after a number, in order.
pub async fn after(conn: &mut Conn, account: AccountId, sequence: i64, limit: i64) -> Result<Vec<Line>> {
    conn.query(
        "SELECT account_id, sequence, path, principal_id, key_id, action, resource, request_id, address, outcome,
             detail, occurred_at
         FROM audit WHERE account_id = $1 AND sequence > $2 AND path >= $3 AND path < $4 ORDER BY sequence LIMIT $5",
    )
    .bind(account)
    .bind(sequence)
    .within()
    .bind(limit)
    .all()
    .await
}
