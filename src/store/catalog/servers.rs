use crate::model::catalog::servers::{Server, VirtualServer};
use crate::model::ids::{ServerId, VirtualServerId};
use crate::model::{Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! server {
    () => {
        "id, account_id, path, name, connector, settings, credentials, credentials_fingerprint, credentials_set_at,
         maintenance, version, created_at, updated_at, environment"
    };
}

macro_rules! virtual_server {
    () => {
        "id, account_id, path, name, placement, version, created_at, updated_at"
    };
}

pub async fn insert(tx: &mut Tx, server: &Server) -> Result<()> {
    tx.query(sql!(
        "INSERT INTO servers (" server!() ")
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
    ))
    .bind(server.id)
    .bind(server.account_id)
    .bind(&server.path)
    .bind(&server.name)
    .bind(&server.connector)
    .bind(&server.settings)
    .bind(&server.credentials)
    .bind(&server.credentials_fingerprint)
    .bind(server.credentials_set_at)
    .bind(server.maintenance)
    .bind(server.version)
    .bind(server.created_at)
    .bind(server.updated_at)
    .bind(server.environment)
    .execute()
    .await?;
    Ok(())
}

pub async fn find(conn: &mut Conn, id: ServerId) -> Result<Option<Server>> {
    conn.query(sql!("SELECT " server!() " FROM servers WHERE id = $1 AND path >= $2 AND path < $3"))
        .bind(id)
        .within()
        .optional()
        .await
}

/// The server, wherever in the tree it stands: a service runs on servers of accounts above its own.
pub async fn find_any(conn: &mut Conn, id: ServerId) -> Result<Option<Server>> {
    conn.query(sql!("SELECT " server!() " FROM servers WHERE id = $1")).bind(id).optional().await
}

pub async fn page(conn: &mut Conn, after: Option<&(Path, ServerId)>, limit: i64) -> Result<Vec<Server>> {
    conn.query(sql!(
        "SELECT " server!() " FROM servers
         WHERE (path, id) > ($1, $2) AND path < $3 ORDER BY path, id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// Writes what can change of a server; says whether its version was still the one that was read.
pub async fn update(tx: &mut Tx, server: &Server, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE servers SET name = $2, settings = $3, credentials = $4, credentials_fingerprint = $5,
                 credentials_set_at = $6, maintenance = $7, version = version + 1, updated_at = $8
             WHERE id = $1 AND version = $9",
        )
        .bind(server.id)
        .bind(&server.name)
        .bind(&server.settings)
        .bind(&server.credentials)
        .bind(&server.credentials_fingerprint)
        .bind(server.credentials_set_at)
        .bind(server.maintenance)
        .bind(now)
        .bind(server.version)
        .execute()
        .await?;
    Ok(changed == 1)
}

pub async fn insert_virtual(tx: &mut Tx, server: &VirtualServer) -> Result<()> {
    tx.query(
        sql!("INSERT INTO virtual_servers (" virtual_server!() ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"),
    )
    .bind(server.id)
    .bind(server.account_id)
    .bind(&server.path)
    .bind(&server.name)
    .bind(&server.placement)
    .bind(server.version)
    .bind(server.created_at)
    .bind(server.updated_at)
    .execute()
    .await?;
    Ok(())
}

pub async fn find_virtual(conn: &mut Conn, id: VirtualServerId) -> Result<Option<VirtualServer>> {
    conn.query(
        sql!("SELECT " virtual_server!() " FROM virtual_servers WHERE id = $1 AND path >= $2 AND path < $3"),
    )
    .bind(id)
    .within()
    .optional()
    .await
}

/// The virtual server, wherever in the tree it stands: a plan of an account above is placed on it.
pub async fn find_any_virtual(conn: &mut Conn, id: VirtualServerId) -> Result<Option<VirtualServer>> {
    conn.query(sql!("SELECT " virtual_server!() " FROM virtual_servers WHERE id = $1"))
        .bind(id)
        .optional()
        .await
}

pub async fn page_virtual(
    conn: &mut Conn,
    after: Option<&(Path, VirtualServerId)>,
    limit: i64,
) -> Result<Vec<VirtualServer>> {
    conn.query(sql!(
        "SELECT " virtual_server!() " FROM virtual_servers
         WHERE (path, id) > ($1, $2) AND path < $3 ORDER BY path, id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}
