use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::events::EventType;
use crate::model::ids::{AccountId, WebhookEndpointId};
use crate::model::secrets::{SecretMark, SecretView};
use crate::model::{Json, Path, Time};
use crate::stored_as_text;

stored_as_text! {
    /// Whether an endpoint is to be sent events, as its owner wants it.
    pub enum EndpointSwitch {
        Enabled = "enabled",
        Disabled = "disabled",
    }
}

stored_as_text! {
    /// Whether an endpoint is sent events: `pending` until it has answered its challenge.
    pub enum EndpointStatus {
        Pending = "pending",
        Enabled = "enabled",
        Disabled = "disabled",
    }
}

stored_as_text! {
    /// Whether deliveries have the object with them up to 20 KB, or name it only.
    pub enum Payload {
        Full = "full",
        Thin = "thin",
    }
}

/// A webhook endpoint's row; its secrets are sealed.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct WebhookEndpoint {
    pub id: WebhookEndpointId,
    pub account_id: AccountId,
    pub path: Path,
    pub url: String,
    pub description: Option<String>,
    /// Empty means every type.
    pub event_types: Json<Vec<EventType>>,
    pub payload: Payload,
    pub headers: Json<BTreeMap<String, String>>,
    /// A JSON object of headers, sealed as a whole.
    pub secret_headers: Option<String>,
    pub secret_header_names: Json<Vec<String>>,
    /// By name; none of those from before they were kept.
    pub secret_header_marks: Json<BTreeMap<String, SecretMark>>,
    pub secret: String,
    pub signing_key: Option<String>,
    pub public_key: Option<String>,
    pub old_secrets_until: Option<Time>,
    #[record(rename = "status")]
    pub switch: EndpointSwitch,
    pub verify: bool,
    /// What the endpoint has to answer before it is sent events; none once it has.
    pub challenge: Option<String>,
    pub failing_since: Option<Time>,
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

impl WebhookEndpoint {
    pub fn status(&self) -> EndpointStatus {
        match (self.switch, &self.challenge) {
            (EndpointSwitch::Disabled, _) => EndpointStatus::Disabled,
            (EndpointSwitch::Enabled, Some(_)) => EndpointStatus::Pending,
            (EndpointSwitch::Enabled, None) => EndpointStatus::Enabled,
        }
    }
}

/// A webhook endpoint as callers see it; never its secrets.
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
    pub payload: Payload,
    /// What every delivery carries beside the headers of its own.
    pub headers: BTreeMap<String, String>,
    /// The headers whose values are not told, by name.
    pub secret_headers: BTreeMap<String, SecretView>,
    /// What the Ed25519 signatures (`v1a`) are checked with, if there are any.
    #[schema(example = "whpk_…")]
    pub public_key: Option<String>,
    /// Until when deliveries are signed with a secret before as well.
    pub old_secrets_until: Option<Time>,
    /// Whether the endpoint has to answer a challenge before it is sent events.
    pub verify: bool,
    pub status: EndpointStatus,
    /// Since when every delivery failed.
    pub failing_since: Option<Time>,
    pub created_at: Time,
    pub updated_at: Time,
}

impl From<WebhookEndpoint> for WebhookEndpointView {
    fn from(endpoint: WebhookEndpoint) -> Self {
        let mut marks = endpoint.secret_header_marks.0.clone();
        let secret = |name: String| (name.clone(), SecretView::set(marks.remove(&name)));
        Self {
            status: endpoint.status(),
            id: endpoint.id,
            account_id: endpoint.account_id,
            url: endpoint.url,
            description: endpoint.description,
            event_types: endpoint.event_types.0,
            payload: endpoint.payload,
            headers: endpoint.headers.0,
            secret_headers: endpoint.secret_header_names.0.into_iter().map(secret).collect(),
            public_key: endpoint.public_key,
            old_secrets_until: endpoint.old_secrets_until,
            verify: endpoint.verify,
            failing_since: endpoint.failing_since,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

/// An endpoint with its secret, as it is told once: when it is made, and when it gets a new one.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedWebhookEndpoint {
    #[serde(flatten)]
    pub endpoint: WebhookEndpointView,
    /// What deliveries are signed with, after Standard Webhooks.
    #[schema(example = "whsec_…")]
    pub secret: String,
}

/// A secret before, which deliveries are signed with as well until it ends.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct OldSecret {
    pub secret: String,
    pub signing_key: Option<String>,
}

/// What the queue has to know of an endpoint to tell whether it hears of an event.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct Listener {
    pub id: WebhookEndpointId,
    pub account_id: AccountId,
    pub path: Path,
    pub event_types: Json<Vec<EventType>>,
    pub payload: Payload,
    #[record(rename = "status")]
    pub switch: EndpointSwitch,
    pub challenge: Option<String>,
    /// Which transactions had been committed when the endpoint was made: `first open:next:open,open…`.
    pub made_at: Option<String>,
}

impl Listener {
    /// Whether an event of a transaction came before the endpoint.
    pub fn is_younger_than(&self, position: i64) -> bool {
        let Some(made_at) = &self.made_at else { return false };
        let mut parts = made_at.splitn(3, ':');
        let mut bound = || parts.next().and_then(|bound| bound.parse::<i64>().ok()).unwrap_or_default();
        let (first_open, next) = (bound(), bound());
        let open = parts.next().unwrap_or_default();
        position < first_open || position < next && !open.split(',').any(|open| open.parse() == Ok(position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_younger_than_what_its_snapshot_saw() {
        let made_at = |text: Option<&str>| Listener {
            id: WebhookEndpointId::new(),
            account_id: AccountId::new(),
            path: Path::root(AccountId::new()),
            event_types: Json(Vec::new()),
            payload: Payload::Full,
            switch: EndpointSwitch::Enabled,
            challenge: None,
            made_at: text.map(str::to_owned),
        };
        let younger = |text, positions: [i64; 5]| {
            positions.map(|position| made_at(Some(text)).is_younger_than(position))
        };
        assert_eq!(younger("10:20:10,14", [9, 10, 13, 14, 20]), [true, false, true, false, false]);
        assert_eq!(younger("7:7:", [5, 6, 7, 8, 9]), [true, true, false, false, false]);
        assert!(!made_at(None).is_younger_than(1), "one from before this was kept hears of everything");
    }
}
