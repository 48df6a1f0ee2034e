//! Browsers and other origins (the Fetch standard's CORS protocol), for storefronts' keys and nobody else.
//!
//! A preflight carries no key. It is answered for every origin, for the operations that a storefront's key opens and
//! for no other: that tells nobody who has a shop here, and asks no database. Whether the origin is one of the key's
//! is decided with the request, and only then its answer can be read by the page. Credentials that a browser would add
//! by itself are never allowed, nor is `*` ever said.

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};

use super::routes::fits;
use super::storefront::OPERATIONS;
use crate::model::accounts::origins::Origin;

/// What a page may send.
const HEADERS: &str = "Authorization, Content-Type, Idempotency-Key, If-None-Match";
/// What a page may read of an answer, beside what every page may.
const EXPOSED: &str =
    "ETag, Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id";
/// For how many seconds a browser need not ask again.
const MAX_AGE: &str = "600";

/// The page's origin, once a key was taken from there.
struct Allowed(HeaderValue);

/// The answer to a preflight for an operation of storefronts; none to what is no preflight, or is for another one.
pub fn preflight(method: &Method, path: &str, headers: &HeaderMap) -> Option<HttpResponse> {
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).filter(|_| *method == Method::OPTIONS)?;
    let origin = headers.get(header::ORIGIN)?;
    origin.to_str().ok()?.parse::<Origin>().ok()?;
    let known = OPERATIONS.iter().filter(|(_, _, pattern)| fits(pattern, path));
    let methods: Vec<&str> = known.map(|(_, method, _)| *method).collect();
    if !methods.iter().any(|method| asked.as_bytes() == method.as_bytes()) {
        return None;
    }
    let answer = HttpResponse::build(StatusCode::NO_CONTENT)
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()))
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, methods.join(", ")))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, MAX_AGE))
        .insert_header((
            header::VARY,
            "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        ))
        .finish();
    Some(answer)
}

/// Lets the page at the origin read the request's answer.
pub fn allow(request: &HttpRequest, origin: HeaderValue) {
    request.extensions_mut().insert(Allowed(origin));
}

/// Tells the browser that the page may read the answer, if it may.
pub fn tell(request: &HttpRequest, headers: &mut HeaderMap) {
    let Some(Allowed(origin)) = request.extensions_mut().remove::<Allowed>() else { return };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    headers.append(HeaderName::from_static("vary"), HeaderValue::from_static("Origin"));
}
