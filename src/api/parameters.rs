//! What a request says beside its body and its credential: from where it came, the query, and whether there is a condition.

use std::net::IpAddr;

use actix_web::http::{Method, header};
use actix_web::{HttpMessage, HttpRequest};

use super::problem::{Code, Fault, Problem};
use super::routes::{Condition, Route};
use super::state::State;
use crate::model::ids::RequestId;

/// The pairs of a query string, decoded.
pub fn form(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    url::form_urlencoded::parse(query.as_bytes()).map(|(name, value)| (name.into_owned(), value.into_owned()))
}

/// Whether the request changes nothing: by its method, or by what its operation does.
pub fn reads(request: &HttpRequest) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD) || request.extensions().contains::<Computes>()
}

/// That the request's operation only computes, whatever its method.
struct Computes;

/// Remembers with the request what its operation does.
pub fn note_route(request: &HttpRequest, route: &Route) {
    if route.computes {
        request.extensions_mut().insert(Computes);
    }
}

/// From where the request came, as far as our own proxies tell.
pub fn address(state: &State, request: &HttpRequest) -> Option<IpAddr> {
    let told = request.headers().get_all("x-forwarded-for").filter_map(|line| line.to_str().ok());
    let told: Vec<_> = told.collect();
    Some(state.trusted_proxies.client(request.peer_addr()?.ip(), told.into_iter()))
}

/// The identifier that the request was given on its way in.
pub fn request_id(request: &HttpRequest) -> RequestId {
    request.extensions().get::<RequestId>().copied().unwrap_or_else(RequestId::new)
}

/// A parameter of the query.
pub fn value(request: &HttpRequest, name: &str) -> Option<String> {
    form(request.query_string()).find(|(known, _)| known == name).map(|(_, value)| value)
}

/// The query with its parameters in one order, however they were sent.
pub fn sorted(request: &HttpRequest) -> String {
    let mut pairs: Vec<_> = form(request.query_string()).collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}&")).collect()
}

/// Parameters that the document does not name are refused, and so is one that is there twice, and a
/// condition that would be passed over. One that the operation asks for is missed.
pub fn check(route: &Route, request: &HttpRequest) -> Result<(), Problem> {
    let mut seen: Vec<String> = Vec::new();
    let mut faults = Vec::new();
    for (name, _) in form(request.query_string()) {
        if !route.parameters.iter().any(|known| known == &name) {
            let known = match route.parameters.is_empty() {
                true => "there are none here".to_owned(),
                false => format!("known here: {}", route.parameters.join(", ")),
            };
            faults.push(Fault::parameter(name.clone(), "unknown_parameter", known));
        } else if seen.contains(&name) {
            faults.push(Fault::parameter(name.clone(), "repeated", "can be sent once"));
        }
        seen.push(name);
    }
    let matches = request.headers().contains_key(header::IF_MATCH);
    if matches && route.condition == Condition::Unknown && !reads(request) {
        faults.push(Fault::header("If-Match", "unknown_header", "this operation does not go by it"));
    }
    if !faults.is_empty() {
        let detail = "The request has a parameter or a condition that is not known here, or has one twice.";
        return Err(Problem::new(Code::UnknownParameter, detail).with_errors(faults));
    }
    match route.condition == Condition::Required && !matches {
        false => Ok(()),
        true => {
            let detail = "The operation needs `If-Match` with the tag of what it changes.";
            Err(Problem::new(Code::PreconditionRequired, detail))
        }
    }
}
