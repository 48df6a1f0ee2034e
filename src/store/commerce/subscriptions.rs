use crate::model::commerce::subscriptions::{Subscription, SubscriptionStatus};
use crate::model::ids::SubscriptionId;
use crate::model::{Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! columns {
    () => {
        "s.id, s.account_id, s.path, s.status, s.plan_id, s.plan_version, s.quantity, s.order_id, s.price, s.external_id,
         s.metadata, s.version, s.created_at, s.updated_at, p.code AS plan_code"
    };
}

pub async fn insert(tx: &mut Tx, subscription: &Subscription) -> Result<()> {
    tx.later(
        "INSERT INTO subscriptions (id, account_id, path, status, plan_id, plan_version, quantity, order_id,
             external_id, metadata, version, created_at, updated_at, price)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(subscription.id)
    .bind(subscription.account_id)
    .bind(&subscription.path)
    .bind(subscription.status)
    .bind(subscription.plan_id)
    .bind(subscription.plan_version)
    .bind(subscription.quantity)
    .bind(subscription.order_id)
    .bind(&subscription.external_id)
    .bind(&subscription.metadata)
    .bind(subscription.version)
    .bind(subscription.created_at)
    .bind(subscription.updated_at)
    .bind(&subscription.price)
    .send()
    .await
}

pub async fn find(conn: &mut Conn, id: SubscriptionId) -> Result<Option<Subscription>> {
    conn.query(sql!(
        "SELECT " columns!() ", " held("s.path", "s.id") " AS held
         FROM subscriptions s JOIN plans p ON p.id = s.plan_id
         WHERE s.id = $1 AND s.path >= $2 AND s.path < $3"
    ))
    .bind(id)
    .within()
    .optional()
    .await
}

pub async fn page(
    conn: &mut Conn,
    after: Option<&(Path, SubscriptionId)>,
    limit: i64,
) -> Result<Vec<Subscription>> {
    conn.query(sql!(
        "SELECT " columns!() ", " held("s.path", "s.id") " AS held
         FROM subscriptions s JOIN plans p ON p.id = s.plan_id
         WHERE (s.path, s.id) > ($1, $2) AND s.path < $3 ORDER BY s.path, s.id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

pub async fn set_status(
    tx: &mut Tx,
    id: SubscriptionId,
    status: SubscriptionStatus,
    now: Time,
) -> Result<()> {
    tx.query("UPDATE subscriptions SET status = $2, version = version + 1, updated_at = $3 WHERE id = $1")
        .bind(id)
        .bind(status)
        .bind(now)
        .execute()
        .await?;
    Ok(())
}

/// Writes a subscription's plan, version, quantity and price; says whether its version was still the one that was
/// read.
pub async fn change(tx: &mut Tx, subscription: &Subscription, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE subscriptions SET plan_id = $2, plan_version = $3, quantity = $4, version = version + 1,
                 updated_at = $5, price = $7
             WHERE id = $1 AND version = $6",
        )
        .bind(subscription.id)
        .bind(subscription.plan_id)
        .bind(subscription.plan_version)
        .bind(subscription.quantity)
        .bind(now)
        .bind(subscription.version)
        .bind(&subscription.price)
        .execute()
        .await?;
    Ok(changed == 1)
}
