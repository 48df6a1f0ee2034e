use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::model::catalog::service_types::ServiceType;
use crate::model::ids::{AccountId, OperationId, ServerId, ServiceId, SubscriptionId};
use crate::model::{Json, Path, Time};
use crate::stored_as_text;

stored_as_text! {
    /// Where a service is between order and purge.
    pub enum Lifecycle {
        Requested = "requested",
        Provisioning = "provisioning",
        Active = "active",
        Failed = "failed",
        Terminating = "terminating",
        Terminated = "terminated",
        Purging = "purging",
        Purged = "purged",
    }
}

stored_as_text! {
    /// How far a service can be used. It follows from the holds on the service, its subscription and all
    /// accounts above.
    pub enum Access {
        Full = "full",
        Degraded = "degraded",
        Suspended = "suspended",
    }
}

impl Access {
    /// The more a hold takes away, the heavier; the heaviest hold decides.
    pub const fn weight(self) -> i64 {
        match self {
            Access::Full => 0,
            Access::Degraded => 2,
            Access::Suspended => 3,
        }
    }

    pub fn of_weight(weight: i64) -> Self {
        match weight {
            3.. => Access::Suspended,
            2 => Access::Degraded,
            _ => Access::Full,
        }
    }
}

stored_as_text! {
    /// The three axes in one word, for people.
    pub enum ServiceStatus {
        Requested = "requested",
        Provisioning = "provisioning",
        Active = "active",
        Degraded = "degraded",
        Suspended = "suspended",
        Failed = "failed",
        Terminating = "terminating",
        Terminated = "terminated",
        Purging = "purging",
        Purged = "purged",
    }
}

impl ServiceStatus {
    pub fn of(lifecycle: Lifecycle, access: Access) -> Self {
        match (lifecycle, access) {
            (Lifecycle::Active, Access::Full) => Self::Active,
            (Lifecycle::Active, Access::Degraded) => Self::Degraded,
            (Lifecycle::Active, Access::Suspended) => Self::Suspended,
            (Lifecycle::Requested, _) => Self::Requested,
            (Lifecycle::Provisioning, _) => Self::Provisioning,
            (Lifecycle::Failed, _) => Self::Failed,
            (Lifecycle::Terminating, _) => Self::Terminating,
            (Lifecycle::Terminated, _) => Self::Terminated,
            (Lifecycle::Purging, _) => Self::Purging,
            (Lifecycle::Purged, _) => Self::Purged,
        }
    }
}

/// A service's row, with what its holds leave of its access and the operation in flight.
#[derive(Debug, Clone, PartialEq, crate::model::rows::Record)]
pub struct Service {
    pub id: ServiceId,
    pub account_id: AccountId,
    pub path: Path,
    pub subscription_id: SubscriptionId,
    #[record(rename = "type")]
    pub service_type: ServiceType,
    pub name: String,
    pub lifecycle: Lifecycle,
    /// The access that was last brought about on the server.
    pub applied_access: Access,
    pub server_id: ServerId,
    pub settings: Json<Map<String, Value>>,
    pub observed: Json<Map<String, Value>>,
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
    #[record(default)]
    pub held: Option<i64>,
    #[record(default)]
    pub operation_id: Option<OperationId>,
}

impl Service {
    /// The access that the holds in force leave.
    pub fn access(&self) -> Access {
        Access::of_weight(self.held.unwrap_or_default())
    }
}

/// A service as callers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Service)]
pub struct ServiceView {
    pub id: ServiceId,
    pub account_id: AccountId,
    pub subscription_id: SubscriptionId,
    #[serde(rename = "type")]
    pub service_type: ServiceType,
    pub name: String,
    /// Lifecycle and access in one word.
    pub status: ServiceStatus,
    pub lifecycle: Lifecycle,
    /// What the holds in force leave.
    pub access: Access,
    /// What has been brought about on the server so far; equal to `access` once no operation is in flight.
    pub applied_access: Access,
    /// The operation that is changing the service now.
    pub operation_id: Option<OperationId>,
    pub settings: Map<String, Value>,
    pub created_at: Time,
    pub updated_at: Time,
}

impl From<Service> for ServiceView {
    fn from(service: Service) -> Self {
        let access = service.access();
        Self {
            id: service.id,
            account_id: service.account_id,
            subscription_id: service.subscription_id,
            service_type: service.service_type,
            name: service.name,
            status: ServiceStatus::of(service.lifecycle, access),
            lifecycle: service.lifecycle,
            access,
            applied_access: service.applied_access,
            operation_id: service.operation_id,
            settings: service.settings.0,
            created_at: service.created_at,
            updated_at: service.updated_at,
        }
    }
}
