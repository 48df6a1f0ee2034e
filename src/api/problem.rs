//! Errors as callers see them: `application/problem+json` (RFC 9457), one stable `code` each.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain;
use crate::model::ids::RequestId;
use crate::model::quotas::{Level, Violation};

/// Declares the catalogue: each code once, with its status, whether the same request may succeed later, and
/// its title.
macro_rules! codes {
    ($($name:ident = $code:literal, $status:literal, $retryable:literal, $title:literal;)+) => {
        /// A stable word for what went wrong. Its meaning never changes; new ones may be added.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $(#[doc = $title] $name),+ }

        impl Code {
            pub const ALL: &[Code] = &[$(Code::$name),+];

            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $code),+ }
            }

            pub const fn status(self) -> u16 {
                match self { $(Code::$name => $status),+ }
            }

            /// Whether the same request with the same idempotency key may succeed later.
            pub const fn retryable(self) -> bool {
                match self { $(Code::$name => $retryable),+ }
            }

            pub const fn title(self) -> &'static str {
                match self { $(Code::$name => $title),+ }
            }
        }
    };
}

codes! {
    MalformedRequest = "malformed_request", 400, false, "The request is malformed";
    MalformedJson = "malformed_json", 400, false, "The body is not JSON";
    UnknownParameter = "unknown_parameter", 400, false, "The query has a parameter that is not known here";
    InvalidCursor = "invalid_cursor", 400, false, "The cursor is not one of this list";
    IdempotencyKeyInvalid = "idempotency_key_invalid", 400, false, "The Idempotency-Key is not well-formed";
    Unauthenticated = "unauthenticated", 401, false, "A credential is needed";
    InvalidToken = "invalid_token", 401, false, "The credential is not valid";
    InsufficientScope = "insufficient_scope", 403, false, "The credential lacks a scope";
    ScopeEscalation = "scope_escalation", 403, false, "A credential cannot grant what it does not have";
    IpNotAllowed = "ip_not_allowed", 403, false, "The credential is not taken from this address";
    AccountSuspended = "account_suspended", 403, false, "The account is suspended";
    NotFound = "not_found", 404, false, "There is no such object";
    AccountNotFound = "account_not_found", 404, false, "There is no such account";
    RouteNotFound = "route_not_found", 404, false, "There is no such route";
    MethodNotAllowed = "method_not_allowed", 405, false, "The method is not allowed here";
    RequestTimeout = "request_timeout", 408, true, "The request took too long to arrive";
    StateConflict = "state_conflict", 409, false, "The object's state does not allow this";
    OperationInProgress = "operation_in_progress", 409, true, "Another operation is in progress";
    ConcurrentChange = "concurrent_change", 409, true, "Somebody else changed the same thing";
    QuotaExceeded = "quota_exceeded", 409, false, "The quota does not suffice";
    ExternalIdConflict = "external_id_conflict", 409, false, "The external_id is in use";
    NameTaken = "name_taken", 409, false, "The name is taken";
    IdempotencyInProgress = "idempotency_in_progress", 409, true, "The first request with this key is still running";
    IdempotencyResultExpired = "idempotency_result_expired", 409, false, "The answer with a secret is no longer kept";
    PreconditionFailed = "precondition_failed", 412, false, "The object has changed since it was read";
    BodyTooLarge = "body_too_large", 413, false, "The body is too large";
    UnsupportedMediaType = "unsupported_media_type", 415, false, "The body must be application/json";
    ValidationFailed = "validation_failed", 422, false, "The body is not valid";
    IdempotencyKeyReused = "idempotency_key_reused", 422, false, "The Idempotency-Key belongs to another request";
    WebhookUrlRejected = "webhook_url_rejected", 422, false, "Webhooks cannot be sent there";
    PlanNotApplicable = "plan_not_applicable", 422, false, "The plan cannot be ordered as asked";
    InternalError = "internal_error", 500, true, "Something went wrong on our side";
    NotImplementedByConnector = "not_implemented_by_connector", 501, false, "The connector cannot do this";
    DependencyUnavailable = "dependency_unavailable", 503, true, "Something we depend on is not available";
    ShuttingDown = "shutting_down", 503, true, "The server is shutting down";
}

/// One place in a request that is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// The place in the body, as a JSON Pointer (RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/items/0/quantity")]
    pub pointer: Option<String>,
    /// The query parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// The header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    #[schema(example = "required")]
    pub code: String,
    pub detail: String,
}

impl Fault {
    pub fn at(pointer: impl Into<String>, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: Some(pointer.into()),
            parameter: None,
            header: None,
            code: code.into(),
            detail: detail.into(),
        }
    }

    pub fn parameter(name: impl Into<String>, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: None, parameter: Some(name.into()), ..Self::at("", code, detail) }
    }

    pub fn header(name: impl Into<String>, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: None, header: Some(name.into()), ..Self::at("", code, detail) }
    }
}

/// A refusal: everything a caller needs to mend it. The request's own identifiers are filled in on the way
/// out.
#[derive(Debug, Clone)]
pub struct Problem {
    pub code: Code,
    pub detail: String,
    pub errors: Vec<Fault>,
    /// Members that only this code has, such as `violations` of a quota, each with its JSON.
    pub more: Vec<(&'static str, String)>,
    pub retry_after: Option<u64>,
    /// For the header `WWW-Authenticate`.
    pub challenge: Option<String>,
    /// For the header `Allow`.
    pub allow: Option<String>,
}

/// A problem as it is written.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    retryable: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Fault],
    instance: String,
    request_id: &'a str,
    doc: &'a str,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            more: Vec::new(),
            retry_after: code.retryable().then_some(1),
            challenge: None,
            allow: None,
        }
    }

    pub fn with_errors(self, errors: Vec<Fault>) -> Self {
        Self { errors, ..self }
    }

    fn with(mut self, name: &'static str, value: impl Serialize) -> Self {
        self.more.push((name, serde_json::to_string(&value).expect("members serialize")));
        self
    }

    /// The answer to the request that has this identifier.
    pub fn render(&self, request_id: Option<RequestId>) -> HttpResponse {
        let request_id = request_id.map(|id| id.to_string()).unwrap_or_default();
        let page = format!("/docs/errors/{}", self.code.as_str());
        let body = Told {
            kind: &page,
            title: self.code.title(),
            status: self.code.status(),
            detail: &self.detail,
            code: self.code.as_str(),
            retryable: self.code.retryable(),
            errors: &self.errors,
            instance: format!("/requests/{request_id}"),
            request_id: &request_id,
            doc: &page,
        };
        let mut answer = HttpResponse::build(self.status_code());
        answer.content_type("application/problem+json");
        if let Some(seconds) = self.retry_after {
            answer.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if let Some(challenge) = &self.challenge {
            answer.insert_header((header::WWW_AUTHENTICATE, challenge.clone()));
        }
        if let Some(allow) = &self.allow {
            answer.insert_header((header::ALLOW, allow.clone()));
        }
        let mut text = serde_json::to_string(&body).expect("problems serialize");
        text.pop();
        for (name, value) in &self.more {
            text.push_str(&format!(",\"{name}\":{value}"));
        }
        text.push('}');
        answer.body(text)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        self.render(None)
    }
}

impl From<domain::Error> for Problem {
    fn from(error: domain::Error) -> Self {
        use domain::Error::*;
        let detail = error.to_string();
        match error {
            NotFound(_) => Problem::new(Code::NotFound, detail),
            AccountNotFound => Problem::new(Code::AccountNotFound, detail),
            Invalid(faults) => {
                let errors =
                    faults.into_iter().map(|fault| Fault::at(fault.pointer, fault.code, fault.detail));
                Problem::new(Code::ValidationFailed, detail).with_errors(errors.collect())
            }
            State { current, allowed, .. } => Problem::new(Code::StateConflict, detail)
                .with("current_state", current)
                .with("allowed_actions", allowed),
            OperationInProgress(id) => {
                Problem::new(Code::OperationInProgress, detail).with("operation_id", id)
            }
            QuotaExceeded { violations, remedies } => {
                Problem::new(Code::QuotaExceeded, shortage(&violations))
                    .with("violations", violations)
                    .with("remedies", remedies)
            }
            ExternalIdConflict { id } => {
                Problem::new(Code::ExternalIdConflict, detail).with("existing_id", id)
            }
            NameTaken { .. } => Problem::new(Code::NameTaken, detail),
            PreconditionFailed { current } => {
                Problem::new(Code::PreconditionFailed, detail).with("etag", super::answer::etag(current))
            }
            PlanNotApplicable(_) => Problem::new(Code::PlanNotApplicable, detail),
            AccountClosed => Problem::new(Code::StateConflict, detail).with("current_state", "closed"),
            ScopeEscalation(_) => Problem::new(Code::ScopeEscalation, detail),
            HoldClassDenied(_) => Problem::new(Code::InsufficientScope, detail),
            NotImplementedByConnector => Problem::new(Code::NotImplementedByConnector, detail),
            ChangesFrozen => Problem::new(Code::StateConflict, detail).with("current_state", "frozen"),
            Busy => Problem::new(Code::ConcurrentChange, detail),
            Store(error) => error.into(),
        }
    }
}

/// Which quotas are short, and by how much as far as the caller may know.
fn shortage(violations: &[Violation]) -> String {
    let told = violations.iter().map(|violation| {
        let at = match violation.level {
            Level::Own => "the subscription",
            Level::Account => "an account",
            Level::Upstream => "an account above yours",
        };
        match violation.available {
            Some(left) => format!("{}: {} asked, {left} left of {at}", violation.key, violation.requested),
            None => format!("{}: {} asked, not so much is left of {at}", violation.key, violation.requested),
        }
    });
    format!("The quota does not suffice. {}.", told.collect::<Vec<_>>().join("; "))
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        if is_collision(&error) {
            return domain::Error::Busy.into();
        }
        tracing::error!(%error, "the database failed");
        Problem::new(
            Code::DependencyUnavailable,
            "The database did not answer. Nothing was changed, unless a retry with the same Idempotency-Key says otherwise.",
        )
    }
}

/// Whether two transactions met: both made the same thing, or each waited for what the other held. Nothing is
/// wrong with the database, and the same request may succeed.
fn is_collision(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    let code = error.code();
    error.is_unique_violation()
        || code.is_some_and(|code| ["40001", "40P01", "55P03"].contains(&code.as_ref()))
}
