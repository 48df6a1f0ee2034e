//! Bodies: read within limits, checked against the very schema that the document shows, all faults at once.

use std::collections::HashMap;
use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpRequest, dev::Payload, web};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use validator::{Validate, ValidationErrors, ValidationErrorsKind};

use super::json;
use super::problem::{Code, Fault, Problem};

/// The largest body in bytes.
pub const MAX_BODY: usize = 256 * 1024;
/// How many faults are told at most.
const MAX_FAULTS: usize = 50;

/// A body that a request can have: in the document by its name, and with rules of its own.
pub trait Body: DeserializeOwned + Validate + ToSchema {}
impl<T: DeserializeOwned + Validate + ToSchema> Body for T {}

/// The schemas of all bodies, ready to check values with.
pub struct Schemas(HashMap<String, Arc<jsonschema::Validator>>);

impl Schemas {
    /// Reads them off the finished document.
    pub fn of(document: &Value) -> Self {
        let all = &document["components"]["schemas"];
        let validator = |name: String| {
            let schema = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "$ref": format!("{PLACE}{name}"),
                "components": {"schemas": reached(all, &name)},
            });
            let validator = jsonschema::validator_for(&schema).expect("the document's schemas are valid");
            (name, Arc::new(validator))
        };
        let bodies = document["paths"].as_object().into_iter().flatten().flat_map(|(_, path)| {
            path.as_object().into_iter().flatten().filter_map(|(_, operation)| {
                let reference = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
                reference.as_str()?.rsplit('/').next().map(str::to_owned)
            })
        });
        Self(bodies.map(validator).collect())
    }

    fn check(&self, name: &str, value: &Value) -> Vec<Fault> {
        let Some(validator) = self.0.get(name) else { return Vec::new() };
        validator.iter_errors(value).take(MAX_FAULTS).map(|error| fault(&error)).collect()
    }
}

/// Where a document keeps its schemas.
const PLACE: &str = "#/components/schemas/";

/// The schema of that name and all that it refers to. A validator keeps what it is made of, so that with the
/// whole document in each of them the process would hold the document once for every body.
fn reached(all: &Value, name: &str) -> Map<String, Value> {
    let mut found = Map::new();
    let mut left = vec![name.to_owned()];
    while let Some(name) = left.pop() {
        if !found.contains_key(&name) {
            references(&all[&name], &mut left);
            found.insert(name.clone(), all[&name].clone());
        }
    }
    found
}

/// The names of the schemas that one refers to.
fn references(schema: &Value, names: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            let reference = members.get("$ref").and_then(Value::as_str);
            names.extend(reference.and_then(|place| place.strip_prefix(PLACE)).map(str::to_owned));
            members.values().for_each(|member| references(member, names));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, names)),
        _ => {}
    }
}

/// A fault in the words of the schema. The value that was sent is never told back: it may be a secret.
fn fault(error: &jsonschema::ValidationError<'_>) -> Fault {
    use jsonschema::error::ValidationErrorKind as Kind;
    let pointer = error.instance_path().to_string();
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let names: Vec<_> = unexpected.iter().map(|name| format!("{name:?}")).collect();
            let first = unexpected.first().map(String::as_str).unwrap_or_default();
            Fault::at(
                format!("{pointer}/{first}"),
                "unknown_field",
                format!("not known here: {}", names.join(", ")),
            )
        }
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            Fault::at(format!("{pointer}/{name}"), "required", "is missing")
        }
        Kind::Enum { options } => Fault::at(pointer, "not_allowed", format!("must be one of {options}")),
        Kind::Type { .. } => Fault::at(pointer, "wrong_type", error.masked().to_string()),
        _ => Fault::at(pointer, "invalid", error.masked().to_string()),
    }
}

/// Reads a body's bytes, up to the limit.
pub async fn read(request: &HttpRequest, mut stream: Payload) -> Result<web::Bytes, Problem> {
    let mut bytes = web::BytesMut::new();
    let told = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if told.and_then(|length| length.parse::<usize>().ok()).is_some_and(|length| length > MAX_BODY) {
        return Err(too_large());
    }
    while let Some(chunk) = stream.next().await {
        let chunk =
            chunk.map_err(|_| Problem::new(Code::MalformedRequest, "The body did not arrive whole."))?;
        if bytes.len() + chunk.len() > MAX_BODY {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn too_large() -> Problem {
    Problem::new(Code::BodyTooLarge, format!("A body has at most {} KiB.", MAX_BODY / 1024))
}

/// The body as JSON; none if it is empty.
pub fn value(request: &HttpRequest, bytes: &[u8]) -> Result<Option<Value>, Problem> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let kind =
        request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(Code::UnsupportedMediaType, "Send the body as application/json."));
    }
    json::parse(bytes).map(Some).map_err(|fault| {
        let place =
            Fault::at(fault.pointer.clone(), "invalid", format!("{fault}, about byte {}", fault.offset));
        match fault.kind.is_malformed() {
            true => {
                Problem::new(Code::MalformedJson, format!("The body is {fault}.")).with_errors(vec![place])
            }
            false => invalid(vec![place]),
        }
    })
}

/// The body as its type, once the schema and the type's own rules find nothing wrong.
pub fn typed<T: Body>(schemas: &Schemas, value: Value) -> Result<T, Problem> {
    let faults = schemas.check(&T::name(), &value);
    if !faults.is_empty() {
        return Err(invalid(faults));
    }
    let body: T = serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let pointer = if path == "." {
            String::new()
        } else {
            format!("/{}", path.replace(['.', '['], "/").replace(']', ""))
        };
        invalid(vec![Fault::at(pointer, "invalid", without_value(&error.into_inner().to_string()))])
    })?;
    match body.validate() {
        Ok(()) => Ok(body),
        Err(errors) => {
            let mut faults = Vec::new();
            collect(&errors, String::new(), &mut faults);
            faults.truncate(MAX_FAULTS);
            Err(invalid(faults))
        }
    }
}

/// serde's text without the value it quotes.
fn without_value(text: &str) -> String {
    match text.split_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None => text.split(": ").next().unwrap_or_default().to_owned(),
    }
}

fn collect(errors: &ValidationErrors, at: String, faults: &mut Vec<Fault>) {
    for (field, kind) in errors.errors() {
        let at = format!("{at}/{field}");
        match kind {
            ValidationErrorsKind::Field(errors) => faults.extend(errors.iter().map(|error| {
                let detail = error.message.as_deref().unwrap_or("is not valid");
                Fault::at(at.clone(), error.code.to_string(), detail)
            })),
            ValidationErrorsKind::Struct(inner) => collect(inner, at, faults),
            ValidationErrorsKind::List(items) => {
                for (n, inner) in items {
                    collect(inner, format!("{at}/{n}"), faults);
                }
            }
        }
    }
}

fn invalid(errors: Vec<Fault>) -> Problem {
    Problem::new(Code::ValidationFailed, "Some of what was sent is not valid; errors[] names each place.")
        .with_errors(errors)
}
