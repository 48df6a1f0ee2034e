use actix_web::{HttpResponse, delete, post};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::domain::accounts::closings;
use crate::model::accounts::accounts::AccountView;
use crate::model::ids::AccountId;
use crate::model::scopes::need;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(accounts_close).service(accounts_reopen);
}

/// Close an account
///
/// One below the caller's, in which nothing runs any more: its subscriptions have ended and all accounts below it are
/// closed, or it is refused (409 `account_not_empty`). Its keys and tokens, those of its test account and of all below that
/// are good for nothing from then on, and nothing can be ordered or made in it. What it had stays to be looked at, and
/// `reopen` takes the closing back. One that is closed already is left as it is.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["accounts:write"])),
    params(("id" = AccountId, Path)),
    responses((status = 200, description = "Closed", body = AccountView)),
)]
#[delete("/accounts/{id}")]
async fn accounts_close(caller: Caller<need::AccountsWrite>) -> Result<HttpResponse, Problem> {
    let (id, expected) = (caller.account_id()?, caller.if_match()?);
    caller
        .write(async move |work, actor| {
            let account = closings::close(work, actor, id, &expected).await?;
            let version = account.version;
            Ok(Answer::ok(&account.seen_by(&actor.principal_path)).version(version).about(id))
        })
        .await
}

/// Reopen an account
///
/// The account above it must be open. Keys that were not revoked and have not expired are good again, also those of its
/// test account; accounts that stood below it stay closed until they are reopened themselves. One that is open is left as it
/// is.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["accounts:write"])),
    params(("id" = AccountId, Path)),
    responses((status = 200, description = "Open", body = AccountView)),
)]
#[post("/accounts/{id}/reopen")]
async fn accounts_reopen(caller: Caller<need::AccountsWrite>) -> Result<HttpResponse, Problem> {
    let (id, expected) = (caller.account_id()?, caller.if_match()?);
    caller
        .write(async move |work, actor| {
            let account = closings::reopen(work, id, &expected).await?;
            let version = account.version;
            Ok(Answer::ok(&account.seen_by(&actor.principal_path)).version(version).about(id))
        })
        .await
}
