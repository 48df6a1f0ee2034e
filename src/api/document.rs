//! The OpenAPI document, made from the very routes that are served.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa_actix_web::AppExt;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{oauth, v1};
use crate::model::scopes::Scope;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tenantry",
        version = "1.0.0",
        description = "A headless, versioned provisioning API for companies that sell hosted services. \
            Billing systems suspend and resume, CRMs place orders, resellers build storefronts.\n\n\
            Every mutation takes an `Idempotency-Key` and may be sent again: it acts once. What takes time \
            answers 202 with an `operation`; with `Prefer: wait=25` the answer comes when the work has ended.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    servers((url = "/", description = "This installation")),
    tags(
        (name = "discovery", description = "Who am I, and what can I do here"),
        (name = "accounts", description = "The tree, from the operator down to tenants"),
        (name = "keys", description = "Credentials, which are OAuth clients as well"),
        (name = "infrastructure", description = "Servers, connectors and virtual servers"),
        (name = "plans", description = "What is sold"),
        (name = "addons", description = "What is sold beside plans"),
        (name = "quotes", description = "What an order would cost, for as long as it holds"),
        (name = "prices", description = "For how much it is sold, by whom and to whom"),
        (name = "orders", description = "Asking for subscriptions and changing them"),
        (name = "subscriptions", description = "A plan in use"),
        (name = "services", description = "The technical parts of a subscription"),
        (name = "resources", description = "Domains, mailboxes, zones and sites inside services"),
        (name = "holds", description = "Suspending and resuming"),
        (name = "quotas", description = "Ceilings and what is taken of them"),
        (name = "batches", description = "Many requests, left to be sent one after the other"),
        (name = "reconcile", description = "What another system believes, compared with what is"),
        (name = "operations", description = "The work behind a 202"),
        (name = "events", description = "What happened, as a feed and as webhooks"),
    ),
    components(schemas(
        super::problem::Fault,
        crate::model::quotas::Violation,
        crate::model::quotas::Remedy
    )),
)]
struct Base;

/// Registers every route that the document describes.
pub fn routes(config: &mut ServiceConfig) {
    config.configure(oauth::routes);
    config.service(utoipa_actix_web::scope("/v1").configure(v1::routes));
}

/// The finished document.
pub fn document() -> Value {
    let (_, document) =
        actix_web::App::new().into_utoipa_app().openapi(Base::openapi()).configure(routes).split_for_parts();
    let mut document = serde_json::to_value(document).expect("the document serializes");
    finish(&mut document);
    super::unions::shape(&mut document);
    super::writable::mark(&mut document);
    document
}

/// What every operation has in common is said once, here.
fn finish(document: &mut Value) {
    document["components"]["schemas"]["Problem"] = problem_schema();
    document["components"]["securitySchemes"] = security_schemes();
    document["components"]["parameters"] = common_parameters();
    for (_, name, why) in EVERYWHERE {
        document["components"]["responses"][name] = refusal(why);
    }
    for name in CLOSED {
        document["components"]["schemas"][name]["unevaluatedProperties"] = json!(false);
    }
    let schemas = document["components"]["schemas"].clone();
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, item) in paths {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            if path.starts_with("/v1/") && operation["security"] == json!([{}]) {
                tell_refusals(operation, OPEN_REFUSALS);
            } else if path.starts_with("/v1/") && operation["security"].is_array() {
                let answer = &operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
                let schema = answer.as_str().and_then(|reference| reference.rsplit('/').next());
                let paged =
                    schema.is_some_and(|name| schemas[name]["properties"].get("next_cursor").is_some());
                complete(operation, method, path, paged);
            }
            for (status, name, _) in EVERYWHERE {
                operation["responses"][status] = json!({"$ref": format!("#/components/responses/{name}")});
            }
        }
    }
}

/// Bodies that are put together from several schemas and know no other members than those of all of them.
const CLOSED: &[&str] = &["NewOrderItem", "NewResource"];

/// The operations that go by `If-Match` where it is sent; those that are neither here nor below refuse it. Suspending and resuming are not among them:
/// holds do not change what they are on, and billing must not lose a suspension to somebody's edit.
const CONDITIONAL: &[&str] = &[
    "accounts_close",
    "accounts_move",
    "accounts_reopen",
    "accounts_set_branding",
    "accounts_update",
    "batches_cancel",
    "batches_retry_failed",
    "keys_revoke",
    "keys_rotate",
    "keys_set_client",
    "keys_update",
    "members_remove",
    "members_update",
    "orders_approve",
    "orders_cancel",
    "orders_reject",
    "orders_retry",
    "quota_requests_approve",
    "quota_requests_reject",
    "quota_requests_withdraw",
    "servers_update",
    "signups_approve",
    "signups_reject",
    "storefront_keys_update",
    "storefront_keys_revoke",
    "plans_activate",
    "plans_pause",
    "plans_archive",
    "addons_update",
    "price_lists_update",
    "price_lists_delete",
    "subscriptions_convert_trial",
    "subscriptions_renew",
    "subscriptions_cancel",
    "subscriptions_uncancel",
    "subscriptions_transfer",
    "resources_update",
    "resources_delete",
    "resources_set_password",
    "webhook_endpoints_update",
    "webhook_endpoints_delete",
    "webhook_endpoints_rotate_secret",
];

/// The operations that ask for `If-Match`: what they change is agreed on, and nobody undoes what he has not seen.
const CONDITION_REQUIRED: &[&str] = &["plans_add_version", "prices_set", "prices_withdraw", "quotas_put"];

/// The operations that show one object with its entity tag, and go by `If-None-Match`.
const TAGGED: &[&str] = &[
    "accounts_branding",
    "accounts_get",
    "batches_get",
    "keys_get",
    "members_get",
    "orders_get",
    "plans_get",
    "addons_get",
    "price_lists_get",
    "quotes_get",
    "quota_requests_get",
    "quotas_get",
    "reconcile_runs_get",
    "resources_get",
    "servers_get",
    "signups_get",
    "services_get",
    "storefront_keys_get",
    "subscriptions_get",
    "virtual_servers_get",
    "webhook_endpoints_get",
];

/// What a body is described with that need not be there.
const OPTIONAL_BODY: &str = "May be left out";

fn complete(operation: &mut Value, method: &str, path: &str, paged: bool) {
    let scope = operation["security"][0]["oauth2"][0].as_str().and_then(|scope| scope.parse().ok());
    let mutates = method != "get" && !scope.is_some_and(Scope::reads);
    let mut names = vec!["TenantryAccount"];
    if mutates {
        names.extend(["IdempotencyKey", "DryRun"]);
    }
    if operation["responses"].get("202").is_some() {
        names.push("Prefer");
    }
    let id = operation["operationId"].as_str().unwrap_or_default();
    let (required, tagged) = (CONDITION_REQUIRED.contains(&id), TAGGED.contains(&id));
    let conditional = required || CONDITIONAL.contains(&id);
    if conditional {
        names.push(if required { "IfMatchRequired" } else { "IfMatch" });
    }
    if tagged {
        names.push("IfNoneMatch");
        operation["responses"]["304"] = json!({"description": "It still looks as `If-None-Match` says"});
        operation["responses"]["200"]["headers"]["ETag"] = json!({"description": "For `If-None-Match`, and for `If-Match` of a change", "schema": {"type": "string"}});
    }
    if paged {
        names.extend(["Limit", "Cursor"]);
    }
    let parameters = names.iter().map(|name| json!({"$ref": format!("#/components/parameters/{name}")}));
    match operation["parameters"].as_array_mut() {
        Some(known) => known.extend(parameters),
        None => operation["parameters"] = parameters.collect(),
    }
    // A key as Bearer does as well as a token.
    if let Some(scopes) = operation["security"][0].get("oauth2").cloned() {
        operation["security"] = json!([{"oauth2": scopes}, {"key": []}]);
    }
    let has_body = operation.get("requestBody").is_some();
    if operation["requestBody"]["description"] == OPTIONAL_BODY {
        operation["requestBody"]["required"] = json!(false);
    }
    let mut refusals = vec![
        ("400", "The request, its query or its JSON is malformed"),
        ("401", "There is no valid credential"),
        (
            "403",
            "The credential lacks the scope, its account is suspended, or the account acted in does not let those above it do this",
        ),
        ("429", "A rate limit is used up; Retry-After says for how long, `violated-policies` which"),
        ("503", "The database is not available"),
    ];
    if conditional {
        refusals.push(("412", "The object has changed since it was read"));
    }
    if required {
        refusals.push(("428", "There is no `If-Match`"));
    }
    match path.contains("{id}") {
        true => refusals.push(("404", "There is no such object in the caller's reach")),
        false => refusals.push((
            "404",
            "The account that `Tenantry-Account` or the body names is not in the caller's reach",
        )),
    }
    refusals.push(match mutates {
        true => ("409", "The state, a name, a quota or another operation stands in the way"),
        false => ("409", "The caller's account was moved a moment ago; ask again"),
    });
    refusals.push(("422", "Something in the body or the query is not valid; `errors` names each place"));
    if has_body {
        refusals.push(("413", "The body is too large"));
        refusals.push(("415", "The body is not application/json"));
    }
    tell_refusals(operation, &refusals);
}

/// How all operations refuse, before it is looked at which one is asked for.
const EVERYWHERE: &[(&str, &str, &str)] = &[
    ("414", "UriTooLong", "Path and query are too long"),
    ("431", "HeadersTooLarge", "The headers are too many or too large"),
];

/// How operations refuse that take a body from anybody.
const OPEN_REFUSALS: &[(&str, &str)] = &[
    ("400", "The request, its query or its JSON is malformed"),
    ("413", "The body is too large"),
    ("415", "The body is not application/json"),
    ("422", "Something in the body is not valid; `errors` names each place"),
    ("429", "A rate limit of the address is used up; Retry-After says for how long"),
    ("503", "The database is not available"),
];

fn tell_refusals(operation: &mut Value, refusals: &[(&str, &str)]) {
    for (status, why) in refusals {
        if operation["responses"].get(status).is_none() {
            operation["responses"][status] = refusal(why);
        }
    }
}

fn refusal(why: &str) -> Value {
    let schema = json!({"schema": {"$ref": "#/components/schemas/Problem"}});
    json!({"description": why, "content": {"application/problem+json": schema}})
}

fn problem_schema() -> Value {
    let codes: Vec<_> = super::problem::Code::ALL.iter().map(|code| code.as_str()).collect();
    json!({
        "type": "object",
        "description": "A refusal, after RFC 9457. Some codes have members of their own, such as `violations` and `remedies` of `quota_exceeded`.",
        "required": ["type", "title", "status", "detail", "instance", "code", "retryable", "request_id", "doc"],
        "properties": {
            "type": {"type": "string", "description": "A reference to what this kind of problem is"},
            "title": {"type": "string"},
            "status": {"type": "integer", "format": "int32"},
            "detail": {"type": "string", "description": "What went wrong this time, for people"},
            "instance": {"type": "string"},
            "code": {"type": "string", "x-extensible-enum": codes, "example": "quota_exceeded"},
            "retryable": {"type": "boolean", "description": "Whether the same request with the same Idempotency-Key may succeed later"},
            "request_id": {"type": "string", "description": "Also in the header X-Request-Id"},
            "doc": {"type": "string"},
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
            "violated-policies": {"type": "array", "items": {"type": "string"}, "description": "Of `rate_limited`: the policies, as in `RateLimit-Policy`"},
            "violations": {"type": "array", "items": {"$ref": "#/components/schemas/Violation"}},
            "remedies": {"type": "array", "items": {"$ref": "#/components/schemas/Remedy"}},
        },
    })
}

fn security_schemes() -> Value {
    let scopes: BTreeMap<_, _> = Scope::ALL.iter().map(|scope| (scope.as_str(), scope.as_str())).collect();
    json!({
        "key": {"type": "http", "scheme": "bearer", "description": "A key, `tnk_live_…`; in a shop's pages one of the storefront's, `tnp_live_…`, for `plans_list` and `plans_get` alone"},
        "oauth2": {
            "type": "oauth2",
            "description": "An access token for a key: `client_id` is the key's id, `client_secret` the key",
            "flows": {"clientCredentials": {"tokenUrl": "/oauth/token", "scopes": scopes}},
        },
    })
}

fn common_parameters() -> Value {
    let header = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "header", "required": false, "description": description, "schema": schema});
    json!({
        "IdempotencyKey": header(
            "Idempotency-Key",
            "Makes the request safe to send again: under one key it acts once and answers the same each time, for 72 hours.",
            json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-\\[\\]-~]+$"}),
        ),
        "TenantryAccount": header(
            "Tenantry-Account",
            "Acts for an account below the credential's own.",
            json!({"type": "string", "pattern": "^acc_[0-7][0-9a-hjkmnp-tv-z]{25}$"}),
        ),
        "Prefer": header(
            "Prefer",
            "`wait=25` answers when the work has ended, or after so many seconds, 30 at most.",
            json!({"type": "string", "example": "wait=25"}),
        ),
        "IfMatch": header(
            "If-Match",
            "Acts only while the object is at the version of one of these entity tags, or answers 412.",
            json!({"type": "string", "example": "\"v3.mPqk0u1pXfI\""}),
        ),
        "IfMatchRequired": {
            "name": "If-Match", "in": "header", "required": true,
            "description": "The object's entity tag: it is changed only while it is at that version, else 412. `*` changes whatever is there.",
            "schema": {"type": "string", "minLength": 1, "examples": ["\"v3.mPqk0u1pXfI\"", "*"]},
        },
        "IfNoneMatch": header(
            "If-None-Match",
            "Answers 304 without a body while the object still looks as when it had one of these entity tags.",
            json!({"type": "string", "example": "\"v3.mPqk0u1pXfI\""}),
        ),
        "Limit": {
            "name": "limit", "in": "query", "required": false,
            "description": "How many rows to give.",
            "schema": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 200, "default": 50},
        },
        "Cursor": {
            "name": "cursor", "in": "query", "required": false,
            "description": "The `next_cursor` of the part before; good for a day, for the same list and caller.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 1024},
        },
        "DryRun": {
            "name": "dry_run", "in": "query", "required": false,
            "description": "Does everything, answers, and takes it all back: no trace is left and nothing is told.",
            "schema": {"type": "boolean", "default": false},
        },
    })
}
