use actix_web::{HttpResponse, get, patch, post};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::access::seal::Context;
use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::api::state::State;
use crate::api::v1::fields;
use crate::domain::Error;
use crate::domain::catalog::servers::{self, Change, Registration};
use crate::model::Path;
use crate::model::catalog::servers::{Placement, SealedSecret, ServerView, VirtualServerView};
use crate::model::catalog::service_types::{ServiceType, ServiceTypeView};
use crate::model::connector::Descriptor;
use crate::model::ids::{AccountId, OperationId, ServerId, VirtualServerId};
use crate::model::scopes::need;
use crate::model::services::operations::OperationView;
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(connectors_list)
        .service(service_types_list)
        .service(servers_list)
        .service(servers_create)
        .service(servers_get)
        .service(servers_update)
        .service(servers_test)
        .service(virtual_servers_list)
        .service(virtual_servers_create)
        .service(virtual_servers_get);
}

list!(ServerList, ServerView);
list!(VirtualServerList, VirtualServerView);

/// All connectors.
#[derive(Debug, Serialize, ToSchema)]
struct Connectors {
    data: Vec<Descriptor>,
}

/// All service types.
#[derive(Debug, Serialize, ToSchema)]
struct ServiceTypes {
    data: Vec<ServiceTypeView>,
}

/// List connectors
///
/// What kinds of outside systems this installation can drive, each in its own words.
#[utoipa::path(
    tag = "infrastructure",
    security(("oauth2" = ["servers:read"])),
    responses((status = 200, description = "Connectors", body = Connectors)),
)]
#[get("/connectors")]
async fn connectors_list(mut caller: Caller<need::ServersRead>) -> Result<HttpResponse, Problem> {
    caller.subject().await?;
    Ok(HttpResponse::Ok().json(Connectors { data: caller.state.connectors.descriptors() }))
}

/// List service types
///
/// What plans can be made of.
#[utoipa::path(
    tag = "infrastructure",
    security(("oauth2" = ["catalog:read"])),
    responses((status = 200, description = "Service types", body = ServiceTypes)),
)]
#[get("/service_types")]
async fn service_types_list(mut caller: Caller<need::CatalogRead>) -> Result<HttpResponse, Problem> {
    caller.subject().await?;
    let connectors = caller.state.connectors.descriptors();
    let view = |service_type: &ServiceType| ServiceTypeView {
        service_type: *service_type,
        title: service_type.title(),
        resource_types: service_type.resource_types(),
        quota_keys: service_type.quota_keys(),
        connectors: connectors
            .iter()
            .filter(|connector| connector.service_types.contains(service_type))
            .map(|connector| connector.name)
            .collect(),
    };
    Ok(HttpResponse::Ok().json(ServiceTypes { data: ServiceType::ALL.iter().map(view).collect() }))
}

/// A new server.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewServer {
    #[validate(custom(function = fields::name))]
    #[schema(min_length = 1, max_length = 128, example = "mail-1")]
    name: String,
    /// How it is spoken to; see `GET /v1/connectors`.
    #[schema(min_length = 1, max_length = 64, example = "files")]
    connector: String,
    /// As the connector describes them.
    #[serde(default)]
    #[schema(example = json!({"root": "/srv/tenantry"}))]
    settings: Map<String, Value>,
    /// As the connector describes them. They are kept sealed and never read back.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 4096, format = Password)]
    credentials: Option<SecretString>,
}

fn sealed(state: &State, account: AccountId, id: ServerId, credentials: &SecretString) -> SealedSecret {
    let (account, id) = (account.to_string(), id.to_string());
    let context = Context { table: "servers", column: "credentials", account_id: &account, record_id: &id };
    let text = credentials.expose_secret();
    SealedSecret {
        sealed: state.sealer.seal(&context, text.as_bytes()),
        fingerprint: state.keys.digests.fingerprint(&id, text),
    }
}

/// List servers
#[utoipa::path(
    tag = "infrastructure",
    security(("oauth2" = ["servers:read"])),
    responses((status = 200, description = "Servers", body = ServerList)),
)]
#[get("/servers")]
async fn servers_list(mut caller: Caller<need::ServersRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, ServerId)> = page.after()?;
    let rows = store::catalog::servers::page(&mut caller.read().await?, after.as_ref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |server| (server.path.clone(), server.id));
    caller.saw_each(rows.iter().map(|server| &server.path));
    Ok(ServerList::answer(rows.into_iter().map(ServerView::from).collect(), next))
}

/// Register a server
///
/// A backend installation that services are placed on. Nothing is sent to it yet; call `test` to try it.
#[utoipa::path(
    tag = "infrastructure",
    security(("oauth2" = ["servers:write"])),
    request_body = NewServer,
    responses((status = 201, description = "Registered", body = ServerView)),
)]
#[post("/servers")]
async fn servers_create(mut caller: Caller<need::ServersWrite>) -> Result<HttpResponse, Problem> {
    let body: NewServer = caller.json().await?;
    let (account, _) = caller.subject().await?;
    let id = ServerId::new();
    let credentials =
        body.credentials.as_ref().map(|credentials| sealed(&caller.state, account, id, credentials));
    let connector = caller.state.connectors.get(&body.connector);
    let registration =
        Registration { id, name: body.name, connector: body.connector, settings: body.settings, credentials };
    caller
        .write(async move |work, actor| {
            let known = connector.as_ref().map(|connector| connector.descriptor());
            let server = servers::register(work, actor, registration, known).await?;
            let (place, version) = (format!("/v1/servers/{id}"), server.version);
            Ok(Answer::made(true, place, &ServerView::from(server)).version(version).about(id))
        })
        .await
}

/// Get a server
#[utoipa::path(
    tag = "infrastructure",
    security(("oauth2" = ["servers:read"])),
    params(("id" = ServerId, Path)),
    responses((status = 200, description = "The server", body = ServerView)),
)]
#[get("/servers/{id}")]
async fn servers_get(mut caller: Caller<need::ServersRead>) -> Result<HttpResponse, Problem> {
    let id = caller.id("server")?;
    let found = store::catalog::servers::find(&mut caller.read().await?, id).await?;
    let server = found.ok_or(Error::NotFound("server"))?;
    caller.saw(&server.path);
    caller.show(server.version, &ServerView::from(server))
}

/// What is to change of a server; what is left out stays.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ServerChange {
    #[validate(custom(function = fields::name))]
    #[schema(min_length = 1, max_length = 128, nullable = false)]
    name: Option<String>,
    /// All of them: they take the place of those that are there.
    #[schema(nullable = false)]
    settings: Option<Map<String, Value>>,
    #[schema(value_type = Option<String>, min_length = 1, max_length = 4096, format = Password, nullable = false)]
    credentials: Option<SecretString>,
    /// Nothing new is placed on a server in maintenance.
    #[schema(nullable = false)]
    maintenance: Option<bool>,
}

/// Change a server
#[utoipa::path(
    tag = "infrastructure",
    security(("oauth2" = ["servers:write"])),
    params(("id" = ServerId, Path)),
    request_body = ServerChange,
    responses(
        (status = 200, description = "Changed", body = ServerView),
    ),
)]
#[patch("/servers/{id}")]
async fn servers_update(mut caller: Caller<need::ServersWrite>) -> Result<HttpResponse, Problem> {
    let (body, expected): (ServerChange, _) = (caller.json().await?, caller.if_match()?);
    let id = caller.id("server")?;
    let connectors = caller.state.connectors.clone();
    let owner = store::catalog::servers::find(&mut caller.read().await?, id).await?;
    let owner = owner.ok_or(Error::NotFound("server"))?.account_id;
    let change = Change {
        name: body.name,
        settings: body.settings,
        credentials: body
            .credentials
            .as_ref()
            .map(|credentials| sealed(&caller.state, owner, id, credentials)),
        maintenance: body.maintenance,
    };
    caller
        .write(async move |work, _| {
            let descriptor =
                |name: &str| connectors.get(name).map(|connector| connector.descriptor().clone());
            let server = servers::change(work, id, change, &expected, descriptor).await?;
            let version = server.version;
            Ok(Answer::ok(&ServerView::from(server)).version(version).about(id))
        })
        .await
}

/// Test a server
///
/// Has the connector ask the server whether it answers and takes the credentials. What it says is in the
/// operation.
#[utoipa::path(
    tag = "infrastructure",
    security(("oauth2" = ["servers:write"])),
    params(("id" = ServerId, Path)),
    responses(
        (status = 202, description = "Being asked", body = ServerTest),
        (status = 200, description = "Asked, within the time waited", body = ServerTest),
    ),
)]
#[post("/servers/{id}/test")]
async fn servers_test(caller: Caller<need::ServersWrite>) -> Result<HttpResponse, Problem> {
    let id: ServerId = caller.id("server")?;
    caller
        .write(async move |work, actor| {
            let operation = servers::test(work, actor, id).await?;
            let told = ServerTest { server_id: id, operation_id: operation.id, operation: None };
            Ok(Answer::accepted(Some(operation.id), actix_web::http::StatusCode::OK, &told).about(id))
        })
        .await
}

/// The test of a server.
#[derive(Debug, Serialize, ToSchema)]
struct ServerTest {
    server_id: ServerId,
    /// What the server says is in it.
    operation_id: OperationId,
    /// The operation as it ended; only in an answer that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    operation: Option<OperationView>,
}

/// A new virtual server.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewVirtualServer {
    #[validate(custom(function = fields::name))]
    #[schema(min_length = 1, max_length = 128, example = "shared-1")]
    name: String,
    #[schema(min_items = 1, max_items = 20)]
    placement: Vec<Placement>,
}

/// List virtual servers
#[utoipa::path(
    tag = "infrastructure",
    security(("oauth2" = ["servers:read"])),
    responses((status = 200, description = "Virtual servers", body = VirtualServerList)),
)]
#[get("/virtual_servers")]
async fn virtual_servers_list(mut caller: Caller<need::ServersRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, VirtualServerId)> = page.after()?;
    let mut conn = caller.read().await?;
    let rows = store::catalog::servers::page_virtual(&mut conn, after.as_ref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |server| (server.path.clone(), server.id));
    caller.saw_each(rows.iter().map(|server| &server.path));
    Ok(VirtualServerList::answer(rows.into_iter().map(VirtualServerView::from).collect(), next))
}

/// Combine servers
///
/// Under one name, with a server for each service type. Plans are built on it.
#[utoipa::path(
    tag = "infrastructure",
    security(("oauth2" = ["servers:write"])),
    request_body = NewVirtualServer,
    responses((status = 201, description = "Combined", body = VirtualServerView)),
)]
#[post("/virtual_servers")]
async fn virtual_servers_create(mut caller: Caller<need::ServersWrite>) -> Result<HttpResponse, Problem> {
    let body: NewVirtualServer = caller.json().await?;
    let connectors = caller.state.connectors.clone();
    caller
        .write(async move |work, actor| {
            let provides = |name: &str, service_type: ServiceType| {
                connectors
                    .get(name)
                    .is_some_and(|connector| connector.descriptor().service_types.contains(&service_type))
            };
            let server = servers::combine(work, actor, body.name, body.placement, provides).await?;
            let (id, version) = (server.id, server.version);
            let place = format!("/v1/virtual_servers/{id}");
            Ok(Answer::made(true, place, &VirtualServerView::from(server)).version(version).about(id))
        })
        .await
}

/// Get a virtual server
#[utoipa::path(
    tag = "infrastructure",
    security(("oauth2" = ["servers:read"])),
    params(("id" = VirtualServerId, Path)),
    responses((status = 200, description = "The virtual server", body = VirtualServerView)),
)]
#[get("/virtual_servers/{id}")]
async fn virtual_servers_get(mut caller: Caller<need::ServersRead>) -> Result<HttpResponse, Problem> {
    let id = caller.id("virtual server")?;
    let found = store::catalog::servers::find_virtual(&mut caller.read().await?, id).await?;
    let server = found.ok_or(Error::NotFound("virtual server"))?;
    let version = server.version;
    caller.saw(&server.path);
    caller.show(version, &VirtualServerView::from(server))
}
