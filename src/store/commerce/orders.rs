use crate::model::commerce::approvals::OrderPolicy;
use crate::model::commerce::orders::Order;
use crate::model::ids::{AccountId, OrderId};
use crate::model::{Json, Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! columns {
    () => {
        "id, account_id, path, status, items, outcome, retryable, error, placed_by, operation_id, external_id,
         external_id_by, fingerprint, metadata, version, created_at, updated_at, quote_id, approval, approval_due"
    };
}

/// Adds the order; says whether its external_id was free.
pub async fn insert(tx: &mut Tx, order: &Order) -> Result<bool> {
    let insert = tx
        .later(sql!(
            "INSERT INTO orders (" columns!() ")
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
             ON CONFLICT (external_id_by, external_id) WHERE external_id IS NOT NULL DO NOTHING RETURNING id"
        ))
        .bind(order.id)
        .bind(order.account_id)
        .bind(&order.path)
        .bind(order.status)
        .bind(&order.items)
        .bind(order.outcome)
        .bind(order.retryable)
        .bind(&order.error)
        .bind(order.placed_by)
        .bind(order.operation_id)
        .bind(&order.external_id)
        .bind(order.external_id_by)
        .bind(&order.fingerprint)
        .bind(&order.metadata)
        .bind(order.version)
        .bind(order.created_at)
        .bind(order.updated_at)
        .bind(order.quote_id)
        .bind(&order.approval)
        .bind(order.approval_due);
    if order.external_id.is_none() {
        // Nothing else of it is given from outside.
        return insert.send().await.map(|()| true);
    }
    Ok(insert.optional::<(OrderId,)>().await?.is_some())
}

pub async fn find(conn: &mut Conn, id: OrderId) -> Result<Option<Order>> {
    conn.query(sql!("SELECT " columns!() " FROM orders WHERE id = $1 AND path >= $2 AND path < $3"))
        .bind(id)
        .within()
        .optional()
        .await
}

/// The order that `by` placed under its own name `external_id`.
pub async fn find_by_external_id(conn: &mut Conn, by: AccountId, external_id: &str) -> Result<Option<Order>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM orders
         WHERE external_id_by = $1 AND external_id = $2 AND path >= $3 AND path < $4"
    ))
    .bind(by)
    .bind(external_id)
    .within()
    .optional()
    .await
}

/// A page of the orders that wait for somebody to approve of them.
pub async fn to_approve(conn: &mut Conn, after: Option<&(Path, OrderId)>, limit: i64) -> Result<Vec<Order>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM orders
         WHERE status = 'pending_approval' AND (path, id) > ($1, $2) AND path < $3 ORDER BY path, id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// Those that have waited for it long enough.
pub async fn overdue(conn: &mut Conn, now: Time, limit: i64) -> Result<Vec<Order>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM orders
         WHERE status = 'pending_approval' AND approval_due <= $1 ORDER BY approval_due LIMIT $2"
    ))
    .bind(now)
    .limit(limit)
    .all()
    .await
}

/// What the accounts above a buyer have said of orders from below them, and who they are.
pub async fn policies(conn: &mut Conn, buyer: &Path) -> Result<Vec<(AccountId, Path, Json<OrderPolicy>)>> {
    conn.query(sql!(
        "SELECT id, path, order_policy FROM accounts
         WHERE path IN (" upwards!("$1") ") AND path <> $1 AND order_policy IS NOT NULL"
    ))
    .bind(buyer)
    .all()
    .await
}

/// Whoever named the order may give the name to another one.
pub async fn forget_name(tx: &mut Tx, id: OrderId) -> Result<()> {
    let text = "UPDATE orders SET external_id_by = NULL WHERE id = $1";
    tx.query(text).bind(id).execute().await.map(drop)
}

pub async fn page(conn: &mut Conn, after: Option<&(Path, OrderId)>, limit: i64) -> Result<Vec<Order>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM orders
         WHERE (path, id) > ($1, $2) AND path < $3 ORDER BY path, id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// Writes where the order stands; says whether its version was still the one that was read.
pub async fn update(tx: &mut Tx, order: &Order, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE orders SET status = $2, items = $3, outcome = $4, retryable = $5, error = $6,
                 operation_id = $7, version = version + 1, updated_at = $8, approval = $10, approval_due = $11
             WHERE id = $1 AND version = $9",
        )
        .bind(order.id)
        .bind(order.status)
        .bind(&order.items)
        .bind(order.outcome)
        .bind(order.retryable)
        .bind(&order.error)
        .bind(order.operation_id)
        .bind(now)
        .bind(order.version)
        .bind(&order.approval)
        .bind(order.approval_due)
        .execute()
        .await?;
    Ok(changed == 1)
}
