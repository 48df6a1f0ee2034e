//! What surrounds every request: its identifier, the headers every answer has, the log line, the metrics.

use std::sync::atomic::Ordering;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};

use super::credentials::check_url;
use super::problem::{Code, Problem};
use super::state::State;
use crate::model::ids::RequestId;
use crate::telemetry;

/// Wraps the whole API.
pub async fn around(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let begun = Instant::now();
    let id = RequestId::new();
    request.extensions_mut().insert(id);
    let method = request.method().clone();
    let mut response = match check(&request) {
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
        Err(problem) => request.error_response(problem),
    };
    if let Some(problem) = problem(&response) {
        let request = response.request().clone();
        response = ServiceResponse::new(request, problem.render(Some(id)));
    }
    let pattern = response.request().match_pattern();
    let draining = response
        .request()
        .app_data::<web::Data<State>>()
        .is_some_and(|state| state.draining.load(Ordering::Relaxed));
    let headers = response.headers_mut();
    let set = |headers: &mut header::HeaderMap, name: HeaderName, value: &'static str| {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
    set(headers, header::CACHE_CONTROL, "no-store");
    set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if draining {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let status = response.status().as_u16();
    let route = pattern.as_deref().unwrap_or("none");
    telemetry::count_request(route, method.as_str(), status, begun.elapsed());
    tracing::info!(
        request_id = %id,
        %method,
        route,
        status,
        duration_us = begun.elapsed().as_micros() as u64,
        "request"
    );
    Ok(response)
}

/// What is refused whatever route it is for.
fn check(request: &ServiceRequest) -> Result<(), Problem> {
    match request.app_data::<web::Data<State>>() {
        Some(state) if !request.query_string().is_empty() => check_url(state, request.query_string()),
        _ => Ok(()),
    }
}

/// The refusal behind an answer; whatever else the framework refuses becomes one of ours.
fn problem(response: &ServiceResponse<BoxBody>) -> Option<Problem> {
    let error = response.response().error()?;
    if let Some(problem) = error.as_error::<Problem>() {
        return Some(problem.clone());
    }
    let code = match response.status().as_u16() {
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
