use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, post, web};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::access::secret::Presented;
use crate::api::answer::Answer;
use crate::api::parameters::{address, request_id};
use crate::api::problem::Problem;
use crate::api::state::State;
use crate::api::{body, door, limits};
use crate::domain::accounts::keys;
use crate::model::accounts::keys::{Key, KeyStatus};
use crate::model::{Json, Subtree, Time};
use crate::store;
use crate::store::audit::Line;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(keys_report_leaked);
}

/// A key that was found where others can read it.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct LeakedKey {
    #[schema(value_type = String, max_length = 1024, example = "tnk_live_01jq3v8z0kf5n9d2t7x4m6c1ab_…")]
    key: SecretString,
}

/// That a report has come; whether the key was one of ours is not told.
#[derive(Debug, Serialize, ToSchema)]
struct LeakReceived {
    received: bool,
}

/// Report a leaked key
///
/// For whoever finds a key, without a credential. A key that works is revoked at once, and its account has the
/// event `key.leaked`; the answer is the same for every text.
#[utoipa::path(
    tag = "keys",
    security(()),
    request_body = LeakedKey,
    responses((status = 202, description = "Received", body = LeakReceived)),
)]
#[post("/keys/report_leaked")]
async fn keys_report_leaked(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let now = state.clock.now();
    limits::admit_post(&state, address(&state, &request), now).await?;
    let found = reported(&state, &request, payload.into_inner()).await?;
    if let Some(key) = working(&state, &found, now).await? {
        let (id, line) = (key.id, line(&state, &request, key, now));
        door::enter_unasked(state, line, async move |work| keys::leaked(work, id).await.map(drop)).await?;
    }
    Ok(Answer::new(StatusCode::ACCEPTED, &LeakReceived { received: true }).render(false))
}

/// The text that is said to be a key.
async fn reported(state: &State, request: &HttpRequest, payload: Payload) -> Result<SecretString, Problem> {
    let bytes = body::read(request, payload, body::MAX_BODY).await?;
    let value = body::value(request, &bytes)?.unwrap_or(Value::Null);
    Ok(body::typed::<LeakedKey>(&state.schemas, value)?.key)
}

/// The key, if it is one of ours, its secret right and not out of force yet.
async fn working(state: &State, found: &SecretString, now: Time) -> Result<Option<Key>, Problem> {
    let Some(presented) = Presented::parse(found.expose_secret()) else { return Ok(None) };
    let mut conn = state.db.read(Subtree::everything()).await?;
    let key = store::accounts::keys::find(&mut conn, presented.id).await?;
    Ok(key.filter(|key| {
        let in_force = key.status == KeyStatus::Active && key.expires_at.is_none_or(|expires| expires > now);
        presented.opens(key, now) && in_force
    }))
}

fn line(state: &State, request: &HttpRequest, key: Key, now: Time) -> Line {
    Line {
        account_id: key.account_id,
        sequence: 0,
        path: key.path,
        principal_id: key.account_id,
        key_id: key.id,
        action: "keys_report_leaked".into(),
        resource: Some(key.id.to_string()),
        request_id: request_id(request).to_string(),
        address: address(state, request).map(|address| address.to_string()),
        outcome: "done".into(),
        detail: Json(Map::new()),
        occurred_at: now,
        hash: String::new(),
    }
}
