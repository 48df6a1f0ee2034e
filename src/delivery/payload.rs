//! The bytes that are sent.

use serde::Serialize;

use crate::model::Time;
use crate::model::events::events::{Event, EventResource, EventType, EventView};
use crate::model::ids::{AccountId, EventId};

/// A longer body is sent without the object.
const FULL: usize = 20 * 1_024;

/// What is left of an event that is too long: enough to ask for the rest.
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

/// The body for the event, the same for every endpoint and at every attempt.
pub fn body(event: Event) -> Vec<u8> {
    let view = EventView::from(event);
    let full = serde_json::to_vec(&view).expect("views serialize");
    if full.len() <= FULL {
        return full;
    }
    let EventView { id, event_type, sequence, account_id, resource, occurred_at, .. } = view;
    let thin = Thin { id, event_type, sequence, account_id, resource, occurred_at };
    serde_json::to_vec(&thin).expect("views serialize")
}
