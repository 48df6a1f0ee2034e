//! Accounts by how they are. What is wrong with any has an index of its own, by the path of whose it is: who asks what is
//! wrong reads nothing of what is not.

use crate::model::accounts::accounts::Account;
use crate::model::accounts::console::Trouble;
use crate::model::ids::AccountId;
use crate::model::{Json, Path};
use crate::sql;
use crate::store::{Conn, Result};

// As their indexes have them.
macro_rules! troubled {
    () => {
        "o.status = 'needs_attention'"
    };
}
macro_rules! closing {
    () => {
        "h.status = 'active' AND (h.effect = 'suspend' OR h.effect = 'degrade') AND h.reason_class <> 'ended'"
    };
}

/// From the row that a page follows on; a row without an identifier is where the subtree begins, and belongs to the page.
macro_rules! from {
    ($path:literal) => {
        concat!($path, " >= $1 AND NOT (", $path, " = $1 AND $2 <> '') AND ", $path, " < $3")
    };
}

/// A page of the accounts with which something is wrong, in the order of (path, id), after the one named.
pub async fn troubled(
    conn: &mut Conn,
    after: Option<&(Path, AccountId)>,
    limit: i64,
) -> Result<Vec<Account>> {
    conn.query(sql!(
        "WITH places AS MATERIALIZED (
             SELECT path FROM (SELECT DISTINCT o.path FROM operations o WHERE " troubled!() " AND " from!("o.path") "
                 ORDER BY o.path LIMIT $4) AS operations
             UNION
             SELECT path FROM (SELECT DISTINCT q.path FROM quotas q WHERE q.filled = 101 AND " from!("q.path") "
                 ORDER BY q.path LIMIT $4) AS quotas
             UNION
             SELECT path FROM (SELECT DISTINCT h.path FROM holds h WHERE " closing!() " AND " from!("h.path") "
                 ORDER BY h.path LIMIT $4) AS holds
             ORDER BY path LIMIT $4
         )
         SELECT " account_columns!() ", " held("a.path") " AS held FROM accounts a WHERE a.path "
        sqlite("IN (SELECT path FROM places)") pg("= ANY (ARRAY(SELECT path FROM places))")
        " ORDER BY a.path, a.id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// A page of those with which nothing is wrong: looked at one by one, and not joined to all that is wrong anywhere.
pub async fn untroubled(
    conn: &mut Conn,
    after: Option<&(Path, AccountId)>,
    limit: i64,
) -> Result<Vec<Account>> {
    conn.query(sql!(
        "SELECT " account_columns!() ", " held("a.path") " AS held FROM accounts a
         WHERE (a.path, a.id) > ($1, $2) AND a.path < $3
           AND (SELECT 1 FROM operations o WHERE " troubled!() " AND o.path = a.path LIMIT 1) IS NULL
           AND (SELECT 1 FROM quotas q WHERE q.filled = 101 AND q.path = a.path LIMIT 1) IS NULL
           AND (SELECT 1 FROM holds h WHERE " closing!() " AND h.path = a.path LIMIT 1) IS NULL
         ORDER BY a.path LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// What is wrong with the accounts at these paths.
pub async fn troubles(conn: &mut Conn, paths: &[Path]) -> Result<Vec<Trouble>> {
    conn.query(sql!(
        "SELECT o.path, 'operation_needs_attention' AS kind, COUNT(*) AS count, MIN(o.updated_at) AS since
         FROM operations o WHERE " troubled!() " AND o.path "
        sqlite("IN (SELECT value FROM json_each($1))")
        pg("= ANY (ARRAY(SELECT value FROM jsonb_array_elements_text($1)))") " GROUP BY o.path
         UNION ALL
         SELECT q.path, 'quota_passed', COUNT(*), MIN(q.updated_at) FROM quotas q WHERE q.filled = 101 AND q.path "
        sqlite("IN (SELECT value FROM json_each($1))")
        pg("= ANY (ARRAY(SELECT value FROM jsonb_array_elements_text($1)))") " GROUP BY q.path
         UNION ALL
         SELECT h.path, 'held', COUNT(*), MIN(h.created_at) FROM holds h WHERE " closing!() " AND h.path "
        sqlite("IN (SELECT value FROM json_each($1))")
        pg("= ANY (ARRAY(SELECT value FROM jsonb_array_elements_text($1)))") " GROUP BY h.path"
    ))
    .bind(Json(paths))
    .all()
    .await
}
