use crate::model::catalog::price_lists::PriceList;
use crate::model::ids::{AccountId, PriceListId};
use crate::model::{Json, Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! columns {
    () => {
        "l.id, l.account_id, l.path, l.name, l.currency, l.buyer_id, l.offers, l.adjustment, l.exchange_rate,
         l.metadata, l.version, l.created_at, l.updated_at"
    };
}

/// Whom lists are for that are for no customer in particular, in the column of labels.
const ALL: &str = "";

fn label(buyer: Option<AccountId>) -> String {
    buyer.map_or_else(|| ALL.to_owned(), |buyer| buyer.label())
}

/// Adds the list; says whether its account had none yet for the same customers.
pub async fn insert(tx: &mut Tx, list: &PriceList) -> Result<bool> {
    let added = tx
        .query(
            "INSERT INTO price_lists (id, account_id, path, name, currency, buyer_id, buyer, offers, adjustment,
                 exchange_rate, metadata, version, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
             ON CONFLICT (account_id, buyer) DO NOTHING",
        )
        .bind(list.id)
        .bind(list.account_id)
        .bind(&list.path)
        .bind(&list.name)
        .bind(list.currency)
        .bind(list.buyer_id)
        .bind(label(list.buyer_id))
        .bind(list.offers)
        .bind(list.adjustment)
        .bind(list.exchange_rate)
        .bind(&list.metadata)
        .bind(list.version)
        .bind(list.created_at)
        .bind(list.updated_at)
        .execute()
        .await?;
    Ok(added == 1)
}

/// The list, if it is in the subtree.
pub async fn find(conn: &mut Conn, id: PriceListId) -> Result<Option<PriceList>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM price_lists l WHERE l.id = $1 AND l.path >= $2 AND l.path < $3"
    ))
    .bind(id)
    .within()
    .optional()
    .await
}

/// A page of the subtree's lists in the order of (path, id), after the one named.
pub async fn page(
    conn: &mut Conn,
    after: Option<&(Path, PriceListId)>,
    limit: i64,
) -> Result<Vec<PriceList>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM price_lists l
         WHERE (l.path, l.id) > ($1, $2) AND l.path < $3 ORDER BY l.path, l.id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// The lists of a seller and of all above it, wherever the caller may look: of each those for everybody, and those for
/// the next account on the way down to the seller and its customer, whose labels are given.
pub async fn along(conn: &mut Conn, seller: &Path, way: &[String]) -> Result<Vec<PriceList>> {
    let labels: Vec<_> = way.iter().map(String::as_str).chain([ALL]).collect();
    conn.query(sql!(
        "SELECT " columns!() " FROM price_lists l
         WHERE l.path IN (" upwards!("$1") ") AND l.buyer "
         sqlite("IN (SELECT value FROM json_each($2))")
         pg("= ANY (ARRAY(SELECT value FROM jsonb_array_elements_text($2)))")
    ))
    .bind(seller)
    .bind(Json(labels))
    .all()
    .await
}

/// Writes what can change of a list; says whether its version was still the one that was read.
pub async fn update(tx: &mut Tx, list: &PriceList, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE price_lists SET name = $2, offers = $3, adjustment = $4, exchange_rate = $5, metadata = $6,
                 version = version + 1, updated_at = $7
             WHERE id = $1 AND version = $8",
        )
        .bind(list.id)
        .bind(&list.name)
        .bind(list.offers)
        .bind(list.adjustment)
        .bind(list.exchange_rate)
        .bind(&list.metadata)
        .bind(now)
        .bind(list.version)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// Removes the list with its prices.
pub async fn remove(tx: &mut Tx, id: PriceListId) -> Result<()> {
    tx.query("DELETE FROM price_lists WHERE id = $1").bind(id).execute().await?;
    Ok(())
}
