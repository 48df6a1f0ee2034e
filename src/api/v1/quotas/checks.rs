use actix_web::{HttpResponse, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::domain::quotas::{self, Subject};
use crate::model::ids::{AccountId, SubscriptionId};
use crate::model::quotas::{Amount, Checked, Explanation, QuotaKey};
use crate::model::scopes::need;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(quotas_check).service(quotas_explain);
}

/// How much of which quotas would be taken, and from whom.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct QuotaCheckRequest {
    /// By what is to lie in this subscription.
    #[serde(default)]
    subscription_id: Option<SubscriptionId>,
    /// By what subscriptions of this account's are to be given; the caller's own if neither is named.
    #[serde(default)]
    account_id: Option<AccountId>,
    /// All of it together.
    #[schema(min_items = 1, max_items = 50)]
    amounts: Vec<Amount>,
}

/// Check whether quotas suffice
///
/// Says what a call would be refused for that took so much now: at every level up to the operator, and with the calls that
/// would make room. Nothing is taken or reserved; what fits now may not fit a moment later. What an order as a whole comes to
/// is what a quote is for.
#[utoipa::path(
    tag = "quotas",
    security(("oauth2" = ["quotas:read"])),
    request_body = QuotaCheckRequest,
    responses((status = 200, description = "Whether they do", body = Checked)),
)]
#[post("/quotas/check")]
async fn quotas_check(mut caller: Caller<need::QuotasRead>) -> Result<HttpResponse, Problem> {
    let body: QuotaCheckRequest = caller.json().await?;
    let actor = caller.actor().await?;
    let mut conn = caller.read().await?;
    let subject = Subject::of(&mut conn, &actor, body.subscription_id, body.account_id).await?;
    caller.saw(&subject.path);
    let checked = quotas::check(&mut conn, &actor, &subject, &body.amounts).await?;
    Ok(HttpResponse::Ok().json(checked))
}

/// Of whose quotas to tell.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct QuotaExplainRequest {
    /// What can still lie in this subscription.
    #[serde(default)]
    subscription_id: Option<SubscriptionId>,
    /// What subscriptions of this account's can still be given; the caller's own if neither is named.
    #[serde(default)]
    account_id: Option<AccountId>,
    /// All that are bounded at any level if left out.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 50)]
    keys: Option<Vec<QuotaKey>>,
}

/// How much of some quotas can still be taken.
#[derive(Debug, Serialize, ToSchema)]
struct QuotaExplanations {
    data: Vec<Explanation>,
}

/// Explain how much of quotas can still be taken
///
/// From the subscription or account up: every level's ceiling, and which of them binds. Where a level was allocated its
/// ceiling by the one above, that one is not asked any more.
#[utoipa::path(
    tag = "quotas",
    security(("oauth2" = ["quotas:read"])),
    request_body = QuotaExplainRequest,
    responses((status = 200, description = "By key", body = QuotaExplanations)),
)]
#[post("/quotas/explain")]
async fn quotas_explain(mut caller: Caller<need::QuotasRead>) -> Result<HttpResponse, Problem> {
    let body: QuotaExplainRequest = caller.json().await?;
    let actor = caller.actor().await?;
    let mut conn = caller.read().await?;
    let subject = Subject::of(&mut conn, &actor, body.subscription_id, body.account_id).await?;
    caller.saw(&subject.path);
    let data = quotas::explain(&mut conn, &actor, &subject, body.keys.as_deref()).await?;
    Ok(HttpResponse::Ok().json(QuotaExplanations { data }))
}
