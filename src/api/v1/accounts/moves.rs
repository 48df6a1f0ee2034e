use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::domain::accounts::moves;
use crate::model::accounts::accounts::AccountView;
use crate::model::ids::{AccountId, OperationId};
use crate::model::scopes::need;
use crate::model::services::operations::OperationView;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(accounts_move);
}

/// Where an account is to stand.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct AccountMove {
    /// The account it is to stand directly below.
    parent_id: AccountId,
}

/// An account where it stands now.
#[derive(Debug, Serialize, ToSchema)]
struct MovedAccount {
    #[serde(flatten)]
    account: AccountView,
    /// Brings the access of its services about; none where the same holds reach them as before.
    operation_id: Option<OperationId>,
    /// The operation as it ended; only in an answer that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    operation: Option<OperationView>,
}

/// Move an account
///
/// Below another account, with all below it and all that belongs to them: subscriptions, services, keys, events, its test
/// account. The account, the one that it leaves and the one that it is to stand below must be in the caller's reach.
///
/// Keys and tokens of those who stood above it, and do no longer, reach nothing of it from then on; its own go on as they
/// are. Operations in flight come to their end, and their events are told to those who stand above it then. What it uses
/// is counted by the ceilings of its new place: where they do not suffice, nothing is moved (409 `quota_exceeded`).
/// Subscriptions keep their plans and terms. Holds that were placed by those it leaves can be lifted by its new seller;
/// names (`external_id`) that they gave are theirs, and gone. An account that lets nobody above it act (`delegation`) is not
/// moved.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["accounts:write"])),
    params(("id" = AccountId, Path)),
    request_body = AccountMove,
    responses(
        (status = 200, description = "Moved; access is as it was, or was changed within the time waited", body = MovedAccount),
        (status = 202, description = "Moved; the operation brings about what the holds at its new place say", body = MovedAccount),
    ),
)]
#[post("/accounts/{id}/move")]
async fn accounts_move(mut caller: Caller<need::AccountsWrite>) -> Result<HttpResponse, Problem> {
    let (body, expected): (AccountMove, _) = (caller.json().await?, caller.if_match()?);
    let id = caller.account_id()?;
    caller
        .write(async move |work, actor| {
            let moved = moves::below(work, actor, id, body.parent_id, &expected).await?;
            let version = moved.account.version;
            let account = moved.account.seen_by(&actor.principal_path);
            let shown = account.clone();
            let told = MovedAccount { account, operation_id: moved.operation_id, operation: None };
            let answer = Answer::accepted(moved.operation_id, StatusCode::OK, &told);
            Ok(answer.version_of(version, &shown).about(id))
        })
        .await
}
