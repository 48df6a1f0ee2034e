//! Backend installations as data.

use serde_json::{Map, Value, json};

use crate::domain::services::operations::{self, NewOperation};
use crate::domain::{Error, Fault, Object, Result, Work, check_version};
use crate::model::accounts::accounts::Environment;
use crate::model::catalog::servers::{
    Placement, SealedSecret, Server, ServerView, VirtualServer, VirtualServerView,
};
use crate::model::connector::Descriptor;
use crate::model::events::events::EventType;
use crate::model::ids::{ServerId, VirtualServerId};
use crate::model::services::operations::{Action, OperationKind, Step};
use crate::model::services::operations::{Lane, Operation};
use crate::model::{Actor, Json, Precondition, Subtree};
use crate::store;
use crate::store::versions::Versioned;

/// A new server as it was asked for; its credentials are sealed at the edge.
#[derive(Debug, Clone)]
pub struct Registration {
    pub id: ServerId,
    pub name: String,
    pub connector: String,
    pub settings: Map<String, Value>,
    pub credentials: Option<SealedSecret>,
}

/// Registers a server under the caller's account.
pub async fn register(
    work: &mut Work,
    actor: &Actor,
    registration: Registration,
    connector: Option<&Descriptor>,
) -> Result<Server> {
    let Some(connector) = connector else {
        let detail = format!("there is no connector {:?}; see GET /v1/connectors", registration.connector);
        return Err(Error::invalid("/connector", "unknown_connector", detail));
    };
    if actor.environment == Environment::Test && !connector.simulated {
        let detail = format!("The connector {} is for live accounts only.", connector.name);
        return Err(Error::EnvironmentMismatch(detail));
    }
    check_settings(connector, &registration.settings)?;
    let account = crate::domain::accounts::accounts::open(work, actor.subject_id).await?;
    let server = Server {
        id: registration.id,
        account_id: account.id,
        path: account.path.clone(),
        environment: account.environment,
        name: registration.name,
        connector: registration.connector,
        settings: Json(registration.settings),
        credentials_set_at: registration.credentials.as_ref().map(|_| work.now),
        credentials_fingerprint: registration.credentials.as_ref().map(|secret| secret.fingerprint.clone()),
        credentials: registration.credentials.map(|secret| secret.sealed),
        maintenance: false,
        version: 1,
        created_at: work.now,
        updated_at: work.now,
    };
    store::catalog::servers::insert(&mut work.tx, &server).await?;
    let view = ServerView::from(server.clone());
    work.event(
        EventType::ServerCreated,
        (account.id, &account.path),
        "server",
        Object::new(server.id, 1, &view),
    );
    Ok(server)
}

fn check_settings(connector: &Descriptor, settings: &Map<String, Value>) -> Result<()> {
    let missing = connector
        .settings
        .iter()
        .filter(|setting| setting.required && !settings.contains_key(setting.name))
        .map(|setting| {
            let detail = format!("the connector {} needs it: {}", connector.name, setting.meaning);
            Fault::at(format!("/settings/{}", setting.name), "required", detail)
        });
    let unknown = settings
        .keys()
        .filter(|name| !connector.settings.iter().any(|known| known.name == **name))
        .map(|name| {
            let detail = format!("the connector {} knows no such setting", connector.name);
            Fault::at(format!("/settings/{name}"), "unknown_field", detail)
        });
    let faults: Vec<_> = missing.chain(unknown).collect();
    if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
}

/// What is to change of a server.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub name: Option<String>,
    pub settings: Option<Map<String, Value>>,
    pub credentials: Option<SealedSecret>,
    pub maintenance: Option<bool>,
}

/// Changes a server; only at a version that `expected` admits.
pub async fn change(
    work: &mut Work,
    id: ServerId,
    change: Change,
    expected: &Precondition,
    connector: impl FnOnce(&str) -> Option<Descriptor>,
) -> Result<Server> {
    let mut server =
        store::catalog::servers::find(&mut work.tx, id).await?.ok_or(Error::NotFound("server"))?;
    check_version(work, Versioned::Server, id, server.version, expected).await?;
    let before = ServerView::from(server.clone());
    if let Some(settings) = change.settings {
        if let Some(connector) = connector(&server.connector) {
            check_settings(&connector, &settings)?;
        }
        server.settings = Json(settings);
    }
    server.name = change.name.unwrap_or(server.name);
    if let Some(secret) = change.credentials {
        server.credentials = Some(secret.sealed);
        server.credentials_fingerprint = Some(secret.fingerprint);
        server.credentials_set_at = Some(work.now);
    }
    server.maintenance = change.maintenance.unwrap_or(server.maintenance);
    if !store::catalog::servers::update(&mut work.tx, &server, work.now).await? {
        return Err(Error::Busy);
    }
    server.version += 1;
    server.updated_at = work.now;
    let view = ServerView::from(server.clone());
    work.event(
        EventType::ServerUpdated,
        (server.account_id, &server.path),
        "server",
        Object::new(server.id, server.version, &view).instead_of(json!(before)),
    );
    Ok(server)
}

/// Has the server's connector asked whether all is well; what it says is in the operation.
pub async fn test(work: &mut Work, actor: &Actor, id: ServerId) -> Result<Operation> {
    let server = store::catalog::servers::find(&mut work.tx, id).await?.ok_or(Error::NotFound("server"))?;
    let new = NewOperation {
        steps: vec![Step::new(Action::Test, server.id)],
        ..NewOperation::of(OperationKind::ServerTest, (server.account_id, &server.path), Lane::Interactive)
    };
    operations::start(work, &actor.request_id.to_string(), new).await
}

/// Combines servers under one name.
pub async fn combine(
    work: &mut Work,
    actor: &Actor,
    name: String,
    placement: Vec<Placement>,
    provides: impl Fn(&str, crate::model::catalog::service_types::ServiceType) -> bool,
) -> Result<VirtualServer> {
    let mut faults = Vec::new();
    for (at, place) in placement.iter().enumerate() {
        if placement[..at].iter().any(|earlier| earlier.service_type == place.service_type) {
            let detail = format!("{} is placed twice", place.service_type);
            faults.push(Fault::at(format!("/placement/{at}/service_type"), "duplicate", detail));
        }
        match store::catalog::servers::find_any(&mut work.tx, place.server_id).await? {
            Some(server) if reaches(&actor.subtree(), actor, &server) => {
                if !provides(&server.connector, place.service_type) {
                    let detail =
                        format!("the connector {} does not provide {}", server.connector, place.service_type);
                    faults.push(Fault::at(format!("/placement/{at}/server_id"), "not_provided", detail));
                }
            }
            _ => faults.push(Fault::at(
                format!("/placement/{at}/server_id"),
                "not_found",
                "there is no such server here",
            )),
        }
    }
    if !faults.is_empty() {
        return Err(Error::Invalid(faults));
    }
    let account = crate::domain::accounts::accounts::open(work, actor.subject_id).await?;
    let server = VirtualServer {
        id: VirtualServerId::new(),
        account_id: account.id,
        path: account.path.clone(),
        name,
        placement: Json(placement),
        version: 1,
        created_at: work.now,
        updated_at: work.now,
    };
    store::catalog::servers::insert_virtual(&mut work.tx, &server).await?;
    let view = VirtualServerView::from(server.clone());
    work.event(
        EventType::VirtualServerCreated,
        (account.id, &account.path),
        "virtual_server",
        Object::new(server.id, 1, &view),
    );
    Ok(server)
}

/// Whether the caller may build on a server: one of its own or of an account above, in its own environment.
fn reaches(subtree: &Subtree, actor: &Actor, server: &Server) -> bool {
    let near = subtree.covers(&server.path) || server.path.covers(&actor.subject_path);
    near && server.environment == actor.environment
}
