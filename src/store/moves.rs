//! Giving all that belongs to an account and to those below it another place in the tree.

use super::engine::Sql;
use super::{Conn, Result, Tx};
use crate::model::ids::AccountId;
use crate::model::{Json, Path, Subtree, Time};
use crate::sql;

/// From where to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    pub from: Path,
    pub to: Path,
}

/// Keeps everybody else from writing until the transaction ends: what is written meanwhile would be written at places
/// that are no more. Whoever writes takes the other half of this lock as he begins; see [`super::Db::write`].
pub async fn stop_writing(tx: &mut Tx) -> Result<()> {
    tx.query(sql!(
        pg("LOCK TABLE accounts IN EXCLUSIVE MODE")
        sqlite("UPDATE accounts SET path = path WHERE id = ''")
    ))
    .execute()
    .await?;
    Ok(())
}

/// How many accounts the longest line from the account at the place down to one below it has, both counted.
pub async fn depth_below(conn: &mut Conn, place: &Path) -> Result<usize> {
    let inside = Subtree::of(place);
    let (longest,): (i64,) = conn
        .query("SELECT CAST(COALESCE(MAX(length(path)), 0) AS BIGINT) FROM accounts WHERE path >= $1 AND path < $2")
        .bind(inside.from())
        .bind(inside.to())
        .one()
        .await?;
    let depth = usize::try_from(longest).unwrap_or_default() / crate::model::path::STEP;
    Ok(depth.saturating_sub(place.depth()) + 1)
}

/// The accounts that stand at these places.
pub async fn at(conn: &mut Conn, places: &[Path]) -> Result<Vec<AccountId>> {
    let rows: Vec<(AccountId,)> = conn
        .query(sql!(
            "SELECT id FROM accounts WHERE path "
            sqlite("IN (SELECT value FROM json_each($1))")
            pg("= ANY (ARRAY(SELECT value FROM jsonb_array_elements_text($1)))")
        ))
        .bind(Json(places))
        .all()
        .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

macro_rules! moved {
    ($column:literal) => {
        concat!(
            "CASE WHEN ",
            $column,
            " >= $1 AND ",
            $column,
            " < $3 THEN $2 || substr(",
            $column,
            ", CAST($4 AS INTEGER)) ELSE ",
            $column,
            " END"
        )
    };
}

/// The rows of a table by its index of places; or, where it has none, by that of what they belong to, which is looked up
/// first. Row-level security keeps PostgreSQL from joining the two by an index.
macro_rules! rows {
    ($table:literal) => {
        rows!($table, "")
    };
    ($table:literal, $more:expr) => {
        (
            $table,
            sql!(
                "UPDATE " $table " SET path = $2 || substr(path, CAST($4 AS INTEGER))" text!($more)
                " WHERE path >= $1 AND path < $3"
            ),
        )
    };
    ($table:literal, $column:literal of $parent:literal) => {
        (
            $table,
            sql!(
                "UPDATE " $table " SET path = $2 || substr(path, CAST($4 AS INTEGER))
                 WHERE path >= $1 AND path < $3 AND " $column " " pg("= ANY (ARRAY(") sqlite("IN (")
                "SELECT id FROM " $parent " WHERE path >= $1 AND path < $3" pg("))") sqlite(")")
            ),
        )
    };
}

macro_rules! text {
    ($text:expr) => {
        $text
    };
}

/// What has a place, and how it is given another one; what others are found by comes after them. A line of the audit
/// says where its account stood at the time: it stays as it is, and who may read it goes by where the account stands now.
pub const MOVED: &[(&str, Sql)] = &[
    rows!("account_counters", "account_id" of "accounts"),
    rows!("events", "account_id" of "accounts"),
    rows!("requests", "account_id" of "accounts"),
    // Whoever asked for it stands there too, or above; those above have asked for much else.
    rows!("replies", "principal_id" of "accounts"),
    (
        "replies",
        sql!(
            "UPDATE replies SET path = $2 || substr(path, CAST($4 AS INTEGER))
             WHERE path >= $1 AND path < $3 AND principal_id " pg("= ANY (ARRAY(") sqlite("IN (")
            "SELECT id FROM accounts WHERE path IN (" upwards!("CAST($1 AS TEXT)") ")" pg("))") sqlite(")")
            " AND subject_id " pg("= ANY (ARRAY(") sqlite("IN (")
            "SELECT id FROM accounts WHERE path >= $1 AND path < $3" pg("))") sqlite(")")
        ),
    ),
    rows!("deliveries", "endpoint_id" of "webhook_endpoints"),
    rows!("webhook_old_secrets", "endpoint_id" of "webhook_endpoints"),
    rows!("webhook_endpoints"),
    rows!("prices", "price_list_id" of "price_lists"),
    rows!("price_lists"),
    rows!("plan_versions", "plan_id" of "plans"),
    rows!("plans"),
    rows!("addons"),
    rows!("key_spending", "key_id" of "api_keys"),
    rows!("api_keys"),
    rows!("members"),
    rows!("signups"),
    rows!("storefront_keys"),
    rows!("servers"),
    rows!("virtual_servers"),
    rows!("quotas", concat!(", holder = ", moved!("holder"))),
    rows!("quota_requests"),
    rows!("batch_items", "batch_id" of "batches"),
    rows!("batches"),
    rows!("reconcile_rows", "run_id" of "reconcile_runs"),
    rows!("reconcile_differences", "run_id" of "reconcile_runs"),
    rows!("reconcile_runs"),
    rows!("quotes"),
    rows!("orders"),
    rows!("subscriptions"),
    rows!("services"),
    rows!("resources"),
    rows!("holds", concat!(", target = ", moved!("target"), ", placed_by_path = ", moved!("placed_by_path"))),
    rows!("operations"),
    rows!("accounts"),
];

/// Moves all rows, and what in them says where something stands.
pub async fn rewrite(tx: &mut Tx, places: &Places) -> Result<()> {
    let inside = Subtree::of(&places.from);
    let rest = inside.from().len() as i64 + 1;
    for (_, statement) in MOVED {
        tx.query(*statement)
            .bind(inside.from())
            .bind(&places.to)
            .bind(inside.to())
            .bind(rest)
            .execute()
            .await?;
    }
    Ok(())
}

/// Has what was cancelled in subscriptions at and below the place stay with whoever cancelled it, where he stands above them
/// still; what those who are left behind had cancelled is the new seller's. Before [`rewrite`]; `kept` is how many accounts
/// above the place are above the new one, too.
pub async fn hand_over_cancellations(tx: &mut Tx, places: &Places, kept: usize) -> Result<()> {
    let inside = Subtree::of(&places.from);
    let depth = |depth: usize| i64::try_from(depth).unwrap_or(i64::MAX);
    tx.query(
        "UPDATE subscriptions SET cancelled_above = CASE
             WHEN length(path) / 13 - cancelled_above <= $3 THEN cancelled_above + $5 - $4
             WHEN length(path) / 13 - cancelled_above < $4 THEN length(path) / 13 - $4 + 1
             ELSE cancelled_above END
         WHERE path >= $1 AND path < $2 AND cancelled_above IS NOT NULL",
    )
    .bind(inside.from())
    .bind(inside.to())
    .bind(depth(kept))
    .bind(depth(places.from.depth()))
    .bind(depth(places.to.depth()))
    .execute()
    .await?;
    Ok(())
}

/// Puts the account below another one; its place is [`rewrite`]'s to change.
pub async fn set_parent(tx: &mut Tx, id: AccountId, parent: AccountId, now: Time) -> Result<()> {
    tx.query("UPDATE accounts SET parent_id = $2, version = version + 1, updated_at = $3 WHERE id = $1")
        .bind(id)
        .bind(parent)
        .bind(now)
        .execute()
        .await?;
    Ok(())
}

/// Takes away the names that some accounts gave to what stands at and below the place: they are theirs, and free for
/// something else.
pub async fn forget_names(tx: &mut Tx, place: &Path, by: &[AccountId]) -> Result<()> {
    macro_rules! forgetting {
        ($table:literal) => {
            sql!(
                "UPDATE " $table " SET external_id = NULL, external_id_by = NULL
                 WHERE path >= $1 AND path < $2 AND external_id_by "
                sqlite("IN (SELECT value FROM json_each($3))")
                pg("= ANY (ARRAY(SELECT value FROM jsonb_array_elements_text($3)))")
            )
        };
    }
    let inside = Subtree::of(place);
    for statement in [forgetting!("accounts"), forgetting!("orders"), forgetting!("resources")] {
        tx.query(statement).bind(inside.from()).bind(inside.to()).bind(Json(by)).execute().await?;
    }
    Ok(())
}
