use serde_json::{Map, Value};

use crate::model::ids::{ServiceId, SubscriptionId};
use crate::model::services::Access;
use crate::model::services::services::{Lifecycle, Service};
use crate::model::{Json, Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! columns {
    () => {
        "s.id, s.account_id, s.path, s.subscription_id, s.type, s.name, s.lifecycle, s.applied_access, s.server_id,
         s.settings, s.observed, s.version, s.created_at, s.updated_at"
    };
}

macro_rules! operation {
    () => {
        "(SELECT MIN(o.id) FROM operations o WHERE o.lock = s.id AND o.due_at IS NOT NULL) AS operation_id"
    };
}

pub async fn insert(tx: &mut Tx, service: &Service) -> Result<()> {
    tx.later(
        "INSERT INTO services (id, account_id, path, subscription_id, type, name, lifecycle, applied_access,
             server_id, settings, observed, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(service.id)
    .bind(service.account_id)
    .bind(&service.path)
    .bind(service.subscription_id)
    .bind(service.service_type)
    .bind(&service.name)
    .bind(service.lifecycle)
    .bind(service.applied_access)
    .bind(service.server_id)
    .bind(&service.settings)
    .bind(&service.observed)
    .bind(service.version)
    .bind(service.created_at)
    .bind(service.updated_at)
    .send()
    .await
}

pub async fn find(conn: &mut Conn, id: ServiceId) -> Result<Option<Service>> {
    conn.query(sql!(
        "SELECT " columns!() ", " held("s.path", "s.id", "s.subscription_id") " AS held, " operation!() "
         FROM services s WHERE s.id = $1 AND s.path >= $2 AND s.path < $3"
    ))
    .bind(id)
    .within()
    .optional()
    .await
}

pub async fn page(conn: &mut Conn, after: Option<&(Path, ServiceId)>, limit: i64) -> Result<Vec<Service>> {
    conn.query(sql!(
        "SELECT " columns!() ", " held("s.path", "s.id", "s.subscription_id") " AS held, " operation!() "
         FROM services s
         WHERE (s.path, s.id) > ($1, $2) AND s.path < $3 ORDER BY s.path, s.id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// The services of one subscription, as they were made.
pub async fn of_subscription(conn: &mut Conn, id: SubscriptionId) -> Result<Vec<Service>> {
    conn.query(sql!(
        "SELECT " columns!() ", " held("s.path", "s.id", "s.subscription_id") " AS held, " operation!() "
         FROM services s
         WHERE s.subscription_id = $1 AND s.path >= $2 AND s.path < $3 ORDER BY s.id"
    ))
    .bind(id)
    .within()
    .all()
    .await
}

/// Moves the service on; what was observed, if given, is kept.
pub async fn set_lifecycle(
    tx: &mut Tx,
    id: ServiceId,
    lifecycle: Lifecycle,
    observed: Option<&Map<String, Value>>,
    now: Time,
) -> Result<()> {
    tx.query(
        "UPDATE services SET lifecycle = $2, observed = COALESCE($3, observed), version = version + 1,
             updated_at = $4
         WHERE id = $1",
    )
    .bind(id)
    .bind(lifecycle)
    .bind(observed.map(|facts| Json(facts.clone())))
    .bind(now)
    .execute()
    .await?;
    Ok(())
}

/// Notes the access that was brought about on the server.
pub async fn set_applied_access(tx: &mut Tx, id: ServiceId, access: Access, now: Time) -> Result<()> {
    tx.query(
        "UPDATE services SET applied_access = $2, version = version + 1, updated_at = $3
         WHERE id = $1 AND applied_access <> $2",
    )
    .bind(id)
    .bind(access)
    .bind(now)
    .execute()
    .await?;
    Ok(())
}

/// Keeps everybody else from changing the service until the transaction ends: what is read of it and of its
/// holds afterwards stands against what was committed before.
pub async fn lock(tx: &mut Tx, id: ServiceId) -> Result<()> {
    let _: Option<(ServiceId,)> =
        tx.query(sql!("SELECT id FROM services WHERE id = $1 " pg("FOR UPDATE"))).bind(id).optional().await?;
    Ok(())
}

/// Moves those of the services that were requested on to provisioning.
pub async fn begin(tx: &mut Tx, ids: &[ServiceId], now: Time) -> Result<()> {
    tx.query(sql!(
        "UPDATE services SET lifecycle = 'provisioning', version = version + 1, updated_at = $2
         WHERE lifecycle = 'requested' AND id IN (SELECT value FROM "
        sqlite("json_each($1)") pg("jsonb_array_elements_text($1)") ")"
    ))
    .bind(Json(ids))
    .bind(now)
    .execute()
    .await?;
    Ok(())
}
