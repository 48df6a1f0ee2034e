use actix_web::{HttpResponse, get};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::api::body::{MAX_BODY, MAX_BULK};
use crate::api::caller::Caller;
use crate::api::page::MAX_LIMIT;
use crate::api::problem::Problem;
use crate::limits::Cost;
use crate::model::scopes::need;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(limits_get);
}

/// What holds for the caller's requests.
#[derive(Debug, Serialize, ToSchema)]
struct Limits {
    /// The class of the caller's key, which says how much may be asked for with it.
    #[schema(example = "standard")]
    rate_class: String,
    /// The classes that a key can be in.
    rate_classes: Vec<String>,
    rate_policies: Vec<RatePolicy>,
    /// How many requests of one account may be under way at once in one server; more are refused with `rate_limited`.
    #[schema(example = 128)]
    max_concurrent_requests: usize,
    /// What a request is charged, in units.
    units: Units,
    /// The longest body that is read, in bytes.
    #[schema(example = 262_144)]
    max_body_bytes: usize,
    /// The longest body of a batch, in bytes.
    #[schema(example = 5_242_880)]
    max_batch_body_bytes: usize,
    /// The most rows that a part of a list has.
    #[schema(example = 200)]
    max_page_size: i64,
    /// For how long a request is remembered under its Idempotency-Key, in seconds.
    #[schema(example = 259_200)]
    idempotency_retention_seconds: u64,
    /// How long an access token lives, in seconds.
    #[schema(example = 900)]
    token_lifetime_seconds: u64,
}

/// So many units may be asked for in so many seconds. What was not used is kept, up to `quota`.
#[derive(Debug, Serialize, ToSchema)]
struct RatePolicy {
    /// As in the header `RateLimit-Policy` and in `violated-policies`: `key` and `acct` are the caller's own, `subtree`
    /// is for all accounts below the same one, `addr` for requests from an address without a good credential, `addr-post` and
    /// `post` for what is posted without a credential, such as requests for tokens: from one address and from all.
    #[schema(example = "key")]
    name: &'static str,
    #[schema(example = 6000)]
    quota: u64,
    #[schema(example = 60)]
    window_seconds: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct Units {
    #[schema(example = 1)]
    read: u64,
    #[schema(example = 2)]
    write: u64,
    #[schema(example = 5)]
    action: u64,
    /// All that there is, in one answer.
    #[schema(example = 20)]
    export: u64,
}

/// Show the limits
///
/// The rate limits that apply to the caller, the largest sizes, and for how long things are remembered.
#[utoipa::path(
    tag = "discovery",
    security(("oauth2" = ["accounts:read"])),
    responses((status = 200, description = "The limits", body = Limits)),
)]
#[get("/limits")]
async fn limits_get(mut caller: Caller<need::AccountsRead>) -> Result<HttpResponse, Problem> {
    caller.subject().await?;
    let state = &caller.state;
    let rate_policies = state.limiter.policies(&caller.credential.key.rate_class).map(|(layer, policy)| {
        RatePolicy { name: layer.name(), quota: policy.quota, window_seconds: policy.window }
    });
    Ok(HttpResponse::Ok().json(Limits {
        rate_class: caller.credential.key.rate_class.clone(),
        rate_classes: state.limiter.classes().map(str::to_owned).collect(),
        rate_policies: rate_policies.into(),
        max_concurrent_requests: state.load.share(),
        units: Units {
            read: Cost::Read.units(),
            write: Cost::Write.units(),
            action: Cost::Action.units(),
            export: Cost::Export.units(),
        },
        max_body_bytes: MAX_BODY,
        max_batch_body_bytes: MAX_BULK,
        max_page_size: MAX_LIMIT,
        idempotency_retention_seconds: state.replies_kept.as_secs(),
        token_lifetime_seconds: state.tokens.lifetime.as_secs(),
    }))
}
