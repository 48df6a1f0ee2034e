//! The routes that the document describes, and what of its description the server goes by.

use std::collections::HashMap;
use std::sync::Arc;

use actix_web::http::Method;
use serde_json::Value;

use super::body::{MAX_BODY, MAX_BULK};
use super::shedding;
use crate::limits::load::Class;
use crate::model::scopes::Scope;

/// One route as the document describes it.
#[derive(Debug)]
pub struct Route {
    pub operation_id: String,
    /// The query parameters it knows.
    pub parameters: Vec<String>,
    /// Whether it makes something new, which it then answers with 201.
    pub makes: bool,
    pub condition: Condition,
    /// Whether it changes nothing, though its method could.
    pub computes: bool,
    /// Whether it takes an `Idempotency-Key`.
    pub takes_key: bool,
    /// Whether what it changes bears on who may come in.
    pub touches_credentials: bool,
    /// Whether a batch can have it.
    pub in_batches: bool,
    /// How large its body may be, in bytes.
    pub largest_body: usize,
    /// Whether it gives all that there is, in one answer.
    pub exports: bool,
    /// When it is turned away while there is too much to do.
    pub class: Class,
}

/// What `If-Match` is to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It does not go by it, and refuses it.
    Unknown,
    Optional,
    /// Without it nothing is changed.
    Required,
}

/// Whether the operation has this one of the document's own parameters.
fn takes(operation: &Value, parameter: &str) -> bool {
    let reference = format!("#/components/parameters/{parameter}");
    operation["parameters"].as_array().into_iter().flatten().any(|known| known["$ref"] == reference)
}

impl Condition {
    fn of(operation: &Value) -> Self {
        match (takes(operation, "IfMatchRequired"), takes(operation, "IfMatch")) {
            (true, _) => Self::Required,
            (false, true) => Self::Optional,
            (false, false) => Self::Unknown,
        }
    }
}

/// What no batch can have, though it changes something: answers with a secret, which are told once and to whoever asks, and
/// batches themselves.
const APART: &[&str] = &[
    "batches_cancel",
    "batches_create",
    "batches_create_previewed",
    "batches_retry_failed",
    "keys_create",
    "keys_rotate",
    "reconcile_runs_apply",
    "signups_issue_token",
    "webhook_endpoints_create",
    "webhook_endpoints_rotate_secret",
];

/// All routes, by method and pattern.
pub struct Routes {
    known: HashMap<(Method, String), Arc<Route>>,
    methods: Vec<(String, Vec<String>)>,
}

impl Routes {
    pub fn of(document: &Value) -> Self {
        let mut known = HashMap::new();
        let mut methods = Vec::new();
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            let mut here = Vec::new();
            for (method, operation) in item.as_object().into_iter().flatten() {
                let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else { continue };
                here.push(method.to_string());
                known.insert(
                    (method.clone(), path.clone()),
                    Arc::new(route(document, &method, path, operation)),
                );
            }
            methods.push((path.clone(), here));
        }
        Self { known, methods }
    }

    pub fn find(&self, method: &Method, pattern: &str) -> Option<Arc<Route>> {
        self.known.get(&(method.clone(), pattern.to_owned())).cloned()
    }

    pub fn all(&self) -> impl Iterator<Item = &Route> {
        self.known.values().map(Arc::as_ref)
    }

    /// The operation that a request would be for.
    pub fn of_request(&self, method: &Method, path: &str) -> Option<Arc<Route>> {
        self.find(method, path).or_else(|| {
            let is_it = |(of, pattern): &(Method, String)| {
                of == method && pattern.contains('{') && fits(pattern, path)
            };
            let is_another = self.methods_of(path).is_some();
            let found = self.known.iter().find(|(key, _)| !is_another && is_it(key))?;
            Some(found.1.clone())
        })
    }

    /// The methods of a path that is in the document letter by letter.
    pub fn methods_of(&self, path: &str) -> Option<String> {
        let known = self.methods.iter().find(|(pattern, _)| pattern == path && !pattern.contains('{'))?;
        Some(known.1.join(", "))
    }

    /// The methods that a path has; none if the path is not one of ours.
    pub fn methods(&self, path: &str) -> Option<String> {
        self.methods.iter().find(|(pattern, _)| fits(pattern, path)).map(|(_, methods)| methods.join(", "))
    }
}

/// Whether a path is of this pattern.
pub fn fits(pattern: &str, path: &str) -> bool {
    let (mut own, mut told) = (pattern.split('/'), path.split('/'));
    loop {
        match (own.next(), told.next()) {
            (None, None) => return true,
            (Some(own), Some(told)) if own == told || own.starts_with('{') && !told.is_empty() => {}
            _ => return false,
        }
    }
}

fn route(document: &Value, method: &Method, path: &str, operation: &Value) -> Route {
    let parameters = operation["parameters"].as_array().into_iter().flatten().filter_map(|parameter| {
        let parameter = match parameter["$ref"].as_str() {
            Some(reference) => &document["components"]["parameters"][reference.rsplit('/').next()?],
            None => parameter,
        };
        (parameter["in"] == "query").then(|| parameter["name"].as_str().map(str::to_owned))?
    });
    let operation_id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let touches_credentials = method != Method::GET
        && (["keys_", "storefront_keys_", "accounts_", "members_"]
            .iter()
            .any(|prefix| operation_id.starts_with(prefix))
            || ["holds_suspend_account", "holds_resume_account"].contains(&operation_id.as_str()));
    let makes = operation["responses"].get("201").is_some();
    let (condition, takes_key) = (Condition::of(operation), takes(operation, "IdempotencyKey"));
    let parameters: Vec<String> = parameters.collect();
    let scope = operation["security"][0]["oauth2"][0].as_str().and_then(|scope| scope.parse().ok());
    let computes = method != Method::GET && scope.is_some_and(Scope::reads);
    let paged = parameters.iter().any(|name| name == "limit");
    let in_batches = takes_key && !computes && !APART.contains(&operation_id.as_str());
    let largest_body = if operation_id == "batches_create" { MAX_BULK } else { MAX_BODY };
    let exports = operation_id.ends_with("_export");
    let class = shedding::class(method, path, scope, paged || exports);
    Route {
        parameters,
        operation_id,
        makes,
        condition,
        computes,
        takes_key,
        touches_credentials,
        in_batches,
        largest_body,
        exports,
        class,
    }
}
