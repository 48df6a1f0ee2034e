use actix_web::{HttpResponse, get, post};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::{Code, Fault, Problem};
use crate::domain::Error;
use crate::domain::quotas::requests::{self, Asking, Decision};
use crate::model::Path;
use crate::model::ids::{AccountId, QuotaRequestId};
use crate::model::quotas::{QuotaKey, QuotaRequest, QuotaRequestStatus, QuotaRequestView};
use crate::model::scopes::need;
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(quota_requests_list)
        .service(quota_requests_create)
        .service(quota_requests_get)
        .service(quota_requests_approve)
        .service(quota_requests_reject)
        .service(quota_requests_withdraw);
}

list!(QuotaRequestList, QuotaRequestView);

/// List quota requests
///
/// Those of the caller's account and of all below it.
#[utoipa::path(
    tag = "quotas",
    security(("oauth2" = ["quotas:read"])),
    params(("status" = Option<String>, Query, description = "`pending` alone can be asked for", nullable = false, pattern = "^pending$")),
    responses((status = 200, description = "Quota requests", body = QuotaRequestList)),
)]
#[get("/quota_requests")]
async fn quota_requests_list(mut caller: Caller<need::QuotasRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, QuotaRequestId)> = page.after()?;
    let after = after.as_ref();
    let status = caller.parameter("status");
    let mut conn = caller.read().await?;
    let rows = match status.as_deref() {
        None => store::quotas::requests::page(&mut conn, after, page.rows()).await?,
        Some(status) if status == QuotaRequestStatus::Pending.as_str() => {
            store::quotas::requests::pending(&mut conn, after, page.rows()).await?
        }
        Some(_) => {
            let fault = Fault::parameter("status", "invalid", "must be pending");
            let problem = Problem::new(Code::ValidationFailed, "A parameter is not valid.");
            return Err(problem.with_errors(vec![fault]));
        }
    };
    let (rows, next) = page.cut(rows, |request| (request.path.clone(), request.id));
    caller.saw_each(rows.iter().map(|request| &request.path));
    Ok(QuotaRequestList::answer(rows.into_iter().map(QuotaRequestView::from).collect(), next))
}

/// A new quota request.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewQuotaRequest {
    /// Whose ceiling is to be raised; the account's that is acted for if left out.
    #[schema(nullable = false)]
    account_id: Option<AccountId>,
    key: QuotaKey,
    /// What the ceiling is to be, in the quota's unit: more than it is.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_i64, example = 500)]
    ceiling: i64,
    /// For whoever decides.
    #[schema(
        min_length = 1,
        max_length = 500,
        nullable = false,
        example = "A school of 400 begins in September"
    )]
    reason: Option<String>,
}

/// Ask for a higher ceiling
///
/// An account, or one above it in its name, asks for one of its ceilings to be raised; each account above can say yes or no.
/// Of one quota one request at a time is pending. A refusal for want of quota has this call among its `remedies` where it
/// would help.
#[utoipa::path(
    tag = "quotas",
    security(("oauth2" = ["quotas:write"])),
    request_body = NewQuotaRequest,
    responses((status = 201, description = "Asked", body = QuotaRequestView)),
)]
#[post("/quota_requests")]
async fn quota_requests_create(mut caller: Caller<need::QuotasWrite>) -> Result<HttpResponse, Problem> {
    let NewQuotaRequest { account_id, key, ceiling, reason } = caller.json().await?;
    let asking = Asking { account_id, key, ceiling, reason };
    caller
        .write(async move |work, actor| {
            let request = requests::create(work, actor, asking).await?;
            let (id, version) = (request.id, request.version);
            let view = QuotaRequestView::from(request);
            Ok(Answer::made(true, format!("/v1/quota_requests/{id}"), &view).version(version).about(id))
        })
        .await
}

/// Get a quota request
#[utoipa::path(
    tag = "quotas",
    security(("oauth2" = ["quotas:read"])),
    params(("id" = QuotaRequestId, Path)),
    responses((status = 200, description = "The quota request", body = QuotaRequestView)),
)]
#[get("/quota_requests/{id}")]
async fn quota_requests_get(mut caller: Caller<need::QuotasRead>) -> Result<HttpResponse, Problem> {
    let id = caller.id("quota request")?;
    let found = store::quotas::requests::find(&mut caller.read().await?, id).await?;
    let request = found.ok_or(Error::NotFound("quota request"))?;
    caller.saw(&request.path);
    caller.show(request.version, &QuotaRequestView::from(request))
}

fn answer(request: QuotaRequest) -> Answer {
    let (id, version) = (request.id, request.version);
    Answer::ok(&QuotaRequestView::from(request)).version(version).about(id)
}

/// What is said with an approval.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct QuotaApproval {
    /// Another ceiling than the one that was asked for; more than it is now.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_i64, nullable = false)]
    ceiling: Option<i64>,
    /// For whoever asked.
    #[schema(min_length = 1, max_length = 500, nullable = false)]
    note: Option<String>,
}

/// Approve a quota request
///
/// By an account above the one whose it is, which must be open and have a ceiling still. The ceiling is set as by `PUT /v1/accounts/{id}/quotas/{key}`, and stays `shared` or
/// `allocated` as it was. One that was approved already stays as it is.
#[utoipa::path(
    tag = "quotas",
    security(("oauth2" = ["quotas:approve"])),
    params(("id" = QuotaRequestId, Path)),
    request_body(content = QuotaApproval, description = "May be left out"),
    responses((status = 200, description = "Approved", body = QuotaRequestView)),
)]
#[post("/quota_requests/{id}/approve")]
async fn quota_requests_approve(mut caller: Caller<need::QuotasApprove>) -> Result<HttpResponse, Problem> {
    let QuotaApproval { ceiling, note } = caller.json_or(QuotaApproval::default()).await?;
    let (id, expected) = (caller.id("quota request")?, caller.if_match()?);
    caller
        .write(async move |work, actor| {
            requests::approve(work, actor, id, Decision { ceiling, note }, &expected).await.map(answer)
        })
        .await
}

/// What is said with a rejection.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct QuotaRejection {
    /// For whoever asked.
    #[schema(min_length = 1, max_length = 500, nullable = false)]
    note: Option<String>,
}

/// Reject a quota request
///
/// By an account above the one that asked.
#[utoipa::path(
    tag = "quotas",
    security(("oauth2" = ["quotas:approve"])),
    params(("id" = QuotaRequestId, Path)),
    request_body(content = QuotaRejection, description = "May be left out"),
    responses((status = 200, description = "Rejected", body = QuotaRequestView)),
)]
#[post("/quota_requests/{id}/reject")]
async fn quota_requests_reject(mut caller: Caller<need::QuotasApprove>) -> Result<HttpResponse, Problem> {
    let QuotaRejection { note } = caller.json_or(QuotaRejection::default()).await?;
    let (id, expected) = (caller.id("quota request")?, caller.if_match()?);
    caller
        .write(async move |work, actor| requests::reject(work, actor, id, note, &expected).await.map(answer))
        .await
}

/// Withdraw a quota request
///
/// By the account whose it is, as long as nobody has decided; those above reject it.
#[utoipa::path(
    tag = "quotas",
    security(("oauth2" = ["quotas:write"])),
    params(("id" = QuotaRequestId, Path)),
    responses((status = 200, description = "Withdrawn", body = QuotaRequestView)),
)]
#[post("/quota_requests/{id}/withdraw")]
async fn quota_requests_withdraw(caller: Caller<need::QuotasWrite>) -> Result<HttpResponse, Problem> {
    let (id, expected) = (caller.id("quota request")?, caller.if_match()?);
    caller
        .write(async move |work, actor| requests::withdraw(work, actor, id, &expected).await.map(answer))
        .await
}
