//! The reference documentation, which needs no network, and what answers where there is no route.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, Route, web};

use super::conditional;
use super::problem::{Code, Problem};
use super::state::State;

const PAGE: &str = include_str!("../../docs/reference/index.html");
const SCRIPT: &str = include_str!("../../docs/reference/scalar.js");
/// The page loads its own script and nothing else; the reference needs styles of its own making.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Registers the pages beside the API.
pub fn reference(config: &mut web::ServiceConfig) {
    let only_read = |path: &str, read: Route| {
        web::resource(path).route(read).default_service(web::to(async || {
            Err::<HttpResponse, _>(Problem::method_not_allowed("GET".to_owned()))
        }))
    };
    config
        .service(only_read("/docs", web::get().to(page)))
        .service(only_read("/docs/scalar.js", web::get().to(script)))
        .service(only_read("/docs/errors", web::get().to(error_list)))
        .service(only_read("/docs/errors/{code}", web::get().to(error_page)))
        .service(only_read("/v1/openapi.json", web::get().to(document)))
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

/// All codes, by status.
async fn error_list() -> HttpResponse {
    let mut codes = Code::ALL.to_vec();
    codes.sort_by_key(|code| (code.status(), code.as_str()));
    let rows = codes.iter().map(|code| {
        let (name, status, title) = (code.as_str(), code.status(), code.title());
        let again = if code.retryable() { "yes" } else { "no" };
        format!("<tr><td>{status}<td><a href=\"/docs/errors/{name}\">{name}</a><td>{title}<td>{again}\n")
    });
    let rows: String = rows.collect();
    html(
        "Errors",
        &format!(
            "<p>Every refusal is <code>application/problem+json</code> (RFC 9457) with a stable <code>code</code>.\
             <table>\n<tr><th>Status<th>Code<th>What it says<th>Retryable\n{rows}</table>"
        ),
    )
}

/// What one code means.
async fn error_page(code: web::Path<String>) -> Result<HttpResponse, Problem> {
    let known = Code::ALL.iter().find(|known| known.as_str() == code.as_str());
    let code = known.ok_or_else(|| Problem::new(Code::RouteNotFound, "There is no such error code."))?;
    let again = match code.retryable() {
        true => "The same request with the same Idempotency-Key may succeed later.",
        false => "The same request will be refused again: something has to change first.",
    };
    Ok(html(
        code.as_str(),
        &format!(
            "<p>{}. HTTP status {}.\n<h2>When it comes</h2>\n<p>{}\n<h2>What to do</h2>\n<p>{}\n<p>{again}\n\
             <p><a href=\"/docs/errors\">All errors</a>",
            code.title(),
            code.status(),
            prose(code.when()),
            prose(code.then()),
        ),
    ))
}

/// A page of the documentation.
fn html(title: &str, body: &str) -> HttpResponse {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title} - Tenantry</title>\n\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}\
         td,th{{text-align:left;padding:.15rem 1rem .15rem 0;vertical-align:top}}</style>\n<h1>{title}</h1>\n{body}\n"
    );
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .body(page)
}

/// Text of ours as HTML: what stands between backticks is code.
fn prose(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let parts = text.split('`').enumerate();
    parts.map(|(n, part)| if n % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

/// The OpenAPI document.
async fn document(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let tag = (header::ETAG, state.document_tag.clone());
    Ok(match conditional::is_known(&request, &state.document_tag)? {
        true => HttpResponse::NotModified().insert_header(tag).finish(),
        false => HttpResponse::Ok()
            .insert_header(tag)
            .content_type("application/json")
            .body(state.document.clone()),
    })
}

/// No route: either the path is wrong, or its method.
async fn nowhere(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    match state.routes.methods(request.path()) {
        Some(methods) => Err(Problem::method_not_allowed(methods)),
        None => Err(Problem::new(Code::RouteNotFound, "There is no such route; see /docs.")),
    }
}
