//! Who did what: one line for each change, with a sequence for each account that has no gap, and a hash over the
//! line and the hash before it, so that none can be changed, left out or put in without a trace.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Conn, Result, Tx};
use crate::model::accounts::audit::{ActedAs, AuditLineView};
use crate::model::ids::{AccountId, KeyId};
use crate::model::{Json, Path, Time, canonical};

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
    /// [`chained`]; empty in lines from before there was a chain.
    pub hash: String,
}

impl Line {
    /// The SHA-256 of all that the line says, in hexadecimal: of its JSON in canonical form (RFC 8785), without its
    /// sequence and its hash.
    pub fn digest(&self) -> String {
        let said = json!({
            "account_id": self.account_id,
            "path": self.path.as_str(),
            "principal_id": self.principal_id,
            "key_id": self.key_id,
            "action": self.action,
            "resource": self.resource,
            "request_id": self.request_id,
            "address": self.address,
            "outcome": self.outcome,
            "detail": self.detail.0,
            "occurred_at": self.occurred_at,
        });
        hex::encode(Sha256::digest(canonical(&said)))
    }
}

/// The member of a line's detail that names the accounts which acted through each other.
pub const ACTORS: &str = "actors";
/// The one that names the person whose key it was.
pub const MEMBER: &str = "member_id";
/// The one that names the batch in which the request was left.
pub const BATCH: &str = "batch_id";

impl Line {
    /// The line as the account `own` at `viewer` sees it, where the line's own stands at `place`: who acted from above the
    /// viewer is not told, nor who stood above when it stood elsewhere.
    pub fn seen_by(mut self, own: AccountId, viewer: &Path, place: &Path) -> AuditLineView {
        // Whoever acts for an account is it or one above it, and so has a place on its path.
        let last = Path::root(self.principal_id);
        let principal = place.upwards().find(|path| path.as_str().ends_with(last.as_str()));
        // A test account stands at the place of its live one, which does not tell its own name.
        let is_above =
            self.principal_id != own && !principal.is_some_and(|principal| viewer.covers(&principal));
        if is_above {
            self.detail.0.remove(ACTORS);
            self.detail.0.remove(MEMBER);
            self.detail.0.remove(BATCH);
        }
        AuditLineView {
            account_id: self.account_id,
            sequence: self.sequence,
            action: self.action,
            resource: self.resource,
            acted_as: if is_above { ActedAs::Operator } else { ActedAs::Account },
            principal_id: (!is_above).then_some(self.principal_id),
            key_id: (!is_above).then_some(self.key_id),
            address: self.address.filter(|_| !is_above),
            request_id: self.request_id,
            outcome: self.outcome,
            detail: self.detail.0,
            hash: self.hash,
            occurred_at: self.occurred_at,
        }
    }
}

/// The hash of the line of that sequence and digest, after a line of the hash `before`; the first has none before.
pub fn chained(before: &str, sequence: i64, digest: &str) -> String {
    sha256_hex(&format!("{before}:{sequence}:{digest}"))
}

/// SHA-256 in hexadecimal, as PostgreSQL's `encode(sha256(…), 'hex')` writes it.
pub fn sha256_hex(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

pub async fn append(tx: &mut Tx, line: &Line) -> Result<()> {
    tx.later(
        "INSERT INTO audit (account_id, sequence, path, principal_id, key_id, action, resource, request_id,
             address, outcome, detail, occurred_at, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
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
    .bind(&line.hash)
    .send()
    .await
}

/// An account's lines after a number, in order, if the account stands in the subtree.
pub async fn after(conn: &mut Conn, account: AccountId, sequence: i64, limit: i64) -> Result<Vec<Line>> {
    conn.query(
        "SELECT account_id, sequence, path, principal_id, key_id, action, resource, request_id, address, outcome,
             detail, occurred_at, hash
         FROM audit WHERE account_id = $1 AND sequence > $2
             AND EXISTS (SELECT 1 FROM accounts a WHERE a.id = $1 AND a.path >= $3 AND a.path < $4)
         ORDER BY sequence LIMIT $5",
    )
    .bind(account)
    .bind(sequence)
    .within()
    .bind(limit)
    .all()
    .await
}

/// How far an account's chain has come.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct Chain {
    pub account_id: AccountId,
    /// How many lines there are, and the hash of the last one.
    pub lines: i64,
    pub head: String,
    /// The last line that there is in fact.
    pub last: Option<i64>,
}

/// The chains of accounts after the one named, in the order of their identifiers.
pub async fn chains(conn: &mut Conn, after: Option<AccountId>, limit: i64) -> Result<Vec<Chain>> {
    conn.query(
        "SELECT c.account_id, c.audit AS lines, c.audit_head AS head,
             (SELECT MAX(l.sequence) FROM audit l WHERE l.account_id = c.account_id) AS last
         FROM account_counters c WHERE c.account_id > $1 AND c.path >= $2 AND c.path < $3 ORDER BY c.account_id LIMIT $4",
    )
    .bind(after.map(|id| id.to_string()).unwrap_or_default())
    .within()
    .bind(limit)
    .all()
    .await
}
