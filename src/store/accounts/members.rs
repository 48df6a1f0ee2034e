use crate::model::accounts::members::{Member, MemberRole};
use crate::model::ids::{AccountId, MemberId};
use crate::model::{Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! columns {
    () => {
        "m.id, m.account_id, m.path, m.role, m.name, m.email, m.scopes, m.metadata, m.version, m.created_at,
         m.updated_at, a.type AS account_type"
    };
}

/// Adds the person; says whether the account had none yet with the same address.
pub async fn insert(tx: &mut Tx, member: &Member) -> Result<bool> {
    let added = tx
        .query(
            "INSERT INTO members (id, account_id, path, role, name, email, scopes, metadata, version, created_at,
                 updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (account_id, email) DO NOTHING",
        )
        .bind(member.id)
        .bind(member.account_id)
        .bind(&member.path)
        .bind(member.role)
        .bind(&member.name)
        .bind(&member.email)
        .bind(&member.scopes)
        .bind(&member.metadata)
        .bind(member.version)
        .bind(member.created_at)
        .bind(member.updated_at)
        .execute()
        .await?;
    Ok(added == 1)
}

/// The person, if its account is in the subtree.
pub async fn find(conn: &mut Conn, id: MemberId) -> Result<Option<Member>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM members m JOIN accounts a ON a.id = m.account_id
         WHERE m.id = $1 AND m.path >= $2 AND m.path < $3"
    ))
    .bind(id)
    .within()
    .optional()
    .await
}

/// The person, whom nobody changes or removes until the transaction ends.
pub async fn locked(tx: &mut Tx, id: MemberId) -> Result<Option<Member>> {
    tx.query(sql!(
        "SELECT " columns!() " FROM members m JOIN accounts a ON a.id = m.account_id
         WHERE m.id = $1 AND m.path >= $2 AND m.path < $3 " pg("FOR SHARE OF m")
    ))
    .bind(id)
    .within()
    .optional()
    .await
}

/// Who of the account has this address.
pub async fn with_address(conn: &mut Conn, account: AccountId, email: &str) -> Result<Option<MemberId>> {
    let row: Option<(MemberId,)> = conn
        .query("SELECT id FROM members WHERE account_id = $1 AND email = $2 AND path >= $3 AND path < $4")
        .bind(account)
        .bind(email)
        .within()
        .optional()
        .await?;
    Ok(row.map(|(id,)| id))
}

/// A page of the subtree's people in the order of (path, id), after the one named.
pub async fn page(conn: &mut Conn, after: Option<&(Path, MemberId)>, limit: i64) -> Result<Vec<Member>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM members m JOIN accounts a ON a.path = m.path
         WHERE (m.path, m.id) > ($1, $2) AND m.path < $3 ORDER BY m.path, m.id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// Whoever owns the account; nobody else changes that until the transaction ends.
pub async fn owners(tx: &mut Tx, account: AccountId) -> Result<Vec<MemberId>> {
    let rows: Vec<(MemberId,)> = tx
        .query(sql!(
            "SELECT id FROM members WHERE account_id = $1 AND role = $2 ORDER BY id " pg("FOR UPDATE")
        ))
        .bind(account)
        .bind(MemberRole::Owner)
        .all()
        .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Writes what can change of a person; says whether its version was still the one that was read.
pub async fn update(tx: &mut Tx, member: &Member, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE members SET role = $2, name = $3, email = $4, scopes = $5, metadata = $6,
                 version = version + 1, updated_at = $7
             WHERE id = $1 AND version = $8",
        )
        .bind(member.id)
        .bind(member.role)
        .bind(&member.name)
        .bind(&member.email)
        .bind(&member.scopes)
        .bind(&member.metadata)
        .bind(now)
        .bind(member.version)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// Removes the person; says whether it was there in the version that was read.
pub async fn remove(tx: &mut Tx, member: &Member) -> Result<bool> {
    let removed = tx
        .query("DELETE FROM members WHERE id = $1 AND version = $2")
        .bind(member.id)
        .bind(member.version)
        .execute()
        .await?;
    Ok(removed == 1)
}
