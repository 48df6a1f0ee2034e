//! The reference documentation, which needs no network, and what answers where there is no route.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

use super::problem::{Code, Problem};
use super::state::State;

const PAGE: &str = include_str!("../../docs/reference/index.html");
const SCRIPT: &str = include_str!("../../docs/reference/scalar.js");
/// The page loads its own script and nothing else; the reference needs styles of its own making.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Registers the pages beside the API.
pub fn reference(config: &mut web::ServiceConfig) {
    config
        .route("/docs", web::get().to(page))
        .route("/docs/scalar.js", web::get().to(script))
        .route("/docs/errors/{code}", web::get().to(error_page))
        .route("/v1/openapi.json", web::get().to(document))
        .default_service(web::to(nowhere));
}

async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .body(PAGE)
}

async fn script() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/javascript; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "public, max-age=3600"))
        .body(SCRIPT)
}

/// What one code means.
async fn error_page(code: web::Path<String>) -> Result<HttpResponse, Problem> {
    let known = Code::ALL.iter().find(|known| known.as_str() == code.as_str());
    let known = known.ok_or_else(|| Problem::new(Code::RouteNotFound, "There is no such error code."))?;
    let again = match known.retryable() {
        true => "The same request with the same Idempotency-Key may succeed later.",
        false => "The same request will be refused again: something has to change first.",
    };
    let text = format!("{} ({})\n\n{}.\n{again}\n", known.as_str(), known.status(), known.title());
    Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text))
}

async fn document(state: web::Data<State>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(state.document.clone())
}

/// No route: either the path is wrong, or its method.
async fn nowhere(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    match state.routes.methods(request.path()) {
        Some(methods) => Err(Problem {
            allow: Some(methods.clone()),
            ..Problem::new(Code::MethodNotAllowed, format!("This path knows {methods}."))
        }),
        None => Err(Problem::new(Code::RouteNotFound, "There is no such route; see /docs.")),
    }
}
