use super::{above, left_of, place};
use crate::model::catalog::addons::Addon;
use crate::model::ids::AddonId;
use crate::model::{Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! columns {
    () => {
        "a.id, a.account_id, a.path, a.code, a.name, a.status, a.terms, a.metadata, a.version, a.created_at, a.updated_at"
    };
}

/// Adds the add-on; says whether its code was free in its account.
pub async fn insert(tx: &mut Tx, addon: &Addon) -> Result<bool> {
    let added = tx
        .query(
            "INSERT INTO addons (id, account_id, path, code, name, status, terms, metadata, version, created_at,
                 updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (account_id, code) DO NOTHING",
        )
        .bind(addon.id)
        .bind(addon.account_id)
        .bind(&addon.path)
        .bind(&addon.code)
        .bind(&addon.name)
        .bind(addon.status)
        .bind(&addon.terms)
        .bind(&addon.metadata)
        .bind(addon.version)
        .bind(addon.created_at)
        .bind(addon.updated_at)
        .execute()
        .await?;
    Ok(added == 1)
}

/// The add-on, if it is in the subtree.
pub async fn find(conn: &mut Conn, id: AddonId) -> Result<Option<Addon>> {
    conn.query(sql!("SELECT " columns!() " FROM addons a WHERE a.id = $1 AND a.path >= $2 AND a.path < $3"))
        .bind(id)
        .within()
        .optional()
        .await
}

/// The add-on that an account's order means by a code or an identifier: one of its own or of the accounts above it, the
/// nearest first.
pub async fn offered(conn: &mut Conn, buyer: &Path, code_or_id: &str) -> Result<Option<Addon>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM addons a
         WHERE a.id " called!("addons") " AND a.status = 'active' AND a.path IN (" upwards!("$1") ")
         ORDER BY length(a.path) DESC LIMIT 1"
    ))
    .bind(buyer)
    .bind(code_or_id)
    .optional()
    .await
}

/// A page of the add-ons that an account can see, in the order of (path, id), after the one named: those on sale above, then
/// all of the subtree.
pub async fn visible(
    conn: &mut Conn,
    viewer: &Path,
    after: Option<&(Path, AddonId)>,
    limit: i64,
) -> Result<Vec<Addon>> {
    let mut addons = match above(conn, viewer) {
        Some(seller) => on_sale(conn, &seller, after, limit).await?,
        None => Vec::new(),
    };
    if let Some(left) = left_of(limit, &addons) {
        addons.extend(page(conn, after, left).await?);
    }
    Ok(addons)
}

/// A page of the subtree's add-ons in the order of (path, id), after the one named.
async fn page(conn: &mut Conn, after: Option<&(Path, AddonId)>, limit: i64) -> Result<Vec<Addon>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM addons a
         WHERE (a.path, a.id) > ($1, $2) AND a.path < $3 ORDER BY a.path, a.id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// A page of the add-ons that are on sale to an account, its own and those of the accounts above it, in the order of
/// (path, id), after the one named.
pub async fn on_sale(
    conn: &mut Conn,
    buyer: &Path,
    after: Option<&(Path, AddonId)>,
    limit: i64,
) -> Result<Vec<Addon>> {
    let (path, id) = place(after);
    conn.query(sql!(
        "SELECT " columns!() " FROM addons a
         WHERE a.path IN (" upwards!("$1") ") AND a.status = 'active' AND (a.path, a.id) > ($2, $3)
         ORDER BY a.path, a.id LIMIT $4"
    ))
    .bind(buyer)
    .bind(path)
    .bind(id)
    .bind(limit)
    .all()
    .await
}

/// Writes an add-on's name, status, terms and metadata; says whether its version was still the one that was read.
pub async fn update(tx: &mut Tx, addon: &Addon, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE addons SET name = $2, status = $3, terms = $4, metadata = $5, version = version + 1, updated_at = $6
             WHERE id = $1 AND version = $7",
        )
        .bind(addon.id)
        .bind(&addon.name)
        .bind(addon.status)
        .bind(&addon.terms)
        .bind(&addon.metadata)
        .bind(now)
        .bind(addon.version)
        .execute()
        .await?;
    Ok(changed == 1)
}
