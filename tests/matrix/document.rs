//! The operations as the served document describes them.

use std::collections::BTreeMap;

use reqwest::Method;

use super::*;

/// One operation of the document.
#[derive(Debug, Clone)]
pub struct Operation {
    pub name: String,
    pub method: Method,
    /// With the places of identifiers in braces.
    pub path: String,
    /// What it demands; none where anybody may call.
    pub scope: Option<String>,
    /// Whether it asks for `If-Match`.
    pub conditional: bool,
    /// The name of its body's schema.
    pub body: Option<String>,
    /// The name of its first successful answer's schema.
    pub answer: Option<String>,
}

impl Operation {
    /// By its scope: what only computes is called with a body, and reads.
    pub fn mutates(&self) -> bool {
        self.method != Method::GET && !self.scope.as_ref().is_some_and(|scope| scope.ends_with(":read"))
    }

    /// The request with what it cannot do without.
    pub fn call(&self, site: &Site, path: &str) -> Call {
        let call = site.call(self.method.clone(), path);
        if self.conditional { call.anyway() } else { call }
    }

    /// Whether a client shows itself there in OAuth's own way, or nobody has to.
    pub fn is_oauth(&self) -> bool {
        self.path.starts_with("/oauth/") || self.path.starts_with("/.well-known/")
    }
}

/// The document that the program serves.
pub async fn served(site: &Site) -> Value {
    site.get("/v1/openapi.json").send().await.is(200).body
}

pub fn operations(document: &Value) -> Vec<Operation> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().expect("there are paths") {
        for (method, operation) in item.as_object().expect("a path has methods") {
            let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else { continue };
            let schema = |content: &Value| {
                let reference = content["content"]["application/json"]["schema"]["$ref"].as_str()?;
                reference.rsplit('/').next().map(str::to_owned)
            };
            let answers = operation["responses"].as_object().expect("an operation answers");
            let good = answers.iter().find(|(status, _)| status.starts_with('2')).map(|(_, answer)| answer);
            all.push(Operation {
                name: operation["operationId"].as_str().expect("an operation has a name").to_owned(),
                scope: scope(operation),
                conditional: operation["responses"]["428"].is_object(),
                body: schema(&operation["requestBody"]),
                answer: good.and_then(schema),
                path: path.clone(),
                method,
            });
        }
    }
    all
}

/// The one scope of an operation; none if it has no `security` or says that it needs none.
fn scope(operation: &Value) -> Option<String> {
    let scopes = operation["security"].as_array()?.iter().find_map(|one| one["oauth2"].as_array())?;
    assert_eq!(scopes.len(), 1, "{} names its one scope", operation["operationId"]);
    scopes[0].as_str().map(str::to_owned)
}

/// The members of a schema and of all that it is put together from, each with what is said of it.
pub fn members(document: &Value, schema: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    if let Some(reference) = schema["$ref"].as_str() {
        found.extend(members(document, document.pointer(&reference[1..]).expect("it resolves")));
    }
    for part in ["allOf", "oneOf"].iter().flat_map(|kind| schema[*kind].as_array().into_iter().flatten()) {
        found.extend(members(document, part));
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        found.insert(name.clone(), member.clone());
    }
    found
}

/// All scopes that the document knows.
pub fn scopes(document: &Value) -> Vec<String> {
    let flow = &document["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]["scopes"];
    flow.as_object().expect("scopes have names").keys().cloned().collect()
}
