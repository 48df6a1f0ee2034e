//! The forms that clients send, and how they are refused.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::parameters::form;

const MAX_FORM: usize = 32 * 1024;

/// What a client is refused with (RFC 6749, 5.2).
#[derive(Debug, Serialize, ToSchema)]
pub struct OAuthError {
    #[schema(example = "invalid_client")]
    error: &'static str,
    error_description: &'static str,
}

/// Why a client gets no answer.
#[derive(Debug)]
pub struct Refused {
    pub status: StatusCode,
    pub error: &'static str,
    pub why: &'static str,
    /// Whether the client tried HTTP Basic, so that it is told of it.
    pub basic: bool,
    /// After how many seconds it is worth while to try again.
    pub retry_after: Option<u64>,
}

impl Refused {
    pub fn new(status: StatusCode, error: &'static str, why: &'static str) -> Self {
        Self { status, error, why, basic: false, retry_after: None }
    }

    pub fn bad(error: &'static str, why: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, why)
    }

    pub fn unavailable() -> Self {
        let why = "Try again in a moment.";
        let refused = Self::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", why);
        Self { retry_after: Some(1), ..refused }
    }

    pub fn answer(self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status);
        if self.basic {
            answer.insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"tenantry\""));
        }
        if let Some(seconds) = self.retry_after {
            answer.insert_header((header::RETRY_AFTER, seconds));
        }
        let mut answer = answer.json(OAuthError { error: self.error, error_description: self.why });
        answer.extensions_mut().insert(Told(self.error));
        answer
    }
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "the database failed");
        Self::unavailable()
    }
}

/// With which word a client was refused, for the audit.
#[derive(Debug, Clone, Copy)]
pub struct Told(pub &'static str);

/// A form, each parameter once.
pub struct Form(Vec<(String, String)>);

impl Form {
    pub fn read(request: &HttpRequest, body: &[u8]) -> Result<Self, Refused> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") || body.len() > MAX_FORM {
            return Err(Refused::bad("invalid_request", "Send a form: application/x-www-form-urlencoded."));
        }
        let text = std::str::from_utf8(body)
            .map_err(|_| Refused::bad("invalid_request", "The form is not UTF-8."))?;
        let pairs: Vec<_> = form(text).collect();
        let mut names: Vec<_> = pairs.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Refused::bad("invalid_request", "A parameter is there twice."));
        }
        Ok(Self(pairs))
    }

    /// A parameter; one without a value counts as left out (RFC 6749, 3.2).
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }
}
