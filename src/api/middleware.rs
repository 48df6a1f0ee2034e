//! What surrounds every request: its identifier, the headers every answer has, the log line, the metrics.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, ResponseError, web};
use futures_util::FutureExt;

use super::credentials::check_url;
use super::problem::{Code, Problem};
use super::state::State;
use super::{cors, denials, environments, limits, moved, pace, storefront};
use crate::model::ids::RequestId;
use crate::telemetry;
use crate::wire::Watch;

/// Wraps the whole API.
pub async fn around(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let begun = Instant::now();
    let id = RequestId::new();
    request.extensions_mut().insert(id);
    let method = request.method().clone();
    let state = request.app_data::<web::Data<State>>().cloned();
    let secure = state.as_ref().is_some_and(|state| state.secure);
    let mut answering = Answering::begin(&request);
    let (allowance, unread) = state.as_ref().map(|state| pace::limit(&mut request, state.timeouts)).unzip();
    let client_id = client_request_id(&request);
    let told = |route: &str, status: StatusCode| {
        let status = status.as_u16();
        telemetry::count_request(route, method.as_str(), status, begun.elapsed());
        tracing::info!(
            request_id = %id,
            %method,
            route,
            status,
            duration_us = begun.elapsed().as_micros() as u64,
            client_request_id = client_id.as_deref(),
            "request"
        );
    };
    let mut response = match check(&request) {
        Ok(Some(answer)) => request.into_response(answer),
        Ok(None) => {
            let handler = AssertUnwindSafe(next.call(request)).catch_unwind();
            let end = match pace::within(allowance, handler).await {
                Some(Ok(answer)) => Ok(answer?.map_into_boxed_body()),
                Some(Err(_)) => Err(End::Broken),
                None => Err(End::Late),
            };
            match end {
                Ok(answer) => answer,
                Err(end) => {
                    told(end.route(), end.status());
                    return Err(Unanswered { id, end, secure }.into());
                }
            }
        }
        Err(problem) => request.error_response(problem),
    };
    if let Some(unread) = unread {
        unread.pass_over().await;
    }
    let refused = match problem(&response) {
        Some(problem) => Some(environments::explained(response.request(), problem).await),
        None => None,
    };
    let refused = moved::explained(response.request(), refused).await;
    if let Some(state) = &state {
        state.requests.note(id, &response, refused.as_ref(), begun.elapsed());
    }
    match refused {
        Some(problem) => {
            let request = response.request().clone();
            denials::note(&request, &problem);
            response = ServiceResponse::new(request, problem.render(Some(id)));
        }
        None => {
            denials::note_client(response.request(), response.response());
            denials::note_read(response.request(), response.status());
        }
    }
    let pattern = response.request().match_pattern();
    let request = response.request().clone();
    let late = response.status() == StatusCode::REQUEST_TIMEOUT;
    if late || state.as_ref().is_some_and(|state| state.ending.is_draining()) {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        answering.closing = true;
    }
    let headers = response.headers_mut();
    dress(headers, id, secure);
    if let Some(state) = &state {
        limits::tell(state, &request, headers);
    }
    storefront::tell(&request, headers);
    cors::tell(&request, headers);
    told(pattern.as_deref().unwrap_or("none"), response.status());
    Ok(response)
}

/// Tells the connection that it is being answered on, and that it was.
struct Answering {
    watch: Option<Rc<Watch>>,
    closing: bool,
}

impl Answering {
    fn begin(request: &ServiceRequest) -> Self {
        let watch = request.conn_data::<Rc<Watch>>().cloned();
        if let Some(watch) = &watch {
            watch.begin();
        }
        Self { watch, closing: false }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.end(self.closing);
        }
    }
}

/// What the caller calls the request: up to 128 characters of visible ASCII, or it is passed over.
pub fn client_request_id(request: &impl HttpMessage) -> Option<String> {
    let text = request.headers().get("x-request-id")?.to_str().ok()?;
    let fits = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| text.to_owned())
}

/// Gives an answer the headers that every one has.
pub fn dress(headers: &mut HeaderMap, id: RequestId, secure: bool) {
    if secure {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
    for (name, value) in [(header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")] {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// A handler came to no answer.
#[derive(Debug)]
struct Unanswered {
    id: RequestId,
    end: End,
    secure: bool,
}

#[derive(Debug, Clone, Copy)]
enum End {
    /// It panicked. The text of the panic is in the log and goes nowhere else.
    Broken,
    /// It took too long. What it began to write is not cancelled.
    Late,
}

impl End {
    fn route(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Late => "late",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Late => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the handler of {} is {}", self.id, self.end.route())
    }
}

impl ResponseError for Unanswered {
    fn error_response(&self) -> HttpResponse {
        let (code, detail) = match self.end {
            End::Broken => (
                Code::InternalError,
                "Something broke on our side. If it was to change something, the same Idempotency-Key tells whether it did.",
            ),
            End::Late => (
                Code::DependencyUnavailable,
                "This took too long. If it was to change something it goes on, and the same Idempotency-Key tells what came of it.",
            ),
        };
        let mut answer = Problem::new(code, detail).render(Some(self.id));
        dress(answer.headers_mut(), self.id, self.secure);
        answer
    }
}

/// How long path and query may be together, in bytes.
const MAX_URI: usize = 8 * 1024;
/// How many headers a request may have, and how large they may be in all, in bytes.
const MAX_HEADERS: (usize, usize) = (64, 16 * 1024);

/// What is answered or refused whatever route it is for.
fn check(request: &ServiceRequest) -> Result<Option<HttpResponse>, Problem> {
    if matches!(*request.method(), Method::TRACE | Method::CONNECT) {
        let methods =
            request.app_data::<web::Data<State>>().and_then(|state| state.routes.methods(request.path()));
        let detail = format!("{} is answered nowhere.", request.method());
        return Err(Problem { detail, ..Problem::method_not_allowed(methods.unwrap_or_default()) });
    }
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > MAX_URI {
        return Err(Problem::new(Code::UriTooLong, "Path and query have at most 8 KiB together."));
    }
    let headers = request.headers();
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > MAX_HEADERS.0 || size > MAX_HEADERS.1 {
        return Err(Problem::new(
            Code::HeadersTooLarge,
            "A request has at most 64 headers, of 16 KiB in all.",
        ));
    }
    match request.app_data::<web::Data<State>>() {
        Some(state) if state.ending.is_closed() => {
            Err(Problem::new(Code::ShuttingDown, "This server ends. Ask again: another one answers."))
        }
        Some(state) if !request.query_string().is_empty() => check_url(state, request.query_string()),
        _ => Ok(()),
    }?;
    Ok(cors::preflight(request.method(), request.path(), request.headers()))
}

/// The refusal behind an answer; whatever else the framework refuses becomes one of ours.
fn problem(response: &ServiceResponse<BoxBody>) -> Option<Problem> {
    let error = response.response().error()?;
    if let Some(problem) = error.as_error::<Problem>() {
        return Some(problem.clone());
    }
    let late = error.as_error::<PayloadError>().is_some_and(pace::is_late);
    let code = match response.status().as_u16() {
        _ if late => Code::RequestTimeout,
        400 => Code::MalformedRequest,
        404 => Code::RouteNotFound,
        405 => Code::MethodNotAllowed,
        408 => Code::RequestTimeout,
        413 => Code::BodyTooLarge,
        415 => Code::UnsupportedMediaType,
        _ => Code::InternalError,
    };
    Some(Problem::new(code, format!("{}.", code.title())))
}
