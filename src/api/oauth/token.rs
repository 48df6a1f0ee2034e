use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, post, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::client::authenticate;
use super::exchange;
use super::request::{Form, OAuthError, Refused};
use crate::access::random;
use crate::access::tokens::{Act, Claims, MayAct};
use crate::api::state::State;
use crate::model::Time;
use crate::model::ids::{AccountId, KeyId};
use crate::model::scopes::Scope;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub const GRANTS: [&str; 2] = ["client_credentials", EXCHANGE];

/// An access token.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenAnswer {
    /// A JWT (RFC 9068) for `Authorization: Bearer`.
    access_token: String,
    /// What an exchange gave (RFC 8693): an access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "urn:ietf:params:oauth:token-type:access_token")]
    issued_token_type: Option<&'static str>,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds.
    expires_in: i64,
    /// The scopes granted, separated by spaces.
    scope: String,
}

/// What a client asks for.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it stands for the form in the document; the form is read by hand")]
pub struct TokenRequest {
    /// `client_credentials`, or `urn:ietf:params:oauth:grant-type:token-exchange`.
    #[schema(example = "client_credentials")]
    grant_type: String,
    /// The key's id, unless it is sent with HTTP Basic.
    client_id: Option<String>,
    /// The key itself, `tnk_…`, unless it is sent with HTTP Basic.
    client_secret: Option<String>,
    /// `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`, if the client authenticates with an assertion.
    client_assertion_type: Option<String>,
    /// The assertion, a JWT (RFC 7523).
    client_assertion: Option<String>,
    /// Some of the key's scopes, separated by spaces; all of them if left out. In an exchange, which of the
    /// token's scopes are kept.
    scope: Option<String>,
    /// For an exchange: the client's own access token.
    subject_token: Option<String>,
    /// For an exchange: `urn:ietf:params:oauth:token-type:access_token`.
    subject_token_type: Option<String>,
    /// For an exchange: the account to act for, the token's own or one below it.
    account: Option<AccountId>,
    /// Where the token is to be used: this server, as its metadata name it.
    audience: Option<String>,
    /// The same, as a URL (RFC 8707).
    resource: Option<String>,
    /// For an exchange: `urn:ietf:params:oauth:token-type:access_token`.
    requested_token_type: Option<String>,
}

/// Get an access token
///
/// Exchanges a key for a short-lived token, or a token for one that acts for an account below (RFC 8693): its
/// `sub` is that account and its `act` says who acts. It keeps at most the scopes of the token that it was
/// exchanged for and ends no later. The client authenticates
/// once: with HTTP Basic, in the form or with an assertion (RFC 7523).
#[utoipa::path(
    tag = "discovery",
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A token", body = TokenAnswer),
        (status = 400, description = "The request cannot be granted", body = OAuthError),
        (status = 401, description = "The client is not known", body = OAuthError),
        (status = 403, description = "The client is not taken from this address", body = OAuthError),
        (status = 429, description = "The client failed to authenticate too often", body = OAuthError),
        (status = 503, description = "The database is not available", body = OAuthError),
    ),
)]
#[post("/oauth/token")]
pub async fn oauth_token(request: HttpRequest, body: web::Bytes, state: web::Data<State>) -> HttpResponse {
    match answer(&state, &request, &body).await {
        Ok(token) => HttpResponse::Ok().insert_header((header::PRAGMA, "no-cache")).json(token),
        Err(refused) => refused.answer(),
    }
}

async fn answer(state: &State, request: &HttpRequest, body: &[u8]) -> Result<TokenAnswer, Refused> {
    let form = Form::read(request, body)?;
    let exchanges = match form.get("grant_type") {
        Some("client_credentials") => false,
        Some(EXCHANGE) => true,
        Some(_) => return Err(Refused::bad("unsupported_grant_type", "That grant is not known here.")),
        None => return Err(Refused::bad("invalid_request", "grant_type is missing.")),
    };
    let now = state.clock.now();
    let client = authenticate(state, request, &form, now).await?;
    check_target(state, &form)?;
    if exchanges {
        return exchange::grant(state, &form, &client, now).await;
    }
    let scopes = match named(&form)? {
        None => client.key.scopes.0.clone(),
        Some(asked) if asked.iter().all(|scope| client.key.scopes.contains(scope)) => asked,
        Some(_) => return Err(invalid_scope()),
    };
    let grant = Grant {
        client_id: client.key.id,
        account: client.key.account_id,
        act: None,
        may_act: None,
        origins: Vec::new(),
        scopes,
        not_after: None,
    };
    Ok(grant.issue(state, now, None))
}

/// Refuses to issue tokens for somebody else's server: `audience` and `resource` can name this one alone.
fn check_target(state: &State, form: &Form) -> Result<(), Refused> {
    let issuer = state.tokens.issuer.trim_end_matches('/');
    let foreign = |name| form.get(name).is_some_and(|told| told.trim_end_matches('/') != issuer);
    match foreign("audience") || foreign("resource") {
        true => Err(Refused::bad("invalid_target", "Tokens are issued for this server alone.")),
        false => Ok(()),
    }
}

pub fn invalid_scope() -> Refused {
    Refused::bad("invalid_scope", "A scope is unknown, or the client does not have it.")
}

/// The scopes that the form names, each once; none if it leaves them out.
pub fn named(form: &Form) -> Result<Option<Vec<Scope>>, Refused> {
    let mut scopes = Vec::new();
    for name in form.get("scope").unwrap_or_default().split_whitespace() {
        let scope: Scope = name.parse().map_err(|_| invalid_scope())?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(Some(scopes).filter(|scopes| !scopes.is_empty()))
}

/// What a token is to say.
pub struct Grant {
    pub client_id: KeyId,
    pub account: AccountId,
    pub act: Option<Act>,
    pub may_act: Option<MayAct>,
    pub origins: Vec<String>,
    pub scopes: Vec<Scope>,
    /// The end that it cannot outlast, in seconds.
    pub not_after: Option<i64>,
}

impl Grant {
    pub fn issue(self, state: &State, at: Time, issued_token_type: Option<&'static str>) -> TokenAnswer {
        let now = at.as_seconds();
        let end = now + state.tokens.lifetime.as_secs() as i64;
        let end = self.not_after.map_or(end, |last| last.min(end));
        let scope = self.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ");
        let claims = Claims {
            iss: state.tokens.issuer.clone(),
            sub: self.account.to_string(),
            aud: state.tokens.issuer.clone(),
            exp: end,
            iat: now,
            nbf: now,
            jti: random::base62(22),
            client_id: self.client_id,
            scope: scope.clone(),
            acct: self.account,
            act: self.act,
            may_act: self.may_act,
            origins: self.origins,
        };
        let access_token = state.tokens.ring.keys().issue(&claims, at);
        TokenAnswer { access_token, issued_token_type, token_type: "Bearer", expires_in: end - now, scope }
    }
}
