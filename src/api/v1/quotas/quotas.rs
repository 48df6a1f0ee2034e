use actix_web::{HttpResponse, get, post, put};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::domain::accounts::accounts;
use crate::domain::{Error, quotas};
use crate::model::ids::{AccountId, SubscriptionId};
use crate::model::quotas::{Mode, Quota, QuotaKey, QuotaView, Recount};
use crate::model::scopes::need;
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(quota_definitions_list)
        .service(quotas_of_account)
        .service(quotas_get)
        .service(quotas_put)
        .service(quotas_recount)
        .service(quotas_of_subscription);
}

/// What a quota counts.
#[derive(Debug, Serialize, ToSchema)]
struct QuotaDefinition {
    key: QuotaKey,
    title: &'static str,
    /// `1` for things that are counted.
    #[schema(example = "MB")]
    unit: &'static str,
}

/// All quota keys.
#[derive(Debug, Serialize, ToSchema)]
struct QuotaDefinitions {
    data: Vec<QuotaDefinition>,
}

/// The ceilings of one account or subscription.
#[derive(Debug, Serialize, ToSchema)]
struct Quotas {
    /// What is not here has no ceiling at this level.
    data: Vec<QuotaView>,
}

/// List quota keys
#[utoipa::path(
    tag = "quotas",
    security(("oauth2" = ["quotas:read"])),
    responses((status = 200, description = "Quota keys", body = QuotaDefinitions)),
)]
#[get("/quota_definitions")]
async fn quota_definitions_list(mut caller: Caller<need::QuotasRead>) -> Result<HttpResponse, Problem> {
    caller.subject().await?;
    let definition = |key: &QuotaKey| QuotaDefinition { key: *key, title: key.title(), unit: key.unit() };
    Ok(HttpResponse::Ok().json(QuotaDefinitions { data: QuotaKey::ALL.iter().map(definition).collect() }))
}

/// Show an account's ceilings
#[utoipa::path(
    tag = "quotas",
    security(("oauth2" = ["quotas:read"])),
    params(("id" = AccountId, Path)),
    responses((status = 200, description = "Ceilings", body = Quotas)),
)]
#[get("/accounts/{id}/quotas")]
async fn quotas_of_account(mut caller: Caller<need::QuotasRead>) -> Result<HttpResponse, Problem> {
    let id = caller.account_id()?;
    let mut conn = caller.read().await?;
    let account = accounts::find(&mut conn, id).await?;
    caller.saw(&account.path);
    let rows = store::quotas::quotas::of_holder(&mut conn, account.path.as_str()).await?;
    Ok(HttpResponse::Ok().json(Quotas { data: rows.into_iter().map(QuotaView::from).collect() }))
}

/// The ceiling as it is now; none where there is none.
#[derive(Debug, Serialize, ToSchema)]
struct Ceiling {
    quota: Option<QuotaView>,
}

/// Show one of an account's ceilings
///
/// Also where there is none: its entity tag is what a change needs.
#[utoipa::path(
    tag = "quotas",
    security(("oauth2" = ["quotas:read"])),
    params(("id" = AccountId, Path), ("key" = QuotaKey, Path)),
    responses((status = 200, description = "The ceiling", body = Ceiling)),
)]
#[get("/accounts/{id}/quotas/{key}")]
async fn quotas_get(mut caller: Caller<need::QuotasRead>) -> Result<HttpResponse, Problem> {
    let (id, key) = (caller.account_id()?, key(&caller)?);
    let mut conn = caller.read().await?;
    let account = accounts::find(&mut conn, id).await?;
    caller.saw(&account.path);
    let rows = store::quotas::quotas::of_holder(&mut conn, account.path.as_str()).await?;
    let quota = rows.into_iter().find(|quota| quota.key == key);
    caller.show(Quota::version(quota.as_ref()), &Ceiling { quota: quota.map(QuotaView::from) })
}

/// The key in the route's path.
fn key<S>(caller: &Caller<S>) -> Result<QuotaKey, Error> {
    let told = caller.request.match_info().get("key");
    told.and_then(|key| key.parse().ok()).ok_or(Error::NotFound("quota key"))
}

/// A ceiling.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewCeiling {
    /// `null` takes the ceiling away: unlimited.
    #[schema(minimum = 0, maximum = 1_000_000_000_000_i64, required = true)]
    ceiling: Option<i64>,
    /// `shared` if left out.
    #[serde(default = "shared")]
    mode: Mode,
}

fn shared() -> Mode {
    Mode::Shared
}

/// Set an account's ceiling
///
/// By an account above it; the operator sets its own. A ceiling below the use is allowed: it stops growth and
/// takes nothing away. `If-Match` says which ceiling it takes the place of: that of two sellers who set it at once,
/// the second is told of the first.
#[utoipa::path(
    tag = "quotas",
    security(("oauth2" = ["quotas:write"])),
    params(("id" = AccountId, Path), ("key" = QuotaKey, Path)),
    request_body = NewCeiling,
    responses((status = 200, description = "Set", body = Ceiling)),
)]
#[put("/accounts/{id}/quotas/{key}")]
async fn quotas_put(mut caller: Caller<need::QuotasWrite>) -> Result<HttpResponse, Problem> {
    let (body, expected): (NewCeiling, _) = (caller.json().await?, caller.if_match()?);
    let (id, key) = (caller.account_id()?, key(&caller)?);
    caller
        .write(async move |work, actor| {
            let quota = quotas::put(work, actor, id, key, body.ceiling, body.mode, &expected).await?;
            let version = Quota::version(quota.as_ref());
            let answer = Answer::ok(&Ceiling { quota: quota.map(QuotaView::from) });
            Ok(answer.version(version).about(format!("{id}/{key}")))
        })
        .await
}

/// Count anew
///
/// What is taken of the ceilings at and below an account, from the resources, subscriptions and accounts that there are; what was
/// counted wrongly is set right, here and in the levels above, and told. With `dry_run=true` it is told and left. Nothing else
/// can be taken meanwhile: it is for at most 10,000 ceilings, at quiet hours.
#[utoipa::path(
    tag = "quotas",
    security(("oauth2" = ["quotas:write"])),
    params(("id" = AccountId, Path)),
    responses((status = 200, description = "What was set right", body = Recount)),
)]
#[post("/accounts/{id}/recount_quotas")]
async fn quotas_recount(caller: Caller<need::QuotasWrite>) -> Result<HttpResponse, Problem> {
    let id = caller.account_id()?;
    caller.write(async move |work, _| Ok(Answer::ok(&quotas::recount(work, id).await?).about(id))).await
}

/// Show a subscription's ceilings
///
/// What its plan gives for its quantity, what its add-ons add, and what is taken of it.
#[utoipa::path(
    tag = "quotas",
    security(("oauth2" = ["quotas:read"])),
    params(("id" = SubscriptionId, Path)),
    responses((status = 200, description = "Ceilings", body = Quotas)),
)]
#[get("/subscriptions/{id}/quotas")]
async fn quotas_of_subscription(mut caller: Caller<need::QuotasRead>) -> Result<HttpResponse, Problem> {
    let id: SubscriptionId = caller.id("subscription")?;
    let mut conn = caller.read().await?;
    let found = store::commerce::subscriptions::find(&mut conn, id).await?;
    caller.saw(&found.ok_or(Error::NotFound("subscription"))?.path);
    let rows = store::quotas::quotas::of_holder(&mut conn, &id.to_string()).await?;
    Ok(HttpResponse::Ok().json(Quotas { data: rows.into_iter().map(QuotaView::from).collect() }))
}
