//! What a storefront's key is good for. It stands in a page where everybody reads it, so that what it opens is open to
//! all: a fixed list of operations, from the pages it was made for, and so many times a minute.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpMessage, HttpRequest};

use super::cors;
use super::credentials::{Authenticated, invalid_token};
use super::denials::came_with;
use super::limits::{failed, refusal};
use super::problem::{Code, Problem};
use super::state::State;
use crate::access::publishable::Published;
use crate::limits::storefronts::{Caps, Left};
use crate::model::accounts::accounts::AccountStatus;
use crate::model::accounts::clients::AuthMethod;
use crate::model::accounts::keys::{Key, KeyStatus, STANDARD_CLASS};
use crate::model::accounts::storefront_keys::{Storefront, StorefrontKey};
use crate::model::scopes::Scope;
use crate::model::{Json, Time};
use crate::store::accounts::keys::Credential;

/// The operations that a storefront's key opens, each with its method and path. They show what is on sale in the
/// account's name and nothing else of it, and sign customers up if the key is for that.
pub const OPERATIONS: [(&str, &str, &str); 7] = [
    ("branding_get", "GET", "/v1/branding"),
    ("plans_list", "GET", "/v1/plans"),
    ("plans_get", "GET", "/v1/plans/{id}"),
    ("catalog_list", "GET", "/v1/catalog"),
    ("catalog_addons", "GET", "/v1/catalog/addons"),
    ("signups_create", "POST", "/v1/signups"),
    ("signups_verify", "POST", "/v1/signups/{id}/verify"),
];

/// What a storefront's key may do, so that it is a credential like others.
fn scopes(key: &StorefrontKey) -> &'static [Scope] {
    match key.signups_per_hour {
        0 => &[Scope::CatalogRead],
        _ => &[Scope::CatalogRead, Scope::SignupsCreate],
    }
}

/// Whose storefront it is. Nothing but what `Authorization` says is looked at.
pub async fn authenticate(
    state: &State,
    request: &HttpRequest,
    told: &str,
    now: Time,
) -> Result<Authenticated, Problem> {
    let invalid = || invalid_token(state);
    let published = Published::parse(told).ok_or_else(invalid)?;
    let found = state.principals.storefronts.find(&state.db, published.id, now).await?;
    let known = found.ok_or_else(invalid)?;
    let credential = Arc::new(as_credential(&known));
    came_with(request, &credential);
    let key = &known.key;
    let in_force = key.status == KeyStatus::Active && key.expires_at > now;
    if !in_force || !published.is(&key.key) || known.account_status != AccountStatus::Active {
        return Err(invalid());
    }
    Ok(Authenticated { credential, scopes: scopes(key).into(), token: None, storefront: Some(known) })
}

/// The key as the rest of the edge knows keys. None of its secrets is known to anybody.
fn as_credential(storefront: &Storefront) -> Credential {
    let scopes = scopes(&storefront.key).to_vec();
    let StorefrontKey { id, account_id, path, environment, name, status, created_by, created_at, .. } =
        storefront.key.clone();
    Credential {
        key: Key {
            id,
            account_id,
            path,
            environment,
            name,
            secret_hash: String::new(),
            former_hash: None,
            former_until: None,
            scopes: Json(scopes),
            hold_classes: Json(Vec::new()),
            allowed_addresses: Json(Vec::new()),
            roots: Json(Vec::new()),
            status,
            created_by,
            created_at,
            not_before: None,
            expires_at: Some(storefront.key.expires_at),
            revoked_at: storefront.key.revoked_at,
            last_used_at: None,
            last_used_ip: None,
            auth_method: AuthMethod::ClientSecretBasic,
            jwks: Json(Vec::new()),
            rate_class: STANDARD_CLASS.into(),
            spend_cap: None,
            member_id: None,
            version: storefront.key.version,
        },
        account_status: storefront.account_status,
        account_type: storefront.account_type,
        account_environment: storefront.account_environment,
        require_idempotency_key: false,
        held: storefront.held,
    }
}

/// Takes a request from a page of the storefront's for an operation of [`OPERATIONS`], or refuses it.
pub async fn admit(
    state: &State,
    request: &HttpRequest,
    storefront: &Storefront,
    operation: &str,
    address: Option<IpAddr>,
    now: Time,
) -> Result<(), Problem> {
    let key = &storefront.key;
    let Some(origin) = from(request, key) else {
        let detail = "The storefront's key is taken from its own pages only, as `Origin` tells.";
        return Err(failed(state, address, now, Problem::new(Code::OriginNotAllowed, detail)).await);
    };
    cors::allow(request, origin);
    let caps = Caps {
        all: key.requests_per_minute.unsigned_abs(),
        address: key.requests_per_minute_per_address.unsigned_abs(),
    };
    let (decided, left) = state.storefronts.request(key.id, caps, address, now);
    request.extensions_mut().insert(left);
    decided.map_err(refusal)?;
    match OPERATIONS.iter().any(|(name, ..)| *name == operation) {
        true => Ok(()),
        false => {
            let detail = "A storefront's key shows what is on sale, takes sign-ups, and does nothing else.";
            let challenge = Some("Bearer error=\"insufficient_scope\"".to_owned());
            Err(Problem { challenge, ..Problem::new(Code::InsufficientScope, detail) })
        }
    }
}

/// The page's origin, if it is one of the key's: the one line that a browser sends, letter by letter.
fn from(request: &HttpRequest, key: &StorefrontKey) -> Option<HeaderValue> {
    let mut lines = request.headers().get_all(header::ORIGIN);
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    key.origins.iter().any(|origin| origin.as_str().as_bytes() == line.as_bytes()).then(|| line.clone())
}

/// Tells the caller how its key stands.
pub fn tell(request: &HttpRequest, headers: &mut HeaderMap) {
    let Some(left) = request.extensions().get::<Left>().copied() else { return };
    for (name, value) in [("ratelimit-policy", left.policy_header()), ("ratelimit", left.header())] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}
