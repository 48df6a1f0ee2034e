//! The keys that accounts' addresses are sealed with in the audit; each is sealed itself.

use super::{Conn, Result, Tx};
use crate::model::ids::AccountId;

pub async fn find(conn: &mut Conn, account: AccountId) -> Result<Option<String>> {
    let row: Option<(String,)> =
        conn.query("SELECT key FROM audit_keys WHERE account_id = $1").bind(account).optional().await?;
    Ok(row.map(|(key,)| key))
}

/// Keeps a key, if the account has none.
pub async fn insert(tx: &mut Tx, account: AccountId, key: &str) -> Result<()> {
    tx.query("INSERT INTO audit_keys (account_id, key) VALUES ($1, $2) ON CONFLICT (account_id) DO NOTHING")
        .bind(account)
        .bind(key)
        .execute()
        .await?;
    Ok(())
}

/// Forgets an account's key; says whether there was one.
pub async fn delete(tx: &mut Tx, account: AccountId) -> Result<bool> {
    let gone = tx.query("DELETE FROM audit_keys WHERE account_id = $1").bind(account).execute().await?;
    Ok(gone == 1)
}
