//! What a connector is: how the engine asks an outside system to be what the database says, and how the
//! outside system answers. Connectors see this and the nouns, never a transaction.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::model::catalog::service_types::ServiceType;
use crate::model::ids::{AccountId, ResourceId, ServerId, ServiceId};
use crate::model::services::Access;
use crate::model::services::specs::ResourceSpec;
use crate::stored_as_text;

/// One backend installation: where it is and with what it is opened.
#[derive(Debug, Clone)]
pub struct Target {
    pub server_id: ServerId,
    pub settings: Map<String, Value>,
    pub credentials: Option<SecretString>,
}

impl Target {
    /// A setting that the connector needs as text.
    pub fn text(&self, name: &str) -> Result<&str, Fault> {
        self.settings
            .get(name)
            .and_then(Value::as_str)
            .ok_or_else(|| Fault::Denied(format!("the server's setting `{name}` is missing")))
    }
}

/// A service as it is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceGoal {
    /// Also the mark by which the connector knows its own things from others'.
    pub id: ServiceId,
    pub account_id: AccountId,
    pub service_type: ServiceType,
    pub settings: Map<String, Value>,
    pub access: Access,
}

/// A resource as it is to be, inside its service.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceGoal {
    pub id: ResourceId,
    pub service: ServiceGoal,
    pub spec: ResourceSpec,
    /// As `{SCHEME}hash`, for those that have a password.
    pub password_hash: Option<String>,
}

/// What was seen on the server, for people and for finding drift.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    pub facts: Map<String, Value>,
}

/// Why a connector could not do what it was asked. The texts go to operators; they have no secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Something of that name is there and is not ours: never adopted, never changed.
    #[error("{0}")]
    Foreign(String),
    /// The server understood and will never do it.
    #[error("{0}")]
    Invalid(String),
    /// Our own credentials or settings are wrong: an operator must mend them.
    #[error("{0}")]
    Denied(String),
    /// The server is down, slow or busy: the same call may succeed later.
    #[error("{reason}")]
    Unavailable { reason: String, retry_after: Option<Duration> },
    /// The call was sent and its answer lost, and the server cannot be asked what came of it.
    #[error("{0}")]
    Unknown(String),
}

impl Fault {
    pub fn unavailable(reason: impl ToString) -> Self {
        Self::Unavailable { reason: reason.to_string(), retry_after: None }
    }
}

stored_as_text! {
    /// What a connector does about the sizes it is given.
    pub enum QuotaEnforcement {
        /// The server itself refuses what is over the limit.
        Enforced = "enforced",
        /// Use is counted; nothing is refused on the server.
        Counted = "counted",
        None = "none",
    }
}

stored_as_text! {
    /// What a repeated call does.
    pub enum Repeat {
        /// Nothing more.
        Idempotent = "idempotent",
        /// It is asked first whether the call took effect.
        Lookup = "lookup",
        /// It may act twice: after a lost answer a person must look.
        Unsafe = "unsafe",
    }
}

/// A connector in its own words: all that the domain knows of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Connector)]
pub struct Descriptor {
    /// By which servers name it.
    #[schema(example = "files")]
    pub name: &'static str,
    /// What it is for, in one sentence.
    pub title: &'static str,
    pub service_types: &'static [ServiceType],
    /// Whether servers of test accounts can have it: what it does it does to files of its own, and no outside system
    /// has to be there.
    pub simulated: bool,
    /// The server settings it understands, each with whether it must be given and what it means.
    pub settings: &'static [Setting],
    /// What the credentials are, if it takes any.
    pub credentials: Option<&'static str>,
    pub quota: QuotaEnforcement,
    pub repeat: Repeat,
    /// How long after a call its effect may take to show, in milliseconds.
    pub effect_delay_ms: u64,
    /// How passwords are hashed for it.
    #[schema(example = "BLF-CRYPT")]
    pub password_scheme: &'static str,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Setting {
    pub name: &'static str,
    pub required: bool,
    pub meaning: &'static str,
}

/// A host and port a customer connects to, or a record or link he needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Endpoint {
    /// `imap`, `smtp`, `lmtp`, `dns`, `https` …
    #[schema(example = "imap")]
    pub protocol: String,
    pub host: String,
    pub port: u16,
    /// `tls`, `starttls` or `none`.
    #[schema(example = "tls")]
    pub security: String,
    /// What the customer logs in with.
    pub username: Option<String>,
}

/// A DNS record the customer's zone needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DnsRecord {
    #[schema(example = "acme.example.")]
    pub name: String,
    #[serde(rename = "type")]
    #[schema(example = "MX")]
    pub record_type: String,
    #[schema(example = "10 mx.hosting.example.")]
    pub data: String,
}

/// All that a welcome mail needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Connection {
    pub endpoints: Vec<Endpoint>,
    pub dns_records: Vec<DnsRecord>,
    /// Pages and the like, by name.
    pub links: Vec<Link>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Link {
    pub name: String,
    pub url: String,
}

/// A way to one kind of outside system. Every call says what should be, can be repeated, and returns only
/// once the outside system has taken it; a fault says whether repeating may help.
///
/// A connector marks what it makes with the service's identifier and leaves alone what has another mark.
/// Calls for different resources of one service come in parallel.
#[async_trait]
pub trait Connector: Send + Sync + std::fmt::Debug {
    fn descriptor(&self) -> &Descriptor;

    /// Whether the server answers and takes our credentials; facts about it for an operator.
    async fn test(&self, target: &Target) -> Result<Observed, Fault>;

    /// Makes the service what the goal says, or finds that it is.
    async fn ensure_service(&self, target: &Target, goal: &ServiceGoal) -> Result<Observed, Fault>;

    /// Removes the service with all that is in it; one that is not there is removed.
    async fn remove_service(&self, target: &Target, goal: &ServiceGoal) -> Result<(), Fault>;

    /// Makes the resource what the goal says, with its service's access.
    async fn ensure_resource(&self, target: &Target, goal: &ResourceGoal) -> Result<Observed, Fault>;

    /// Removes the resource and its data; one that is not there is removed.
    async fn remove_resource(&self, target: &Target, goal: &ResourceGoal) -> Result<(), Fault>;

    /// Gives the service and all its resources the access that the goal says; where that is less than
    /// before, sessions that are open end. No data are lost by any of it.
    async fn set_access(
        &self,
        target: &Target,
        goal: &ServiceGoal,
        resources: &[ResourceGoal],
    ) -> Result<(), Fault>;

    /// The resource as it is on the server; none if it is not there.
    async fn observe(&self, target: &Target, goal: &ResourceGoal) -> Result<Option<Observed>, Fault>;

    /// What a customer needs to use the service. No call goes out for it.
    fn connection(&self, target: &Target, goal: &ServiceGoal, resources: &[ResourceGoal]) -> Connection;
}

/// All connectors that the program has.
pub trait Register: Send + Sync {
    fn get(&self, name: &str) -> Option<std::sync::Arc<dyn Connector>>;

    /// Every connector in its own words, by name.
    fn descriptors(&self) -> Vec<Descriptor>;
}
