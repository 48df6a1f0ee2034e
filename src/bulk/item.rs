//! One request of a batch: how it is sent, and what its answer comes to.

use std::sync::Arc;

use actix_web::body::to_bytes;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, Uri};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::Value;

use crate::access::seal::Context;
use crate::access::tokens::Claims;
use crate::api::inside::{Asked, Inside, OnBehalf, Told};
use crate::api::{Code, Problem, State};
use crate::model::bulk::{Batch, BatchItem, BatchItemStatus};
use crate::model::ids::OperationId;
use crate::store::bulk::batches::Answered;

/// What a request came to.
pub struct Came {
    pub answered: Answered,
    /// Whether the same request may succeed later.
    pub may_pass: bool,
}

impl Came {
    /// The same of a request that will be sent again.
    pub fn pending(self) -> Answered {
        Answered { status: BatchItemStatus::Pending, ..self.answered }
    }
}

/// Sends the request under its own idempotency key.
pub async fn send(state: &State, inside: &Inside, batch: &Batch, item: &BatchItem) -> Came {
    let sent = match asked(state, batch, item) {
        Some(asked) => inside.send(asked).await,
        None => {
            let detail = "The request that was left cannot be read. It was not sent.";
            Err(Problem::new(Code::InternalError, detail).into())
        }
    };
    match sent {
        Ok(told) => came(&told),
        Err(error) => {
            let response = error.error_response();
            let status = response.status().as_u16();
            let body = to_bytes(response.into_body()).await.unwrap_or_default();
            came(&Told { status, body })
        }
    }
}

/// What the request is done once under.
pub fn key(item: &BatchItem) -> String {
    format!("batch {}", item.id)
}

/// The request as it was left; none if it can no more be read.
fn asked(state: &State, batch: &Batch, item: &BatchItem) -> Option<Asked> {
    let claims = batch.claims.as_ref().map(|claims| serde_json::from_value::<Claims>(claims.0.clone()));
    let claims = claims.transpose().ok()?;
    let own = claims.as_ref().map_or(batch.principal_id, |claims| claims.acct);
    let mut headers = Vec::new();
    let subject = item.subject_id.unwrap_or(batch.account_id);
    if subject != own {
        let subject = HeaderValue::try_from(subject.to_string()).ok()?;
        headers.push((HeaderName::from_static("tenantry-account"), subject));
    }
    if let Some(tags) = &item.if_match {
        headers.push((header::IF_MATCH, HeaderValue::try_from(tags).ok()?));
    }
    let query = if batch.dry_run { "?dry_run=true" } else { "" };
    let on_behalf = OnBehalf {
        batch_id: batch.id,
        key_id: batch.key_id,
        claims: claims.map(Arc::new),
        idempotency_key: key(item),
    };
    Some(Asked {
        method: Method::from_bytes(item.method.as_str().as_bytes()).ok()?,
        target: Uri::try_from(format!("{}{query}", item.target)).ok()?,
        headers,
        body: body(state, batch, item)?,
        on_behalf,
    })
}

/// The request's body, its own or that of all of the batch; none at all if it cannot be opened.
fn body(state: &State, batch: &Batch, item: &BatchItem) -> Option<Option<bytes::Bytes>> {
    let (table, record, sealed) = match (&item.body, &batch.body) {
        (Some(sealed), _) => ("batch_items", item.id.clone(), sealed),
        (None, Some(sealed)) => ("batches", batch.id.to_string(), sealed),
        (None, None) => return Some(None),
    };
    let account_id = batch.account_id.to_string();
    let context = Context { table, column: "body", account_id: &account_id, record_id: &record };
    let opened = state.sealer.open_text(&context, sealed).ok()?;
    Some(Some(opened.expose_secret().as_bytes().to_vec().into()))
}

/// What of an answer a batch goes by.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Seen {
    #[serde(alias = "target_id")]
    id: Option<String>,
    operation_id: Option<OperationId>,
    operation: Option<SeenOperation>,
    retryable: bool,
}

#[derive(Deserialize)]
struct SeenOperation {
    id: OperationId,
}

fn came(told: &Told) -> Came {
    let seen: Seen = serde_json::from_slice(&told.body).unwrap_or_default();
    let done = (200..300).contains(&told.status);
    let problem = || serde_json::from_slice::<Value>(&told.body).ok();
    let answered = Answered {
        status: if done { BatchItemStatus::Succeeded } else { BatchItemStatus::Failed },
        answer_status: told.status.into(),
        resource_id: seen.id.filter(|_| done),
        operation_id: seen.operation_id.or(seen.operation.map(|of| of.id)).filter(|_| done),
        problem: if done { None } else { problem() },
    };
    Came { answered, may_pass: !done && seen.retryable }
}
