//! The document: what is committed is what is served, and it says all that a client needs.

use std::collections::BTreeSet;

use serde_json::{Value, json};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/v1.json");
/// What changes nothing, though it is posted.
const COMPUTING: &[&str] = &["/v1/batches/preview", "/v1/quotas/check", "/v1/quotas/explain"];
/// What callers need no credential for.
const OPEN: [&str; 7] = [
    "/v1/keys/report_leaked",
    "/oauth/token",
    "/oauth/revoke",
    "/oauth/introspect",
    "/oauth/jwks",
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-protected-resource",
];

fn document() -> Value {
    tenantry::api::document()
}

/// Each operation with its method and its path.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("there are paths");
    let of = |item: &'_ Value| {
        item.as_object()
            .expect("a path has methods")
            .clone()
            .into_iter()
            .map(|(method, _)| method)
            .collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    for (path, item) in paths {
        for method in of(item) {
            let (method, operation) = item.as_object().unwrap().get_key_value(&method).unwrap();
            all.push((method.as_str(), path.as_str(), operation));
        }
    }
    all
}

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let made = format!("{}\n", serde_json::to_string_pretty(&document()).unwrap());
    if std::env::var("UPDATE").is_ok_and(|update| update == "1") {
        std::fs::write(FILE, &made).unwrap();
    }
    let committed = std::fs::read_to_string(FILE).unwrap();
    let committed: Value = serde_json::from_str(&committed).unwrap();
    assert_eq!(committed, document(), "openapi/v1.json is old: UPDATE=1 cargo test --test document");
}

#[test]
fn each_operation_has_a_name_of_its_own_a_noun_first_and_a_summary() {
    let document = document();
    let tags: BTreeSet<_> =
        document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).map(Value::to_string).collect();
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let name = operation["operationId"].as_str().expect("an operation has a name");
        assert!(names.insert(name), "{name} is there twice");
        assert!(
            name.contains('_') && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{name}"
        );
        let summary = operation["summary"].as_str().unwrap_or_default();
        assert!(
            !summary.is_empty() && summary.len() <= 60 && !summary.ends_with('.'),
            "{method} {path}: {summary:?}"
        );
        let own = operation["tags"].as_array().expect("an operation has a tag");
        assert!(own.len() == 1 && tags.contains(&own[0].to_string()), "{method} {path}: {own:?}");
    }
}

#[test]
fn each_operation_says_what_it_needs_and_how_it_refuses() {
    let document = document();
    for (method, path, operation) in operations(&document) {
        let place = format!("{method} {path}");
        if OPEN.contains(&path) {
            // Beside operations that need a scope, one that needs none says so.
            let told = if path.starts_with("/v1/") { json!([{}]) } else { Value::Null };
            assert_eq!(operation["security"], told, "{place}");
            continue;
        }
        let scopes = operation["security"][0]["oauth2"].as_array().expect("a scope");
        assert_eq!(scopes.len(), 1, "{place}");
        let scope = scopes[0].as_str().unwrap();
        assert!(scope.parse::<tenantry::model::scopes::Scope>().is_ok(), "{place}: {scope}");
        let reads = method == "get" || COMPUTING.contains(&path);
        assert_eq!(reads, scope.ends_with(":read"), "{place} needs {scope}");
        let responses = operation["responses"].as_object().unwrap();
        let mut needed = vec!["400", "401", "403", "422", "503"];
        if path.contains('{') {
            needed.push("404");
        }
        if method != "get" {
            needed.push("409");
        }
        if operation.get("requestBody").is_some() {
            needed.extend(["413", "415"]);
        }
        for status in needed {
            let kind =
                &responses.get(status).unwrap_or_else(|| panic!("{place} tells no {status}"))["content"];
            assert!(kind["application/problem+json"].is_object(), "{place} {status}");
        }
        assert!(responses.keys().any(|status| status.starts_with('2')), "{place}");
        let names: Vec<_> = resolved_parameters(&document, operation);
        assert_eq!(!reads, names.contains(&"Idempotency-Key".into()), "{place}");
        assert_eq!(responses.contains_key("202"), names.contains(&"Prefer".into()), "{place}");
    }
}

fn resolved_parameters(document: &Value, operation: &Value) -> Vec<String> {
    let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    let name = |parameter: &Value| match parameter["$ref"].as_str() {
        Some(reference) => {
            document.pointer(&reference[1..]).expect("it resolves")["name"].as_str().unwrap().to_owned()
        }
        None => parameter["name"].as_str().unwrap().to_owned(),
    };
    parameters.iter().map(name).collect()
}

#[test]
fn each_place_in_a_path_is_a_parameter_of_a_known_form() {
    let document = document();
    for (method, path, operation) in operations(&document) {
        let places: BTreeSet<_> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let told: BTreeSet<_> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .collect::<Vec<_>>()
            .into_iter()
            .map(|parameter| {
                assert_eq!(parameter["required"], true, "{method} {path}");
                assert!(parameter["schema"]["$ref"].is_string(), "{method} {path}: {parameter}");
                parameter["name"].as_str().unwrap()
            })
            .collect();
        assert_eq!(places, told, "{method} {path}");
    }
}

#[test]
fn each_mutation_that_reads_a_body_shows_it_and_the_body_knows_no_other_members() {
    let document = document();
    for (method, path, operation) in operations(&document) {
        let form = OPEN.contains(&path) && !path.starts_with("/v1/");
        let Some(body) = operation.get("requestBody").filter(|_| !form) else {
            assert!(matches!(method, "get" | "delete" | "post"), "{method} {path} has no body");
            continue;
        };
        let schema = &body["content"]["application/json"]["schema"];
        assert!(schema["$ref"].is_string(), "{method} {path}");
        closed(&document, schema, &format!("{method} {path}"), false);
    }
}

/// Every object of a body refuses members that it does not know.
fn closed(document: &Value, schema: &Value, place: &str, by_another: bool) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(&reference[1..]).expect("it resolves");
        return closed(document, target, &format!("{place} > {reference}"), by_another);
    }
    let shut = by_another || schema["unevaluatedProperties"] == false;
    if schema["properties"].is_object() {
        assert!(shut || schema["additionalProperties"] == false, "{place} takes what it does not know");
    }
    for part in
        ["allOf", "oneOf", "anyOf"].iter().flat_map(|kind| schema[*kind].as_array().into_iter().flatten())
    {
        closed(document, part, place, shut);
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        closed(document, member, &format!("{place}/{name}"), false);
    }
    if schema["items"].is_object() {
        closed(document, &schema["items"], &format!("{place}/0"), false);
    }
}

#[test]
fn each_reference_leads_somewhere_and_each_schema_is_used() {
    let document = document();
    let mut used = BTreeSet::new();
    references(&document, &mut used);
    assert!(used.len() > 100);
    for reference in &used {
        let target = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
        assert!(target.is_some(), "{reference} leads nowhere");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(used.contains(&format!("#/components/schemas/{name}")), "nothing uses the schema {name}");
    }
}

#[test]
fn no_schema_has_a_keyword_without_a_value() {
    fn walk(value: &Value, at: &str) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let said = [
                        "properties",
                        "allOf",
                        "oneOf",
                        "anyOf",
                        "items",
                        "required",
                        "type",
                        "enum",
                        "$ref",
                    ];
                    assert!(!(member.is_null() && said.contains(&name.as_str())), "{at}/{name} is null");
                    walk(member, &format!("{at}/{name}"));
                }
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(n, item)| walk(item, &format!("{at}/{n}")))
            }
            _ => {}
        }
    }
    walk(&document(), "");
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match (name.as_str(), member) {
                    ("$ref", Value::String(reference)) => drop(found.insert(reference.clone())),
                    _ => references(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn no_schema_has_a_name_that_languages_keep_for_themselves() {
    let document = document();
    let kept = [
        "Array", "Boolean", "Box", "Date", "Duration", "Error", "Function", "Iterator", "List", "Map",
        "Number", "Object", "Option", "Promise", "Result", "Set", "String", "Vec", "View",
    ];
    let mut folded = BTreeSet::new();
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(!kept.contains(&name.as_str()), "{name}");
        assert!(!name.ends_with("View") && name.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{name}");
        assert!(folded.insert(name.to_lowercase()), "{name} differs from another in case only");
    }
}

#[test]
fn secrets_are_written_and_never_read() {
    let document = document();
    let member = |schema: &str, name: &str| {
        document["components"]["schemas"][schema].to_string().contains(&format!("\"{name}\":{{"))
    };
    assert!(member("NewMailbox", "password") && member("NewServer", "credentials"));
    for (schema, name) in [
        ("MailboxResource", "password"),
        ("MailboxResource", "password_hash"),
        ("Key", "secret"),
        ("WebhookEndpoint", "secret"),
    ] {
        assert!(!member(schema, name), "{schema} tells its {name}");
    }
    // SEC-5: what is told of one that is set is not the secret.
    let schemas = &document["components"]["schemas"];
    assert_eq!(
        schemas["Server"]["properties"]["credentials"],
        json!({"$ref": "#/components/schemas/Secret"})
    );
    assert_eq!(
        schemas["WebhookEndpoint"]["properties"]["secret_headers"]["additionalProperties"],
        json!({"$ref": "#/components/schemas/Secret"})
    );
    let told: Vec<_> = schemas["Secret"]["properties"].as_object().unwrap().keys().collect();
    assert_eq!(told, ["fingerprint", "set", "updated_at"]);
}

/// ERR-1: what the catalogue promises is answered to somebody: each code stands in a test of what is answered.
#[test]
fn each_code_of_the_catalogue_is_asserted_by_a_test() {
    fn texts(folder: &std::path::Path, found: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let told = path.to_string_lossy().into_owned();
            if path.is_dir() {
                texts(&path, found);
            } else if told.ends_with(".rs") && !told.ends_with("document.rs") {
                // Not where codes are only listed.
                let text = std::fs::read_to_string(&path).unwrap();
                let asserts =
                    |line: &&str| !line.trim_start().starts_with("//") && !line.contains("for code in");
                found.extend(text.lines().filter(asserts).flat_map(|line| [line, "\n"]));
            }
        }
    }
    let mut all = String::new();
    texts(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), &mut all);
    let missing: Vec<_> = tenantry::api::Code::ALL
        .iter()
        .map(|code| code.as_str())
        .filter(|code| !all.contains(&format!("\"{code}\"")))
        .collect();
    assert!(missing.is_empty(), "no test asserts {missing:?}");
}

/// PAGE-5, PAGE-7: no list is counted, whoever asks for it, and what is done in bulk is left as a batch, of 500 requests
/// that each have their own Idempotency-Key; what is only believed comes in rows, a thousand at once. Whoever adds another way thinks about what the rules say of it.
#[test]
fn nothing_is_counted_and_nothing_is_done_in_bulk_but_by_batches() {
    let document = document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let members = schema["properties"].as_object();
        let counts = |member: &&String| ["total", "total_count", "total_capped"].contains(&member.as_str());
        let Some(members) = members.filter(|members| members.contains_key("next_cursor")) else { continue };
        assert!(!members.keys().any(|member| counts(&member)), "{name}");
    }
    for (method, path, operation) in operations(&document) {
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        assert!(body["type"] != "array", "{method} {path}");
        let bulk = ["bulk", "usage_events"];
        assert!(!bulk.iter().any(|word| path.contains(word)), "{method} {path}");
    }
    for (schema, list, most) in [("NewBatch", "items", 500), ("NewReconcileRows", "rows", 1000)] {
        let list = &document["components"]["schemas"][schema]["properties"][list];
        assert_eq!((&list["minItems"], &list["maxItems"]), (&1.into(), &most.into()));
    }
}
