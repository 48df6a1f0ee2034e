use sqlx::types::Json;

use crate::model::events::events::{Event, EventType};
use crate::model::events::webhooks::{Attempt, Delivery, DeliveryStatus, EndpointStatus, WebhookEndpoint};
use crate::model::ids::{DeliveryId, WebhookEndpointId};
use crate::model::{Path, Time};
use crate::sql;
use crate::store::accounts::accounts::start;
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
    let (path, id) = start(conn.subtree(), after);
    conn.query(sql!(
        "SELECT " endpoint!() " FROM webhook_endpoints w
         WHERE w.path >= $3 AND w.path < $4 AND (w.path, w.id) > ($1, $2) ORDER BY w.path, w.id LIMIT $5"
    ))
    .bind(path)
    .bind(id)
    .within()
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

/// The enabled endpoints that are to hear of an event: those of its account and of all above it.
pub async fn hearing(conn: &mut Conn, path: &Path, event_type: EventType) -> Result<Vec<WebhookEndpoint>> {
    let endpoints: Vec<WebhookEndpoint> = conn
        .query(sql!(
            "SELECT " endpoint!() " FROM webhook_endpoints w
             WHERE w.status = 'enabled' AND w.path IN (" upwards!("$1") ") ORDER BY w.id"
        ))
        .bind(path)
        .all()
        .await?;
    let wants = |endpoint: &WebhookEndpoint| {
        endpoint.event_types.is_empty() || endpoint.event_types.contains(&event_type)
    };
    Ok(endpoints.into_iter().filter(wants).collect())
}

/// Queues the event for the endpoint, once.
pub async fn queue(tx: &mut Tx, endpoint: &WebhookEndpoint, event: &Event, now: Time) -> Result<()> {
    tx.query(sql!(
        "INSERT INTO deliveries (" delivery!() ")
         VALUES ($1, $2, $3, $4, $5, $6, 'pending', $7, 0, $8, $9, $9)
         ON CONFLICT (endpoint_id, event_id) DO NOTHING"
    ))
    .bind(DeliveryId::new())
    .bind(endpoint.account_id)
    .bind(&endpoint.path)
    .bind(endpoint.id)
    .bind(event.id)
    .bind(event.event_type)
    .bind(Time::EPOCH)
    .bind(Json(Vec::<Attempt>::new()))
    .bind(now)
    .execute()
    .await?;
    Ok(())
}

/// Gives the longest due delivery to a worker for the length of a lease.
pub async fn claim(tx: &mut Tx, lease_seconds: i64, now: Time) -> Result<Option<Delivery>> {
    tx.query(sql!(
        "UPDATE deliveries SET fence = fence + 1, due_at = " later("$1") ", updated_at = $2
         WHERE id = (SELECT id FROM deliveries WHERE due_at <= " now "
                     ORDER BY due_at, id LIMIT 1 " pg("FOR UPDATE SKIP LOCKED") ")
         RETURNING " delivery!()
    ))
    .bind(lease_seconds)
    .bind(now)
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

/// Notes since when an endpoint fails, or that it works, and whether it stays enabled.
pub async fn set_health(
    tx: &mut Tx,
    id: WebhookEndpointId,
    failing_since: Option<Time>,
    status: EndpointStatus,
    now: Time,
) -> Result<()> {
    tx.query(
        "UPDATE webhook_endpoints SET failing_since = $2, status = $3, version = version + 1, updated_at = $4
         WHERE id = $1",
    )
    .bind(id)
    .bind(failing_since)
    .bind(status)
    .bind(now)
    .execute()
    .await?;
    Ok(())
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
