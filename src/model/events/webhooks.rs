use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::events::EventType;
use crate::model::ids::{AccountId, DeliveryId, EventId, WebhookEndpointId};
use crate::model::{Json, Path, Time};
use crate::stored_as_text;

stored_as_text! {
    pub enum EndpointStatus {
        Enabled = "enabled",
        Disabled = "disabled",
    }
}

/// A webhook endpoint's row; its secret is sealed.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct WebhookEndpoint {
    pub id: WebhookEndpointId,
    pub account_id: AccountId,
    pub path: Path,
    pub url: String,
    pub description: Option<String>,
    /// Empty means every type.
    pub event_types: Json<Vec<EventType>>,
    pub secret: String,
    pub status: EndpointStatus,
    pub failing_since: Option<Time>,
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

/// A webhook endpoint as callers see it; never its secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
pub struct WebhookEndpointView {
    pub id: WebhookEndpointId,
    /// Events of this account and all below are sent.
    pub account_id: AccountId,
    pub url: String,
    pub description: Option<String>,
    /// Empty means every type.
    pub event_types: Vec<EventType>,
    pub status: EndpointStatus,
    /// Since when every delivery failed.
    pub failing_since: Option<Time>,
    pub created_at: Time,
    pub updated_at: Time,
}

impl From<WebhookEndpoint> for WebhookEndpointView {
    fn from(endpoint: WebhookEndpoint) -> Self {
        Self {
            id: endpoint.id,
            account_id: endpoint.account_id,
            url: endpoint.url,
            description: endpoint.description,
            event_types: endpoint.event_types.0,
            status: endpoint.status,
            failing_since: endpoint.failing_since,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

/// An endpoint with its secret, as it is told once: when it is made.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedWebhookEndpoint {
    #[serde(flatten)]
    pub endpoint: WebhookEndpointView,
    /// What deliveries are signed with, after Standard Webhooks.
    #[schema(example = "whsec_…")]
    pub secret: String,
}

stored_as_text! {
    pub enum DeliveryStatus {
        Pending = "pending",
        Delivered = "delivered",
        Failed = "failed",
    }
}

/// One try to deliver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    pub at: Time,
    /// What the endpoint answered, if it did.
    pub status: Option<u16>,
    pub duration_ms: u64,
    /// Why it failed, in one word: `timeout`, `refused`, `blocked_address`, `status` …
    pub error: Option<String>,
    /// The first KiB of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// A delivery's row.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct Delivery {
    pub id: DeliveryId,
    pub account_id: AccountId,
    pub path: Path,
    pub endpoint_id: WebhookEndpointId,
    pub event_id: EventId,
    pub event_type: EventType,
    pub status: DeliveryStatus,
    pub due_at: Option<Time>,
    pub fence: i64,
    pub attempts: Json<Vec<Attempt>>,
    pub created_at: Time,
    pub updated_at: Time,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub struct DeliveryView {
    pub id: DeliveryId,
    pub endpoint_id: WebhookEndpointId,
    /// Also the `webhook-id` header of every attempt.
    pub event_id: EventId,
    pub event_type: EventType,
    pub status: DeliveryStatus,
    pub next_attempt_at: Option<Time>,
    pub attempts: Vec<Attempt>,
    pub created_at: Time,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            endpoint_id: delivery.endpoint_id,
            event_id: delivery.event_id,
            event_type: delivery.event_type,
            status: delivery.status,
            next_attempt_at: delivery.due_at,
            attempts: delivery.attempts.0,
            created_at: delivery.created_at,
        }
    }
}
