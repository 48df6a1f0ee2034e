use actix_web::{HttpResponse, get};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::domain::Error;
use crate::model::accounts::requests::RequestView;
use crate::model::ids::RequestId;
use crate::model::scopes::need;
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(requests_list).service(requests_get);
}

list!(RequestList, RequestView);

/// List requests
///
/// What the account's own keys asked and were told, the newest first; `Tenantry-Account` names another account, below the
/// caller's. Kept for 30 days, unless the operator set another time: requests that change something, and
/// those that were refused. They appear within a second or two.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["requests:read"])),
    responses((status = 200, description = "Requests", body = RequestList)),
)]
#[get("/requests")]
async fn requests_list(mut caller: Caller<need::RequestsRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let before: Option<RequestId> = page.after()?;
    let (account, _) = caller.subject().await?;
    let mut conn = caller.read().await?;
    let rows = store::accounts::requests::page(&mut conn, account, before, page.rows()).await?;
    let (rows, next) = page.cut(rows, |request| request.id);
    Ok(RequestList::answer(rows.into_iter().map(RequestView::from).collect(), next))
}

/// Get a request
///
/// By the `X-Request-Id` of its answer, which is also the `request_id` of a refusal.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["requests:read"])),
    params(("id" = RequestId, Path)),
    responses((status = 200, description = "The request", body = RequestView)),
)]
#[get("/requests/{id}")]
async fn requests_get(mut caller: Caller<need::RequestsRead>) -> Result<HttpResponse, Problem> {
    let id = caller.id("request")?;
    let found = store::accounts::requests::find(&mut caller.read().await?, id).await?;
    let request = found.ok_or(Error::NotFound("request"))?;
    caller.saw(&request.path);
    Ok(HttpResponse::Ok().json(RequestView::from(request)))
}
