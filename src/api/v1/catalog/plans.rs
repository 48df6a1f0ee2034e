use std::collections::BTreeMap;

use actix_web::{HttpResponse, get, post};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::api::v1::fields;
use crate::domain::Error;
use crate::domain::catalog::plans::{self, Draft};
use crate::model::Path;
use crate::model::catalog::plans::{Plan, PlanStatus, PlanTerms, PlanView};
use crate::model::ids::PlanId;
use crate::model::scopes::need;
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(plans_list)
        .service(plans_create)
        .service(plans_get)
        .service(plans_add_version)
        .service(plans_activate)
        .service(plans_pause)
        .service(plans_archive);
}

list!(PlanList, PlanView);

/// A new plan.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPlan {
    /// By which orders name it; unique in the account.
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9][a-z0-9_.-]*$", example = "hosted-mail")]
    code: String,
    #[validate(custom(function = fields::name))]
    #[schema(min_length = 1, max_length = 128, example = "Hosted mail")]
    name: String,
    /// Whether it is on sale at once; `active` if left out.
    #[serde(default = "active")]
    status: PlanStatus,
    terms: PlanTerms,
    #[serde(default)]
    #[validate(custom(function = fields::metadata))]
    metadata: BTreeMap<String, String>,
}

fn active() -> PlanStatus {
    PlanStatus::Active
}

/// List plans
///
/// The caller's own and, while they are on sale, those of the accounts above. A storefront's key sees what is on sale
/// to its account, without its maker's metadata and what it runs on.
#[utoipa::path(
    tag = "plans",
    security(("oauth2" = ["catalog:read"])),
    responses((status = 200, description = "Plans", body = PlanList)),
)]
#[get("/plans")]
async fn plans_list(mut caller: Caller<need::CatalogRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, PlanId)> = page.after()?;
    let (_, viewer) = caller.subject().await?;
    let mut conn = caller.read().await?;
    let rows = match caller.is_public() {
        false => store::catalog::plans::visible(&mut conn, &viewer, after.as_ref(), page.rows()).await?,
        true => store::catalog::plans::on_sale(&mut conn, &viewer, after.as_ref(), page.rows()).await?,
    };
    let (rows, next) = page.cut(rows, |plan| (plan.path.clone(), plan.id));
    let view = |plan: Plan| if caller.is_public() { plan.published() } else { plan.seen_by(&viewer) };
    Ok(PlanList::answer(rows.into_iter().map(view).collect(), next))
}

/// Make a plan
///
/// It selects services of a virtual server and gives a quota for what they hold.
#[utoipa::path(
    tag = "plans",
    security(("oauth2" = ["catalog:write"])),
    request_body = NewPlan,
    responses((status = 201, description = "Made", body = PlanView)),
)]
#[post("/plans")]
async fn plans_create(mut caller: Caller<need::CatalogWrite>) -> Result<HttpResponse, Problem> {
    let body: NewPlan = caller.json().await?;
    let draft = Draft {
        code: body.code,
        name: body.name,
        status: body.status,
        terms: body.terms,
        metadata: body.metadata,
    };
    caller
        .write(async move |work, actor| {
            let plan = plans::create(work, actor, draft).await?;
            let (id, version) = (plan.id, plan.version);
            let view = plan.seen_by(&actor.subject_path);
            Ok(Answer::made(true, format!("/v1/plans/{id}"), &view).version(version).about(id))
        })
        .await
}

/// Get a plan
#[utoipa::path(
    tag = "plans",
    security(("oauth2" = ["catalog:read"])),
    params(("id" = PlanId, Path)),
    responses((status = 200, description = "The plan", body = PlanView)),
)]
#[get("/plans/{id}")]
async fn plans_get(mut caller: Caller<need::CatalogRead>) -> Result<HttpResponse, Problem> {
    let id: PlanId = caller.id("plan")?;
    let (_, viewer) = caller.subject().await?;
    let mut conn = caller.read().await?;
    let own = match caller.is_public() {
        false => store::catalog::plans::find(&mut conn, id).await?,
        true => None,
    };
    let found = match own {
        Some(plan) => Some(plan),
        None => store::catalog::plans::offered(&mut conn, &viewer, &id.to_string(), None)
            .await?
            .map(|offer| offer.plan),
    };
    let plan: Plan = found.ok_or(Error::NotFound("plan"))?;
    let version = plan.version;
    caller.saw(&plan.path);
    let view = if caller.is_public() { plan.published() } else { plan.seen_by(&viewer) };
    caller.show(version, &view)
}

/// New terms for a plan.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPlanVersion {
    terms: PlanTerms,
}

/// Add a version
///
/// Orders from now on get the new terms; running subscriptions keep theirs until they are moved.
#[utoipa::path(
    tag = "plans",
    security(("oauth2" = ["catalog:write"])),
    params(("id" = PlanId, Path)),
    request_body = NewPlanVersion,
    responses(
        (status = 200, description = "Added", body = PlanView),
    ),
)]
#[post("/plans/{id}/versions")]
async fn plans_add_version(mut caller: Caller<need::CatalogWrite>) -> Result<HttpResponse, Problem> {
    let (body, expected): (NewPlanVersion, _) = (caller.json().await?, caller.if_match()?);
    let id = caller.id("plan")?;
    caller
        .write(async move |work, actor| {
            let plan = plans::add_version(work, actor, id, body.terms, &expected).await?;
            let version = plan.version;
            Ok(Answer::ok(&plan.seen_by(&actor.subject_path)).version(version).about(id))
        })
        .await
}

async fn set_status(caller: Caller<need::CatalogWrite>, status: PlanStatus) -> Result<HttpResponse, Problem> {
    let expected = caller.if_match()?;
    let id: PlanId = caller.id("plan")?;
    caller
        .write(async move |work, actor| {
            let plan = plans::set_status(work, id, status, &expected).await?;
            let version = plan.version;
            Ok(Answer::ok(&plan.seen_by(&actor.subject_path)).version(version).about(id))
        })
        .await
}

/// Put a plan on sale
#[utoipa::path(
    tag = "plans",
    security(("oauth2" = ["catalog:write"])),
    params(("id" = PlanId, Path)),
    responses(
        (status = 200, description = "On sale", body = PlanView),
    ),
)]
#[post("/plans/{id}/activate")]
async fn plans_activate(caller: Caller<need::CatalogWrite>) -> Result<HttpResponse, Problem> {
    set_status(caller, PlanStatus::Active).await
}

/// Take a plan off sale for a while
///
/// Running subscriptions go on.
#[utoipa::path(
    tag = "plans",
    security(("oauth2" = ["catalog:write"])),
    params(("id" = PlanId, Path)),
    responses(
        (status = 200, description = "Paused", body = PlanView),
    ),
)]
#[post("/plans/{id}/pause")]
async fn plans_pause(caller: Caller<need::CatalogWrite>) -> Result<HttpResponse, Problem> {
    set_status(caller, PlanStatus::Paused).await
}

/// Take a plan off sale for good
///
/// Running subscriptions go on.
#[utoipa::path(
    tag = "plans",
    security(("oauth2" = ["catalog:write"])),
    params(("id" = PlanId, Path)),
    responses(
        (status = 200, description = "Archived", body = PlanView),
    ),
)]
#[post("/plans/{id}/archive")]
async fn plans_archive(caller: Caller<need::CatalogWrite>) -> Result<HttpResponse, Problem> {
    set_status(caller, PlanStatus::Archived).await
}
