use std::collections::BTreeSet;

use serde::Serialize;

use crate::model::events::events::EventType;
use crate::model::events::webhooks::{Attempt, Delivery, DeliveryStatus, WebhookEndpoint};
use crate::model::ids::{AccountId, DeliveryId, EventId, WebhookEndpointId};
use crate::model::{Json, Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! endpoint {
    () => {
        "w.id, w.account_id, w.path, w.url, w.description, w.event_types, w.secret, w.status, w.failing_since,
         w.version, w.created_at, w.updated_at"
    };
}

macro_rules! delivery {
    () => {
        "id, account_id, path, endpoint_id, event_id, event_type, status, due_at, fence, attempts, created_at,
         updated_at"
    };
}

pub async fn insert(tx: &mut Tx, endpoint: &WebhookEndpoint) -> Result<()> {
    tx.query(
        "INSERT INTO webhook_endpoints (id, account_id, path, url, description, event_types, secret, status,
             failing_since, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(endpoint.id)
    .bind(endpoint.account_id)
    .bind(&endpoint.path)
    .bind(&endpoint.url)
    .bind(&endpoint.description)
    .bind(&endpoint.event_types)
    .bind(&endpoint.secret)
    .bind(endpoint.status)
    .bind(endpoint.failing_since)
    .bind(endpoint.version)
    .bind(endpoint.created_at)
    .bind(endpoint.updated_at)
    .execute()
    .await?;
    Ok(())
}

pub async fn find(conn: &mut Conn, id: WebhookEndpointId) -> Result<Option<WebhookEndpoint>> {
    conn.query(sql!(
        "SELECT " endpoint!() " FROM webhook_endpoints w WHERE w.id = $1 AND w.path >= $2 AND w.path < $3"
    ))
    .bind(id)
    .within()
    .optional()
    .await
}

pub async fn page(
    conn: &mut Conn,
    after: Option<&(Path, WebhookEndpointId)>,
    limit: i64,
) -> Result<Vec<WebhookEndpoint>> {
    conn.query(sql!(
        "SELECT " endpoint!() " FROM webhook_endpoints w
         WHERE (w.path, w.id) > ($1, $2) AND w.path < $3 ORDER BY w.path, w.id LIMIT $4"
    ))
    .after(after)
    .bind(limit)
    .all()
    .await
}

/// Writes what can change of an endpoint; says whether its version was still the one that was read.
pub async fn update(tx: &mut Tx, endpoint: &WebhookEndpoint, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE webhook_endpoints SET url = $2, description = $3, event_types = $4, status = $5,
                 failing_since = $6, version = version + 1, updated_at = $7
             WHERE id = $1 AND version = $8",
        )
        .bind(endpoint.id)
        .bind(&endpoint.url)
        .bind(&endpoint.description)
        .bind(&endpoint.event_types)
        .bind(endpoint.status)
        .bind(endpoint.failing_since)
        .bind(now)
        .bind(endpoint.version)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// Deletes the endpoint with its deliveries; says whether it was there.
pub async fn delete(tx: &mut Tx, id: WebhookEndpointId) -> Result<bool> {
    Ok(tx.query("DELETE FROM webhook_endpoints WHERE id = $1").bind(id).execute().await? == 1)
}

/// The enabled endpoints of the accounts at the paths.
pub async fn enabled_at(conn: &mut Conn, paths: &BTreeSet<Path>) -> Result<Vec<WebhookEndpoint>> {
    conn.query(sql!(
        "SELECT " endpoint!() " FROM webhook_endpoints w
         WHERE w.status = 'enabled' AND w.path IN (SELECT value FROM "
        sqlite("json_each($1)") pg("jsonb_array_elements_text($1) AS list (value)") ") ORDER BY w.id"
    ))
    .bind(Json(paths))
    .all()
    .await
}

/// An event about to be queued for an endpoint.
#[derive(Debug, Clone, Serialize)]
pub struct NewDelivery {
    pub id: DeliveryId,
    pub account_id: AccountId,
    pub path: Path,
    pub endpoint_id: WebhookEndpointId,
    pub event_id: EventId,
    pub event_type: EventType,
}

/// Queues events for endpoints, each once, all in one statement.
pub async fn queue(tx: &mut Tx, deliveries: &[NewDelivery], now: Time) -> Result<()> {
    tx.query(sql!(
        "INSERT INTO deliveries (" delivery!() ")
         SELECT value ->> 'id', value ->> 'account_id', value ->> 'path', value ->> 'endpoint_id',
             value ->> 'event_id', value ->> 'event_type', 'pending', $2, 0, $3, $4, $4
         FROM " sqlite("json_each($1)") pg("jsonb_array_elements($1) AS list (value)") " WHERE TRUE
         ON CONFLICT (endpoint_id, event_id) DO NOTHING"
    ))
    .bind(Json(deliveries))
    .bind(Time::EPOCH)
    .bind(Json(Vec::<Attempt>::new()))
    .bind(now)
    .execute()
    .await?;
    Ok(())
}

/// Gives the longest due delivery to a worker for the length of a lease; those of some endpoints are left out.
pub async fn claim(
    tx: &mut Tx,
    lease_seconds: i64,
    leave_out: &[WebhookEndpointId],
    now: Time,
) -> Result<Option<Delivery>> {
    tx.query(sql!(
        "UPDATE deliveries SET fence = fence + 1, due_at = " later("$1") ", updated_at = $2
         WHERE id = (SELECT id FROM deliveries
                     WHERE due_at <= " now " AND endpoint_id NOT IN (SELECT value FROM "
                         sqlite("json_each($3)") pg("jsonb_array_elements_text($3) AS list (value)") ")
                     ORDER BY due_at, id LIMIT 1 " pg("FOR UPDATE SKIP LOCKED") ")
         RETURNING " delivery!()
    ))
    .bind(lease_seconds)
    .bind(now)
    .bind(Json(leave_out))
    .optional()
    .await
}

/// Records what an attempt came to; says whether the worker still had the delivery.
pub async fn record(
    tx: &mut Tx,
    delivery: &Delivery,
    status: DeliveryStatus,
    again_in_seconds: Option<f64>,
    now: Time,
) -> Result<bool> {
    let changed = tx
        .query(sql!(
            "UPDATE deliveries SET status = $3, attempts = $4,
                 due_at = CASE WHEN CAST($5 AS " sqlite("REAL") pg("double precision") ") IS NULL THEN NULL ELSE " later("$5") " END,
                 updated_at = $6
             WHERE id = $1 AND fence = $2"
        ))
        .bind(delivery.id)
        .bind(delivery.fence)
        .bind(status)
        .bind(&delivery.attempts)
        .bind(again_in_seconds)
        .bind(now)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// Notes that an endpoint fails, unless that is known.
pub async fn set_failing(tx: &mut Tx, id: WebhookEndpointId, now: Time) -> Result<()> {
    tx.query(
        "UPDATE webhook_endpoints SET failing_since = $2, version = version + 1, updated_at = $2
         WHERE id = $1 AND failing_since IS NULL",
    )
    .bind(id)
    .bind(now)
    .execute()
    .await?;
    Ok(())
}

/// Notes that an endpoint works, unless that is known.
pub async fn set_working(tx: &mut Tx, id: WebhookEndpointId, now: Time) -> Result<()> {
    tx.query(
        "UPDATE webhook_endpoints SET failing_since = NULL, version = version + 1, updated_at = $2
         WHERE id = $1 AND failing_since IS NOT NULL",
    )
    .bind(id)
    .bind(now)
    .execute()
    .await?;
    Ok(())
}

/// Takes an endpoint out of use; says whether it was in use.
pub async fn disable(tx: &mut Tx, id: WebhookEndpointId, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE webhook_endpoints SET status = 'disabled', version = version + 1, updated_at = $2
             WHERE id = $1 AND status = 'enabled'",
        )
        .bind(id)
        .bind(now)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// A page of an endpoint's deliveries, the newest first.
pub async fn deliveries(
    conn: &mut Conn,
    endpoint: WebhookEndpointId,
    before: Option<DeliveryId>,
    limit: i64,
) -> Result<Vec<Delivery>> {
    conn.query(sql!(
        "SELECT " delivery!() " FROM deliveries
         WHERE endpoint_id = $1 AND id < $2 AND path >= $3 AND path < $4 ORDER BY id DESC LIMIT $5"
    ))
    .bind(endpoint)
    .bind(before.map_or_else(|| "dlv_~".to_owned(), |id| id.to_string()))
    .within()
    .bind(limit)
    .all()
    .await
}

pub async fn find_delivery(conn: &mut Conn, id: DeliveryId) -> Result<Option<Delivery>> {
    conn.query(sql!("SELECT " delivery!() " FROM deliveries WHERE id = $1 AND path >= $2 AND path < $3"))
        .bind(id)
        .within()
        .optional()
        .await
}

/// Puts a delivery back into the queue, to be sent at once.
pub async fn resend(tx: &mut Tx, id: DeliveryId, now: Time) -> Result<()> {
    tx.query("UPDATE deliveries SET status = 'pending', due_at = $2, updated_at = $3 WHERE id = $1")
        .bind(id)
        .bind(Time::EPOCH)
        .bind(now)
        .execute()
        .await?;
    Ok(())
}
