//! What is turned away before anything is done for it: more than the server can, and more at once than one caller
//! may have under way.

use std::sync::Arc;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, web};

use super::oauth::Refused;
use super::parameters::address;
use super::problem::{Code, Problem};
use super::state::State;
use crate::limits::load::{Class, Holder, Load, Turn};
use crate::limits::origin;
use crate::model::scopes::Scope;

/// The class of an operation, by what the document says of it; much is what gives a list or all there is.
pub fn class(method: &Method, path: &str, scope: Option<Scope>, much: bool) -> Class {
    let holds = matches!(scope, Some(Scope::ServicesSuspend | Scope::ServicesResume));
    if path.starts_with("/oauth/") || (holds && method != Method::GET) {
        Class::Vital
    } else if much && method == Method::GET {
        Class::Bulk
    } else {
        Class::Usual
    }
}

/// Wraps the handlers: takes a request on, or turns it away.
pub async fn shed(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(state) = request.app_data::<web::Data<State>>().cloned() else {
        return next.call(request).await.map(ServiceResponse::map_into_boxed_body);
    };
    let now = Instant::now();
    if state.load.is_sampled() {
        let load = state.load.clone();
        actix_web::rt::spawn(async move { load.waited(now.elapsed(), Instant::now()) });
    }
    let class = || {
        let pattern = request.match_pattern().unwrap_or_default();
        state.routes.find(request.method(), &pattern).map_or(Class::Usual, |route| route.class)
    };
    let writes = !request.method().is_safe();
    let Some(turn) = state.load.enter(class, writes, now) else {
        let detail = "There is more to do than this server can. Nothing was done.";
        return Ok(refused(request, Problem::new(Code::Overloaded, detail), Refused::unavailable()));
    };
    let strange =
        request.path().starts_with("/oauth/") || !request.headers().contains_key(header::AUTHORIZATION);
    let holder = || Holder::Address(address(&state, request.request()).map(origin));
    if strange && !turn.belongs_to(holder()) {
        let why = "Too many requests from this address are under way.";
        let refusal = Refused::new(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", why);
        let refusal = Refused { retry_after: Some(1), ..refusal };
        let problem = too_many_at_once(&state.load, "addr-concurrency");
        return Ok(refused(request, problem, refusal));
    }
    request.extensions_mut().insert(turn);
    next.call(request).await.map(ServiceResponse::map_into_boxed_body)
}

fn refused(request: ServiceRequest, problem: Problem, of_oauth: Refused) -> ServiceResponse<BoxBody> {
    match request.path().starts_with("/oauth/") {
        true => request.into_response(of_oauth.answer()),
        false => request.error_response(problem),
    }
}

/// Says whose request it is; refused if its account has as many under way as it can.
pub fn belongs(request: &HttpRequest, load: &Load, holder: Holder) -> Result<(), Problem> {
    let turn = turn(request);
    match turn.is_none_or(|turn| turn.belongs_to(holder)) {
        true => Ok(()),
        false => Err(too_many_at_once(load, "acct-concurrency")),
    }
}

/// A request's place among those that are worked on.
pub fn turn(request: &HttpRequest) -> Option<Arc<Turn>> {
    request.extensions().get::<Arc<Turn>>().cloned()
}

fn too_many_at_once(load: &Load, policy: &'static str) -> Problem {
    let detail = format!("At most {} requests may be under way at once. Nothing was done.", load.share());
    Problem::new(Code::RateLimited, detail).with("violated-policies", [policy])
}
