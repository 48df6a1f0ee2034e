//! OAuth 2.0: short-lived access tokens for keys (RFC 6749 client_credentials, RFC 9068), and what clients
//! discover them by (RFC 8414, RFC 9728).

use std::sync::Arc;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::caller::{address, form};
use super::credentials::{key_id, usable};
use super::state::State;
use crate::access::random;
use crate::access::secret::Presented;
use crate::access::tokens::Claims;
use crate::model::accounts::addresses::admits;
use crate::model::ids::KeyId;
use crate::model::scopes::Scope;
use crate::store::accounts::keys::Credential;

const MAX_FORM: usize = 16 * 1024;

pub fn routes(config: &mut ServiceConfig) {
    config.service(oauth_token).service(oauth_jwks).service(oauth_server).service(oauth_resource);
}

/// An access token.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenAnswer {
    /// A JWT (RFC 9068) for `Authorization: Bearer`.
    access_token: String,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds.
    expires_in: u64,
    /// The scopes granted, separated by spaces.
    scope: String,
}

/// What a client is refused with (RFC 6749, 5.2).
#[derive(Debug, Serialize, ToSchema)]
pub struct OAuthError {
    #[schema(example = "invalid_client")]
    error: &'static str,
    error_description: &'static str,
}

/// What a client asks for.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it stands for the form in the document; the form is read by hand")]
pub struct TokenRequest {
    #[schema(example = "client_credentials")]
    grant_type: String,
    /// The key's id, unless it is sent with HTTP Basic.
    client_id: Option<String>,
    /// The key itself, `tnk_…`, unless it is sent with HTTP Basic.
    client_secret: Option<String>,
    /// Some of the key's scopes, separated by spaces; all of them if left out.
    scope: Option<String>,
}

struct Refused(StatusCode, &'static str, &'static str, bool);

impl Refused {
    fn answer(self) -> HttpResponse {
        let Refused(status, error, error_description, basic) = self;
        let mut answer = HttpResponse::build(status);
        if basic {
            answer.insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"tenantry\""));
        }
        answer.json(OAuthError { error, error_description })
    }
}

fn bad(error: &'static str, why: &'static str) -> Refused {
    Refused(StatusCode::BAD_REQUEST, error, why, false)
}

/// Get an access token
///
/// Exchanges a key for a short-lived token. The client authenticates with HTTP Basic or in the form, not both.
#[utoipa::path(
    tag = "discovery",
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A token", body = TokenAnswer),
        (status = 400, description = "The request cannot be granted", body = OAuthError),
        (status = 401, description = "The client is not known", body = OAuthError),
        (status = 403, description = "The client is not taken from this address", body = OAuthError),
        (status = 503, description = "The database is not available", body = OAuthError),
    ),
)]
#[post("/oauth/token")]
async fn oauth_token(request: HttpRequest, body: web::Bytes, state: web::Data<State>) -> HttpResponse {
    match grant(&state, &request, &body).await {
        Ok(token) => HttpResponse::Ok().insert_header((header::PRAGMA, "no-cache")).json(token),
        Err(refused) => refused.answer(),
    }
}

async fn grant(state: &State, request: &HttpRequest, body: &[u8]) -> Result<TokenAnswer, Refused> {
    let kind =
        request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") || body.len() > MAX_FORM {
        return Err(bad("invalid_request", "Send a form: application/x-www-form-urlencoded."));
    }
    let text = std::str::from_utf8(body).map_err(|_| bad("invalid_request", "The form is not UTF-8."))?;
    let pairs: Vec<_> = form(text).collect();
    let field = |name: &'static str| {
        let mut values = pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(bad("invalid_request", "A parameter is there twice.")),
        }
    };
    match field("grant_type")? {
        Some("client_credentials") => {}
        Some(_) => return Err(bad("unsupported_grant_type", "client_credentials is known here.")),
        None => return Err(bad("invalid_request", "grant_type is missing.")),
    }
    let (id, secret, basic) = client(request, field("client_id")?, field("client_secret")?)?;
    let now = state.clock.now();
    let known = authenticated(state, id, &secret, now).await?;
    let known = known.ok_or(Refused(
        StatusCode::UNAUTHORIZED,
        "invalid_client",
        "The client is not known, or its secret is wrong.",
        basic,
    ))?;
    let address = address(state, request);
    if !admits(&known.key.allowed_addresses, address) {
        let why = "The client is not taken from this address.";
        return Err(Refused(StatusCode::FORBIDDEN, "ip_not_allowed", why, false));
    }
    let scopes = granted(&known, field("scope")?)?;
    state.principals.used(known.key.id, now, address);
    Ok(issue(state, &known, scopes))
}

/// The client's id and secret, from the one place they were sent in.
fn client(
    request: &HttpRequest,
    id: Option<&str>,
    secret: Option<&str>,
) -> Result<(Option<KeyId>, String, bool), Refused> {
    let Some(told) = request.headers().get(header::AUTHORIZATION) else {
        return match (id, secret) {
            (Some(id), Some(secret)) => Ok((key_id(id), secret.to_owned(), false)),
            _ => Err(Refused(
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                "The client did not authenticate.",
                false,
            )),
        };
    };
    if secret.is_some() {
        return Err(bad("invalid_request", "Authenticate once: with HTTP Basic or in the form."));
    }
    let malformed =
        || Refused(StatusCode::UNAUTHORIZED, "invalid_client", "The header is no HTTP Basic.", true);
    let (scheme, text) = told.to_str().ok().and_then(|told| told.split_once(' ')).ok_or_else(malformed)?;
    let decoded = STANDARD.decode(text.trim()).ok().and_then(|text| String::from_utf8(text).ok());
    let decoded = decoded.filter(|_| scheme.eq_ignore_ascii_case("basic")).ok_or_else(malformed)?;
    let (user, password) = decoded.split_once(':').ok_or_else(malformed)?;
    // RFC 6749, 2.3.1: both are form-encoded before they are joined.
    let plain = |text: &str| form(&format!("v={text}")).next().map(|(_, value)| value).unwrap_or_default();
    if id.is_some_and(|id| id != plain(user)) {
        return Err(bad("invalid_request", "The form names another client than HTTP Basic."));
    }
    Ok((key_id(&plain(user)), plain(password), true))
}

async fn authenticated(
    state: &State,
    id: Option<KeyId>,
    secret: &str,
    now: crate::model::Time,
) -> Result<Option<Arc<Credential>>, Refused> {
    let Some(presented) = Presented::parse(secret) else { return Ok(None) };
    let found = state.principals.find(&state.db, presented.id).await.map_err(|error| {
        tracing::error!(%error, "the database failed");
        let why = "Try again in a moment.";
        Refused(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", why, false)
    })?;
    Ok(found.filter(|known| {
        let right = presented.opens(&known.key, now);
        right && Some(known.key.id) == id && usable(known, now).is_some()
    }))
}

fn granted(known: &Credential, asked: Option<&str>) -> Result<Vec<Scope>, Refused> {
    let Some(asked) = asked.filter(|asked| !asked.trim().is_empty()) else {
        return Ok(known.key.scopes.0.clone());
    };
    let refuse = || bad("invalid_scope", "A scope is unknown, or the client does not have it.");
    let mut scopes = Vec::new();
    for name in asked.split_whitespace() {
        let scope: Scope = name.parse().map_err(|_| refuse())?;
        if !known.key.scopes.contains(&scope) {
            return Err(refuse());
        }
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}

fn issue(state: &State, known: &Credential, scopes: Vec<Scope>) -> TokenAnswer {
    let now = state.clock.now().as_seconds();
    let lifetime = state.tokens.lifetime.as_secs();
    let scope = scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ");
    let claims = Claims {
        iss: state.tokens.issuer.clone(),
        sub: known.key.account_id.to_string(),
        aud: state.tokens.issuer.clone(),
        exp: now + lifetime as i64,
        iat: now,
        nbf: now,
        jti: random::base62(22),
        client_id: known.key.id,
        scope: scope.clone(),
        acct: known.key.account_id,
    };
    let access_token = state.tokens.signing.issue(&claims);
    TokenAnswer { access_token, token_type: "Bearer", expires_in: lifetime, scope }
}

/// Get the public keys of access tokens
///
/// A JSON Web Key Set (RFC 7517).
#[utoipa::path(tag = "discovery", responses((status = 200, description = "The key set", body = Object)))]
#[get("/oauth/jwks")]
async fn oauth_jwks(state: web::Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(state.tokens.verifier.jwks())
}

/// Describe the authorization server
///
/// RFC 8414 metadata.
#[utoipa::path(tag = "discovery", responses((status = 200, description = "The metadata", body = Object)))]
#[get("/.well-known/oauth-authorization-server")]
async fn oauth_server(state: web::Data<State>) -> HttpResponse {
    let issuer = &state.tokens.issuer;
    let scopes: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    HttpResponse::Ok().json(json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/oauth/token"),
        "jwks_uri": format!("{issuer}/oauth/jwks"),
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "scopes_supported": scopes,
        "service_documentation": format!("{issuer}/docs"),
    }))
}

/// Describe the protected resource
///
/// RFC 9728 metadata.
#[utoipa::path(tag = "discovery", responses((status = 200, description = "The metadata", body = Object)))]
#[get("/.well-known/oauth-protected-resource")]
async fn oauth_resource(state: web::Data<State>) -> HttpResponse {
    let issuer = &state.tokens.issuer;
    HttpResponse::Ok().json(json!({
        "resource": issuer,
        "authorization_servers": [issuer],
        "bearer_methods_supported": ["header"],
        "resource_documentation": format!("{issuer}/docs"),
    }))
}
