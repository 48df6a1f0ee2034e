//! Whose credential a request carries, and whether it is good.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header;

use super::denials::came_with;
use super::inside::{self, OnBehalf};
use super::parameters::form;
use super::problem::{Code, Problem};
use super::state::State;
use super::storefront;
use crate::access::publishable::Published;
use crate::access::secret::Presented;
use crate::access::tokens::Claims;
use crate::model::Time;
use crate::model::accounts::accounts::AccountStatus;
use crate::model::accounts::keys::KeyStatus;
use crate::model::accounts::storefront_keys::Storefront;
use crate::model::ids::KeyId;
use crate::model::scopes::Scope;
use crate::store::accounts::keys::Credential;

/// A credential that is good.
pub struct Authenticated {
    /// The key, or the one behind the token.
    pub credential: Arc<Credential>,
    /// The scopes that it may use.
    pub scopes: Arc<[Scope]>,
    pub token: Option<Arc<Claims>>,
    /// Whose pages the key is for, if it is a storefront's.
    pub storefront: Option<Arc<Storefront>>,
}

/// Whose credential the request carries, and the scopes it may use.
pub async fn authenticate(state: &State, request: &HttpRequest, now: Time) -> Result<Authenticated, Problem> {
    if let Some(of) = OnBehalf::of(request) {
        return inside::authenticate(state, request, of, now).await;
    }
    let Some(told) = request.headers().get(header::AUTHORIZATION) else {
        return Err(challenge(
            state,
            Code::Unauthenticated,
            "Send a key or an access token: Authorization: Bearer …",
        ));
    };
    let invalid = || invalid_token(state);
    let (scheme, token) = told.to_str().ok().and_then(|told| told.split_once(' ')).ok_or_else(invalid)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(invalid());
    }
    let token = token.trim();
    if token.starts_with("tnk_") {
        let presented = Presented::parse(token).ok_or_else(invalid)?;
        let known = state.principals.find(&state.db, presented.id, now).await?.ok_or_else(invalid)?;
        came_with(request, &known);
        if !presented.opens(&known.key, now) || presented.environment != known.key.environment {
            return Err(invalid());
        }
        return held(known, now).ok_or_else(invalid);
    }
    if Published::is_meant(token) {
        return storefront::authenticate(state, request, token, now).await;
    }
    let (claims, known) = bearer(state, token, now).await?.ok_or_else(invalid)?;
    came_with(request, &known);
    granted(state, claims, known, now).await?.ok_or_else(invalid)
}

/// What a key gives whoever holds it: nothing once it has ended.
pub fn held(known: Arc<Credential>, now: Time) -> Option<Authenticated> {
    usable(&known, now)?;
    let scopes = known.key.scopes.0.clone().into();
    Some(Authenticated { credential: known, scopes, token: None, storefront: None })
}

/// What a token gives its bearer: nothing once it or the key behind it has ended.
pub async fn active(state: &State, token: &str, now: Time) -> crate::store::Result<Option<Authenticated>> {
    match bearer(state, token, now).await? {
        Some((claims, known)) => granted(state, claims, known, now).await,
        None => Ok(None),
    }
}

/// What a token of ours says, and the key behind it.
async fn bearer(
    state: &State,
    token: &str,
    now: Time,
) -> crate::store::Result<Option<(Arc<Claims>, Arc<Credential>)>> {
    let Some(claims) = verified(state, token, now) else { return Ok(None) };
    let known = state.principals.find(&state.db, claims.client_id, now).await?;
    Ok(known.map(|known| (claims, known)))
}

/// What a token gives while neither it, nor one that it was exchanged from, nor the key behind it has ended.
pub async fn granted(
    state: &State,
    claims: Arc<Claims>,
    known: Arc<Credential>,
    now: Time,
) -> crate::store::Result<Option<Authenticated>> {
    if usable(&known, now).is_none() {
        return Ok(None);
    }
    for jti in claims.origins.iter().chain([&claims.jti]) {
        if state.tokens.revocations.has(&state.db, jti, now).await? {
            return Ok(None);
        }
    }
    let granted = claims.scope.split(' ').filter_map(|scope| scope.parse().ok());
    let scopes = granted.filter(|scope| known.key.scopes.contains(scope)).collect();
    Ok(Some(Authenticated { credential: known, scopes, token: Some(claims), storefront: None }))
}

/// What a token says; its signature is checked once and then remembered.
pub fn verified(state: &State, token: &str, now: Time) -> Option<Arc<Claims>> {
    let keys = state.tokens.ring.keys();
    let digest = keys.remembered_as(token);
    if let Some(claims) = state.tokens.verified.get(&digest) {
        return (claims.exp > now.as_seconds()).then_some(claims);
    }
    let claims = Arc::new(keys.verify(token, now).ok()?);
    state.tokens.verified.insert(digest, claims.clone());
    Some(claims)
}

/// Whether a key is in force and its account open.
pub fn usable(known: &Credential, now: Time) -> Option<()> {
    let key = &known.key;
    let in_force = key.status == KeyStatus::Active
        && key.not_before.is_none_or(|begins| begins <= now)
        && key.expires_at.is_none_or(|expires| expires > now);
    (in_force && known.account_status == AccountStatus::Active).then_some(())
}

/// The parameters in which callers of other APIs send credentials.
const CREDENTIALS: [&str; 4] = ["access_token", "api_key", "key", "token"];

/// Refuses a query with a credential in it: URLs are kept in logs and histories.
pub fn check_url(state: &State, query: &str) -> Result<(), Problem> {
    let is_key =
        |text: &str| Presented::parse(text.trim()).is_some() || Published::parse(text.trim()).is_some();
    let found = form(query).any(|(name, value)| {
        CREDENTIALS.iter().any(|known| name.eq_ignore_ascii_case(known)) || is_key(&name) || is_key(&value)
    });
    match found {
        true => Err(challenge(state, Code::Unauthenticated, "credentials in URL")),
        false => Ok(()),
    }
}

/// A credential that is not taken, for whatever reason.
pub fn invalid_token(state: &State) -> Problem {
    challenge(state, Code::InvalidToken, "The credential is malformed, unknown, expired or revoked.")
}

fn challenge(state: &State, code: Code, detail: &str) -> Problem {
    let metadata = format!("{}/.well-known/oauth-protected-resource", state.tokens.issuer);
    let error = if code == Code::InvalidToken { "error=\"invalid_token\", " } else { "" };
    Problem {
        challenge: Some(format!("Bearer {error}resource_metadata=\"{metadata}\"")),
        ..Problem::new(code, detail)
    }
}

/// The key that a client of the token endpoint names.
pub fn key_id(text: &str) -> Option<KeyId> {
    text.parse().ok()
}
