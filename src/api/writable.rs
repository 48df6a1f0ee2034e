//! Which members of an object callers write, and which they only read. Whoever sends one of the latter is told so,
//! rather than that it is unknown, and it is never passed over.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// Where a document keeps its schemas.
const PLACE: &str = "#/components/schemas/";

/// An operation's body and what it answers, by the names of their schemas.
struct Pair<'a> {
    body: &'a str,
    answer: &'a str,
}

/// What of the objects' members cannot be written, by the name of the body in which others of theirs are.
pub fn fixed(document: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut fixed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for pair in pairs(document) {
        let taken = members(document, pair.body);
        let told = members(document, pair.answer).into_iter().filter(|member| !taken.contains(member));
        fixed.entry(pair.body.to_owned()).or_default().extend(told);
    }
    fixed
}

/// Says in the document which members of its objects no operation writes.
pub fn mark(document: &mut Value) {
    let mut written: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for pair in pairs(document) {
        let taken = members(document, pair.body);
        for schema in parts(document, pair.answer) {
            written.entry(schema).or_default().extend(taken.iter().cloned());
        }
    }
    for (name, taken) in written {
        mark_in(&mut document["components"]["schemas"][&name], &taken);
    }
}

fn mark_in(schema: &mut Value, taken: &BTreeSet<String>) {
    let members = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, member) in members.into_iter().flatten() {
        if !taken.contains(name) {
            member["readOnly"] = json!(true);
        }
    }
    let parts = schema.get_mut("allOf").and_then(Value::as_array_mut);
    for part in parts.into_iter().flatten() {
        mark_in(part, taken);
    }
}

/// The operations that write an object, which has an identifier, and answer with it.
fn pairs(document: &Value) -> Vec<Pair<'_>> {
    let operations =
        document["paths"].as_object().into_iter().flatten().flat_map(|(_, path)| path.as_object());
    let mut pairs = Vec::new();
    for (_, operation) in operations.flatten() {
        let Some(body) = named(&operation["requestBody"]) else { continue };
        let answers = operation["responses"].as_object().into_iter().flatten();
        let good = answers.filter(|(status, _)| status.starts_with('2'));
        let Some(answer) = good.filter_map(|(_, answer)| named(answer)).next() else { continue };
        if members(document, answer).contains("id") {
            pairs.push(Pair { body, answer });
        }
    }
    pairs
}

/// The name of the schema of some JSON content.
fn named(content: &Value) -> Option<&str> {
    content["content"]["application/json"]["schema"]["$ref"].as_str()?.strip_prefix(PLACE)
}

/// The schema and those that it is put together from.
fn parts(document: &Value, name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::from([name.to_owned()]);
    let schema = &document["components"]["schemas"][name];
    for kind in ["allOf", "oneOf"] {
        for part in schema[kind].as_array().into_iter().flatten() {
            let reference = part["$ref"].as_str().and_then(|place| place.strip_prefix(PLACE));
            found.extend(reference.into_iter().flat_map(|name| parts(document, name)));
        }
    }
    found
}

/// The members of a schema, with those of all that it is put together from.
fn members(document: &Value, name: &str) -> BTreeSet<String> {
    fn collect(schema: &Value, found: &mut BTreeSet<String>) {
        found.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
        for part in schema["allOf"].as_array().into_iter().flatten() {
            collect(part, found);
        }
    }
    let mut found = BTreeSet::new();
    for part in parts(document, name) {
        collect(&document["components"]["schemas"][&part], &mut found);
    }
    found
}
