//! Token exchange (RFC 8693): a token of one's own for one that acts for an account below.

use actix_web::http::StatusCode;

use super::request::{Form, Refused};
use super::token::{Grant, TokenAnswer, invalid_scope, named};
use crate::access::tokens::{Act, Claims};
use crate::api::credentials::active;
use crate::api::state::State;
use crate::model::accounts::delegation::{Guard, Rule};
use crate::model::ids::AccountId;
use crate::model::{Path, Subtree, Time};
use crate::store;
use crate::store::accounts::keys::Credential;

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// How many accounts can act through each other.
const MAX_DEPTH: usize = 5;
/// How often a token can be exchanged, and what came of it again.
const MAX_EXCHANGES: usize = 10;

/// The token that the client gets for its own.
pub async fn grant(
    state: &State,
    form: &Form,
    client: &Credential,
    now: Time,
) -> Result<TokenAnswer, Refused> {
    let is_token = |kind: &str| kind == ACCESS_TOKEN || kind == JWT;
    let Some(token) = form.get("subject_token") else { return Err(invalid("subject_token is missing.")) };
    if !form.get("subject_token_type").is_some_and(is_token) {
        return Err(invalid("subject_token_type must be that of an access token."));
    }
    if !form.get("requested_token_type").is_none_or(is_token) {
        return Err(invalid("Access tokens are issued here, nothing else."));
    }
    if form.get("actor_token").is_some() || form.get("actor_token_type").is_some() {
        return Err(invalid("There is no actor token here: who acts is the subject token's account."));
    }
    let refused = || invalid("The subject token is malformed, unknown, expired or revoked.");
    let bearer = active(state, token, now).await?.ok_or_else(refused)?;
    let claims = bearer.token.filter(|claims| claims.client_id == client.key.id).ok_or_else(refused)?;
    if claims.may_act.as_ref().is_some_and(|may| may.sub != client.key.account_id) {
        return Err(invalid("The subject token names somebody else who may act with it."));
    }
    let target = target(state, form, client, &claims, now).await?;
    let act = acting(&claims, target)?;
    let origins = origins(&claims)?;
    let scopes = match named(form)? {
        None => bearer.scopes.to_vec(),
        Some(asked) => asked.into_iter().filter(|scope| bearer.scopes.contains(scope)).collect(),
    };
    if scopes.is_empty() {
        return Err(invalid_scope());
    }
    let grant = Grant {
        client_id: client.key.id,
        account: target,
        act,
        may_act: claims.may_act.clone(),
        origins,
        scopes,
        not_after: Some(claims.exp),
    };
    Ok(grant.issue(state, now, Some(ACCESS_TOKEN)))
}

fn invalid(why: &'static str) -> Refused {
    Refused::bad("invalid_request", why)
}

/// The account to act for: the token's own or one below it. Any other, there or not, is no target.
async fn target(
    state: &State,
    form: &Form,
    client: &Credential,
    claims: &Claims,
    now: Time,
) -> Result<AccountId, Refused> {
    let not_there = || Refused::bad("invalid_target", "There is no such account at or below the token's.");
    let named = form.get("account").ok_or_else(|| invalid("account is missing."))?;
    let named = named.parse().map_err(|_| not_there())?;
    let reach = |path: &Path| client.key.reach_at(path);
    // Its own account is there for a key that reaches only some below it.
    let own = match claims.acct == client.key.account_id {
        true => client.key.path.clone(),
        false => find(state, reach(&client.key.path), claims.acct).await?.ok_or_else(not_there)?,
    };
    let target = find(state, reach(&own), named).await?.ok_or_else(not_there)?;
    let walls = state.delegations.walls(&state.db, now).await?;
    match Guard::over(&client.key.path, Rule::Walls { writes: false }, walls) {
        Some(guard) if guard.refuses(&target) => {
            let why = "The account does not let those above it act for it.";
            Err(Refused::new(StatusCode::FORBIDDEN, "delegation_denied", why))
        }
        _ => Ok(named),
    }
}

/// Where the account is, if the key reaches it.
async fn find(state: &State, reach: Subtree, id: AccountId) -> Result<Option<Path>, Refused> {
    let mut conn = state.db.read(reach).await?;
    Ok(store::accounts::accounts::find(&mut conn, id).await?.map(|account| account.path))
}

/// Who acts in a token for the target: the subject token's account, and behind it who acted for that one.
fn acting(claims: &Claims, target: AccountId) -> Result<Option<Act>, Refused> {
    if target == claims.acct {
        return Ok(claims.act.clone());
    }
    if claims.actors().len() >= MAX_DEPTH {
        return Err(invalid("Five accounts act through each other already."));
    }
    Ok(Some(Act { sub: claims.acct, act: claims.act.clone().map(Box::new) }))
}

/// The tokens with which one that is exchanged from this one ends.
fn origins(claims: &Claims) -> Result<Vec<String>, Refused> {
    if claims.origins.len() >= MAX_EXCHANGES {
        return Err(invalid(
            "The subject token was exchanged ten times already; begin with one of the client's own.",
        ));
    }
    Ok(claims.origins.iter().chain([&claims.jti]).cloned().collect())
}
