//! One attempt at a delivery: whether it is still right to send it, and what.

use super::secrets::Secrets;
use super::send::{Letter, Outcome, post};
use super::{Fault, Parts, payload};
use crate::model::Subtree;
use crate::model::events::deliveries::Delivery;
use crate::model::events::events::EventType;
use crate::model::events::webhooks::{EndpointSwitch, WebhookEndpoint};
use crate::store::Conn;
use crate::store::events::{events, webhooks};

/// What is to be sent, or why nothing is, and whether it may be later.
type Body = Result<Vec<u8>, (&'static str, bool)>;

/// Sends the delivery, if that is still right; none if the endpoint is no more.
pub async fn attempt(parts: &Parts, due: &Delivery) -> Result<Option<Outcome>, Fault> {
    let mut conn = parts.db.read(Subtree::everything()).await?;
    let Some(endpoint) = webhooks::find(&mut conn, due.endpoint_id).await? else { return Ok(None) };
    let body = body(&mut conn, due, &endpoint).await?;
    let now = parts.clock.now();
    let old = match endpoint.old_secrets_until.is_some_and(|until| now < until) {
        true => webhooks::old_secrets(&mut conn, endpoint.id, now).await?,
        false => Vec::new(),
    };
    drop(conn);
    let unsent = |why, again| Ok(Some(Outcome::unsent(now, why, again)));
    let body = match body {
        Ok(body) => body,
        Err((why, again)) => return unsent(why, again),
    };
    let secrets = match Secrets::open(&parts.sealer, &endpoint, &old) {
        Ok(secrets) => secrets,
        Err(error) => {
            tracing::error!(%error, endpoint = %endpoint.id, "a webhook secret cannot be opened");
            return unsent("secret", true);
        }
    };
    let expected = endpoint.challenge.filter(|_| due.event_type == EventType::WebhookEndpointVerify);
    let letter = Letter {
        url: endpoint.url,
        headers: endpoint.headers.0,
        secrets,
        id: due.event_id.to_string(),
        body,
        expected,
    };
    Ok(Some(post(&parts.client, &parts.clock, letter).await))
}

async fn body(conn: &mut Conn, due: &Delivery, endpoint: &WebhookEndpoint) -> Result<Body, Fault> {
    match (due.event_type, &endpoint.challenge) {
        (EventType::WebhookEndpointVerify, None) => return Ok(Err(("endpoint_verified", false))),
        (EventType::WebhookEndpointVerify, Some(challenge)) => {
            return Ok(Ok(payload::challenge(due, challenge)));
        }
        (EventType::WebhookEndpointTest, None) => return Ok(Ok(payload::test(due))),
        _ if endpoint.switch == EndpointSwitch::Disabled => return Ok(Err(("endpoint_disabled", false))),
        (_, Some(_)) => return Ok(Err(("endpoint_unverified", false))),
        _ => {}
    }
    let Some(event) = events::find(conn, due.event_id).await? else {
        return Ok(Err(("event_expired", false)));
    };
    Ok(match endpoint.path.covers(&event.path) {
        true => Ok(payload::body(event, due.thin)),
        false => Err(("no_access", false)),
    })
}
