use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use super::batches::{answer as batch_answer, sealed};
use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::domain::Error;
use crate::domain::bulk::batches::{self, Leaving};
use crate::domain::bulk::reconciles;
use crate::model::Path;
use crate::model::bulk::{
    BatchView, Believed, DifferenceKind, DifferenceView, ReconcileRun, ReconcileRunView,
};
use crate::model::ids::{AccountId, BatchId, ReconcileRunId};
use crate::model::scopes::need;
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(reconcile_runs_list)
        .service(reconcile_runs_create)
        .service(reconcile_runs_get)
        .service(reconcile_runs_add_rows)
        .service(reconcile_runs_compare)
        .service(reconcile_differences_list)
        .service(reconcile_runs_apply);
}

list!(ReconcileRunList, ReconcileRunView);
list!(ReconcileDifferenceList, DifferenceView);

/// List reconcile runs
///
/// Those of the caller's account and of all below it, for 30 days.
#[utoipa::path(
    tag = "reconcile",
    security(("oauth2" = ["reconcile:read"])),
    responses((status = 200, description = "Reconcile runs", body = ReconcileRunList)),
)]
#[get("/reconcile_runs")]
async fn reconcile_runs_list(mut caller: Caller<need::ReconcileRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, ReconcileRunId)> = page.after()?;
    let mut conn = caller.read().await?;
    let rows = store::bulk::reconciles::page(&mut conn, after.as_ref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |run| (run.path.clone(), run.id));
    caller.saw_each(rows.iter().map(|run| &run.path));
    Ok(ReconcileRunList::answer(rows.into_iter().map(ReconcileRunView::from).collect(), next))
}

/// What is to be compared.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewReconcileRun {
    /// The subscriptions at and below this account; the account acted for if left out.
    #[schema(nullable = false)]
    account_id: Option<AccountId>,
}

/// Begin a reconcile run
///
/// Your system says what it believes of its subscriptions, and is told where it is wrong: post rows, then `compare`, then read
/// the differences. Nothing is changed by that; `apply` leaves a batch of the repairs you choose.
#[utoipa::path(
    tag = "reconcile",
    security(("oauth2" = ["reconcile:write"])),
    request_body(content = NewReconcileRun, description = "May be left out"),
    responses((status = 201, description = "Open for rows", body = ReconcileRunView)),
)]
#[post("/reconcile_runs")]
async fn reconcile_runs_create(mut caller: Caller<need::ReconcileWrite>) -> Result<HttpResponse, Problem> {
    let NewReconcileRun { account_id } = caller.json_or(NewReconcileRun::default()).await?;
    caller
        .write(async move |work, actor| {
            let run = reconciles::create(work, actor, account_id).await?;
            let (id, version) = (run.id, run.version);
            let place = format!("/v1/reconcile_runs/{id}");
            Ok(Answer::made(true, place, &ReconcileRunView::from(run)).version(version).about(id))
        })
        .await
}

/// Get a reconcile run
#[utoipa::path(
    tag = "reconcile",
    security(("oauth2" = ["reconcile:read"])),
    params(("id" = ReconcileRunId, Path)),
    responses((status = 200, description = "The reconcile run", body = ReconcileRunView)),
)]
#[get("/reconcile_runs/{id}")]
async fn reconcile_runs_get(mut caller: Caller<need::ReconcileRead>) -> Result<HttpResponse, Problem> {
    let id = caller.id("reconcile run")?;
    let run = find(&mut caller, id).await?;
    caller.show(run.version, &ReconcileRunView::from(run))
}

async fn find<S>(caller: &mut Caller<S>, id: ReconcileRunId) -> Result<ReconcileRun, Problem> {
    let found = store::bulk::reconciles::find(&mut caller.read().await?, id).await?;
    let run = found.ok_or(Error::NotFound("reconcile run"))?;
    caller.saw(&run.path);
    Ok(run)
}

/// What is believed of some subscriptions.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewReconcileRows {
    #[schema(min_items = 1, max_items = 1000)]
    rows: Vec<Believed>,
}

fn answer(run: ReconcileRun) -> Answer {
    let (id, version) = (run.id, run.version);
    Answer::ok(&ReconcileRunView::from(run)).version(version).about(id)
}

/// Add rows to a reconcile run
///
/// A thousand at once, 200,000 in all. Of two rows of one name the later one is kept, so that rows can be sent again.
#[utoipa::path(
    tag = "reconcile",
    security(("oauth2" = ["reconcile:write"])),
    params(("id" = ReconcileRunId, Path)),
    request_body = NewReconcileRows,
    responses((status = 200, description = "Kept", body = ReconcileRunView)),
)]
#[post("/reconcile_runs/{id}/rows")]
async fn reconcile_runs_add_rows(mut caller: Caller<need::ReconcileWrite>) -> Result<HttpResponse, Problem> {
    let NewReconcileRows { rows } = caller.json().await?;
    let id = caller.id("reconcile run")?;
    caller
        .write(async move |work, actor| reconciles::add_rows(work, actor, id, &rows).await.map(answer))
        .await
}

/// Compare a reconcile run
///
/// Its rows with the subscriptions, and these with its rows: one that runs and has no row is a difference too. It takes some
/// seconds for a hundred thousand; the event is `reconcile_run.compared`. Asking again changes nothing.
#[utoipa::path(
    tag = "reconcile",
    security(("oauth2" = ["reconcile:write"])),
    params(("id" = ReconcileRunId, Path)),
    responses((status = 202, description = "Being compared, or compared already", body = ReconcileRunView)),
)]
#[post("/reconcile_runs/{id}/compare")]
async fn reconcile_runs_compare(caller: Caller<need::ReconcileWrite>) -> Result<HttpResponse, Problem> {
    let id = caller.id("reconcile run")?;
    caller
        .write(async move |work, actor| {
            let run = reconciles::compare(work, actor, id).await?;
            let place = Some(format!("/v1/reconcile_runs/{id}"));
            let answer = Answer { status: StatusCode::ACCEPTED.as_u16(), location: place, ..answer(run) };
            Ok(answer.queued())
        })
        .await
}

/// List differences
///
/// Where the rows and what is differ, with the request that would repair it, if there is one.
#[utoipa::path(
    tag = "reconcile",
    security(("oauth2" = ["reconcile:read"])),
    params(
        ("id" = ReconcileRunId, Path),
        ("kind" = Option<DifferenceKind>, Query, description = "Those of this kind alone", nullable = false),
    ),
    responses((status = 200, description = "Differences", body = ReconcileDifferenceList)),
)]
#[get("/reconcile_runs/{id}/differences")]
async fn reconcile_differences_list(
    mut caller: Caller<need::ReconcileRead>,
) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<i64> = page.after()?;
    let kind = caller.choice("kind", DifferenceKind::ALL)?;
    let id = caller.id("reconcile run")?;
    find(&mut caller, id).await?;
    let (mut conn, after) = (caller.read().await?, after.unwrap_or(-1));
    let rows = store::bulk::reconciles::differences(&mut conn, id, kind, after, page.rows()).await?;
    let (rows, next) = page.cut(rows, |difference| difference.place);
    Ok(ReconcileDifferenceList::answer(rows.into_iter().map(DifferenceView::from).collect(), next))
}

/// Which repairs are to be made.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReconcileRepairs {
    /// Those of differences of these kinds.
    #[schema(min_items = 1, max_items = 7)]
    kinds: Vec<DifferenceKind>,
    /// Tries each with `dry_run=true`: its answer says whether it would be refused, and nothing is changed.
    #[serde(default)]
    dry_run: bool,
}

/// Repair differences
///
/// Leaves a batch of the repairs, up to 10,000, which are sent within an hour of the comparison or not at all. Each is a
/// request that your credential must have the scope for: a change of plan or quantity is an order. Those of `ended` cancel at
/// once. Try it with `dry_run` first.
#[utoipa::path(
    tag = "reconcile",
    security(("oauth2" = ["reconcile:write"])),
    params(("id" = ReconcileRunId, Path)),
    request_body = ReconcileRepairs,
    responses((status = 202, description = "Left to be sent; `GET /v1/batches/{id}` tells how far it is", body = BatchView)),
)]
#[post("/reconcile_runs/{id}/apply")]
async fn reconcile_runs_apply(mut caller: Caller<need::ReconcileWrite>) -> Result<HttpResponse, Problem> {
    let ReconcileRepairs { kinds, dry_run } = caller.json().await?;
    let run: ReconcileRunId = caller.id("reconcile run")?;
    let kinds: BTreeSet<_> = kinds.into_iter().collect();
    let actor = caller.actor().await?;
    let (run, repairs, good_until) =
        reconciles::repairs(&mut caller.read().await?, &actor, run, &kinds).await?;
    caller.saw(&run.path);
    let (claims, id) = (caller.claims(), BatchId::new());
    let seal = |(place, item)| sealed(&caller.state.sealer, actor.subject_id, id, place, item);
    let repairs = repairs.into_iter().filter_map(|difference| difference.repair);
    let items = (0..).zip(repairs.map(|repair| repair.0.into())).map(seal).collect();
    let leaving = Leaving { id, claims, body: None, items, dry_run, good_until };
    caller
        .write(async move |work, actor| {
            let batch = batches::create(work, actor, leaving).await?;
            Ok(batch_answer(StatusCode::ACCEPTED, batch))
        })
        .await
}
