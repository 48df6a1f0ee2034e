use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::domain::services::holds::{self, On, Outcome, Placing};
use crate::model::ids::{AccountId, HoldId, OperationId, ServiceId, SubscriptionId};
use crate::model::scopes::need;
use crate::model::services::Access;
use crate::model::services::holds::{Effect, HoldScope, HoldView, TargetType};
use crate::model::services::operations::OperationView;
use crate::model::{Path, Time};
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(holds_suspend_account)
        .service(holds_resume_account)
        .service(holds_list_of_account)
        .service(holds_suspend_subscription)
        .service(holds_resume_subscription)
        .service(holds_list_of_subscription)
        .service(holds_suspend_service)
        .service(holds_resume_service)
        .service(holds_list_of_service);
}

list!(HoldList, HoldView);

/// Why, how far and until when.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Suspend {
    /// `payment`, `abuse`, `legal`, `administrative`, `voluntary` or `policy`, or one of them, a dot and a
    /// word of your own.
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = "^(payment|abuse|legal|administrative|voluntary|policy)(\\.[a-z0-9_]+)?$",
        example = "payment.card_failed"
    )]
    reason_code: String,
    /// For people.
    #[schema(min_length = 1, max_length = 500, nullable = false, example = "Invoice 2026-1143 is overdue")]
    reason: Option<String>,
    /// `suspend` if left out.
    #[serde(default = "suspend")]
    effect: Effect,
    /// `all` if left out. With `account_only` an account's own keys may read only, and what it and its customers have
    /// stays in use; that is for the suspension of accounts.
    #[serde(default = "all")]
    scope: HoldScope,
    /// Now if left out.
    #[schema(nullable = false)]
    starts_at: Option<Time>,
    /// Lifts itself then; never if left out.
    #[schema(nullable = false)]
    expires_at: Option<Time>,
}

fn suspend() -> Effect {
    Effect::Suspend
}

fn all() -> HoldScope {
    HoldScope::All
}

/// For which reason to resume.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Resume {
    /// All reasons that the key may lift holds for, if left out.
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = "^(payment|abuse|legal|administrative|voluntary|policy)(\\.[a-z0-9_]+)?$",
        nullable = false,
        example = "payment"
    )]
    reason_code: Option<String>,
}

/// What is held, and what of it is left.
#[derive(Debug, Serialize, ToSchema)]
struct HoldOutcome {
    target_type: TargetType,
    target_id: String,
    /// Whether this call placed or lifted anything. Repeating it does no harm.
    changed: bool,
    /// What all holds together leave.
    access: Access,
    /// The holds that this call placed or lifted; an equal one that was there stands for the one asked for.
    holds: Vec<HoldView>,
    /// All holds in force on the target and above it now: why it is still held.
    remaining_holds: Vec<HoldView>,
    /// Brings the access about; none when it is as it was.
    operation_id: Option<OperationId>,
    /// The operation as it ended; only in an answer that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    operation: Option<OperationView>,
}

fn answer(outcome: Outcome, viewer: &Path) -> Answer {
    let views = |holds: Vec<crate::model::services::holds::Hold>| {
        holds.into_iter().map(|hold| hold.seen_by(viewer)).collect()
    };
    let told = HoldOutcome {
        target_type: outcome.target_type,
        target_id: outcome.target_id.clone(),
        changed: outcome.changed,
        access: outcome.access,
        holds: views(outcome.holds),
        remaining_holds: views(outcome.remaining),
        operation_id: outcome.operation_id,
        operation: None,
    };
    Answer::accepted(outcome.operation_id, StatusCode::OK, &told).about(outcome.target_id)
}

async fn place(mut caller: Caller<need::ServicesSuspend>, on: On) -> Result<HttpResponse, Problem> {
    let body: Suspend = caller.json().await?;
    let role = caller.principal_type();
    let placing = Placing {
        effect: body.effect,
        scope: body.scope,
        reason_code: body.reason_code,
        reason: body.reason,
        starts_at: body.starts_at,
        expires_at: body.expires_at,
    };
    caller
        .write(async move |work, actor| {
            let outcome = holds::place(work, actor, role, on, placing).await?;
            Ok(answer(outcome, &actor.principal_path))
        })
        .await
}

async fn lift(mut caller: Caller<need::ServicesResume>, on: On) -> Result<HttpResponse, Problem> {
    let body: Resume = caller.json_or(Resume::default()).await?;
    caller
        .write(async move |work, actor| {
            let outcome = holds::lift(work, actor, on, body.reason_code.as_deref()).await?;
            Ok(answer(outcome, &actor.principal_path))
        })
        .await
}

async fn list(mut caller: Caller<need::ServicesRead>, on: On, id: String) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<HoldId> = page.after()?;
    let viewer = caller.credential.key.path.clone();
    let mut conn = caller.read().await?;
    caller.saw(&holds::path_of(&mut conn, on).await?);
    let rows = store::services::holds::page(&mut conn, &id, after, page.rows()).await?;
    let (rows, next) = page.cut(rows, |hold| hold.id);
    Ok(HoldList::answer(rows.into_iter().map(|hold| hold.seen_by(&viewer)).collect(), next))
}

/// Suspend an account
///
/// Places a hold on the account: it reaches every service of it and of all accounts below, and its keys may
/// read only. An equal hold is returned, not doubled.
#[utoipa::path(
    tag = "holds",
    security(("oauth2" = ["services:suspend"])),
    params(("id" = AccountId, Path)),
    request_body = Suspend,
    responses(
        (status = 202, description = "Held; the operation brings it about", body = HoldOutcome),
        (status = 200, description = "Held; access is as it was, or was changed within the time waited", body = HoldOutcome),
    ),
)]
#[post("/accounts/{id}/suspend")]
async fn holds_suspend_account(caller: Caller<need::ServicesSuspend>) -> Result<HttpResponse, Problem> {
    let on = On::Account(caller.account_id()?);
    place(caller, on).await
}

/// Resume an account
///
/// Lifts the holds that the caller, or an account below it, placed on the account. Those of others stay and
/// are told.
#[utoipa::path(
    tag = "holds",
    security(("oauth2" = ["services:resume"])),
    params(("id" = AccountId, Path)),
    request_body(content = Resume, description = "May be left out"),
    responses(
        (status = 202, description = "Lifted; the operation brings it about", body = HoldOutcome),
        (status = 200, description = "Access is as it was, or was changed within the time waited", body = HoldOutcome),
    ),
)]
#[post("/accounts/{id}/resume")]
async fn holds_resume_account(caller: Caller<need::ServicesResume>) -> Result<HttpResponse, Problem> {
    let on = On::Account(caller.account_id()?);
    lift(caller, on).await
}

/// List an account's holds
///
/// Those placed on the account itself, in force or not, as they were placed.
#[utoipa::path(
    tag = "holds",
    security(("oauth2" = ["services:read"])),
    params(("id" = AccountId, Path)),
    responses((status = 200, description = "Holds", body = HoldList)),
)]
#[get("/accounts/{id}/holds")]
async fn holds_list_of_account(caller: Caller<need::ServicesRead>) -> Result<HttpResponse, Problem> {
    let id = caller.account_id()?;
    list(caller, On::Account(id), id.to_string()).await
}

/// Suspend a subscription
///
/// Places a hold that reaches each of its services. An equal hold is returned, not doubled.
#[utoipa::path(
    tag = "holds",
    security(("oauth2" = ["services:suspend"])),
    params(("id" = SubscriptionId, Path)),
    request_body = Suspend,
    responses(
        (status = 202, description = "Held; the operation brings it about", body = HoldOutcome),
        (status = 200, description = "Held; access is as it was, or was changed within the time waited", body = HoldOutcome),
    ),
)]
#[post("/subscriptions/{id}/suspend")]
async fn holds_suspend_subscription(caller: Caller<need::ServicesSuspend>) -> Result<HttpResponse, Problem> {
    let on = On::Subscription(caller.id("subscription")?);
    place(caller, on).await
}

/// Resume a subscription
///
/// Lifts the holds that the caller, or an account below it, placed on the subscription. Those of others
/// stay and are told.
#[utoipa::path(
    tag = "holds",
    security(("oauth2" = ["services:resume"])),
    params(("id" = SubscriptionId, Path)),
    request_body(content = Resume, description = "May be left out"),
    responses(
        (status = 202, description = "Lifted; the operation brings it about", body = HoldOutcome),
        (status = 200, description = "Access is as it was, or was changed within the time waited", body = HoldOutcome),
    ),
)]
#[post("/subscriptions/{id}/resume")]
async fn holds_resume_subscription(caller: Caller<need::ServicesResume>) -> Result<HttpResponse, Problem> {
    let on = On::Subscription(caller.id("subscription")?);
    lift(caller, on).await
}

/// List a subscription's holds
///
/// Those placed on the subscription itself, in force or not, as they were placed.
#[utoipa::path(
    tag = "holds",
    security(("oauth2" = ["services:read"])),
    params(("id" = SubscriptionId, Path)),
    responses((status = 200, description = "Holds", body = HoldList)),
)]
#[get("/subscriptions/{id}/holds")]
async fn holds_list_of_subscription(caller: Caller<need::ServicesRead>) -> Result<HttpResponse, Problem> {
    let id: SubscriptionId = caller.id("subscription")?;
    list(caller, On::Subscription(id), id.to_string()).await
}

/// Suspend a service
///
/// Places a hold on the one service. An equal hold is returned, not doubled.
#[utoipa::path(
    tag = "holds",
    security(("oauth2" = ["services:suspend"])),
    params(("id" = ServiceId, Path)),
    request_body = Suspend,
    responses(
        (status = 202, description = "Held; the operation brings it about", body = HoldOutcome),
        (status = 200, description = "Held; access is as it was, or was changed within the time waited", body = HoldOutcome),
    ),
)]
#[post("/services/{id}/suspend")]
async fn holds_suspend_service(caller: Caller<need::ServicesSuspend>) -> Result<HttpResponse, Problem> {
    let on = On::Service(caller.id("service")?);
    place(caller, on).await
}

/// Resume a service
///
/// Lifts the holds that the caller, or an account below it, placed on the service. Those of others, and
/// those on its subscription and accounts, stay and are told.
#[utoipa::path(
    tag = "holds",
    security(("oauth2" = ["services:resume"])),
    params(("id" = ServiceId, Path)),
    request_body(content = Resume, description = "May be left out"),
    responses(
        (status = 202, description = "Lifted; the operation brings it about", body = HoldOutcome),
        (status = 200, description = "Access is as it was, or was changed within the time waited", body = HoldOutcome),
    ),
)]
#[post("/services/{id}/resume")]
async fn holds_resume_service(caller: Caller<need::ServicesResume>) -> Result<HttpResponse, Problem> {
    let on = On::Service(caller.id("service")?);
    lift(caller, on).await
}

/// List a service's holds
///
/// Those placed on the service itself, in force or not, as they were placed.
#[utoipa::path(
    tag = "holds",
    security(("oauth2" = ["services:read"])),
    params(("id" = ServiceId, Path)),
    responses((status = 200, description = "Holds", body = HoldList)),
)]
#[get("/services/{id}/holds")]
async fn holds_list_of_service(caller: Caller<need::ServicesRead>) -> Result<HttpResponse, Problem> {
    let id: ServiceId = caller.id("service")?;
    list(caller, On::Service(id), id.to_string()).await
}
