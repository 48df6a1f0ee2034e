use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::operations::OperationView;
use super::specs::{ResourceSpec, ResourceType};
use crate::model::ids::{AccountId, OperationId, ResourceId, ServiceId};
use crate::model::{Json, Path, Time};
use crate::stored_as_text;

stored_as_text! {
    /// Where a resource is between request and deletion.
    pub enum ResourceLifecycle {
        Requested = "requested",
        Provisioning = "provisioning",
        Active = "active",
        Failed = "failed",
        Deleting = "deleting",
        Deleted = "deleted",
    }
}

/// A resource's row.
#[derive(Debug, Clone, PartialEq, crate::model::rows::Record)]
pub struct Resource {
    pub id: ResourceId,
    pub account_id: AccountId,
    pub path: Path,
    pub service_id: ServiceId,
    #[record(rename = "type")]
    pub resource_type: ResourceType,
    pub name: String,
    pub lifecycle: ResourceLifecycle,
    pub spec: Json<ResourceSpec>,
    pub observed: Json<Map<String, Value>>,
    /// In the connector's scheme; never told.
    pub password_hash: Option<String>,
    pub external_id: Option<String>,
    pub external_id_by: Option<AccountId>,
    pub fingerprint: String,
    pub metadata: Json<BTreeMap<String, String>>,
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
    #[record(default)]
    pub operation_id: Option<OperationId>,
}

/// A resource as callers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Resource)]
pub struct ResourceView {
    pub id: ResourceId,
    pub account_id: AccountId,
    pub service_id: ServiceId,
    /// The domain, address, zone or host name.
    pub name: String,
    pub lifecycle: ResourceLifecycle,
    #[serde(flatten)]
    pub spec: ResourceSpec,
    /// Whether a password was set; it is never read back.
    pub has_password: bool,
    /// What was last seen on the server.
    pub observed: Map<String, Value>,
    /// The operation that is changing the resource now.
    pub operation_id: Option<OperationId>,
    pub external_id: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub created_at: Time,
    pub updated_at: Time,
    /// The operation as it ended; only in an answer that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub operation: Option<OperationView>,
}

impl From<Resource> for ResourceView {
    fn from(resource: Resource) -> Self {
        Self {
            id: resource.id,
            account_id: resource.account_id,
            service_id: resource.service_id,
            name: resource.name,
            lifecycle: resource.lifecycle,
            spec: resource.spec.0,
            has_password: resource.password_hash.is_some(),
            observed: resource.observed.0,
            operation_id: resource.operation_id,
            external_id: resource.external_id,
            metadata: resource.metadata.0,
            created_at: resource.created_at,
            updated_at: resource.updated_at,
            operation: None,
        }
    }
}
