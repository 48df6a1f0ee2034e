//! The program's own facts, its signing keys, and whether the database is as it must be.

use super::{Conn, Db, Result, Tx, postgres};
use crate::model::Subtree;
use crate::model::Time;
use crate::model::ids::SigningKeyId;

/// A fact by its name.
pub async fn find(conn: &mut Conn, name: &str) -> Result<Option<String>> {
    let row: Option<(String,)> =
        conn.query("SELECT value FROM facts WHERE name = $1").bind(name).optional().await?;
    Ok(row.map(|(value,)| value))
}

/// Keeps a fact; says whether it was not known before.
pub async fn insert(tx: &mut Tx, name: &str, value: &str) -> Result<bool> {
    let added = tx
        .query("INSERT INTO facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
        .bind(name)
        .bind(value)
        .execute()
        .await?;
    Ok(added == 1)
}

/// Puts another value in the place of one; says whether it was that one still.
pub async fn replace(tx: &mut Tx, name: &str, before: &str, value: &str) -> Result<bool> {
    let changed = tx
        .query("UPDATE facts SET value = $3 WHERE name = $1 AND value = $2")
        .bind(name)
        .bind(before)
        .bind(value)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// Holds a fact, which is there, against all who hold it as well, to the end of the transaction.
pub async fn hold(tx: &mut Tx, name: &str) -> Result<()> {
    tx.query("UPDATE facts SET value = value WHERE name = $1").bind(name).execute().await?;
    Ok(())
}

/// A signing key's row; its private part is sealed.
#[derive(Debug, Clone, crate::model::rows::Record)]
pub struct SigningKeyRow {
    pub id: SigningKeyId,
    pub algorithm: String,
    pub private_key: String,
    pub created_at: Time,
}

/// All signing keys, the newest first.
pub async fn signing_keys(conn: &mut Conn) -> Result<Vec<SigningKeyRow>> {
    conn.query("SELECT id, algorithm, private_key, created_at FROM signing_keys ORDER BY id DESC").all().await
}

pub async fn insert_signing_key(tx: &mut Tx, key: &SigningKeyRow) -> Result<()> {
    tx.query("INSERT INTO signing_keys (id, algorithm, private_key, created_at) VALUES ($1, $2, $3, $4)")
        .bind(key.id)
        .bind(&key.algorithm)
        .bind(&key.private_key)
        .bind(key.created_at)
        .execute()
        .await?;
    Ok(())
}

pub async fn delete_signing_key(tx: &mut Tx, id: SigningKeyId) -> Result<()> {
    tx.query("DELETE FROM signing_keys WHERE id = $1").bind(id).execute().await?;
    Ok(())
}

/// Whether the database answers.
pub async fn ping(db: &Db) -> Result<()> {
    let _: Option<(String,)> =
        db.read(Subtree::everything()).await?.query("SELECT name FROM facts LIMIT 1").optional().await?;
    Ok(())
}

/// The database's own time.
pub async fn database_time(conn: &mut Conn) -> Result<Time> {
    let (now,): (Time,) = conn.query(crate::sql!("SELECT " now " AS now")).one().await?;
    Ok(now)
}

/// The PostgreSQL role that serves, and what would set it above row-level security.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ServingRole {
    pub name: String,
    pub superuser: bool,
    pub bypasses: bool,
    /// Whether it owns a table of ours.
    pub owns: bool,
    /// The tables with accounts' rows on which row-level security is not forced.
    pub unguarded: String,
}

/// The role that the connections of a PostgreSQL database have; SQLite has no roles.
pub async fn serving_role(db: &Db) -> Result<Option<ServingRole>> {
    let Db::Postgres { pool, .. } = db else { return Ok(None) };
    let query = sqlx::query_as(
        "SELECT r.rolname::text AS name, r.rolsuper AS superuser, r.rolbypassrls AS bypasses,
             EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     WHERE n.nspname = current_schema() AND c.relkind = 'r' AND c.relowner = r.oid) AS owns,
             COALESCE((SELECT string_agg(c.relname::text, ', ' ORDER BY c.relname) FROM pg_class c
                 JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = current_schema() AND c.relkind = 'r'
                   AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
                   AND EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'path')), '') AS unguarded
         FROM pg_roles r WHERE r.rolname = current_user",
    );
    postgres::lend(pool).await?.run(async |conn| query.fetch_optional(conn).await).await
}
