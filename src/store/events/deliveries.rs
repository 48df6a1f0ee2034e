use std::collections::BTreeSet;

use serde::Serialize;

use crate::model::events::deliveries::{Attempt, Delivery, DeliveryStatus};
use crate::model::events::events::EventType;
use crate::model::ids::{AccountId, DeliveryId, EventId, WebhookEndpointId};
use crate::model::{Json, Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! delivery {
    () => {
        "id, account_id, path, endpoint_id, event_id, event_type, thin, status, due_at, fence, attempts,
         created_at, updated_at"
    };
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
    pub thin: bool,
    pub status: DeliveryStatus,
    /// Empty, or why it is not sent.
    pub attempts: Vec<Attempt>,
}

/// Queues events for endpoints, each once, all in one statement.
pub async fn queue(tx: &mut Tx, deliveries: &[NewDelivery], now: Time) -> Result<()> {
    tx.query(sql!(
        "INSERT INTO deliveries (" delivery!() ")
         SELECT value ->> 'id', value ->> 'account_id', value ->> 'path', value ->> 'endpoint_id',
             value ->> 'event_id', value ->> 'event_type', "
        sqlite("value ->> 'thin'") pg("CAST(value ->> 'thin' AS BOOLEAN)") ",
             value ->> 'status', CASE value ->> 'status' WHEN 'pending' THEN $2 END, 0, value -> 'attempts', $3, $3
         FROM " sqlite("json_each($1)") pg("jsonb_array_elements($1) AS list (value)") " WHERE TRUE
         ON CONFLICT (endpoint_id, event_id) DO NOTHING"
    ))
    .bind(Json(deliveries))
    .bind(Time::EPOCH)
    .bind(now)
    .execute()
    .await?;
    Ok(())
}

/// Whose deliveries are not to be given out now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaveOut {
    pub endpoints: BTreeSet<WebhookEndpointId>,
    pub accounts: BTreeSet<AccountId>,
}

/// Gives the longest due delivery to a worker for the length of a lease.
pub async fn claim(
    tx: &mut Tx,
    lease_seconds: i64,
    leave_out: &LeaveOut,
    now: Time,
) -> Result<Option<Delivery>> {
    tx.query(sql!(
        "UPDATE deliveries SET fence = fence + 1, due_at = " later("$1") ", updated_at = $2
         WHERE id = (SELECT id FROM deliveries
                     WHERE due_at <= " now " AND endpoint_id NOT IN (SELECT value FROM "
                         sqlite("json_each($3)") pg("jsonb_array_elements_text($3) AS list (value)") ")
                         AND account_id NOT IN (SELECT value FROM "
                         sqlite("json_each($4)") pg("jsonb_array_elements_text($4) AS list (value)") ")
                     ORDER BY due_at, id LIMIT 1 " pg("FOR UPDATE SKIP LOCKED") ")
         RETURNING " delivery!()
    ))
    .bind(lease_seconds)
    .bind(now)
    .bind(Json(&leave_out.endpoints))
    .bind(Json(&leave_out.accounts))
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

/// A page of an endpoint's deliveries, the newest first.
pub async fn page(
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

pub async fn find(conn: &mut Conn, id: DeliveryId) -> Result<Option<Delivery>> {
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

/// Puts those of an endpoint's deliveries of a period that failed back into the queue, the oldest first; says how many.
pub async fn recover(
    tx: &mut Tx,
    endpoint: WebhookEndpointId,
    since: Time,
    until: Time,
    limit: i64,
    now: Time,
) -> Result<u64> {
    tx.query(
        "UPDATE deliveries SET status = 'pending', due_at = $5, updated_at = $6
         WHERE id IN (SELECT id FROM deliveries
                      WHERE endpoint_id = $1 AND status = 'failed' AND created_at >= $2 AND created_at < $3
                          AND event_type NOT IN ('webhook_endpoint.test', 'webhook_endpoint.verify')
                      ORDER BY created_at, id LIMIT $4)",
    )
    .bind(endpoint)
    .bind(since)
    .bind(until)
    .bind(limit)
    .bind(Time::EPOCH)
    .bind(now)
    .execute()
    .await
}

/// Gives up what is still to be asked of an endpoint by a challenge.
pub async fn drop_challenges(tx: &mut Tx, endpoint: WebhookEndpointId, now: Time) -> Result<()> {
    tx.query(
        "UPDATE deliveries SET status = 'failed', due_at = NULL, fence = fence + 1, updated_at = $2
         WHERE endpoint_id = $1 AND event_type = 'webhook_endpoint.verify' AND due_at IS NOT NULL",
    )
    .bind(endpoint)
    .bind(now)
    .execute()
    .await?;
    Ok(())
}

/// Deletes some of the deliveries that ended and were queued before a time; says how many.
pub async fn purge(tx: &mut Tx, before: Time, limit: i64) -> Result<u64> {
    tx.query(
        "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries
             WHERE due_at IS NULL AND created_at < $1 ORDER BY created_at LIMIT $2)",
    )
    .bind(before)
    .bind(limit)
    .execute()
    .await
}
