//! Errors as callers see them: `application/problem+json` (RFC 9457), one stable `code` each.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

pub use super::catalogue::Code;
use crate::domain;
use crate::model::ids::RequestId;
use crate::model::quotas::{Level, Violation};
use crate::store::faults::{Fault as DatabaseFault, fault};

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

    /// The path has other methods than the one of the request.
    pub fn method_not_allowed(methods: String) -> Self {
        let detail = format!("This path knows {methods}.");
        Self { allow: Some(methods), ..Self::new(Code::MethodNotAllowed, detail) }
    }

    /// What was asked for is in the caller's reach, and its account does not let it do this.
    pub fn delegation_denied() -> Self {
        Self::new(Code::DelegationDenied, "The account does not let those above it do this.")
    }

    pub fn with_errors(self, errors: Vec<Fault>) -> Self {
        Self { errors, ..self }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Serialize) -> Self {
        self.more.push((name, serde_json::to_string(&value).expect("members serialize")));
        self
    }

    /// The answer to the request that has this identifier.
    pub fn render(&self, request_id: Option<RequestId>) -> HttpResponse {
        let request_id = request_id.map(|id| id.to_string()).unwrap_or_default();
        let page = format!("/docs/errors/{}", self.code.as_str());
        let body = Told {
            kind: match self.code {
                Code::RateLimited => "https://iana.org/assignments/http-problem-types#quota-exceeded",
                Code::Overloaded => {
                    "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
                }
                _ => &page,
            },
            title: self.code.title(),
            status: self.code.status(),
            detail: &self.detail,
            code: self.code.as_str(),
            retryable: self.code.retryable(),
            errors: &self.errors,
            instance: format!("/v1/requests/{request_id}"),
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
        if self.code == Code::IdempotencyKeyRequired {
            answer.insert_header((header::LINK, format!("<{page}>; rel=\"describedby\"")));
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
            NotRetryable => Problem::new(Code::StateConflict, detail)
                .with("current_state", "failed")
                .with("allowed_actions", Vec::<&str>::new()),
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
            PreconditionFailed { current } => Problem::new(Code::PreconditionFailed, detail)
                .with("etag", super::conditional::version_tag(current)),
            PreviewOutdated => Problem::new(Code::PreviewOutdated, detail),
            PlanNotApplicable(_) => Problem::new(Code::PlanNotApplicable, detail),
            AccountClosed => Problem::new(Code::StateConflict, detail).with("current_state", "closed"),
            AccountNotEmpty { accounts, subscriptions } => Problem::new(Code::AccountNotEmpty, detail)
                .with("open_accounts", accounts)
                .with("subscriptions", subscriptions),
            ScopeEscalation(_) => Problem::new(Code::ScopeEscalation, detail),
            EnvironmentMismatch(_) => Problem::new(Code::EnvironmentMismatch, detail),
            HoldClassDenied(_) => Problem::new(Code::InsufficientScope, detail),
            SpendCap(_) => Problem::new(Code::SpendCapExceeded, detail),
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
        let (code, detail) = match fault(&error) {
            DatabaseFault::Collision => return domain::Error::Busy.into(),
            DatabaseFault::Denied => return Problem::delegation_denied(),
            DatabaseFault::ReadOnly => (
                Code::ReadOnly,
                "The database takes no changes at present. Nothing was changed; what is there can be read.",
            ),
            DatabaseFault::Crowded => (
                Code::Overloaded,
                "The database has more to do than it can. Nothing was changed; try again in a moment.",
            ),
            DatabaseFault::Away => (
                Code::DependencyUnavailable,
                "The database did not answer. Nothing was changed, unless a retry with the same Idempotency-Key says otherwise.",
            ),
        };
        tracing::error!(%error, code = code.as_str(), "the database failed");
        Problem::new(code, detail)
    }
}
