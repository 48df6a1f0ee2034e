//! The bytes that are sent.

use serde::Serialize;
use serde_json::{Value, json};

use crate::model::Time;
use crate::model::events::deliveries::Delivery;
use crate::model::events::events::{Event, EventResource, EventType, EventView};
use crate::model::ids::{AccountId, EventId};

/// A longer body is sent without the object.
const FULL: usize = 20 * 1_024;

/// What is left of an event that is too long, or of which no more is wanted: enough to ask for the rest.
#[derive(Serialize)]
struct Thin {
    id: EventId,
    #[serde(rename = "type")]
    event_type: EventType,
    sequence: i64,
    account_id: AccountId,
    resource: EventResource,
    occurred_at: Time,
}

/// The body for the event, the same at every attempt.
pub fn body(event: Event, thin: bool) -> Vec<u8> {
    let view = EventView::from(event);
    let full = serde_json::to_vec(&view).expect("views serialize");
    if full.len() <= FULL && !thin {
        return full;
    }
    let EventView { id, event_type, sequence, account_id, resource, occurred_at, .. } = view;
    let thin = Thin { id, event_type, sequence, account_id, resource, occurred_at };
    serde_json::to_vec(&thin).expect("views serialize")
}

/// What is sent to an endpoint that its owner wants to try.
pub fn test(delivery: &Delivery) -> Vec<u8> {
    own(delivery, json!({ "message": "This is a test." }))
}

/// Asks the endpoint whether it wants to be sent events.
pub fn challenge(delivery: &Delivery, challenge: &str) -> Vec<u8> {
    own(delivery, json!({ "challenge": challenge }))
}

/// What is about the endpoint itself and in no feed: without a place in the account's sequence.
fn own(delivery: &Delivery, object: Value) -> Vec<u8> {
    let told = json!({
        "id": delivery.event_id,
        "type": delivery.event_type,
        "account_id": delivery.account_id,
        "resource": { "type": "webhook_endpoint", "id": delivery.endpoint_id },
        "occurred_at": delivery.created_at,
        "data": { "object": object },
    });
    serde_json::to_vec(&told).expect("values serialize")
}
