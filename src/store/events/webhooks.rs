use std::collections::BTreeSet;

use crate::model::events::webhooks::{Listener, OldSecret, WebhookEndpoint};
use crate::model::ids::{WebhookEndpointId, WebhookSecretId};
use crate::model::{Json, Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! endpoint {
    () => {
        "w.id, w.account_id, w.path, w.url, w.description, w.event_types, w.payload, w.headers, w.secret_headers,
         w.secret_header_names, w.secret_header_marks, w.secret, w.signing_key, w.public_key, w.old_secrets_until,
         w.status, w.verify, w.challenge, w.failing_since, w.version, w.created_at, w.updated_at"
    };
}

/// Adds an endpoint; it is younger than all that is committed by now.
pub async fn insert(tx: &mut Tx, endpoint: &WebhookEndpoint) -> Result<()> {
    tx.query(sql!(
        "INSERT INTO webhook_endpoints (id, account_id, path, url, description, event_types, payload, headers,
             secret_headers, secret_header_names, secret, signing_key, public_key, old_secrets_until, status, verify,
             challenge, failing_since, version, created_at, updated_at, secret_header_marks, made_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, "
        sqlite("(SELECT (COALESCE(MAX(position), 0) + 1) || ':' || (COALESCE(MAX(position), 0) + 1) || ':' FROM events)")
        pg("CAST(pg_current_snapshot() AS TEXT)")
    ))
    .bind(endpoint.id)
    .bind(endpoint.account_id)
    .bind(&endpoint.path)
    .bind(&endpoint.url)
    .bind(&endpoint.description)
    .bind(&endpoint.event_types)
    .bind(endpoint.payload)
    .bind(&endpoint.headers)
    .bind(&endpoint.secret_headers)
    .bind(&endpoint.secret_header_names)
    .bind(&endpoint.secret)
    .bind(&endpoint.signing_key)
    .bind(&endpoint.public_key)
    .bind(endpoint.old_secrets_until)
    .bind(endpoint.switch)
    .bind(endpoint.verify)
    .bind(&endpoint.challenge)
    .bind(endpoint.failing_since)
    .bind(endpoint.version)
    .bind(endpoint.created_at)
    .bind(endpoint.updated_at)
    .bind(&endpoint.secret_header_marks)
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
    .limit(limit)
    .all()
    .await
}

/// Writes what can change of an endpoint; says whether its version was still the one that was read.
pub async fn update(tx: &mut Tx, endpoint: &WebhookEndpoint, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE webhook_endpoints SET url = $2, description = $3, event_types = $4, status = $5,
                 failing_since = $6, version = version + 1, updated_at = $7, payload = $9, headers = $10,
                 secret_headers = $11, secret_header_names = $12, secret = $13, signing_key = $14, public_key = $15,
                 old_secrets_until = $16, verify = $17, challenge = $18, secret_header_marks = $19
             WHERE id = $1 AND version = $8",
        )
        .bind(endpoint.id)
        .bind(&endpoint.url)
        .bind(&endpoint.description)
        .bind(&endpoint.event_types)
        .bind(endpoint.switch)
        .bind(endpoint.failing_since)
        .bind(now)
        .bind(endpoint.version)
        .bind(endpoint.payload)
        .bind(&endpoint.headers)
        .bind(&endpoint.secret_headers)
        .bind(&endpoint.secret_header_names)
        .bind(&endpoint.secret)
        .bind(&endpoint.signing_key)
        .bind(&endpoint.public_key)
        .bind(endpoint.old_secrets_until)
        .bind(endpoint.verify)
        .bind(&endpoint.challenge)
        .bind(&endpoint.secret_header_marks)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// Deletes the endpoint with its deliveries; says whether it was there.
pub async fn delete(tx: &mut Tx, id: WebhookEndpointId) -> Result<bool> {
    Ok(tx.query("DELETE FROM webhook_endpoints WHERE id = $1").bind(id).execute().await? == 1)
}

/// The endpoints of the accounts at the paths.
pub async fn listeners_at(conn: &mut Conn, paths: &BTreeSet<Path>) -> Result<Vec<Listener>> {
    conn.query(sql!(
        "SELECT w.id, w.account_id, w.path, w.event_types, w.payload, w.status, w.challenge, w.made_at
         FROM webhook_endpoints w WHERE w.path IN (SELECT value FROM "
        sqlite("json_each($1)") pg("jsonb_array_elements_text($1) AS list (value)") ") ORDER BY w.id"
    ))
    .bind(Json(paths))
    .all()
    .await
}

/// Keeps the endpoint's secret, about to be replaced, until it ends.
pub async fn keep_secret(
    tx: &mut Tx,
    id: WebhookSecretId,
    endpoint: &WebhookEndpoint,
    ends_at: Time,
) -> Result<()> {
    tx.query(
        "INSERT INTO webhook_old_secrets (id, account_id, path, endpoint_id, secret, signing_key, ends_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(id)
    .bind(endpoint.account_id)
    .bind(&endpoint.path)
    .bind(endpoint.id)
    .bind(&endpoint.secret)
    .bind(&endpoint.signing_key)
    .bind(ends_at)
    .execute()
    .await?;
    Ok(())
}

/// The secrets before that have not ended, the youngest first.
pub async fn old_secrets(conn: &mut Conn, id: WebhookEndpointId, now: Time) -> Result<Vec<OldSecret>> {
    conn.query(
        "SELECT secret, signing_key FROM webhook_old_secrets
         WHERE endpoint_id = $1 AND ends_at > $2 AND path >= $3 AND path < $4 ORDER BY id DESC",
    )
    .bind(id)
    .bind(now)
    .within()
    .all()
    .await
}

/// Takes away the endpoint's secrets that end by a time.
pub async fn drop_old_secrets(tx: &mut Tx, id: WebhookEndpointId, by: Time) -> Result<()> {
    tx.query("DELETE FROM webhook_old_secrets WHERE endpoint_id = $1 AND ends_at <= $2")
        .bind(id)
        .bind(by)
        .execute()
        .await?;
    Ok(())
}

/// Takes away everybody's secrets that have ended.
pub async fn drop_ended_secrets(tx: &mut Tx, now: Time) -> Result<()> {
    tx.query("DELETE FROM webhook_old_secrets WHERE ends_at <= $1").bind(now).execute().await?;
    Ok(())
}

/// Notes that an endpoint has answered its challenge; says whether it was that one still.
pub async fn set_verified(tx: &mut Tx, id: WebhookEndpointId, challenge: &str, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE webhook_endpoints SET challenge = NULL, version = version + 1, updated_at = $3
             WHERE id = $1 AND challenge = $2",
        )
        .bind(id)
        .bind(challenge)
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
