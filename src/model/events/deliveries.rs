use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::events::EventType;
use crate::model::ids::{AccountId, DeliveryId, EventId, WebhookEndpointId};
use crate::model::{Json, Path, Time};
use crate::stored_as_text;

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
    /// Whether the object is left out of the body.
    pub thin: bool,
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
            // What is due at once is due from when it was made.
            next_attempt_at: delivery.due_at.map(|due| due.max(delivery.created_at)),
            attempts: delivery.attempts.0,
            created_at: delivery.created_at,
        }
    }
}
