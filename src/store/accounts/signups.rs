use crate::model::accounts::signups::{Signup, SignupPolicy};
use crate::model::ids::{AccountId, SignupId};
use crate::model::{Json, Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! columns {
    () => {
        "s.id, s.account_id, s.path, s.status, s.account, s.administrator, s.domain, s.external_id, s.plan, s.quantity,
         s.needs_email, s.needs_approval, s.token_hash, s.email_verified_at, s.approved_at, s.opened_id,
         s.member_id, s.order_id, s.operation_id, s.reason, s.metadata, s.fingerprint, s.expires_at, s.version, s.created_at,
         s.updated_at"
    };
}

pub async fn insert(tx: &mut Tx, signup: &Signup) -> Result<()> {
    tx.later(
        "INSERT INTO signups (id, account_id, path, status, account, administrator, domain, external_id, plan, quantity,
             needs_email, needs_approval, token_hash, email_verified_at, approved_at, opened_id, member_id,
             order_id, operation_id, reason, metadata, fingerprint, expires_at, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
             $23, $24, $25, $26)",
    )
    .bind(signup.id)
    .bind(signup.account_id)
    .bind(&signup.path)
    .bind(signup.status)
    .bind(&signup.account)
    .bind(&signup.administrator)
    .bind(&signup.domain)
    .bind(&signup.external_id)
    .bind(&signup.plan)
    .bind(signup.quantity)
    .bind(signup.needs_email)
    .bind(signup.needs_approval)
    .bind(&signup.token_hash)
    .bind(signup.email_verified_at)
    .bind(signup.approved_at)
    .bind(signup.opened_id)
    .bind(signup.member_id)
    .bind(signup.order_id)
    .bind(signup.operation_id)
    .bind(&signup.reason)
    .bind(&signup.metadata)
    .bind(&signup.fingerprint)
    .bind(signup.expires_at)
    .bind(signup.version)
    .bind(signup.created_at)
    .bind(signup.updated_at)
    .send()
    .await
}

/// The sign-up, if its seller is in the subtree.
pub async fn find(conn: &mut Conn, id: SignupId) -> Result<Option<Signup>> {
    conn.query(sql!("SELECT " columns!() " FROM signups s WHERE s.id = $1 AND s.path >= $2 AND s.path < $3"))
        .bind(id)
        .within()
        .optional()
        .await
}

/// The seller's sign-up for an account of that name which waits or was accepted.
pub async fn find_by_external_id(
    conn: &mut Conn,
    seller: AccountId,
    external_id: &str,
) -> Result<Option<Signup>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM signups s
         WHERE s.account_id = $1 AND s.external_id = $2 AND s.status IN ('pending', 'accepted')
             AND s.path >= $3 AND s.path < $4"
    ))
    .bind(seller)
    .bind(external_id)
    .within()
    .optional()
    .await
}

/// A page of the subtree's sign-ups in the order of (path, id), after the one named.
pub async fn page(conn: &mut Conn, after: Option<&(Path, SignupId)>, limit: i64) -> Result<Vec<Signup>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM signups s
         WHERE (s.path, s.id) > ($1, $2) AND s.path < $3 ORDER BY s.path, s.id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// Those that nobody has seen to in time.
pub async fn due(conn: &mut Conn, now: Time, limit: i64) -> Result<Vec<Signup>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM signups s WHERE s.status = 'pending' AND s.expires_at <= $1
         ORDER BY s.expires_at LIMIT $2"
    ))
    .bind(now)
    .bind(limit)
    .all()
    .await
}

/// Writes what has become of a sign-up; says whether its version was still the one that was read.
pub async fn update(tx: &mut Tx, signup: &Signup, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE signups SET status = $2, token_hash = $3, email_verified_at = $4, approved_at = $5, opened_id = $6,
                 member_id = $7, order_id = $8, operation_id = $9, reason = $10, expires_at = $11,
                 needs_approval = $12, version = version + 1, updated_at = $13
             WHERE id = $1 AND version = $14",
        )
        .bind(signup.id)
        .bind(signup.status)
        .bind(&signup.token_hash)
        .bind(signup.email_verified_at)
        .bind(signup.approved_at)
        .bind(signup.opened_id)
        .bind(signup.member_id)
        .bind(signup.order_id)
        .bind(signup.operation_id)
        .bind(&signup.reason)
        .bind(signup.expires_at)
        .bind(signup.needs_approval)
        .bind(now)
        .bind(signup.version)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// Forgets those that came to nothing before a time: nobody has become a customer, and what they told is theirs.
pub async fn forget(tx: &mut Tx, before: Time, limit: i64) -> Result<u64> {
    tx.query(
        "DELETE FROM signups WHERE id IN (SELECT id FROM signups
             WHERE status IN ('rejected', 'expired') AND updated_at < $1 ORDER BY updated_at LIMIT $2)",
    )
    .bind(before)
    .bind(limit)
    .execute()
    .await
}

/// What the account at the path and those above it ask of whoever signs up, as far as they have said so.
pub async fn policies(conn: &mut Conn, seller: &Path) -> Result<Vec<SignupPolicy>> {
    let said: Vec<(Json<SignupPolicy>,)> = conn
        .query(sql!(
            "SELECT signup_policy FROM accounts
             WHERE path IN (" upwards!("$1") ") AND signup_policy IS NOT NULL"
        ))
        .bind(seller)
        .all()
        .await?;
    Ok(said.into_iter().map(|(policy,)| policy.0).collect())
}
