use std::time::Duration;

use actix_web::{HttpResponse, get, post};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::{Code, Fault, Problem};
use crate::api::shedding::turn;
use crate::api::wait;
use crate::domain::Error;
use crate::domain::services::operations;
use crate::model::Path;
use crate::model::ids::OperationId;
use crate::model::scopes::need;
use crate::model::services::operations::OperationView;
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(operations_list).service(operations_get).service(operations_retry).service(operations_cancel);
}

list!(OperationList, OperationView);

/// List operations
#[utoipa::path(
    tag = "operations",
    security(("oauth2" = ["operations:read"])),
    responses((status = 200, description = "Operations", body = OperationList)),
)]
#[get("/operations")]
async fn operations_list(mut caller: Caller<need::OperationsRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, OperationId)> = page.after()?;
    let mut conn = caller.read().await?;
    let rows = store::services::operations::page(&mut conn, after.as_ref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |operation| (operation.path.clone(), operation.id));
    caller.saw_each(rows.iter().map(|operation| &operation.path));
    Ok(OperationList::answer(rows.into_iter().map(OperationView::from).collect(), next))
}

/// Get an operation
///
/// With `wait`, answers when it has ended, or after so many seconds.
#[utoipa::path(
    tag = "operations",
    security(("oauth2" = ["operations:read"])),
    params(
        ("id" = OperationId, Path),
        ("wait" = Option<i64>, Query, description = "Seconds to wait for its end", minimum = 0, maximum = 30, nullable = false),
    ),
    responses((status = 200, description = "The operation", body = OperationView)),
)]
#[get("/operations/{id}")]
async fn operations_get(mut caller: Caller<need::OperationsRead>) -> Result<HttpResponse, Problem> {
    let seconds = match caller.parameter("wait").map(|text| text.parse::<u64>()) {
        None => 0,
        Some(Ok(seconds)) if seconds <= 30 => seconds,
        Some(_) => {
            let fault = Fault::parameter("wait", "invalid", "must be a number from 0 to 30");
            let problem = Problem::new(Code::ValidationFailed, "A parameter is not valid.");
            return Err(problem.with_errors(vec![fault]));
        }
    };
    let id = caller.id("operation")?;
    let reach = caller.reach().await?;
    caller.allow(Some(Duration::from_secs(seconds)));
    if let Some(turn) = turn(&caller.request).filter(|_| seconds > 0) {
        turn.rest();
    }
    let found = wait::ended(&caller.state, &reach, id, Duration::from_secs(seconds)).await?;
    let operation = found.ok_or(Error::NotFound("operation"))?;
    caller.saw(&operation.path);
    Ok(HttpResponse::Ok().json(OperationView::from(operation)))
}

/// Retry an operation
///
/// One that failed for a reason that may have passed, or that needs attention. Steps that were done stay done.
#[utoipa::path(
    tag = "operations",
    security(("oauth2" = ["operations:write"])),
    params(("id" = OperationId, Path)),
    responses((status = 200, description = "Queued again", body = OperationView)),
)]
#[post("/operations/{id}/retry")]
async fn operations_retry(caller: Caller<need::OperationsWrite>) -> Result<HttpResponse, Problem> {
    let id = caller.id("operation")?;
    caller
        .write(async move |work, _| {
            let operation = operations::retry(work, id).await?;
            Ok(Answer::ok(&OperationView::from(operation)).about(id).queued())
        })
        .await
}

/// Cancel an operation
///
/// As long as nothing of it has been begun.
#[utoipa::path(
    tag = "operations",
    security(("oauth2" = ["operations:write"])),
    params(("id" = OperationId, Path)),
    responses((status = 200, description = "Cancelled", body = OperationView)),
)]
#[post("/operations/{id}/cancel")]
async fn operations_cancel(caller: Caller<need::OperationsWrite>) -> Result<HttpResponse, Problem> {
    let id = caller.id("operation")?;
    caller
        .write(async move |work, _| {
            let operation = operations::cancel(work, id).await?;
            Ok(Answer::ok(&OperationView::from(operation)).about(id))
        })
        .await
}
