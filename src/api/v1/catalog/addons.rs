use std::collections::BTreeMap;

use actix_web::{HttpResponse, get, patch, post};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::api::v1::fields;
use crate::domain::Error;
use crate::domain::catalog::addons::{self, Change, Draft};
use crate::model::Path;
use crate::model::catalog::addons::{AddonTerms, AddonView};
use crate::model::catalog::plans::PlanStatus;
use crate::model::ids::AddonId;
use crate::model::scopes::need;
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(addons_list).service(addons_create).service(addons_get).service(addons_update);
}

list!(AddonList, AddonView);

/// A new add-on.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAddon {
    /// By which orders name it; unique in the account.
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9][a-z0-9_.-]*$", example = "storage-10g")]
    code: String,
    #[validate(custom(function = fields::name))]
    #[schema(min_length = 1, max_length = 128, example = "10 GB more")]
    name: String,
    /// Whether it is on sale at once; `active` if left out.
    #[serde(default = "active")]
    status: PlanStatus,
    terms: AddonTerms,
    #[serde(default)]
    #[validate(custom(function = fields::metadata))]
    metadata: BTreeMap<String, String>,
}

fn active() -> PlanStatus {
    PlanStatus::Active
}

/// List add-ons
///
/// The caller's own and those below, and, while they are on sale, those of the accounts above.
#[utoipa::path(
    tag = "addons",
    security(("oauth2" = ["catalog:read"])),
    responses((status = 200, description = "Add-ons", body = AddonList)),
)]
#[get("/addons")]
async fn addons_list(mut caller: Caller<need::CatalogRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, AddonId)> = page.after()?;
    let (_, viewer) = caller.subject().await?;
    let mut conn = caller.read().await?;
    let rows = store::catalog::addons::visible(&mut conn, &viewer, after.as_ref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |addon| (addon.path.clone(), addon.id));
    Ok(AddonList::answer(rows.into_iter().map(|addon| addon.seen_by(&viewer)).collect(), next))
}

/// Make an add-on
///
/// It raises quotas of subscriptions beside their plans, as often as one has it. Orders and `change_addon` add it.
#[utoipa::path(
    tag = "addons",
    security(("oauth2" = ["catalog:write"])),
    request_body = NewAddon,
    responses((status = 201, description = "Made", body = AddonView)),
)]
#[post("/addons")]
async fn addons_create(mut caller: Caller<need::CatalogWrite>) -> Result<HttpResponse, Problem> {
    let body: NewAddon = caller.json().await?;
    let NewAddon { code, name, status, terms, metadata } = body;
    let draft = Draft { code, name, status, terms, metadata };
    caller
        .write(async move |work, actor| {
            let addon = addons::create(work, actor, draft).await?;
            let (id, version) = (addon.id, addon.version);
            let view = addon.seen_by(&actor.subject_path);
            Ok(Answer::made(true, format!("/v1/addons/{id}"), &view).version(version).about(id))
        })
        .await
}

/// Get an add-on
#[utoipa::path(
    tag = "addons",
    security(("oauth2" = ["catalog:read"])),
    params(("id" = AddonId, Path)),
    responses((status = 200, description = "The add-on", body = AddonView)),
)]
#[get("/addons/{id}")]
async fn addons_get(mut caller: Caller<need::CatalogRead>) -> Result<HttpResponse, Problem> {
    let id: AddonId = caller.id("add-on")?;
    let (_, viewer) = caller.subject().await?;
    let mut conn = caller.read().await?;
    let found = match store::catalog::addons::find(&mut conn, id).await? {
        Some(addon) => Some(addon),
        None => store::catalog::addons::offered(&mut conn, &viewer, &id.to_string()).await?,
    };
    let addon = found.ok_or(Error::NotFound("add-on"))?;
    let version = addon.version;
    caller.saw(&addon.path);
    caller.show(version, &addon.seen_by(&viewer))
}

/// What is to change of an add-on; what is left out stays.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddonChange {
    #[validate(custom(function = fields::name))]
    #[schema(min_length = 1, max_length = 128, nullable = false)]
    name: Option<String>,
    /// Only what is `active` can be ordered; what is `archived` stays so.
    #[schema(nullable = false)]
    status: Option<PlanStatus>,
    /// In place of all that its terms were: what is left out of them is as it would be of a new add-on.
    #[schema(nullable = false)]
    terms: Option<AddonTerms>,
    #[validate(custom(function = fields::metadata))]
    #[schema(nullable = false)]
    metadata: Option<BTreeMap<String, String>>,
}

/// Change an add-on
///
/// For orders from now on. Subscriptions that have it keep it in the terms and at the price that they ordered it, also when
/// they come to have more or less of it.
#[utoipa::path(
    tag = "addons",
    security(("oauth2" = ["catalog:write"])),
    params(("id" = AddonId, Path)),
    request_body = AddonChange,
    responses((status = 200, description = "Changed", body = AddonView)),
)]
#[patch("/addons/{id}")]
async fn addons_update(mut caller: Caller<need::CatalogWrite>) -> Result<HttpResponse, Problem> {
    let (body, expected): (AddonChange, _) = (caller.json().await?, caller.if_match()?);
    let id = caller.id("add-on")?;
    let AddonChange { name, status, terms, metadata } = body;
    caller
        .write(async move |work, actor| {
            let change = Change { name, status, terms, metadata };
            let addon = addons::change(work, actor, id, change, &expected).await?;
            let version = addon.version;
            Ok(Answer::ok(&addon.seen_by(&actor.subject_path)).version(version).about(id))
        })
        .await
}
