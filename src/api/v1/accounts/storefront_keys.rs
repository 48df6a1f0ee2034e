use std::time::Duration;

use actix_web::{HttpResponse, delete, get, patch, post};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::access::publishable;
use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::api::v1::fields;
use crate::domain;
use crate::domain::accounts::storefront_keys::{self as keys, Change, Issue};
use crate::model::accounts::origins::Origin;
use crate::model::accounts::storefront_keys::StorefrontKeyView;
use crate::model::ids::{AccountId, KeyId};
use crate::model::scopes::need;
use crate::model::{Path, Time};
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(storefront_keys_list)
        .service(storefront_keys_create)
        .service(storefront_keys_get)
        .service(storefront_keys_update)
        .service(storefront_keys_revoke);
}

list!(StorefrontKeyList, StorefrontKeyView);

/// A new key for a storefront's pages.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewStorefrontKey {
    /// Whose offer it is to show; the caller's own account's if left out.
    account_id: Option<AccountId>,
    #[validate(custom(function = fields::name))]
    #[schema(min_length = 1, max_length = 128, example = "shop.example")]
    name: String,
    /// From which pages it is taken.
    #[schema(min_items = 1, max_items = 20)]
    origins: Vec<Origin>,
    /// How many requests are taken with it in a minute, of all visitors together.
    #[serde(default = "of_all")]
    #[schema(minimum = 1, maximum = 6000, default = 600)]
    requests_per_minute: i64,
    /// The same of one address.
    #[serde(default = "of_one")]
    #[schema(minimum = 1, maximum = 600, default = 60)]
    requests_per_minute_per_address: i64,
    /// How many sign-ups are taken with it in an hour, of all visitors together, and over all replicas that share a Redis. It takes
    /// none if this is 0 or left out.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1000, default = 0, example = 60)]
    signups_per_hour: i64,
    /// The same of one address. Of sign-ups with one mail address three are taken in an hour.
    #[serde(default = "signups_of_one")]
    #[schema(minimum = 1, maximum = 100, default = 5)]
    signups_per_hour_per_address: i64,
    /// How much of a plan a sign-up with it takes at most.
    #[serde(default = "ten")]
    #[schema(minimum = 1, maximum = 1000, default = 10)]
    signup_max_quantity: i64,
    /// Not later than the end of the caller's own key. A year from now if left out, or that end if it comes first.
    expires_at: Option<Time>,
}

const fn of_all() -> i64 {
    600
}

const fn of_one() -> i64 {
    60
}

const fn signups_of_one() -> i64 {
    5
}

const fn ten() -> i64 {
    10
}

/// For how long a key is good if nothing is said.
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// List storefront keys
///
/// Those of the caller's account and of all below.
#[utoipa::path(
    tag = "keys",
    security(("oauth2" = ["keys:read"])),
    responses((status = 200, description = "Storefront keys", body = StorefrontKeyList)),
)]
#[get("/storefront_keys")]
async fn storefront_keys_list(mut caller: Caller<need::KeysRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, KeyId)> = page.after()?;
    let mut conn = caller.read().await?;
    let rows = store::accounts::storefront_keys::page(&mut conn, after.as_ref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |key| (key.path.clone(), key.id));
    caller.saw_each(rows.iter().map(|key| &key.path));
    Ok(StorefrontKeyList::answer(rows.into_iter().map(StorefrontKeyView::from).collect(), next))
}

/// Make a storefront key
///
/// A key that may stand in a shop's pages: it is taken only with the `Origin` of one of them, it reads the plans that
/// are on sale to the account (`GET /v1/plans`, `GET /v1/plans/{id}`) and what its customers pay for them
/// (`GET /v1/catalog`), takes sign-ups and their tokens if it is to
/// (`POST /v1/signups`, `POST /v1/signups/{id}/verify`) and does nothing else, and it has rate limits of
/// its own. It is no secret and can be read again. The caller's own key needs `catalog:read` as well, and `signups:create`
/// for one that takes sign-ups.
#[utoipa::path(
    tag = "keys",
    security(("oauth2" = ["keys:write"])),
    request_body = NewStorefrontKey,
    responses((status = 201, description = "Made", body = StorefrontKeyView)),
)]
#[post("/storefront_keys")]
async fn storefront_keys_create(mut caller: Caller<need::KeysWrite>) -> Result<HttpResponse, Problem> {
    let body: NewStorefrontKey = caller.json().await?;
    let id = KeyId::new();
    let year = caller.now.plus(YEAR);
    let end = caller.credential.key.expires_at.map_or(year, |end| end.min(year));
    let issue = Issue {
        id,
        account_id: body.account_id,
        name: body.name,
        origins: body.origins,
        requests_per_minute: body.requests_per_minute,
        requests_per_minute_per_address: body.requests_per_minute_per_address,
        signups_per_hour: body.signups_per_hour,
        signups_per_hour_per_address: body.signups_per_hour_per_address,
        signup_max_quantity: body.signup_max_quantity,
        expires_at: body.expires_at.unwrap_or(end),
    };
    caller
        .write(async move |work, actor| {
            let key = keys::create(work, actor, issue, publishable::generate).await?;
            let (place, version) = (format!("/v1/storefront_keys/{id}"), key.version);
            Ok(Answer::made(true, place, &StorefrontKeyView::from(key)).version(version).about(id))
        })
        .await
}

/// Get a storefront key
#[utoipa::path(
    tag = "keys",
    security(("oauth2" = ["keys:read"])),
    params(("id" = KeyId, Path)),
    responses((status = 200, description = "The storefront key", body = StorefrontKeyView)),
)]
#[get("/storefront_keys/{id}")]
async fn storefront_keys_get(mut caller: Caller<need::KeysRead>) -> Result<HttpResponse, Problem> {
    let id = caller.id("storefront key")?;
    let found = store::accounts::storefront_keys::find(&mut caller.read().await?, id).await?;
    let key = found.ok_or(domain::Error::NotFound("storefront key"))?;
    caller.saw(&key.path);
    caller.show(key.version, &StorefrontKeyView::from(key))
}

/// What is to change of a storefront key; what is left out stays.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct StorefrontKeyChange {
    #[validate(custom(function = fields::name))]
    #[schema(min_length = 1, max_length = 128, nullable = false)]
    name: Option<String>,
    /// All of them: they take the place of those that are there.
    #[schema(min_items = 1, max_items = 20, nullable = false)]
    origins: Option<Vec<Origin>>,
    #[schema(minimum = 1, maximum = 6000, nullable = false)]
    requests_per_minute: Option<i64>,
    #[schema(minimum = 1, maximum = 600, nullable = false)]
    requests_per_minute_per_address: Option<i64>,
    #[schema(minimum = 0, maximum = 1000, nullable = false)]
    signups_per_hour: Option<i64>,
    #[schema(minimum = 1, maximum = 100, nullable = false)]
    signups_per_hour_per_address: Option<i64>,
    #[schema(minimum = 1, maximum = 1000, nullable = false)]
    signup_max_quantity: Option<i64>,
    /// Not later than the end of the caller's own key.
    #[schema(nullable = false)]
    expires_at: Option<Time>,
}

/// Change a storefront key
///
/// It is in force within five seconds on every replica. What the key says stays the same.
#[utoipa::path(
    tag = "keys",
    security(("oauth2" = ["keys:write"])),
    params(("id" = KeyId, Path)),
    request_body = StorefrontKeyChange,
    responses((status = 200, description = "Changed", body = StorefrontKeyView)),
)]
#[patch("/storefront_keys/{id}")]
async fn storefront_keys_update(mut caller: Caller<need::KeysWrite>) -> Result<HttpResponse, Problem> {
    let (body, expected): (StorefrontKeyChange, _) = (caller.json().await?, caller.if_match()?);
    let id = caller.id("storefront key")?;
    let change = Change {
        name: body.name,
        origins: body.origins,
        requests_per_minute: body.requests_per_minute,
        requests_per_minute_per_address: body.requests_per_minute_per_address,
        signups_per_hour: body.signups_per_hour,
        signups_per_hour_per_address: body.signups_per_hour_per_address,
        signup_max_quantity: body.signup_max_quantity,
        expires_at: body.expires_at,
    };
    caller
        .write(async move |work, actor| {
            let key = keys::change(work, actor, id, change, &expected).await?;
            let version = key.version;
            Ok(Answer::ok(&StorefrontKeyView::from(key)).version(version).about(id))
        })
        .await
}

/// Revoke a storefront key
///
/// For good, and at once: within five seconds on every replica.
#[utoipa::path(
    tag = "keys",
    security(("oauth2" = ["keys:write"])),
    params(("id" = KeyId, Path)),
    responses((status = 200, description = "Revoked", body = StorefrontKeyView)),
)]
#[delete("/storefront_keys/{id}")]
async fn storefront_keys_revoke(caller: Caller<need::KeysWrite>) -> Result<HttpResponse, Problem> {
    let (id, expected) = (caller.id("storefront key")?, caller.if_match()?);
    caller
        .write(async move |work, _| {
            let key = keys::revoke(work, id, &expected).await?;
            let version = key.version;
            Ok(Answer::ok(&StorefrontKeyView::from(key)).version(version).about(id))
        })
        .await
}
