//! What is called so. Each statement goes by an index of names, so that it costs the same however much there is.

use crate::model::accounts::search::Found;
use crate::model::ids::AccountId;
use crate::store::{Conn, Result};

/// Accounts of this name, whichever letters of it are capital (of a to z).
pub async fn accounts_named(conn: &mut Conn, name: &str, limit: i64) -> Result<Vec<Found>> {
    conn.query(
        "SELECT 'account' AS type, id, id AS account_id, name, external_id, path FROM accounts
         WHERE name_key = $1 AND path >= $2 AND path < $3 ORDER BY path LIMIT $4",
    )
    .bind(name.to_ascii_lowercase())
    .within()
    .limit(limit)
    .all()
    .await
}

/// Accounts that `by` gave this name of its own.
pub async fn accounts_called(
    conn: &mut Conn,
    by: AccountId,
    external_id: &str,
    limit: i64,
) -> Result<Vec<Found>> {
    conn.query(
        "SELECT 'account' AS type, id, id AS account_id, name, external_id, path FROM accounts
         WHERE external_id_by = $1 AND external_id = $2 AND path >= $3 AND path < $4 ORDER BY path LIMIT $5",
    )
    .bind(by)
    .bind(external_id)
    .within()
    .limit(limit)
    .all()
    .await
}

/// Subscriptions that somebody called so when they were ordered.
pub async fn subscriptions_called(conn: &mut Conn, external_id: &str, limit: i64) -> Result<Vec<Found>> {
    conn.query(
        "SELECT 'subscription' AS type, id, account_id, plan_code AS name, external_id, path FROM subscriptions
         WHERE external_id = $1 AND path >= $2 AND path < $3 ORDER BY path, id LIMIT $4",
    )
    .bind(external_id)
    .within()
    .limit(limit)
    .all()
    .await
}

/// The order that `by` called so.
pub async fn orders_called(
    conn: &mut Conn,
    by: AccountId,
    external_id: &str,
    limit: i64,
) -> Result<Vec<Found>> {
    conn.query(
        "SELECT 'order' AS type, id, account_id, NULL AS name, external_id, path FROM orders
         WHERE external_id_by = $1 AND external_id = $2 AND path >= $3 AND path < $4 ORDER BY path, id LIMIT $5",
    )
    .bind(by)
    .bind(external_id)
    .within()
    .limit(limit)
    .all()
    .await
}

/// Domains, mailboxes, zones and sites of this name that have not been deleted.
pub async fn resources_named(conn: &mut Conn, name: &str, limit: i64) -> Result<Vec<Found>> {
    conn.query(
        "SELECT type, id, account_id, name, external_id, path FROM resources
         WHERE type IN ('domain', 'mailbox', 'zone', 'site') AND name = $1
           AND lifecycle <> 'deleted' AND lifecycle <> 'failed' AND path >= $2 AND path < $3
         ORDER BY path, id LIMIT $4",
    )
    .bind(name)
    .within()
    .limit(limit)
    .all()
    .await
}

/// The resource that `by` called so.
pub async fn resources_called(
    conn: &mut Conn,
    by: AccountId,
    external_id: &str,
    limit: i64,
) -> Result<Vec<Found>> {
    conn.query(
        "SELECT type, id, account_id, name, external_id, path FROM resources
         WHERE external_id_by = $1 AND external_id = $2 AND type IN ('domain', 'mailbox', 'zone', 'site')
           AND lifecycle <> 'deleted' AND lifecycle <> 'failed'
           AND path >= $3 AND path < $4 ORDER BY path, id LIMIT $5",
    )
    .bind(by)
    .bind(external_id)
    .within()
    .limit(limit)
    .all()
    .await
}
