use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::service_types::ServiceType;
use crate::model::accounts::accounts::Environment;
use crate::model::ids::{AccountId, ServerId, VirtualServerId};
use crate::model::secrets::SecretView;
use crate::model::{Json, Path, Time};

/// A backend installation's row. Its credentials are sealed.
#[derive(Debug, Clone, PartialEq, crate::model::rows::Record)]
pub struct Server {
    pub id: ServerId,
    pub account_id: AccountId,
    pub path: Path,
    /// That of its account.
    pub environment: Environment,
    pub name: String,
    pub connector: String,
    pub settings: Json<Map<String, Value>>,
    pub credentials: Option<String>,
    /// What the credentials are recognised by, and when they were set; none of those from before it was kept.
    pub credentials_fingerprint: Option<String>,
    pub credentials_set_at: Option<Time>,
    pub maintenance: bool,
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

/// A secret on its way into the database.
#[derive(Debug, Clone)]
pub struct SealedSecret {
    pub sealed: String,
    pub fingerprint: String,
}

/// A backend installation as its operator sees it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Server)]
pub struct ServerView {
    pub id: ServerId,
    pub account_id: AccountId,
    /// That of its account: services of test accounts run on test servers, and no others do.
    pub environment: Environment,
    pub name: String,
    /// How it is spoken to; see `GET /v1/connectors`.
    #[schema(example = "files")]
    pub connector: String,
    pub settings: Map<String, Value>,
    pub credentials: SecretView,
    /// Nothing new is placed on a server in maintenance.
    pub maintenance: bool,
    pub created_at: Time,
    pub updated_at: Time,
}

impl From<Server> for ServerView {
    fn from(server: Server) -> Self {
        Self {
            id: server.id,
            account_id: server.account_id,
            environment: server.environment,
            name: server.name,
            connector: server.connector,
            settings: server.settings.0,
            credentials: SecretView {
                set: server.credentials.is_some(),
                fingerprint: server.credentials_fingerprint,
                updated_at: server.credentials_set_at,
            },
            maintenance: server.maintenance,
            created_at: server.created_at,
            updated_at: server.updated_at,
        }
    }
}

/// On which server the services of a type are placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    pub service_type: ServiceType,
    pub server_id: ServerId,
}

/// Services of several servers under one name; plans are built on it.
#[derive(Debug, Clone, PartialEq, crate::model::rows::Record)]
pub struct VirtualServer {
    pub id: VirtualServerId,
    pub account_id: AccountId,
    pub path: Path,
    pub name: String,
    pub placement: Json<Vec<Placement>>,
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = VirtualServer)]
pub struct VirtualServerView {
    pub id: VirtualServerId,
    pub account_id: AccountId,
    pub name: String,
    pub placement: Vec<Placement>,
    pub created_at: Time,
    pub updated_at: Time,
}

impl From<VirtualServer> for VirtualServerView {
    fn from(server: VirtualServer) -> Self {
        Self {
            id: server.id,
            account_id: server.account_id,
            name: server.name,
            placement: server.placement.0,
            created_at: server.created_at,
            updated_at: server.updated_at,
        }
    }
}
