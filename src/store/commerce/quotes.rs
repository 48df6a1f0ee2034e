use crate::model::commerce::quotes::Quote;
use crate::model::ids::{OrderId, QuoteId};
use crate::model::{Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! columns {
    () => {
        "id, account_id, path, seller_id, status, items, quota, valid_until, order_id, metadata, version, created_at, updated_at"
    };
}

pub async fn insert(tx: &mut Tx, quote: &Quote) -> Result<()> {
    tx.later(sql!(
        "INSERT INTO quotes (" columns!() ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
    ))
    .bind(quote.id)
    .bind(quote.account_id)
    .bind(&quote.path)
    .bind(quote.seller_id)
    .bind(quote.status)
    .bind(&quote.items)
    .bind(&quote.quota)
    .bind(quote.valid_until)
    .bind(quote.order_id)
    .bind(&quote.metadata)
    .bind(quote.version)
    .bind(quote.created_at)
    .bind(quote.updated_at)
    .send()
    .await
}

/// The quote, if it is in the subtree.
pub async fn find(conn: &mut Conn, id: QuoteId) -> Result<Option<Quote>> {
    conn.query(sql!("SELECT " columns!() " FROM quotes WHERE id = $1 AND path >= $2 AND path < $3"))
        .bind(id)
        .within()
        .optional()
        .await
}

/// A page of the subtree's quotes in the order of (path, id), after the one named.
pub async fn page(conn: &mut Conn, after: Option<&(Path, QuoteId)>, limit: i64) -> Result<Vec<Quote>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM quotes WHERE (path, id) > ($1, $2) AND path < $3 ORDER BY path, id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// Notes the order that was placed by an open quote; says whether it was open until now.
pub async fn accept(tx: &mut Tx, id: QuoteId, order: OrderId, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE quotes SET status = 'accepted', order_id = $2, version = version + 1, updated_at = $3
             WHERE id = $1 AND status = 'open'",
        )
        .bind(id)
        .bind(order)
        .bind(now)
        .execute()
        .await?;
    Ok(changed == 1)
}
