//! What a use-case's result becomes: status, body and headers, the same each time it is replayed.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use serde::Serialize;

use super::conditional::etag;
use crate::model::ids::OperationId;
use crate::store::replies::Reply;

/// An answer on its way, from the first time or from memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    pub location: Option<String>,
    pub etag: Option<String>,
    /// The work that goes on after the answer; with `Prefer: wait` the caller waits for its end.
    pub operation_id: Option<OperationId>,
    /// Whether something waits for the workers from now on.
    pub queues: bool,
    /// Whether the body has a secret, so that it is kept sealed and not for long.
    pub secret: bool,
    /// The object that was made or changed, for the audit line.
    pub resource: Option<String>,
}

impl Answer {
    pub fn new(status: StatusCode, body: &impl Serialize) -> Self {
        Self {
            status: status.as_u16(),
            body: serde_json::to_string(body).expect("views serialize"),
            location: None,
            etag: None,
            operation_id: None,
            queues: false,
            secret: false,
            resource: None,
        }
    }

    pub fn ok(body: &impl Serialize) -> Self {
        Self::new(StatusCode::OK, body)
    }

    /// A new object at its place, or one that was there already.
    pub fn made(new: bool, place: String, body: &impl Serialize) -> Self {
        let status = if new { StatusCode::CREATED } else { StatusCode::OK };
        Self { location: Some(place), ..Self::new(status, body) }
    }

    /// Nothing to say.
    pub fn none() -> Self {
        Self { body: String::new(), ..Self::new(StatusCode::NO_CONTENT, &()) }
    }

    /// An object that an operation is working on: 202 while there is one.
    pub fn accepted(operation_id: Option<OperationId>, otherwise: StatusCode, body: &impl Serialize) -> Self {
        let status = if operation_id.is_some() { StatusCode::ACCEPTED } else { otherwise };
        let location = operation_id.map(|id| format!("/v1/operations/{id}"));
        Self { location, queues: operation_id.is_some(), operation_id, ..Self::new(status, body) }
    }

    pub fn version(self, version: i64) -> Self {
        Self { etag: Some(etag(version, self.body.as_bytes())), ..self }
    }

    /// The same for an object that is shown otherwise than in this answer, which has a secret beside it.
    pub fn version_of(self, version: i64, shown: &impl Serialize) -> Self {
        let shown = serde_json::to_vec(shown).expect("views serialize");
        Self { etag: Some(etag(version, &shown)), ..self }
    }

    pub fn about(self, resource: impl ToString) -> Self {
        Self { resource: Some(resource.to_string()), ..self }
    }

    /// Says that something waits for the workers from now on, without an operation to follow.
    pub fn queued(self) -> Self {
        Self { queues: true, ..self }
    }

    pub fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// The answer that was given before.
    pub fn again(reply: Reply) -> Self {
        Self {
            status: u16::try_from(reply.status).unwrap_or(200),
            body: reply.body,
            location: reply.location,
            etag: reply.etag,
            operation_id: reply.operation_id,
            queues: false,
            secret: reply.sealed,
            resource: None,
        }
    }

    pub fn render(self, replayed: bool) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut answer = HttpResponse::build(status);
        if let Some(location) = self.location {
            answer.insert_header((header::LOCATION, location));
        }
        if let Some(etag) = self.etag {
            answer.insert_header((header::ETAG, etag));
        }
        if replayed {
            answer.insert_header(("Idempotency-Replayed", "true"));
        }
        if status == StatusCode::NO_CONTENT {
            return answer.finish();
        }
        answer.content_type("application/json").body(self.body)
    }
}
