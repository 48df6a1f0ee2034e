//! How a client proves who it is, in exactly one way: with a key's identifier and the key itself, or with an assertion.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::http::{StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::request::{Form, Refused};
use crate::access::assertions::Assertion;
use crate::access::secret::Presented;
use crate::api::credentials::{key_id, usable};
use crate::api::denials::came_with;
use crate::api::limits::refusal;
use crate::api::parameters::{address, form};
use crate::api::state::State;
use crate::model::accounts::addresses::admits;
use crate::model::accounts::clients::AuthMethod;
use crate::model::ids::KeyId;
use crate::model::{Subtree, Time};
use crate::store;
use crate::store::accounts::keys::Credential;

/// Failures are answered this long after they were asked for, or twice, three times as long: what it takes to find no
/// client is not told apart from what it takes to find one and to compare its secret.
const STEP: Duration = Duration::from_millis(10);

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a client sent to prove who it is.
struct Proof<'a> {
    id: Option<KeyId>,
    means: Means<'a>,
    basic: bool,
}

enum Means<'a> {
    Secret(String),
    /// None if it could not be read.
    Assertion(Option<Box<Assertion<'a>>>),
}

/// The key of a client that proved who it is, from an address that the key is taken from. Those that did not are told so
/// after the same time, whatever they got wrong.
pub async fn authenticate(
    state: &State,
    request: &HttpRequest,
    form: &Form,
    now: Time,
) -> Result<Arc<Credential>, Refused> {
    let begun = Instant::now();
    let found = authenticated(state, request, form, now).await;
    if found.as_ref().is_err_and(|refused| refused.status == StatusCode::UNAUTHORIZED) {
        step_ends(begun).await;
    }
    found
}

/// Waits for the end of the step. It takes a thread that sleeps: the runtime's own timer goes by whole milliseconds since
/// its thread went to rest, and so tells what was done until then.
async fn step_ends(begun: Instant) {
    let steps = begun.elapsed().as_nanos() / STEP.as_nanos() + 1;
    let end = begun + STEP * u32::try_from(steps).unwrap_or(u32::MAX);
    let slept = tokio::task::spawn_blocking(move || {
        std::thread::sleep(end.saturating_duration_since(Instant::now()));
    });
    // One that does not come to its end means that the program ends.
    let _ = slept.await;
}

async fn authenticated(
    state: &State,
    request: &HttpRequest,
    form: &Form,
    now: Time,
) -> Result<Arc<Credential>, Refused> {
    let address = address(state, request);
    if let Err(denied) = state.limiter.post(address, now).await {
        let why = "Too much is asked of this endpoint, from this address or by all.";
        let refused = Refused::new(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", why);
        return Err(Refused { retry_after: refusal(denied).retry_after, ..refused });
    }
    let proof = proof(request, form)?;
    let failures = &state.tokens.failures;
    if let Some(wait) = failures.wait(proof.id, address, now) {
        // Of the registered words it is the one that clients try again after; `invalid_client` would have them
        // give up a secret that may be right.
        let why = "Too many failed authentications of this client from this address.";
        let refused = Refused::new(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", why);
        return Err(Refused { retry_after: Some(wait), ..refused });
    }
    let failed = || {
        failures.note(proof.id, address, now);
        Refused { basic: proof.basic, ..unauthenticated(proof.means.fault()) }
    };
    let known = known(state, request, &proof, now).await?.ok_or_else(failed)?;
    if !admits(&known.key.allowed_addresses, address) {
        let why = "The client is not taken from this address.";
        return Err(Refused::new(StatusCode::FORBIDDEN, "ip_not_allowed", why));
    }
    if !is_first(state, &proof.means, now).await? {
        return Err(failed());
    }
    state.principals.used(known.key.id, now, address);
    Ok(known)
}

impl Means<'_> {
    fn fault(&self) -> &'static str {
        match self {
            Self::Secret(_) => "The client is not known, or its secret is wrong.",
            Self::Assertion(_) => {
                "The client is not known, or its assertion is wrong, over or was used before."
            }
        }
    }
}

fn unauthenticated(why: &'static str) -> Refused {
    Refused::new(StatusCode::UNAUTHORIZED, "invalid_client", why)
}

/// The client's identifier and what proves it, from the one place they were sent in.
fn proof<'a>(request: &HttpRequest, sent: &'a Form) -> Result<Proof<'a>, Refused> {
    let (id, secret, assertion) =
        (sent.get("client_id"), sent.get("client_secret"), sent.get("client_assertion"));
    let mut lines = request.headers().get_all(header::AUTHORIZATION);
    let ways = lines.clone().count() + usize::from(secret.is_some()) + usize::from(assertion.is_some());
    if ways > 1 {
        let why = "Authenticate once: with HTTP Basic, in the form or with an assertion.";
        return Err(Refused::bad("invalid_request", why));
    }
    if let Some(told) = lines.next() {
        return basic(told, id);
    }
    match (id, secret, assertion) {
        (Some(id), Some(secret), None) => {
            Ok(Proof { id: key_id(id), means: Means::Secret(secret.into()), basic: false })
        }
        (_, None, Some(assertion)) if sent.get("client_assertion_type") == Some(JWT_BEARER) => {
            asserted(id, Assertion::read(assertion))
        }
        _ => Err(unauthenticated("The client did not authenticate.")),
    }
}

fn basic<'a>(told: &header::HeaderValue, id: Option<&str>) -> Result<Proof<'a>, Refused> {
    let malformed = || Refused { basic: true, ..unauthenticated("The header is no HTTP Basic.") };
    let (scheme, text) = told.to_str().ok().and_then(|told| told.split_once(' ')).ok_or_else(malformed)?;
    let decoded = STANDARD.decode(text.trim()).ok().and_then(|text| String::from_utf8(text).ok());
    let decoded = decoded.filter(|_| scheme.eq_ignore_ascii_case("basic")).ok_or_else(malformed)?;
    let (user, password) = decoded.split_once(':').ok_or_else(malformed)?;
    // RFC 6749, 2.3.1: both are form-encoded before they are joined.
    let plain = |text: &str| form(&format!("v={text}")).next().map(|(_, value)| value).unwrap_or_default();
    if id.is_some_and(|id| id != plain(user)) {
        return Err(Refused::bad("invalid_request", "The form names another client than HTTP Basic."));
    }
    Ok(Proof { id: key_id(&plain(user)), means: Means::Secret(plain(password)), basic: true })
}

fn asserted<'a>(id: Option<&str>, assertion: Option<Assertion<'a>>) -> Result<Proof<'a>, Refused> {
    let from = assertion.as_ref().map(|assertion| assertion.client());
    let id = id.map(key_id);
    if id.zip(from).is_some_and(|(id, from)| id != from) {
        return Err(Refused::bad("invalid_request", "The form names another client than the assertion."));
    }
    Ok(Proof { id: from.or(id).flatten(), means: Means::Assertion(assertion.map(Box::new)), basic: false })
}

/// The client, if it is in force and what it sent proves that it is itself.
async fn known(
    state: &State,
    request: &HttpRequest,
    proof: &Proof<'_>,
    now: Time,
) -> Result<Option<Arc<Credential>>, Refused> {
    let presented = match &proof.means {
        Means::Secret(secret) => Presented::parse(secret),
        Means::Assertion(_) => None,
    };
    let sought = match &proof.means {
        Means::Secret(_) => presented.as_ref().map(|presented| presented.id),
        Means::Assertion(assertion) => proof.id.filter(|_| assertion.is_some()),
    };
    let Some(sought) = sought else { return Ok(None) };
    let found = state.principals.look_up(&state.db, sought).await?;
    if let Some(known) = &found {
        came_with(request, known);
    }
    let issuer = &state.tokens.issuer;
    let endpoint = format!("{issuer}/oauth/token");
    Ok(found.filter(|known| {
        let key = &known.key;
        let right = match (&proof.means, key.auth_method) {
            (Means::Secret(_), AuthMethod::ClientSecretBasic) => {
                presented.is_some_and(|presented| presented.opens(key, now))
            }
            (Means::Assertion(Some(assertion)), AuthMethod::PrivateKeyJwt) => {
                assertion.proves(key.id, &key.jwks, [issuer, &endpoint], now)
            }
            _ => false,
        };
        right && Some(key.id) == proof.id && usable(known, now).is_some()
    }))
}

/// Whether that is not an assertion that was used already, through whichever replica; from now on it is.
async fn is_first(state: &State, means: &Means<'_>, now: Time) -> Result<bool, Refused> {
    let Means::Assertion(Some(assertion)) = means else { return Ok(true) };
    let until = assertion.remembered_until().unwrap_or(now);
    let mut tx = state.db.write(Subtree::everything()).await?;
    let first = store::tokens::use_assertion(&mut tx, &assertion.digest(), until).await?;
    match first {
        true => tx.commit().await?,
        false => tx.undo().await?,
    }
    Ok(first)
}
