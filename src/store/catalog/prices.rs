use crate::model::catalog::items::ItemId;
use crate::model::catalog::price_lists::Price;
use crate::model::ids::PriceListId;
use crate::model::{Json, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! columns {
    () => {
        "p.price_list_id, p.plan_id AS item_id, p.valid_from, p.account_id, p.path, p.rule, p.created_at"
    };
}

/// Sets what a list says of an item from a time on, in place of what was to be said from that very time.
pub async fn put(tx: &mut Tx, price: &Price) -> Result<()> {
    tx.query(
        "INSERT INTO prices (price_list_id, plan_id, valid_from, account_id, path, rule, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (price_list_id, plan_id, valid_from) DO UPDATE SET rule = excluded.rule, created_at = excluded.created_at",
    )
    .bind(price.price_list_id)
    .bind(price.item_id)
    .bind(price.valid_from)
    .bind(price.account_id)
    .bind(&price.path)
    .bind(&price.rule)
    .bind(price.created_at)
    .execute()
    .await?;
    Ok(())
}

/// What a list says of an item from that very time on.
pub async fn find(
    conn: &mut Conn,
    list: PriceListId,
    item: ItemId,
    valid_from: Time,
) -> Result<Option<Price>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM prices p WHERE p.price_list_id = $1 AND p.plan_id = $2 AND p.valid_from = $3"
    ))
    .bind(list)
    .bind(item)
    .bind(valid_from)
    .optional()
    .await
}

pub async fn remove(tx: &mut Tx, list: PriceListId, item: ItemId, valid_from: Time) -> Result<()> {
    tx.query("DELETE FROM prices WHERE price_list_id = $1 AND plan_id = $2 AND valid_from = $3")
        .bind(list)
        .bind(item)
        .bind(valid_from)
        .execute()
        .await?;
    Ok(())
}

/// A page of what a list has said, says and will say, by item and time.
pub async fn page(
    conn: &mut Conn,
    list: PriceListId,
    after: Option<&(ItemId, Time)>,
    limit: i64,
) -> Result<Vec<Price>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM prices p
         WHERE p.price_list_id = $1 AND (p.plan_id, p.valid_from) > ($2, $3)
         ORDER BY p.plan_id, p.valid_from LIMIT $4"
    ))
    .bind(list)
    .bind(after.map(|(item, _)| item.to_string()).unwrap_or_default())
    .bind(after.map_or(Time::EPOCH, |(_, valid_from)| *valid_from))
    .bind(limit)
    .all()
    .await
}

/// What the lists say of the items at a time.
pub async fn at(conn: &mut Conn, lists: &[PriceListId], items: &[ItemId], time: Time) -> Result<Vec<Price>> {
    if lists.is_empty() || items.is_empty() {
        return Ok(Vec::new());
    }
    conn.query(sql!(
        "SELECT " columns!() " FROM prices p
         WHERE p.price_list_id " sqlite("IN (SELECT value FROM json_each($1))")
             pg("= ANY (ARRAY(SELECT value FROM jsonb_array_elements_text($1)))") "
           AND p.plan_id " sqlite("IN (SELECT value FROM json_each($2))")
             pg("= ANY (ARRAY(SELECT value FROM jsonb_array_elements_text($2)))") "
           AND p.valid_from = (SELECT MAX(n.valid_from) FROM prices n
               WHERE n.price_list_id = p.price_list_id AND n.plan_id = p.plan_id AND n.valid_from <= $3)"
    ))
    .bind(Json(lists))
    .bind(Json(items))
    .bind(time)
    .all()
    .await
}
