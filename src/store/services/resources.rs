use serde_json::{Map, Value};

use crate::model::ids::{AccountId, ResourceId, ServiceId, SubscriptionId};
use crate::model::services::resources::{Resource, ResourceLifecycle};
use crate::model::services::specs::{ResourceSpec, ResourceType};
use crate::model::{Json, Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! columns {
    () => {
        "r.id, r.account_id, r.path, r.service_id, r.type, r.name, r.lifecycle, r.spec, r.observed,
         r.password_hash, r.external_id, r.external_id_by, r.fingerprint, r.metadata, r.version, r.created_at,
         r.updated_at"
    };
}

macro_rules! derived {
    () => {
        "(SELECT MIN(o.id) FROM operations o WHERE o.lock = r.id AND o.due_at IS NOT NULL) AS operation_id"
    };
}

/// Adds the resource; says whether its name was free in the installation.
pub async fn insert(tx: &mut Tx, resource: &Resource) -> Result<bool> {
    let added = tx
        .query(
            "INSERT INTO resources (id, account_id, path, service_id, type, name, lifecycle, spec, observed,
                 password_hash, external_id, external_id_by, fingerprint, metadata, version, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
             ON CONFLICT (type, name) WHERE lifecycle <> 'deleted' AND lifecycle <> 'failed' DO NOTHING",
        )
        .bind(resource.id)
        .bind(resource.account_id)
        .bind(&resource.path)
        .bind(resource.service_id)
        .bind(resource.resource_type)
        .bind(&resource.name)
        .bind(resource.lifecycle)
        .bind(&resource.spec)
        .bind(&resource.observed)
        .bind(&resource.password_hash)
        .bind(&resource.external_id)
        .bind(resource.external_id_by)
        .bind(&resource.fingerprint)
        .bind(&resource.metadata)
        .bind(resource.version)
        .bind(resource.created_at)
        .bind(resource.updated_at)
        .execute()
        .await?;
    Ok(added == 1)
}

pub async fn find(conn: &mut Conn, id: ResourceId) -> Result<Option<Resource>> {
    conn.query(sql!(
        "SELECT " columns!() ", " derived!() " FROM resources r WHERE r.id = $1 AND r.path >= $2 AND r.path < $3"
    ))
    .bind(id)
    .within()
    .optional()
    .await
}

/// The resource of a service that has the name and is neither failed nor deleted.
pub async fn find_by_name(
    conn: &mut Conn,
    service: ServiceId,
    resource_type: ResourceType,
    name: &str,
) -> Result<Option<Resource>> {
    conn.query(sql!(
        "SELECT " columns!() ", " derived!() " FROM resources r
         WHERE r.service_id = $1 AND r.type = $2 AND r.name = $3 AND r.lifecycle NOT IN ('deleted', 'failed')
           AND r.path >= $4 AND r.path < $5"
    ))
    .bind(service)
    .bind(resource_type)
    .bind(name)
    .within()
    .optional()
    .await
}

/// The resource that `by` made under its own name `external_id`, unless it failed or was deleted.
pub async fn find_by_external_id(
    conn: &mut Conn,
    by: AccountId,
    external_id: &str,
) -> Result<Option<Resource>> {
    conn.query(sql!(
        "SELECT " columns!() ", " derived!() " FROM resources r
         WHERE r.external_id_by = $1 AND r.external_id = $2 AND r.lifecycle NOT IN ('deleted', 'failed')
           AND r.path >= $3 AND r.path < $4"
    ))
    .bind(by)
    .bind(external_id)
    .within()
    .optional()
    .await
}

/// A page of a service's resources in the order they were made.
pub async fn page(
    conn: &mut Conn,
    service: ServiceId,
    after: Option<ResourceId>,
    limit: i64,
) -> Result<Vec<Resource>> {
    conn.query(sql!(
        "SELECT " columns!() ", " derived!() " FROM resources r
         WHERE r.service_id = $1 AND r.id > $2 AND r.path >= $3 AND r.path < $4 ORDER BY r.id LIMIT $5"
    ))
    .bind(service)
    .bind(after.map(|id| id.to_string()).unwrap_or_default())
    .within()
    .bind(limit)
    .all()
    .await
}

/// A page of the subtree's resources in the order of (path, id), after the one named.
pub async fn page_all(
    conn: &mut Conn,
    after: Option<&(Path, ResourceId)>,
    limit: i64,
) -> Result<Vec<Resource>> {
    conn.query(sql!(
        "SELECT " columns!() ", " derived!() " FROM resources r
         WHERE (r.path, r.id) > ($1, $2) AND r.path < $3 ORDER BY r.path, r.id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// All resources of a service that are on its server or on their way there.
pub async fn present(conn: &mut Conn, service: ServiceId) -> Result<Vec<Resource>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM resources r
         WHERE r.service_id = $1 AND r.lifecycle IN ('requested', 'provisioning', 'active', 'deleting') ORDER BY r.id"
    ))
    .bind(service)
    .all()
    .await
}

/// What is in the services of the accounts between two paths, each with the subscription it is of.
pub async fn specs_between(
    conn: &mut Conn,
    from: &str,
    to: &str,
) -> Result<Vec<(SubscriptionId, Json<ResourceSpec>)>> {
    conn.query(
        "SELECT s.subscription_id, r.spec FROM resources r JOIN services s ON s.id = r.service_id
         WHERE r.path >= $1 AND r.path < $2 AND r.lifecycle NOT IN ('failed', 'deleted')",
    )
    .bind(from)
    .bind(to)
    .all()
    .await
}

/// Moves the resource on; what was observed, if given, is kept.
pub async fn set_lifecycle(
    tx: &mut Tx,
    id: ResourceId,
    lifecycle: ResourceLifecycle,
    observed: Option<&Map<String, Value>>,
    now: Time,
) -> Result<()> {
    tx.query(
        "UPDATE resources SET lifecycle = $2, observed = COALESCE($3, observed), version = version + 1,
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

/// Writes what the resource has become on its server.
pub async fn set_spec(
    tx: &mut Tx,
    id: ResourceId,
    spec: &ResourceSpec,
    password_hash: Option<&str>,
    now: Time,
) -> Result<()> {
    tx.query(
        "UPDATE resources SET spec = $2, password_hash = COALESCE($3, password_hash), version = version + 1,
             updated_at = $4
         WHERE id = $1",
    )
    .bind(id)
    .bind(Json(spec))
    .bind(password_hash)
    .bind(now)
    .execute()
    .await?;
    Ok(())
}

/// Moves those of the resources that were requested on to provisioning.
pub async fn begin(tx: &mut Tx, ids: &[ResourceId], now: Time) -> Result<()> {
    tx.query(sql!(
        "UPDATE resources SET lifecycle = 'provisioning', version = version + 1, updated_at = $2
         WHERE lifecycle = 'requested' AND id IN (SELECT value FROM "
        sqlite("json_each($1)") pg("jsonb_array_elements_text($1)") ")"
    ))
    .bind(Json(ids))
    .bind(now)
    .execute()
    .await?;
    Ok(())
}

/// Asks again for a resource that failed; says whether its name is still free.
pub async fn reopen(tx: &mut Tx, id: ResourceId, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE resources SET lifecycle = 'requested', version = version + 1, updated_at = $2
             WHERE id = $1 AND NOT EXISTS (
                 SELECT 1 FROM resources o WHERE o.type = resources.type AND o.name = resources.name
                     AND o.lifecycle <> 'deleted' AND o.lifecycle <> 'failed' AND o.id <> resources.id)",
        )
        .bind(id)
        .bind(now)
        .execute()
        .await?;
    Ok(changed == 1)
}
