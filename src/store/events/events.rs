use serde::Serialize;

use crate::model::events::events::{Event, EventBody, EventType};
use crate::model::ids::{AccountId, EventId};
use crate::model::{Json, Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! columns {
    () => {
        "e.id, e.position, e.account_id, e.path, e.sequence, e.type, e.body, e.occurred_at"
    };
}

/// An event about to be kept.
#[derive(Debug, Clone, Serialize)]
pub struct NewEvent {
    pub id: EventId,
    pub account_id: AccountId,
    pub path: Path,
    pub sequence: i64,
    #[serde(rename = "type")]
    pub event_type: EventType,
    pub body: EventBody,
    /// In whose timeline it is told.
    pub about: Option<String>,
}

/// Keeps events at the end of the feed, all in one statement.
///
/// The feed's order is the order of commits: SQLite's one writer counts, PostgreSQL gives its transaction's
/// number, and readers stop before the first transaction that is still open.
pub async fn append(tx: &mut Tx, events: &[NewEvent], now: Time) -> Result<()> {
    tx.later(sql!(
        "INSERT INTO events (id, position, account_id, path, sequence, type, body, about, occurred_at)
         SELECT value ->> 'id', "
        sqlite("(SELECT COALESCE(MAX(position), 0) + 1 FROM events), value ->> 'account_id', value ->> 'path',
                value ->> 'sequence', value ->> 'type', value -> 'body', value ->> 'about', $2 FROM json_each($1)")
        pg("CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT), value ->> 'account_id', value ->> 'path',
                CAST(value ->> 'sequence' AS BIGINT), value ->> 'type', value -> 'body', value ->> 'about', $2 FROM jsonb_array_elements($1) AS list (value)")
    ))
    .bind(Json(events))
    .bind(now)
    .send()
    .await
}

/// The subtree's events after a place in the feed, in its order.
pub async fn after(conn: &mut Conn, position: i64, id: &str, limit: i64) -> Result<Vec<Event>> {
    if conn.subtree().is_narrowed() {
        return after_of_parts(conn, position, id, limit).await;
    }
    conn.query(sql!(
        "SELECT " columns!() " FROM events e
         WHERE (e.position, e.id) > ($1, $2) AND e.path >= $3 AND e.path < $4 "
        pg("AND e.position < CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT) ")
        "ORDER BY e.position, e.id LIMIT $5"
    ))
    .bind(position)
    .bind(id)
    .within()
    .bind(limit)
    .all()
    .await
}

/// The same of a subtree in several parts. It is one statement, so that all parts are as they were at one moment: what is
/// committed while one of them is read would be passed over.
async fn after_of_parts(conn: &mut Conn, position: i64, id: &str, limit: i64) -> Result<Vec<Event>> {
    let parts: Vec<String> = conn.subtree().spans().iter().map(|part| part.from().to_owned()).collect();
    let (from, to) = (conn.subtree().from().to_owned(), conn.subtree().to().to_owned());
    conn.query(sql!(
        "SELECT " columns!() " FROM events e
         WHERE (e.position, e.id) > ($1, $2) AND e.path >= $3 AND e.path < $4 AND EXISTS (
             SELECT 1 FROM " sqlite("json_each($6) AS part WHERE substr(e.path, 1, length(part.value)) = part.value")
             pg("jsonb_array_elements_text($6) AS part (value) WHERE starts_with(e.path, part.value)") ") "
        pg("AND e.position < CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT) ")
        "ORDER BY e.position, e.id LIMIT $5"
    ))
    .bind(position)
    .bind(id)
    .bind(from)
    .bind(to)
    .bind(limit)
    .bind(Json(parts))
    .all()
    .await
}

/// The subtree's events about a thing before a place in the feed, the last first: so many of each part of a subtree in several,
/// one part after another.
pub async fn about(conn: &mut Conn, thing: &str, before: &(i64, String), limit: i64) -> Result<Vec<Event>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM events e
         WHERE e.about = $1 AND (e.position, e.id) < ($2, $3) AND e.path >= $4 AND e.path < $5
         ORDER BY e.position DESC, e.id DESC LIMIT $6"
    ))
    .bind(thing)
    .bind(before.0)
    .bind(&before.1)
    .within()
    .bind(limit)
    .all()
    .await
}

pub async fn find(conn: &mut Conn, id: EventId) -> Result<Option<Event>> {
    conn.query(sql!("SELECT " columns!() " FROM events e WHERE e.id = $1 AND e.path >= $2 AND e.path < $3"))
        .bind(id)
        .within()
        .optional()
        .await
}

/// How far a reader has come; none before its first event.
pub async fn reader(conn: &mut Conn, name: &str) -> Result<Option<(i64, String)>> {
    conn.query("SELECT position, event_id FROM feed_readers WHERE name = $1").bind(name).optional().await
}

/// Moves a reader on from where it was; says whether nobody else had.
pub async fn advance(tx: &mut Tx, name: &str, from: (i64, &str), to: (i64, &str)) -> Result<bool> {
    let moved = tx
        .query(
            "INSERT INTO feed_readers (name, position, event_id) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET position = excluded.position, event_id = excluded.event_id
             WHERE feed_readers.position = $4 AND feed_readers.event_id = $5",
        )
        .bind(name)
        .bind(to.0)
        .bind(to.1)
        .bind(from.0)
        .bind(from.1)
        .execute()
        .await?;
    Ok(moved == 1)
}
