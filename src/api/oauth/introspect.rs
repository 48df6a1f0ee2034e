use actix_web::{HttpRequest, HttpResponse, post, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::client::authenticate;
use super::request::{Form, OAuthError, Refused};
use super::revoke::TokenForm;
use crate::access::tokens::Act;
use crate::api::credentials::active;
use crate::api::state::State;
use crate::model::ids::{AccountId, KeyId};

/// What a token is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Introspection {
    /// Whether it is good; if not, nothing else is told.
    active: bool,
    #[serde(flatten)]
    #[schema(inline)]
    token: Option<KnownToken>,
}

/// What a token that is good says.
#[derive(Debug, Serialize, ToSchema)]
struct KnownToken {
    /// The scopes that it has now, separated by spaces.
    scope: String,
    client_id: KeyId,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    exp: i64,
    iat: i64,
    nbf: i64,
    /// The account that it acts for.
    sub: AccountId,
    aud: String,
    iss: String,
    jti: String,
    /// The same account as `sub`.
    acct: AccountId,
    /// Who acts, when it is not the account itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Act>,
}

/// Ask what an access token is
///
/// RFC 7662: for tokens of the client's account and of those below. Of any other, and of one that has ended,
/// `active` is false and nothing else is told.
#[utoipa::path(
    tag = "discovery",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "What it is", body = Introspection),
        (status = 400, description = "The request cannot be granted", body = OAuthError),
        (status = 401, description = "The client is not known", body = OAuthError),
        (status = 403, description = "The client is not taken from this address", body = OAuthError),
        (status = 429, description = "The client failed to authenticate too often", body = OAuthError),
        (status = 503, description = "The database is not available", body = OAuthError),
    ),
)]
#[post("/oauth/introspect")]
pub async fn oauth_introspect(
    request: HttpRequest,
    body: web::Bytes,
    state: web::Data<State>,
) -> HttpResponse {
    match introspect(&state, &request, &body).await {
        Ok(told) => HttpResponse::Ok().json(told),
        Err(refused) => refused.answer(),
    }
}

async fn introspect(state: &State, request: &HttpRequest, body: &[u8]) -> Result<Introspection, Refused> {
    let form = Form::read(request, body)?;
    let now = state.clock.now();
    let client = authenticate(state, request, &form, now).await?;
    let token = form.get("token").ok_or(Refused::bad("invalid_request", "token is missing."))?;
    let bearer = active(state, token, now).await?;
    let visible = bearer.filter(|bearer| client.key.reach().covers(&bearer.credential.key.path));
    let token = visible.and_then(|bearer| {
        let claims = bearer.token?;
        let names: Vec<_> = bearer.scopes.iter().map(|scope| scope.as_str()).collect();
        Some(KnownToken {
            scope: names.join(" "),
            client_id: claims.client_id,
            token_type: "Bearer",
            exp: claims.exp,
            iat: claims.iat,
            nbf: claims.nbf,
            sub: claims.acct,
            aud: claims.aud.clone(),
            iss: claims.iss.clone(),
            jti: claims.jti.clone(),
            acct: claims.acct,
            act: claims.act.clone(),
        })
    });
    Ok(Introspection { active: token.is_some(), token })
}
