use actix_web::{HttpRequest, HttpResponse, post, web};
use serde_json::Map;
use utoipa::ToSchema;

use super::client::authenticate;
use super::request::{Form, OAuthError, Refused};
use crate::access::tokens::Claims;
use crate::api::credentials::verified;
use crate::api::door;
use crate::api::parameters::{address, request_id};
use crate::api::state::State;
use crate::model::{Json, Time};
use crate::store;
use crate::store::accounts::keys::Credential;
use crate::store::audit::Line;

/// For how many seconds after its end a token can still be taken, where clocks differ.
const LEEWAY: i64 = 60;

/// A token that a client asks about.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it stands for the form in the document; the form is read by hand")]
pub struct TokenForm {
    token: String,
    /// `access_token`; there are no others.
    token_type_hint: Option<String>,
    /// The key's id, unless it is sent with HTTP Basic.
    client_id: Option<String>,
    /// The key itself, `tnk_…`, unless it is sent with HTTP Basic.
    client_secret: Option<String>,
    /// `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`, if the client authenticates with an assertion.
    client_assertion_type: Option<String>,
    /// The assertion, a JWT (RFC 7523).
    client_assertion: Option<String>,
}

/// Revoke an access token
///
/// RFC 7009: ends one of the client's own tokens, and those that were exchanged from it, within five seconds on every
/// replica. A token that is unknown or has ended is answered alike. Keys are revoked at `/v1/keys`.
#[utoipa::path(
    tag = "discovery",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The token is good no longer"),
        (status = 400, description = "The request cannot be granted", body = OAuthError),
        (status = 401, description = "The client is not known", body = OAuthError),
        (status = 403, description = "The client is not taken from this address", body = OAuthError),
        (status = 429, description = "The client failed to authenticate too often", body = OAuthError),
        (status = 503, description = "The database is not available", body = OAuthError),
    ),
)]
#[post("/oauth/revoke")]
pub async fn oauth_revoke(request: HttpRequest, body: web::Bytes, state: web::Data<State>) -> HttpResponse {
    match revoke(&state, &request, &body).await {
        Ok(()) => HttpResponse::Ok().finish(),
        Err(refused) => refused.answer(),
    }
}

async fn revoke(state: &web::Data<State>, request: &HttpRequest, body: &[u8]) -> Result<(), Refused> {
    let form = Form::read(request, body)?;
    let now = state.clock.now();
    let client = authenticate(state, request, &form, now).await?;
    let token = form.get("token").ok_or(Refused::bad("invalid_request", "token is missing."))?;
    if token.starts_with("tnk_") {
        return Err(Refused::bad("unsupported_token_type", "Keys are revoked with DELETE /v1/keys/{id}."));
    }
    let Some(claims) = verified(state, token, now) else { return Ok(()) };
    // RFC 7009, 2.1: the client is told; RFC 6749, 5.2 has the word for it.
    if claims.client_id != client.key.id {
        return Err(Refused::bad("invalid_grant", "The token was issued to another client."));
    }
    let (jti, end) = (claims.jti.clone(), claims.exp.saturating_add(LEEWAY));
    let end = Time::from_seconds(end).unwrap_or(now);
    let line = line(state, request, &client, &claims, now);
    let ended = door::enter_unasked(state.clone(), line, async move |work| {
        Ok(store::tokens::revoke(&mut work.tx, &jti, end).await?)
    });
    ended.await.map_err(|_| Refused::unavailable())?;
    state.tokens.revocations.forget();
    Ok(())
}

fn line(state: &State, request: &HttpRequest, client: &Credential, claims: &Claims, now: Time) -> Line {
    let key = &client.key;
    Line {
        account_id: key.account_id,
        sequence: 0,
        path: key.path.clone(),
        principal_id: key.account_id,
        key_id: key.id,
        action: "oauth_revoke".into(),
        resource: Some(claims.jti.clone()),
        request_id: request_id(request).to_string(),
        address: address(state, request).map(|address| address.to_string()),
        outcome: "done".into(),
        detail: Json(Map::new()),
        occurred_at: now,
        hash: String::new(),
    }
}
