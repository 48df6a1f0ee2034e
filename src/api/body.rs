//! Bodies: read within limits, checked against the very schema that the document shows, all faults at once.

use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

use actix_web::http::header;
use actix_web::{HttpRequest, dev::Payload, web};
use futures_util::StreamExt;
use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use validator::{Validate, ValidationErrors, ValidationErrorsKind};

use super::problem::{Code, Fault, Problem};
use super::{json, pace, writable};
use crate::model::text::pointer_step;

/// The largest body in bytes.
pub const MAX_BODY: usize = 256 * 1024;
/// And where it is of many things.
pub const MAX_BULK: usize = 5 * 1024 * 1024;
/// The code of a member that is not for callers to set, of the fault as of the problem.
const NOT_WRITABLE: &str = Code::FieldNotWritable.as_str();
/// How many faults are told at most.
pub const MAX_FAULTS: usize = 50;

/// A body that a request can have: in the document by its name, and with rules of its own.
pub trait Body: DeserializeOwned + Validate + ToSchema {}
impl<T: DeserializeOwned + Validate + ToSchema> Body for T {}

/// The schemas of all bodies. Each is kept as text until the first body of its name comes: a schema that is
/// ready to check with takes many times its text, and most processes never see most bodies.
pub struct Schemas(HashMap<String, Schema>);

struct Schema {
    text: Box<[u8]>,
    ready: OnceLock<jsonschema::Validator>,
    /// The members of the object that are not for callers to set here.
    fixed: BTreeSet<String>,
}

impl Schemas {
    /// Reads them off the finished document.
    pub fn of(document: &Value) -> Self {
        let all = &document["components"]["schemas"];
        let bodies = document["paths"].as_object().into_iter().flatten().flat_map(|(_, path)| {
            path.as_object().into_iter().flatten().filter_map(|(_, operation)| {
                let reference = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
                reference.as_str()?.rsplit('/').next()
            })
        });
        let fixed = writable::fixed(document);
        let schema = |name: &str| {
            let fixed = fixed.get(name).cloned().unwrap_or_default();
            (name.to_owned(), Schema { fixed, ..Schema::of(all, name) })
        };
        Self(bodies.map(schema).collect())
    }

    fn check(&self, name: &str, value: &Value) -> Vec<Fault> {
        let Some(schema) = self.0.get(name) else { return Vec::new() };
        let mut faults = Vec::new();
        for error in schema.ready().iter_errors(value) {
            collect_schema(&error, &schema.fixed, &mut faults);
        }
        faults.truncate(MAX_FAULTS);
        faults
    }
}

impl Schema {
    fn of(all: &Value, name: &str) -> Self {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$ref": format!("{PLACE}{name}"),
            "components": {"schemas": reached(all, name)},
        });
        Self { text: schema.to_string().into_bytes().into(), ready: OnceLock::new(), fixed: BTreeSet::new() }
    }

    fn ready(&self) -> &jsonschema::Validator {
        self.ready.get_or_init(|| {
            let schema = serde_json::from_slice(&self.text).expect("it was written as JSON");
            jsonschema::validator_for(&schema).expect("a test makes all of the document's schemas ready")
        })
    }
}

/// The members by which the document's unions are told apart.
const TAGS: [&str; 4] = ["type", "action", "kind", "token_endpoint_auth_method"];

/// The faults behind an error. Where none of several variants fits, those of the one that was meant: the
/// variant whose own member was sent, or else the one that comes nearest.
fn collect_schema(error: &ValidationError<'_>, fixed: &BTreeSet<String>, faults: &mut Vec<Fault>) {
    let context = match error.kind() {
        Kind::OneOfNotValid { context } | Kind::AnyOf { context } => context,
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let at = error.instance_path().to_string();
            return faults.extend(unexpected.iter().map(|name| unexpected_at(&at, name, fixed)));
        }
        _ => return faults.push(fault(error)),
    };
    let place = error.instance_path().to_string();
    let another = |error: &ValidationError<'_>| is_tag(error, &place) || is_null(error);
    let meant = context.iter().filter(|errors| !errors.iter().any(another)).min_by_key(|errors| errors.len());
    match meant {
        Some(errors) => errors.iter().for_each(|error| collect_schema(error, fixed, faults)),
        None => faults.push(untold(context, &place)),
    }
}

/// Whether an error says that the member which tells the variants at a place apart is missing or another.
fn is_tag(error: &ValidationError<'_>, place: &str) -> bool {
    let at = error.instance_path().to_string();
    match error.kind() {
        Kind::Required { property } => {
            at == place && property.as_str().is_some_and(|name| TAGS.contains(&name))
        }
        Kind::Enum { .. } => TAGS.iter().any(|tag| at == format!("{place}/{tag}")),
        _ => false,
    }
}

/// Whether all that an error says is that the value is not `null`.
fn is_null(error: &ValidationError<'_>) -> bool {
    use jsonschema::error::TypeKind;
    matches!(error.kind(), Kind::Type { kind: TypeKind::Single(jsonschema::JsonType::Null) })
}

/// The member that tells the variants apart is missing, or has none of their values.
fn untold(context: &[Vec<ValidationError<'static>>], place: &str) -> Fault {
    let tags = || context.iter().flatten().filter(|error| is_tag(error, place));
    let missing = tags().find_map(|error| match error.kind() {
        Kind::Required { property } => property.as_str(),
        _ => None,
    });
    if let Some(name) = missing {
        return Fault::at(format!("{place}/{name}"), "required", "is missing");
    }
    let mut at = place.to_owned();
    let mut known = Vec::new();
    for error in tags() {
        if let Kind::Enum { options } = error.kind() {
            at = error.instance_path().to_string();
            known.extend(options.as_array().into_iter().flatten().filter_map(|option| option.as_str()));
        }
    }
    match known.is_empty() {
        true => Fault::at(at, "invalid", "has none of the shapes that are known here"),
        false => Fault::at(at, "not_allowed", format!("must be one of {}", known.join(", "))),
    }
}

/// Where a document keeps its schemas.
const PLACE: &str = "#/components/schemas/";

/// The schema of that name and all that it refers to: a validator keeps what it is made of, which should not
/// be the whole document.
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

/// What is in a body and should not be there: a member of the object that is not for callers to set, or one that
/// there is not at all.
fn unexpected_at(at: &str, name: &str, fixed: &BTreeSet<String>) -> Fault {
    let pointer = format!("{at}/{}", pointer_step(name));
    match at.is_empty() && fixed.contains(name) {
        true => Fault::at(pointer, NOT_WRITABLE, "is not for callers to set here"),
        false => Fault::at(pointer, "unknown_field", "is not known here"),
    }
}

/// A fault in the words of the schema. The value that was sent is never told back: it may be a secret.
fn fault(error: &ValidationError<'_>) -> Fault {
    let pointer = error.instance_path().to_string();
    match error.kind() {
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
pub async fn read(request: &HttpRequest, mut stream: Payload, most: usize) -> Result<web::Bytes, Problem> {
    let mut bytes = web::BytesMut::new();
    let coding = request.headers().get(header::CONTENT_ENCODING);
    if coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "Send the body as it is, without Content-Encoding.",
        ));
    }
    let told = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if told.and_then(|length| length.parse::<usize>().ok()).is_some_and(|length| length > most) {
        return Err(too_large(most));
    }
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| match pace::is_late(&error) {
            true => Problem::new(Code::RequestTimeout, "The body did not arrive in time."),
            false => Problem::new(Code::MalformedRequest, "The body did not arrive whole."),
        })?;
        if bytes.len() + chunk.len() > most {
            return Err(too_large(most));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn too_large(most: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("A body has at most {} KiB here.", most / 1024))
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
    let mut faults = schemas.check(&T::name(), &value);
    let body = serde_path_to_error::deserialize::<_, T>(value);
    match &body {
        Ok(body) => {
            if let Err(errors) = body.validate() {
                let mut more = Vec::new();
                collect(&errors, String::new(), &mut more);
                // Of one place the schema's word is enough.
                more.retain(|fault| !faults.iter().any(|told| told.pointer == fault.pointer));
                faults.extend(more);
            }
        }
        // The schema has said it better, if it has said anything.
        Err(error) if faults.is_empty() => faults.push(unread(error)),
        Err(_) => {}
    }
    faults.truncate(MAX_FAULTS);
    match body {
        Ok(body) if faults.is_empty() => Ok(body),
        _ => Err(invalid(faults)),
    }
}

/// What the schema lets pass and the type does not.
fn unread(error: &serde_path_to_error::Error<serde_json::Error>) -> Fault {
    let path = error.path().to_string();
    let pointer = match path.as_str() {
        "." => String::new(),
        path => format!("/{}", path.replace(['.', '['], "/").replace(']', "")),
    };
    Fault::at(pointer, "invalid", without_value(&error.inner().to_string()))
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

/// The refusal of a body for what is wrong in it.
pub fn invalid(errors: Vec<Fault>) -> Problem {
    if !errors.is_empty() && errors.iter().all(|fault| fault.code == NOT_WRITABLE) {
        let detail = "Some of what was sent is not for callers to set here; errors[] names each place.";
        return Problem::new(Code::FieldNotWritable, detail).with_errors(errors);
    }
    Problem::new(Code::ValidationFailed, "Some of what was sent is not valid; errors[] names each place.")
        .with_errors(errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_of_every_body_can_be_checked_with() {
        let schemas = Schemas::of(&crate::api::document());
        assert!(schemas.0.contains_key("NewOrder"), "the bodies are found");
        for (name, schema) in &schemas.0 {
            let schema: Value = serde_json::from_slice(&schema.text).unwrap();
            assert!(jsonschema::validator_for(&schema).is_ok(), "{name}");
        }
    }
}
