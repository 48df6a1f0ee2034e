//! Unions as integrators need them in the document: each variant a schema with a name of its own, told apart
//! by one member, closed where callers write it.

use serde_json::{Map, Value, json};

use crate::model::services::specs::ResourceType;

/// Gives the document's unions their shape.
pub fn shape(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    resources(schemas);
    order_items(schemas);
    price_rules(schemas);
    client_settings(schemas);
    schemas.remove("ResourceSpec");
    for schema in schemas.values_mut() {
        tidy(schema);
    }
}

/// The name that a type's variants have in the document.
fn title(resource_type: ResourceType) -> &'static str {
    match resource_type {
        ResourceType::Domain => "Domain",
        ResourceType::Mailbox => "Mailbox",
        ResourceType::Zone => "Zone",
        ResourceType::Site => "Site",
    }
}

/// New resources and resources, one schema for each type.
fn resources(schemas: &mut Map<String, Value>) {
    let asked = members(&schemas["NewResource"]);
    let told = members(&schemas["Resource"]);
    let password = json!({
        "type": "string",
        "format": "password",
        "minLength": 8,
        "maxLength": 72,
        "writeOnly": true,
        "description": "Kept as a hash only and never read back. Without one every login is refused until it is set.",
    });
    let (mut new, mut seen) = (Vec::new(), Vec::new());
    for resource_type in ResourceType::ALL {
        let name = title(*resource_type);
        let spec = json!({"$ref": format!("#/components/schemas/{name}Spec")});
        let kind = json!({"type": "string", "enum": [resource_type.as_str()]});
        let mut properties = Map::new();
        properties.insert("type".into(), kind.clone());
        properties.insert("spec".into(), spec.clone());
        if resource_type.has_password() {
            properties.insert("password".into(), password.clone());
        }
        properties.extend(asked.properties.clone());
        let variant = json!({
            "type": "object",
            "required": ["type", "spec"],
            "properties": properties,
            "additionalProperties": false,
        });
        schemas.insert(format!("New{name}"), variant);
        new.push((resource_type.as_str(), format!("New{name}")));

        let mut properties = told.properties.clone();
        properties.insert("type".into(), kind);
        properties.insert("spec".into(), spec);
        let mut required = told.required.clone();
        required.extend([json!("type"), json!("spec")]);
        let variant = json!({"type": "object", "required": required, "properties": properties});
        schemas.insert(format!("{name}Resource"), variant);
        seen.push((resource_type.as_str(), format!("{name}Resource")));
    }
    union(schemas, "NewResource", "type", &new);
    union(schemas, "Resource", "type", &seen);
}

/// What an item of an order can be.
fn order_items(schemas: &mut Map<String, Value>) {
    tagged(
        schemas,
        "NewOrderItem",
        "action",
        &[("add", "AddItem", "AddItem"), ("change", "ChangeItem", "ChangeItem")],
    );
    tagged(
        schemas,
        "NewQuoteItem",
        "action",
        &[("add", "QuotedAdd", "QuotedAdd"), ("change", "ChangeItem", "ChangeItem")],
    );
}

/// What a price list makes of prices.
fn price_rules(schemas: &mut Map<String, Value>) {
    let adjustments = [
        ("taken_over", "TakenOver", "Plain"),
        ("marked_up", "MarkedUp", "MarkUp"),
        ("discounted", "Discounted", "Discount"),
    ];
    let others = [
        ("fixed", "FixedPrices", "Fixed"),
        ("unlisted", "Unlisted", "Plain"),
        ("withheld", "Withheld", "Plain"),
    ];
    tagged(schemas, "Rule", "kind", &[&adjustments[..], &others[..]].concat());
    tagged(schemas, "Adjustment", "kind", &adjustments);
    for part in ["Plain", "MarkUp", "Discount", "Fixed"] {
        schemas.remove(part);
    }
    for (title, meaning) in [
        ("TakenOver", "What the account pays itself, in the list's currency."),
        ("MarkedUp", "What the account pays itself and a share on top."),
        ("Discounted", "What the account pays itself less a share."),
        ("FixedPrices", "Prices of the account's own, whatever it pays itself."),
        ("Unlisted", "As plans of which the list says nothing."),
        ("Withheld", "The plan is not sold."),
    ] {
        schemas[title]["description"] = json!(meaning);
    }
}

/// A union whose variants are told apart by a member with a value each: the value, the variant's name in the document,
/// and the schema that has its other members.
fn tagged(schemas: &mut Map<String, Value>, name: &str, member: &str, variants: &[(&str, &str, &str)]) {
    for (value, title, of) in variants {
        let mut schema = schemas[*of].clone();
        let mut properties =
            Map::from_iter([(member.to_owned(), json!({"type": "string", "enum": [value]}))]);
        properties.extend(members(&schema).properties);
        // What is a variant of two unions has the member already.
        let mut required = members(&schema).required;
        required.retain(|name| name != member);
        required.insert(0, json!(member));
        schema["properties"] = Value::Object(properties);
        schema["required"] = Value::Array(required);
        schema["additionalProperties"] = json!(false);
        schemas.insert((*title).to_owned(), schema);
    }
    let named: Vec<_> = variants.iter().map(|(value, title, _)| (*value, (*title).to_owned())).collect();
    union(schemas, name, member, &named);
}

/// How a client can authenticate.
fn client_settings(schemas: &mut Map<String, Value>) {
    let told = members(&schemas["ClientSettings"]).properties;
    let variants =
        [("client_secret_basic", "SecretClient", false), ("private_key_jwt", "AssertingClient", true)];
    for (method, name, asserts) in variants {
        let mut method = json!({"type": "string", "enum": [method]});
        method["description"] = told["token_endpoint_auth_method"]["description"].clone();
        let mut schema = json!({
            "type": "object",
            "required": ["token_endpoint_auth_method"],
            "properties": {"token_endpoint_auth_method": method},
            "additionalProperties": false,
        });
        if asserts {
            schema["required"] = json!(["token_endpoint_auth_method", "jwks"]);
            schema["properties"]["jwks"] = told["jwks"].clone();
        }
        schemas.insert(name.to_owned(), schema);
    }
    let named: Vec<_> = variants.iter().map(|(method, name, _)| (*method, (*name).to_owned())).collect();
    union(schemas, "ClientSettings", "token_endpoint_auth_method", &named);
}

/// The members that a flattened schema has beside its union.
struct Members {
    properties: Map<String, Value>,
    required: Vec<Value>,
}

fn members(schema: &Value) -> Members {
    let own =
        schema["allOf"].as_array().and_then(|parts| parts.iter().find(|part| part["properties"].is_object()));
    let own = own.unwrap_or(schema);
    Members {
        properties: own["properties"].as_object().cloned().unwrap_or_default(),
        required: own["required"].as_array().cloned().unwrap_or_default(),
    }
}

fn union(schemas: &mut Map<String, Value>, name: &str, member: &str, variants: &[(&str, String)]) {
    let reference = |name: &String| format!("#/components/schemas/{name}");
    let mapping: Map<String, Value> =
        variants.iter().map(|(value, name)| ((*value).to_owned(), json!(reference(name)))).collect();
    let references: Vec<_> = variants.iter().map(|(_, name)| json!({"$ref": reference(name)})).collect();
    let description = schemas.get(name).map(|schema| schema["description"].clone()).unwrap_or_default();
    let union = json!({
        "description": description,
        "oneOf": references,
        "discriminator": {"propertyName": member, "mapping": mapping},
    });
    schemas.insert(name.to_owned(), union);
}

/// Takes out what says nothing: that the names of an object's members are texts.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("propertyNames").is_some_and(|names| *names == json!({"type": "string"})) {
                members.remove("propertyNames");
            }
            members.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
