//! Rate limits at the edge: what a request is charged, the refusal over a limit, and the headers that tell how
//! a caller stands (draft-ietf-httpapi-ratelimit-headers).

use std::net::IpAddr;

use actix_web::HttpMessage;
use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use super::problem::{Code, Problem};
use super::state::State;
use crate::access::random;
use crate::limits::{Asker, Cost, Denied, Standing};
use crate::model::Time;
use crate::store::accounts::keys::Credential;

/// Charges an authenticated request to its key, its account and the accounts beside it.
pub async fn admit(
    state: &State,
    request: &HttpRequest,
    credential: &Credential,
    cost: Cost,
    now: Time,
) -> Result<(), Problem> {
    let key = &credential.key;
    let asker = Asker { key: key.id, class: &key.rate_class, account: key.account_id, path: &key.path };
    let decided = state.limiter.request(asker, cost.units(), now).await;
    let standing = match &decided {
        Ok(standing) => Some(*standing),
        Err(denied) => denied.standing,
    };
    if let Some(standing) = standing {
        request.extensions_mut().insert(standing);
    }
    decided.map(drop).map_err(refusal)
}

/// Charges a request without a credential to its address.
pub async fn admit_stranger(state: &State, address: Option<IpAddr>, now: Time) -> Result<(), Problem> {
    state.limiter.stranger(address, now).await.map_err(refusal)
}

/// Charges something that is posted without a credential to its address and to all strangers.
pub async fn admit_post(state: &State, address: Option<IpAddr>, now: Time) -> Result<(), Problem> {
    state.limiter.post(address, now).await.map_err(refusal)
}

/// What is told of a credential that was refused: that, or that the address has tried too often.
pub async fn failed(state: &State, address: Option<IpAddr>, now: Time, problem: Problem) -> Problem {
    match problem.code.status() {
        // Apart, so that those who are not refused do without the room that it takes.
        401 | 403 => Box::pin(admit_stranger(state, address, now)).await.err().unwrap_or(problem),
        _ => problem,
    }
}

/// Tells an authenticated caller its policies and how it stands; nothing to others.
pub fn tell(state: &State, request: &HttpRequest, headers: &mut HeaderMap) {
    let Some(standing) = request.extensions().get::<Standing>().copied() else { return };
    headers.insert(HeaderName::from_static("ratelimit-policy"), state.rate_policies[standing.class].clone());
    if let Ok(value) = HeaderValue::try_from(state.limiter.standing_header(&standing)) {
        headers.insert(HeaderName::from_static("ratelimit"), value);
    }
}

pub fn refusal(denied: Denied) -> Problem {
    // Those who are refused together do not come back together: up to a fifth is added.
    let [chance] = random::bytes::<1>();
    let jitter = (denied.wait * u64::from(chance)).div_ceil(5 * 255);
    let detail = "More was asked than the limits allow. Nothing was done.";
    let problem = Problem::new(Code::RateLimited, detail).with("violated-policies", denied.violated);
    // Nobody is put off for longer than the minute that most policies look over.
    let most = if denied.wait <= 60 { 60 } else { u64::MAX };
    Problem { retry_after: Some((denied.wait + jitter).min(most)), ..problem }
}
