use std::collections::BTreeSet;

use crate::model::commerce::subscriptions::{Subscription, SubscriptionStatus};
use crate::model::ids::SubscriptionId;
use crate::model::{Json, Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! columns {
    () => {
        "s.id, s.account_id, s.path, s.status, s.plan_id, s.plan_code, s.plan_version, s.quantity, s.order_id, s.price, s.addons,
         s.billing_period, s.anchored_at, s.trial_ends_at, s.tried_plan_id, s.expires_at, s.cancel_at, s.cancelled_above,
         s.ended_at, s.external_id, s.metadata, s.version, s.created_at, s.updated_at"
    };
}

pub async fn insert(tx: &mut Tx, subscription: &Subscription) -> Result<()> {
    tx.later(
        "INSERT INTO subscriptions (id, account_id, path, status, plan_id, plan_version, quantity, order_id,
             external_id, metadata, version, created_at, updated_at, price, billing_period, plan_code, addons)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
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
    .bind(subscription.billing_period)
    .bind(&subscription.plan_code)
    .bind(&subscription.addons)
    .send()
    .await
}

pub async fn find(conn: &mut Conn, id: SubscriptionId) -> Result<Option<Subscription>> {
    conn.query(sql!(
        "SELECT " columns!() ", " held("s.path", "s.id") " AS held
         FROM subscriptions s
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
         FROM subscriptions s
         WHERE (s.path, s.id) > ($1, $2) AND s.path < $3 ORDER BY s.path, s.id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// The subtree's subscriptions that are called so, by their `external_id` or identifier; of each name three at most, those
/// that run before others.
pub async fn called(conn: &mut Conn, names: &BTreeSet<&str>) -> Result<Vec<Subscription>> {
    macro_rules! by {
        ($column:literal) => {
            sql!(
                "SELECT " columns!() ", " held("s.path", "s.id") " AS held
                 FROM (SELECT id, ROW_NUMBER() OVER (PARTITION BY " $column "
                           ORDER BY CASE WHEN status IN ('trialing', 'active', 'past_due') THEN 0 ELSE 1 END, path, id) AS nth
                       FROM subscriptions
                       WHERE " $column " " sqlite("IN (SELECT value FROM json_each($1))")
                       pg("= ANY (ARRAY(SELECT value FROM jsonb_array_elements_text($1)))")
                       " AND path >= $2 AND path < $3) AS named
                 JOIN subscriptions s ON s.id = named.id WHERE nth <= 3"
            )
        };
    }
    let mut found: Vec<Subscription> = Vec::new();
    for statement in [by!("external_id"), by!("id")] {
        found.extend(conn.query(statement).bind(Json(names)).within().all::<Subscription>().await?);
    }
    found.sort_by_key(|one| one.id);
    found.dedup_by_key(|one| one.id);
    Ok(found)
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

/// Writes what changes of a subscription in its course: plan, quantity, add-ons, price, status and times; says whether its version
/// was still the one that was read.
pub async fn change(tx: &mut Tx, subscription: &Subscription, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE subscriptions SET plan_id = $2, plan_version = $3, quantity = $4, version = version + 1,
                 updated_at = $5, price = $7, status = $8, billing_period = $9, anchored_at = $10, trial_ends_at = $11,
                 expires_at = $12, cancel_at = $13, cancelled_above = $14, ended_at = $15, due_at = $16, plan_code = $17,
                 tried_plan_id = $18, addons = $19
             WHERE id = $1 AND version = $6",
        )
        .bind(subscription.id)
        .bind(subscription.plan_id)
        .bind(subscription.plan_version)
        .bind(subscription.quantity)
        .bind(now)
        .bind(subscription.version)
        .bind(&subscription.price)
        .bind(subscription.status)
        .bind(subscription.billing_period)
        .bind(subscription.anchored_at)
        .bind(subscription.trial_ends_at)
        .bind(subscription.expires_at)
        .bind(subscription.cancel_at)
        .bind(subscription.cancelled_above)
        .bind(subscription.ended_at)
        .bind(subscription.due_at(now))
        .bind(&subscription.plan_code)
        .bind(subscription.tried_plan_id)
        .bind(&subscription.addons)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// Whether the account at the path has tried the plan before, with another subscription.
pub async fn has_tried(conn: &mut Conn, subscription: &Subscription) -> Result<bool> {
    let found: Option<(SubscriptionId,)> = conn
        .query(
            "SELECT id FROM subscriptions
             WHERE path = $1 AND tried_plan_id = $2 AND id <> $3 LIMIT 1",
        )
        .bind(&subscription.path)
        .bind(subscription.plan_id)
        .bind(subscription.id)
        .optional()
        .await?;
    Ok(found.is_some())
}

/// Those that the clock has something to do with, the longest due first.
pub async fn due(conn: &mut Conn, now: Time, limit: i64) -> Result<Vec<Subscription>> {
    conn.query(sql!(
        "SELECT " columns!() ", " held("s.path", "s.id") " AS held
         FROM subscriptions s
         WHERE s.due_at IS NOT NULL AND s.due_at <= $1 ORDER BY s.due_at, s.id LIMIT $2"
    ))
    .bind(now)
    .bind(limit)
    .all()
    .await
}
