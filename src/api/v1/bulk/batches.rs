use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, get, post};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::access::seal::{Context, Sealer};
use crate::api::answer::Answer;
use crate::api::body::{MAX_FAULTS, invalid};
use crate::api::caller::Caller;
use crate::api::problem::{Fault, Problem};
use crate::api::routes::Routes;
use crate::domain::Error;
use crate::domain::bulk::batches::{self, Leaving};
use crate::model::Path;
use crate::model::bulk::{Batch, BatchItemStatus, BatchItemView, BatchMethod, BatchView, Repair, item_id};
use crate::model::ids::{AccountId, BatchId};
use crate::model::scopes::need;
use crate::store;
use crate::store::bulk::batches::NewBatchItem;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(batches_list)
        .service(batches_create)
        .service(batches_get)
        .service(batch_items_list)
        .service(batches_retry_failed)
        .service(batches_cancel);
}

list!(BatchList, BatchView);
list!(BatchItemList, BatchItemView);

/// List batches
///
/// Those of the caller's account and of all below it, for 30 days after they ended.
#[utoipa::path(
    tag = "batches",
    security(("oauth2" = ["batches:read"])),
    responses((status = 200, description = "Batches", body = BatchList)),
)]
#[get("/batches")]
async fn batches_list(mut caller: Caller<need::BatchesRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, BatchId)> = page.after()?;
    let rows = store::bulk::batches::page(&mut caller.read().await?, after.as_ref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |batch| (batch.path.clone(), batch.id));
    caller.saw_each(rows.iter().map(|batch| &batch.path));
    Ok(BatchList::answer(rows.into_iter().map(BatchView::from).collect(), next))
}

/// One request of a batch.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewBatchItem)]
pub(super) struct NewBatchItemBody {
    method: BatchMethod,
    /// Of an operation of this API that takes an `Idempotency-Key`, without a query. Those that answer with a secret, and
    /// batches, are not taken.
    #[schema(
        max_length = 500,
        pattern = "^/v1/[A-Za-z0-9_./-]+$",
        example = "/v1/services/svc_01jq3v8z0kf5n9d2t7x4m6c1ab/suspend"
    )]
    path: String,
    /// Acts for this account, as `Tenantry-Account` says it; the batch's if left out.
    #[schema(nullable = false)]
    account_id: Option<AccountId>,
    /// What the request says in `If-Match`.
    #[schema(min_length = 1, max_length = 200, pattern = "^[!-~]+( [!-~]+)*$", nullable = false)]
    if_match: Option<String>,
    /// The request's body. It is kept sealed until the request is done, and told to nobody.
    #[schema(nullable = false)]
    body: Option<Map<String, Value>>,
}

impl From<Repair> for NewBatchItemBody {
    fn from(Repair { method, path, body }: Repair) -> Self {
        let body = match body {
            Value::Object(body) => Some(body),
            _ => None,
        };
        Self { method, path, account_id: None, if_match: None, body }
    }
}

/// A new batch.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewBatch {
    /// In the order in which they are to be sent.
    #[schema(min_items = 1, max_items = 500)]
    items: Vec<NewBatchItemBody>,
    /// Tries each request with `dry_run=true`: its answer says whether it would be refused, and nothing is changed.
    #[serde(default)]
    dry_run: bool,
}

/// Leave a batch
///
/// Up to 500 requests of this API, in a body of up to 5 MiB. They are sent by a worker in their order, one after the other, in
/// the name of the credential that left them, with its rights as they are by then: what ends a key or a token ends it for them
/// too, and so does the token's own end. Each has an idempotency key of its own and is done once, whatever happens meanwhile.
/// One that is refused stops none of the others; where the refusal may pass (`retryable`) it is sent five times in all, with
/// the others waiting. They count for no rate limit, and all that they set off waits for what was asked for by itself: a batch
/// never keeps a suspension or its end waiting. It stands with the account that is acted for, whose own credentials see it and
/// cannot change it if an account above has left it.
#[utoipa::path(
    tag = "batches",
    security(("oauth2" = ["batches:write"])),
    request_body = NewBatch,
    responses((status = 202, description = "Left to be sent; `GET /v1/batches/{id}` tells how far it is", body = BatchView)),
)]
#[post("/batches")]
async fn batches_create(mut caller: Caller<need::BatchesWrite>) -> Result<HttpResponse, Problem> {
    let NewBatch { items, dry_run } = caller.json().await?;
    check(&caller.state.routes, &items)?;
    let claims = caller.claims();
    // Before the transaction, which others wait for.
    let (id, (account, _)) = (BatchId::new(), caller.subject().await?);
    let seal = |(place, item)| sealed(&caller.state.sealer, account, id, place, item);
    let items = (0..).zip(items).map(seal).collect();
    let good_until = caller.now.plus(caller.state.replies_kept);
    let leaving = Leaving { id, claims, body: None, items, dry_run, good_until };
    caller
        .write(async move |work, actor| {
            let batch = batches::create(work, actor, leaving).await?;
            Ok(answer(StatusCode::ACCEPTED, batch))
        })
        .await
}

/// Refuses what is no request that a batch can have.
fn check(routes: &Routes, items: &[NewBatchItemBody]) -> Result<(), Problem> {
    let mut faults = Vec::new();
    for (at, item) in items.iter().enumerate() {
        faults.extend(check_operation(routes, item.method, &item.path, &format!("/items/{at}/path")).err());
    }
    match faults.is_empty() {
        true => Ok(()),
        false => {
            faults.truncate(MAX_FAULTS);
            Err(invalid(faults))
        }
    }
}

/// Whether a batch can have the operation that is at a path.
pub(super) fn check_operation(
    routes: &Routes,
    method: BatchMethod,
    path: &str,
    at: &str,
) -> Result<(), Fault> {
    let named = Method::from_bytes(method.as_str().as_bytes()).expect("it is a method");
    match routes.of_request(&named, path) {
        None => Err(Fault::at(at, "unknown_operation", format!("{method} is not known there"))),
        Some(route) if !route.in_batches => {
            let detail = format!("{} cannot be left in a batch", route.operation_id);
            Err(Fault::at(at, "not_in_batches", detail))
        }
        Some(_) => Ok(()),
    }
}

pub(super) fn sealed(
    sealer: &Sealer,
    account: AccountId,
    batch: BatchId,
    place: i64,
    item: NewBatchItemBody,
) -> NewBatchItem {
    let id = item_id(batch, place);
    let account_id = account.to_string();
    let context = Context { table: "batch_items", column: "body", account_id: &account_id, record_id: &id };
    let seal = |body: Map<String, Value>| sealer.seal(&context, Value::Object(body).to_string().as_bytes());
    NewBatchItem {
        body: item.body.map(seal),
        id,
        place,
        method: item.method,
        target: item.path,
        subject_id: item.account_id,
        if_match: item.if_match,
    }
}

pub(super) fn answer(status: StatusCode, batch: Batch) -> Answer {
    let (id, version) = (batch.id, batch.version);
    let answer = Answer::new(status, &BatchView::from(batch)).version(version).about(id);
    Answer { location: Some(format!("/v1/batches/{id}")), ..answer }.queued()
}

/// Get a batch
#[utoipa::path(
    tag = "batches",
    security(("oauth2" = ["batches:read"])),
    params(("id" = BatchId, Path)),
    responses((status = 200, description = "The batch", body = BatchView)),
)]
#[get("/batches/{id}")]
async fn batches_get(mut caller: Caller<need::BatchesRead>) -> Result<HttpResponse, Problem> {
    let id = caller.id("batch")?;
    let found = store::bulk::batches::find(&mut caller.read().await?, id).await?;
    let batch = found.ok_or(Error::NotFound("batch"))?;
    caller.saw(&batch.path);
    caller.show(batch.version, &BatchView::from(batch))
}

/// List a batch's requests
///
/// In their order, with what each was answered.
#[utoipa::path(
    tag = "batches",
    security(("oauth2" = ["batches:read"])),
    params(
        ("id" = BatchId, Path),
        ("status" = Option<BatchItemStatus>, Query, description = "Those that stand so alone", nullable = false),
    ),
    responses((status = 200, description = "Its requests", body = BatchItemList)),
)]
#[get("/batches/{id}/items")]
async fn batch_items_list(mut caller: Caller<need::BatchesRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<String> = page.after()?;
    let status = caller.choice("status", BatchItemStatus::ALL)?;
    let id: BatchId = caller.id("batch")?;
    let mut conn = caller.read().await?;
    let batch = store::bulk::batches::find(&mut conn, id).await?.ok_or(Error::NotFound("batch"))?;
    let rows = store::bulk::batches::items(&mut conn, id, status, after.as_deref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |item| item.id.clone());
    let theirs = batches::is_theirs(&mut conn, batch.principal_id, caller.credential.key.account_id).await?;
    caller.saw(&batch.path);
    let view = |item| match theirs {
        true => BatchItemView::from(item),
        false => BatchItemView::from(item).for_those_below(),
    };
    Ok(BatchItemList::answer(rows.into_iter().map(view).collect(), next))
}

/// Send again what was refused
///
/// Of a batch that has ended; the requests that were refused are sent again in their order, under the same idempotency keys
/// and in the name of the credential that says so, which is one of the account's that left the batch.
#[utoipa::path(
    tag = "batches",
    security(("oauth2" = ["batches:write"])),
    params(("id" = BatchId, Path)),
    responses((status = 200, description = "Queued again, unless nothing was refused", body = BatchView)),
)]
#[post("/batches/{id}/retry_failed")]
async fn batches_retry_failed(caller: Caller<need::BatchesWrite>) -> Result<HttpResponse, Problem> {
    let (id, expected) = (caller.id("batch")?, caller.if_match()?);
    let claims = caller.claims();
    caller
        .write(async move |work, actor| {
            let batch = batches::retry_failed(work, actor, id, claims, &expected).await?;
            Ok(answer(StatusCode::OK, batch))
        })
        .await
}

/// Cancel a batch
///
/// None of its requests is sent any more; one that is on its way is answered yet. What was done stays done.
#[utoipa::path(
    tag = "batches",
    security(("oauth2" = ["batches:write"])),
    params(("id" = BatchId, Path)),
    responses((status = 200, description = "Being cancelled, or cancelled already", body = BatchView)),
)]
#[post("/batches/{id}/cancel")]
async fn batches_cancel(caller: Caller<need::BatchesWrite>) -> Result<HttpResponse, Problem> {
    let (id, expected) = (caller.id("batch")?, caller.if_match()?);
    caller
        .write(async move |work, actor| {
            let batch = batches::cancel(work, actor, id, &expected).await?;
            Ok(answer(StatusCode::OK, batch))
        })
        .await
}
