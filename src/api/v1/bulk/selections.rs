use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use super::batches::{answer, check_operation};
use crate::access::opaque;
use crate::access::seal::Context;
use crate::api::body::invalid;
use crate::api::caller::{Caller, lacking};
use crate::api::problem::{Fault, Problem};
use crate::domain::Error;
use crate::domain::bulk::batches::{self, Leaving};
use crate::domain::bulk::selections;
use crate::model::Time;
use crate::model::bulk::{BatchMethod, BatchView, PLACE, SelectedNoun, Selection, SelectionRequest, digest};
use crate::model::catalog::service_types::ServiceType;
use crate::model::ids::{AccountId, BatchId};
use crate::model::scopes::{Scope, need};

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(batches_preview).service(batches_create_previewed);
}

/// For how long what was seen can be acted on.
const VALID: Duration = Duration::from_secs(15 * 60);
/// How many objects are shown of those that are selected.
const SHOWN: usize = 20;
/// How long a request's body can be, in bytes: the token that has it in it is one text, and has at most 4096 characters.
const LONGEST_BODY: usize = 2048;

/// The request to be sent for each.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSelectionRequest)]
struct SelectionRequestBody {
    method: BatchMethod,
    /// Of an operation on a service or a subscription, with `{id}` for its identifier.
    #[schema(
        max_length = 200,
        pattern = "^/v1/(services|subscriptions)/\\{id\\}(/[a-z_]+)?$",
        example = "/v1/services/{id}/suspend"
    )]
    path: String,
    /// The same for each; 2 KiB at most.
    #[schema(nullable = false)]
    body: Option<Map<String, Value>>,
}

/// What is to be done, and for which.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewBatchPreview {
    /// Those at and below this account; the account acted for if left out.
    #[schema(nullable = false)]
    account_id: Option<AccountId>,
    /// Those of this plan, by its code or its identifier.
    #[schema(min_length = 1, max_length = 64, nullable = false, example = "hosted-mail")]
    plan: Option<String>,
    /// Services of this type.
    #[schema(nullable = false)]
    service_type: Option<ServiceType>,
    request: SelectionRequestBody,
}

/// What a batch would be for.
#[derive(Debug, Serialize, ToSchema)]
struct BatchPreview {
    /// How many requests it would have.
    #[schema(example = 312)]
    count: i64,
    /// The first of the objects that they would be for, 20 at most.
    sample: Vec<String>,
    /// For `POST /v1/batches/previewed`.
    preview_token: String,
    /// Until when the token is taken.
    expires_at: Time,
}

fn text(body: &Map<String, Value>) -> String {
    serde_json::to_string(body).expect("it serializes")
}

/// What a token says. It is encrypted: a body may have secrets.
#[derive(Serialize, Deserialize)]
struct Inside {
    selection: Selection,
    request: SelectionRequest,
    digest: String,
    until: i64,
}

/// Preview a batch for all of a kind
///
/// Counts the services or subscriptions that run and have in common what is said of them, at and below an account, as far as
/// the credential reaches, up to 10,000; and gives a token with which a batch for exactly these can be left within 15 minutes.
#[utoipa::path(
    tag = "batches",
    security(("oauth2" = ["batches:read"])),
    request_body = NewBatchPreview,
    responses((status = 200, description = "What it would be for", body = BatchPreview)),
)]
#[post("/batches/preview")]
async fn batches_preview(mut caller: Caller<need::BatchesRead>) -> Result<HttpResponse, Problem> {
    let NewBatchPreview { account_id, plan, service_type, request } = caller.json().await?;
    check_operation(&caller.state.routes, request.method, &request.path, "/request/path").map_err(refused)?;
    let noun = match request.path.starts_with("/v1/services/") {
        true => SelectedNoun::Services,
        false => SelectedNoun::Subscriptions,
    };
    if noun == SelectedNoun::Subscriptions && service_type.is_some() {
        let fault =
            Fault::at("/service_type", "only_of_services", "a subscription has services of several types");
        return Err(refused(fault));
    }
    let body = request.body;
    if body.as_ref().is_some_and(|body| text(body).len() > LONGEST_BODY) {
        let detail = format!("has at most {LONGEST_BODY} bytes");
        return Err(refused(Fault::at("/request/body", "too_long", detail)));
    }
    let account_id = match account_id {
        Some(named) => named,
        None => caller.subject().await?.0,
    };
    let selection = Selection { noun, account_id, plan, service_type };
    let bound = bound(&mut caller).await?;
    let ids = selected(&mut caller, &selection).await?;
    let expires_at = caller.now.plus(VALID);
    let request = SelectionRequest { method: request.method, path: request.path, body };
    let inside = Inside { selection, request, digest: digest(&ids), until: expires_at.as_seconds() };
    let said = serde_json::to_vec(&inside).expect("it serializes");
    let closed = opaque::close(&caller.state.keys.cursor, &said, bound.as_bytes());
    Ok(HttpResponse::Ok().json(BatchPreview {
        count: i64::try_from(ids.len()).unwrap_or(i64::MAX),
        sample: ids.into_iter().take(SHOWN).collect(),
        preview_token: URL_SAFE_NO_PAD.encode(closed),
        expires_at,
    }))
}

/// The objects that are selected, as far as the caller sees such objects.
async fn selected<S>(caller: &mut Caller<S>, selection: &Selection) -> Result<Vec<String>, Problem> {
    let scope = match selection.noun {
        SelectedNoun::Services => Scope::ServicesRead,
        SelectedNoun::Subscriptions => Scope::SubscriptionsRead,
    };
    if !caller.scopes.contains(&scope) {
        return Err(lacking(scope));
    }
    let reach = caller.reach_with(scope).await?;
    let mut conn = caller.state.db.read(reach).await?;
    let (account, ids) = selections::find(&mut conn, selection).await?;
    caller.saw(&account.path);
    Ok(ids)
}

/// For whom a token is: this credential, acting for this account.
async fn bound<S>(caller: &mut Caller<S>) -> Result<String, Problem> {
    let (subject, _) = caller.subject().await?;
    Ok(format!("a batch of {} for {subject}", caller.credential.key.id))
}

fn refused(fault: Fault) -> Problem {
    invalid(vec![fault])
}

/// A batch as it was previewed.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPreviewedBatch {
    #[schema(min_length = 1, max_length = 4096)]
    preview_token: String,
    /// Tries each request with `dry_run=true`.
    #[serde(default)]
    dry_run: bool,
}

/// Leave a batch as it was previewed
///
/// Exactly the requests that the preview counted. Refused with `preview_outdated` if it would be for others by now, if the
/// token is older than 15 minutes, or if it is another credential's.
#[utoipa::path(
    tag = "batches",
    security(("oauth2" = ["batches:write"])),
    request_body = NewPreviewedBatch,
    responses((status = 202, description = "Left to be sent; `GET /v1/batches/{id}` tells how far it is", body = BatchView)),
)]
#[post("/batches/previewed")]
async fn batches_create_previewed(mut caller: Caller<need::BatchesWrite>) -> Result<HttpResponse, Problem> {
    let NewPreviewedBatch { preview_token, dry_run } = caller.json().await?;
    let inside = opened(&mut caller, &preview_token).await?;
    let ids = selected(&mut caller, &inside.selection).await?;
    if digest(&ids) != inside.digest {
        return Err(Error::PreviewOutdated.into());
    }
    let claims = caller.claims();
    let (batch, (account, _)) = (BatchId::new(), caller.subject().await?);
    let (account_id, record_id) = (account.to_string(), batch.to_string());
    let context =
        Context { table: "batches", column: "body", account_id: &account_id, record_id: &record_id };
    let seal = |body| caller.state.sealer.seal(&context, text(body).as_bytes());
    let body = inside.request.body.as_ref().map(seal);
    let items = selections::items(batch, &inside.request, &ids);
    let good_until = caller.now.plus(caller.state.replies_kept);
    let leaving = Leaving { id: batch, claims, body, items, dry_run, good_until };
    caller
        .write(async move |work, actor| {
            let batch = batches::create(work, actor, leaving).await?;
            Ok(answer(StatusCode::ACCEPTED, batch))
        })
        .await
}

async fn opened<S>(caller: &mut Caller<S>, token: &str) -> Result<Inside, Problem> {
    let bound = bound(caller).await?;
    let outdated = || Problem::from(Error::PreviewOutdated);
    let sealed = URL_SAFE_NO_PAD.decode(token).map_err(|_| outdated())?;
    let said = opaque::open(&caller.state.keys.cursor, &sealed, bound.as_bytes()).ok_or_else(outdated)?;
    let inside: Inside = serde_json::from_slice(&said).map_err(|_| outdated())?;
    match inside.until > caller.now.as_seconds() && inside.request.path.contains(PLACE) {
        true => Ok(inside),
        false => Err(outdated()),
    }
}
