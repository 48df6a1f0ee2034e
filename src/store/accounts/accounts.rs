use serde::Serialize;

use crate::model::accounts::accounts::Account;
use crate::model::accounts::delegation::Allow;
use crate::model::ids::AccountId;
use crate::model::rows::Record;
use crate::model::{Json, Path, Subtree, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

/// Adds the account and its counters.
pub async fn insert(tx: &mut Tx, account: &Account) -> Result<()> {
    tx.later(
        "INSERT INTO accounts (id, path, parent_id, type, status, environment, name, contact_email, country,
             locale, time_zone, currency, external_id, external_id_by, fingerprint, metadata, version,
             created_at, updated_at, delegation, require_idempotency_key)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)",
    )
    .bind(account.id)
    .bind(&account.path)
    .bind(account.parent_id)
    .bind(account.account_type)
    .bind(account.status)
    .bind(account.environment)
    .bind(&account.name)
    .bind(&account.contact_email)
    .bind(&account.country)
    .bind(&account.locale)
    .bind(&account.time_zone)
    .bind(&account.currency)
    .bind(&account.external_id)
    .bind(account.external_id_by)
    .bind(&account.fingerprint)
    .bind(&account.metadata)
    .bind(account.version)
    .bind(account.created_at)
    .bind(account.updated_at)
    .bind(account.delegation)
    .bind(account.require_idempotency_key)
    .send()
    .await?;
    tx.joined("INSERT INTO account_counters (account_id, path) VALUES ($1, $2)")
        .bind(account.id)
        .bind(&account.path)
        .execute()
        .await
        .map(drop)
}

/// The account, if it is in the subtree, with what holds leave of it.
pub async fn find(conn: &mut Conn, id: AccountId) -> Result<Option<Account>> {
    conn.query(sql!(
        "SELECT " account_columns!() ", " held("a.path") " AS held
         FROM accounts a WHERE a.id = $1 AND a.path >= $2 AND a.path < $3"
    ))
    .bind(id)
    .within()
    .optional()
    .await
}

/// The account, if it is in the subtree, of which nothing is changed until the transaction ends.
pub async fn kept(tx: &mut Tx, id: AccountId) -> Result<Option<Account>> {
    tx.query(sql!(
        "SELECT " account_columns!() ", " held("a.path") " AS held
         FROM accounts a WHERE a.id = $1 AND a.path >= $2 AND a.path < $3 " pg("FOR SHARE OF a")
    ))
    .bind(id)
    .within()
    .optional()
    .await
}

/// What keeps an account from being closed.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub struct Left {
    /// Below it and open.
    pub accounts: i64,
    /// Its own, that have not ended.
    pub subscriptions: i64,
}

/// What keeps the account at the place from being closed.
pub async fn left_open(conn: &mut Conn, place: &Path) -> Result<Left> {
    let inside = Subtree::of(place);
    conn.query(
        "SELECT (SELECT COUNT(*) FROM accounts a
                 WHERE a.path > $1 AND a.path < $2 AND a.status = 'active') AS accounts,
                (SELECT COUNT(*) FROM subscriptions s
                 WHERE s.path = $1 AND s.status NOT IN ('cancelled', 'expired')) AS subscriptions",
    )
    .bind(place)
    .bind(inside.to())
    .one()
    .await
}

/// The account that somebody acts for: it is there for its own keys, however little else they reach.
pub async fn itself(conn: &mut Conn, subject: AccountId) -> Result<Option<Account>> {
    conn.query(
        sql!("SELECT " account_columns!() ", " held("a.path") " AS held FROM accounts a WHERE a.id = $1"),
    )
    .bind(subject)
    .optional()
    .await
}

/// What accounts say of those above them, where it is not that they may do everything.
pub async fn walls(conn: &mut Conn) -> Result<Vec<(Path, Allow)>> {
    conn.query("SELECT path, delegation FROM accounts WHERE delegation <> 'full' ORDER BY path").all().await
}

/// The account that stands at the place, if that is in the subtree.
pub async fn at(conn: &mut Conn, place: &Path) -> Result<Option<Account>> {
    conn.query(
        sql!("SELECT " account_columns!() " FROM accounts a WHERE a.path = $1 AND a.path >= $2 AND a.path < $3"),
    )
    .bind(place)
    .within()
    .optional()
    .await
}

/// The account that stood at this place, wherever it stands by now. No index is of help: it is for one that has moved
/// since something was noted of it.
pub async fn that_stood_at(conn: &mut Conn, place: &Path) -> Result<Option<Account>> {
    conn.query(sql!(
        "SELECT " account_columns!() " FROM accounts a
         WHERE substr(a.path, length(a.path) - 12, 12) = $1 AND a.path >= $2 AND a.path < $3"
    ))
    .bind(place.label())
    .within()
    .all::<Account>()
    .await
    .map(|all| all.into_iter().find(|account| account.path.is_beside() == place.is_beside()))
}

/// The operator, of whom there is one.
pub async fn root(conn: &mut Conn) -> Result<Option<Account>> {
    conn.query(sql!("SELECT " account_columns!() " FROM accounts a WHERE a.parent_id IS NULL"))
        .optional()
        .await
}

/// The account that `by` made under its own name `external_id`: it may know of it, whatever the account says of
/// those above it.
pub async fn find_by_external_id(
    conn: &mut Conn,
    by: AccountId,
    external_id: &str,
) -> Result<Option<Account>> {
    conn.query(sql!(
        "SELECT " account_columns!() ", " held("a.path") " AS held FROM accounts a
         WHERE a.external_id_by = $1 AND a.external_id = $2 AND a.path >= $3 AND a.path < $4"
    ))
    .bind(by)
    .bind(external_id)
    .within()
    .all()
    .await
    .map(|mut one| one.pop())
}

/// A page of the subtree's accounts in the order of (path, id), after the one named.
pub async fn page(conn: &mut Conn, after: Option<&(Path, AccountId)>, limit: i64) -> Result<Vec<Account>> {
    // In the order of paths, whatever holds one of the page's accounts stands between the first and the last of
    // them or above the first: so it is looked for once, not for each account.
    conn.query(sql!(
        "WITH ends AS MATERIALIZED (
             SELECT MIN(path) AS first, MAX(path) AS last FROM (
                 SELECT a.path FROM accounts a WHERE (a.path, a.id) > ($1, $2) AND a.path < $3
                 ORDER BY a.path, a.id LIMIT $4) AS page
         ), above AS (
             SELECT " upwards!("first", " AS target FROM ends UNION ALL SELECT ") " AS target FROM ends
         ), holding AS MATERIALIZED (
             SELECT h.target, h.effect FROM holds h WHERE h.status = 'active'
               AND h.target > (SELECT first FROM ends) AND h.target <= (SELECT last FROM ends)
             UNION ALL
             SELECT h.target, h.effect FROM holds h WHERE h.status = 'active' AND h.target "
             sqlite("IN (SELECT target FROM above)") pg("= ANY (ARRAY(SELECT target FROM above))") "
         )
         SELECT " account_columns!() ", CASE WHEN EXISTS (SELECT 1 FROM holding) THEN (
             SELECT " weight!() " FROM holding h WHERE substr(a.path, 1, length(h.target)) = h.target) END AS held
         FROM accounts a WHERE (a.path, a.id) > ($1, $2) AND a.path < $3 ORDER BY a.path, a.id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// A page of the accounts directly below one, in the order they were made. PostgreSQL is kept from going by the place, by
/// which it would sort the whole subtree first.
pub async fn children(
    conn: &mut Conn,
    parent: AccountId,
    after: Option<AccountId>,
    limit: i64,
) -> Result<Vec<Account>> {
    conn.query(sql!(
        "SELECT " account_columns!() ", " held("a.path") " AS held FROM accounts a
         WHERE a.parent_id = $1 AND a.id > $2 AND "
        sqlite("a.path >= $3 AND a.path < $4") pg("a.path || '' >= $3 AND a.path || '' < $4") "
         ORDER BY a.id LIMIT $5"
    ))
    .bind(parent)
    .bind(after.map(|id| id.to_string()).unwrap_or_default())
    .within()
    .bind(limit)
    .all()
    .await
}

/// Writes what can change of an account; says whether its version was still the one that was read.
pub async fn update(tx: &mut Tx, account: &Account, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE accounts SET name = $2, contact_email = $3, country = $4, locale = $5, time_zone = $6,
                 currency = $7, metadata = $8, version = version + 1, updated_at = $9,
                 delegation = $11, require_idempotency_key = $12, signup_policy = $13,
                 order_policy = $14, status = $15
             WHERE id = $1 AND version = $10",
        )
        .bind(account.id)
        .bind(&account.name)
        .bind(&account.contact_email)
        .bind(&account.country)
        .bind(&account.locale)
        .bind(&account.time_zone)
        .bind(&account.currency)
        .bind(&account.metadata)
        .bind(now)
        .bind(account.version)
        .bind(account.delegation)
        .bind(account.require_idempotency_key)
        .bind(account.signup_policy)
        .bind(account.order_policy)
        .bind(account.status)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// How many more events an account is to have, and the digest of its next audit line, if there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct More {
    pub account_id: AccountId,
    pub events: i64,
    pub line: Option<String>,
}

/// Where an account stands, the last numbers of its events and audit lines, and the hash of the last line.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
pub struct Count {
    pub account_id: AccountId,
    pub path: Path,
    pub events: i64,
    pub audit: i64,
    pub audit_head: String,
}

/// Counts more events and audit lines of some accounts, each line into its chain as [`chained`] says, and gives
/// what is the last now. It is called late in a transaction: it holds up others that record something of the
/// same accounts. The rows are locked in the order they are given in, until the transaction ends. Accounts that are
/// not in the subtree are left out.
///
/// [`chained`]: crate::store::audit::chained
pub async fn count(tx: &mut Tx, more: &[More]) -> Result<Vec<Count>> {
    if more.is_empty() {
        return Ok(Vec::new());
    }
    let query = tx.joined(sql!(
        pg("WITH asked AS MATERIALIZED (
                SELECT value ->> 'account_id' AS a, CAST(value ->> 'events' AS BIGINT) AS e, value ->> 'line' AS l, place
                FROM jsonb_array_elements($1) WITH ORDINALITY AS list (value, place)
            ), moved AS (
                SELECT a, e, l FROM asked JOIN account_counters ON account_id = a ORDER BY place FOR UPDATE OF account_counters
            ) ")
        sqlite("WITH moved AS (
                SELECT value ->> 'account_id' AS a, value ->> 'events' AS e, value ->> 'line' AS l FROM json_each($1)
            ) ")
        "UPDATE account_counters SET events = events + e, audit = audit + CASE WHEN l IS NULL THEN 0 ELSE 1 END,
             audit_head = CASE WHEN l IS NULL THEN audit_head ELSE "
        pg("encode(sha256(convert_to(") sqlite("sha256_hex(") "audit_head || ':' || (audit + 1) || ':' || l"
        pg(", 'UTF8')), 'hex')") sqlite(")") " END
         FROM moved WHERE account_id = a RETURNING account_id, path, events, audit, audit_head"
    ));
    query.bind(Json(more)).all().await
}
