//! The walk: who is refused, with what, and that nothing has changed.

use std::collections::BTreeSet;

use secrecy::ExposeSecret;
use tenantry::access::secret::SecretKey;
use tenantry::model::accounts::accounts::Environment;
use tenantry::model::ids::KeyId;

use super::document::{Operation, operations, scopes, served};
use super::ground::{Ground, nothing};
use super::lines::lines;
use super::table::{PUBLIC, Row, TABLE};
use super::*;

/// An operation with its row of the table.
pub struct Step<'a> {
    pub operation: &'a Operation,
    pub row: &'a Row,
}

/// Whose the request is, and where it is to go.
pub struct As<'a> {
    key: Option<&'a str>,
    /// For `Tenantry-Account`.
    acting_for: Option<&'a str>,
}

impl<'a> As<'a> {
    pub fn key(key: &'a str) -> Self {
        Self { key: Some(key), acting_for: None }
    }

    pub fn through(self, account: &'a str) -> Self {
        Self { acting_for: Some(account), ..self }
    }
}

impl Step<'_> {
    /// The request as it is good, of whoever asks and on whatever object.
    pub fn call(&self, site: &Site, ground: &Ground, who: &As<'_>, object: Option<&str>) -> Call {
        let body = (self.row.body)(ground);
        let call = self.bare(site, ground, who, object);
        if body.is_null() { call } else { call.json(body) }
    }

    /// The same without a body. Everybody sends the same Idempotency-Key: nobody's answer is told to another.
    pub fn bare(&self, site: &Site, ground: &Ground, who: &As<'_>, object: Option<&str>) -> Call {
        let path = ground.place(self.operation, object.unwrap_or_default());
        let mut call = self.operation.call(site, &path);
        if self.operation.mutates() {
            call = call.idem(&format!("walk-{}", self.operation.name));
        }
        if let Some(key) = who.key {
            call = call.key(key);
        }
        match who.acting_for {
            Some(account) => call.acting_for(account),
            None => call,
        }
    }

    pub fn scope(&self) -> &str {
        self.operation.scope.as_deref().expect("it is not for everybody")
    }
}

/// An object with its tag, and who is in its list.
type Seen = (Value, Option<String>, Vec<String>);

/// The owner sees what it saw before.
async fn unchanged(site: &Site, ground: &Ground, step: &Step<'_>, before: &Seen, who: &str) {
    assert_eq!(&seen(site, ground, step).await, before, "{who} changed something by {}", step.operation.name);
}

/// Everything of the owner's that an operation could have changed: its object with its tag, and the list it is in.
async fn seen(site: &Site, ground: &Ground, step: &Step<'_>) -> Seen {
    let by = &ground.owner.key;
    let noun = match step.row.on {
        Some(object) => object.split('.').next().unwrap_or_default().to_owned(),
        None => step.operation.path.split('/').nth(2).unwrap_or_default().to_owned(),
    };
    let endpoint = ground.id("webhook_endpoints.own");
    let list = match noun.as_str() {
        "deliveries" => format!("/v1/webhook_endpoints/{endpoint}/deliveries?limit=200"),
        // What is the same for everybody comes whole.
        "search" => "/v1/search?q=owner".to_owned(),
        "quotas" => "/v1/quota_definitions".to_owned(),
        "me" | "branding" | "limits" | "connectors" | "service_types" | "quota_definitions" => {
            format!("/v1/{noun}")
        }
        noun => format!("/v1/{noun}?limit=200"),
    };
    let list = site.get(&list).key(by).send().await.is(200);
    // The log of requests has what the walk itself asked.
    let ids = if noun == "requests" { Vec::new() } else { list.ids() };
    let Some(object) = step.row.on.filter(|_| noun != "deliveries") else {
        return (Value::Null, None, ids);
    };
    let object = site.get(&format!("/v1/{noun}/{}", ground.id(object))).key(by).send().await.is(200);
    let mut body = object.body.clone();
    for member in ["last_used_at", "last_used_ip"] {
        body.as_object_mut().expect("an object").remove(member);
    }
    (body, object.header("etag").map(str::to_owned), ids)
}

/// The whole answer, but for what names this one request or counts it.
pub fn told(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let id = answer.header("x-request-id").unwrap_or_default();
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| !["x-request-id", "date", "ratelimit"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
        .collect();
    headers.sort();
    (answer.status, headers, answer.text.replace(id, "req"))
}

/// A key whose secret is well-formed and not the one of that identifier.
fn forged(id: KeyId) -> String {
    SecretKey::generate(Environment::Live, id).text.expose_secret().to_owned()
}

/// The operations with their rows, once each has one.
pub fn steps(all: &[Operation]) -> Vec<Step<'_>> {
    let row = |operation: &Operation| TABLE.iter().find(|row| row.operation == operation.name);
    let open = |operation: &Operation| operation.is_oauth() || PUBLIC.contains(&operation.name.as_str());
    let uncovered: Vec<_> = all
        .iter()
        .filter(|operation| row(operation).is_none() && !open(operation))
        .map(|it| &it.name)
        .collect();
    assert!(uncovered.is_empty(), "tests/matrix/table.rs does not say how to try {uncovered:?}");
    let known: BTreeSet<_> = all.iter().map(|operation| operation.name.as_str()).collect();
    let gone: Vec<_> = TABLE
        .iter()
        .map(|row| row.operation)
        .chain(PUBLIC.iter().copied())
        .filter(|name| !known.contains(name))
        .collect();
    assert!(gone.is_empty(), "the document no longer has {gone:?}");
    // In the table's order, in which each succeeds after those before it.
    let find = |row: &Row| all.iter().find(|operation| operation.name == row.operation).unwrap();
    TABLE.iter().map(|row| Step { operation: find(row), row }).collect()
}

#[test]
fn each_operation_names_the_one_scope_that_it_needs() {
    // AUTHZ-1
    let document = tenantry::api::document();
    let known = scopes(&document);
    assert!(known.len() > 20);
    for scope in &known {
        let (noun, action) = scope.split_once(':').expect("a scope is a noun and what is done");
        let word = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        assert!(word(noun) && word(action), "{scope} is a wildcard");
    }
    let all = operations(&document);
    for operation in &all {
        match &operation.scope {
            Some(scope) => {
                assert!(known.contains(scope), "{} needs {scope}, which nobody can have", operation.name)
            }
            None => assert!(
                operation.is_oauth() || PUBLIC.contains(&operation.name.as_str()),
                "{} needs no scope",
                operation.name
            ),
        }
    }
    steps(&all);
}

on_both_servers! {
    /// AUTHZ-1, AUTHZ-2, AUTHZ-3, AUTHZ-4, ISO-4, ISO-5, ISO-6, KEY-11, AUD-1
    async fn nobody_reaches_what_is_not_theirs_by_any_operation_and_nothing_changes(site: With::no_workers()) {
        let document = served(site).await;
        let all = operations(&document);
        let ground = Ground::new(site, &scopes(&document)).await;
        let test_key = test_key(site, &ground).await;
        let steps = steps(&all);
        for step in &steps {
            let before = seen(site, &ground, step).await;
            from_the_other_environment(site, &ground, step, &test_key).await;
            without_a_credential(site, &ground, step).await;
            unchanged(site, &ground, step, &before, "nobody").await;
            without_the_scope(site, &ground, step).await;
            unchanged(site, &ground, step, &before, "a key without the scope").await;
            from_elsewhere(site, &ground, step, &before).await;
        }
        are_in_the_audit(site, &ground, &steps).await;
    }
}

/// The audit of whose credential it was tells of each operation that it was refused, and with what.
async fn are_in_the_audit(site: &Site, ground: &Ground, steps: &[Step<'_>]) {
    let outsiders = [&ground.sibling, &ground.other, &ground.below];
    let mut due = BTreeSet::new();
    for step in steps {
        let mut refused = |party: &Party, code: &str| {
            due.insert((party.id.clone(), step.operation.name.clone(), code.to_owned()));
        };
        refused(&ground.owner, "invalid_token");
        refused(&ground.owner, "insufficient_scope");
        for party in outsiders {
            refused(party, "account_not_found");
            let is_account = step.row.on.is_some_and(|object| object.starts_with("accounts."));
            if step.row.on.is_some() && !step.row.sold && !is_account {
                refused(party, "not_found");
            }
        }
    }
    until("every refusal is in the audit", async || {
        let mut told = BTreeSet::new();
        for party in outsiders.into_iter().chain([&ground.owner]) {
            for line in lines(site, &party.id).await.into_iter().filter(|line| line.outcome == "refused") {
                let code = line.detail["code"].as_str().unwrap_or_default().to_owned();
                told.insert((party.id.clone(), line.action, code));
            }
        }
        due.is_subset(&told)
    })
    .await;
}

/// 401, before anything is looked up or read.
async fn without_a_credential(site: &Site, ground: &Ground, step: &Step<'_>) {
    let name = &step.operation.name;
    let object = step.row.on.map(|object| ground.id(object));
    let mut mistyped = ground.owner.key.clone();
    mistyped.pop();
    mistyped.push(if ground.owner.key.ends_with('0') { '1' } else { '0' });
    let known: KeyId = ground.id("keys.spare").parse().unwrap();
    let bad = [mistyped, forged(KeyId::new()), forged(known), "no.jwt.atall".into(), String::new()];
    let call = step.call(site, ground, &As { key: None, acting_for: None }, object);
    let refused = call.send().await.refused(401, "unauthenticated");
    let challenge = refused.header("www-authenticate").expect("a challenge");
    assert!(challenge.starts_with("Bearer ") && !challenge.contains("error"), "{name}: {challenge}");
    for key in &bad {
        let call = step.call(site, ground, &As::key(key), object);
        let refused = call.send().await.refused(401, "invalid_token");
        let challenge = refused.header("www-authenticate").expect("a challenge");
        assert!(challenge.contains("error=\"invalid_token\""), "{name}: {challenge}");
    }
    let call = step.bare(site, ground, &As::key(&bad[0]), object).body("application/json", "{\"half\":");
    call.send().await.refused(401, "invalid_token");
}

/// 403 in the name of the document's scope, whatever the object and the body.
async fn without_the_scope(site: &Site, ground: &Ground, step: &Step<'_>) {
    let (name, scope) = (&step.operation.name, step.scope());
    let key = As::key(&ground.lacking[scope]);
    let own = step.row.on.map(|object| ground.id(object).to_owned());
    let none = own.as_deref().map(nothing);
    let calls = [
        step.call(site, ground, &key, own.as_deref()),
        step.call(site, ground, &key, none.as_deref()),
        step.bare(site, ground, &key, none.as_deref()).body("application/json", "{\"half\":"),
        step.call(
            site,
            ground,
            &As { acting_for: Some(&ground.other.id), ..As::key(key.key.unwrap()) },
            own.as_deref(),
        ),
    ];
    for call in calls {
        let refused = call.send().await.refused(403, "insufficient_scope");
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
        assert_eq!(refused.header("www-authenticate"), Some(challenge.as_str()), "{name}");
    }
}

/// A test key of the owner's, whose account is live. The program makes none; here one is put into the database.
async fn test_key(site: &Site, ground: &Ground) -> String {
    let asked = json!({"name": "test", "bundle": "operator_admin", "account_id": ground.owner.id});
    let id = site.post("/v1/keys").key(&site.operator_key).json(asked).send().await.is(201).id();
    let made = SecretKey::generate(Environment::Test, id.parse().unwrap());
    let change = format!("environment = 'test', secret_hash = '{}'", made.hash);
    site.fresh.tamper(&format!("UPDATE api_keys SET {change} WHERE id = '{id}'")).await;
    made.text.expose_secret().to_owned()
}

/// 403 for a key of the test environment, whatever it is for.
async fn from_the_other_environment(site: &Site, ground: &Ground, step: &Step<'_>, test_key: &str) {
    let call = step.call(site, ground, &As::key(test_key), step.row.on.map(|object| ground.id(object)));
    call.send().await.refused(403, "environment_mismatch");
}

/// 404, the same as for what there is nothing of; and lists without a word of it.
async fn from_elsewhere(site: &Site, ground: &Ground, step: &Step<'_>, before: &Seen) {
    let name = &step.operation.name;
    let owner = &ground.owner.id;
    for (role, party) in [("sibling", &ground.sibling), ("other", &ground.other), ("below", &ground.below)] {
        let place = format!("{name} as {role}");
        let key = As::key(&party.key);
        // In the owner's name, on the owner's object and on nothing.
        let object = step.row.on.map(|object| ground.id(object).to_owned());
        let none = object.as_deref().map(nothing);
        let (theirs, nobodys) = (As { acting_for: Some(owner), ..As::key(&party.key) }, nothing(owner));
        let nobodys = As { acting_for: Some(&nobodys), ..As::key(&party.key) };
        let refused = step.call(site, ground, &theirs, object.as_deref()).send().await;
        assert_eq!((refused.status, refused.code()), (404, "account_not_found"), "{place}: {}", refused.text);
        let same = step.call(site, ground, &nobodys, none.as_deref()).send().await;
        assert_eq!(told(&refused), told(&same), "{place}");
        let sold = step.row.sold && role == "below";
        match &object {
            Some(object) if !sold => {
                let refused = step.call(site, ground, &key, Some(object)).send().await;
                assert_eq!(refused.status, 404, "{place}: {}", refused.text);
                let same = step.call(site, ground, &key, none.as_deref()).send().await;
                assert_eq!(told(&refused), told(&same), "{place}");
            }
            Some(object) => drop(step.call(site, ground, &key, Some(object)).send().await.is(200)),
            None if !step.operation.mutates() => {
                let mut seen = step.call(site, ground, &key, None).send().await.is(200);
                if ["audit_list", "audit_export"].contains(&name.as_str()) {
                    // What the caller itself reached for is in its own audit.
                    let each = seen.text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
                    let lines: Vec<Value> = seen.body["data"].as_array().cloned().unwrap_or(each);
                    let done: Vec<_> =
                        lines.into_iter().filter(|line| line["outcome"] != "refused").collect();
                    seen.text = json!(done).to_string();
                }
                if name == "requests_list" {
                    // What it asked is in its own log.
                    seen.text = seen.ids().concat();
                }
                // Who is below buys what the owner sells and so sees it, and itself.
                let sold = [ground.id("plans.own"), ground.id("addons.own")];
                let visible = |id: &str| role == "below" && sold.contains(&id);
                for id in ground.ids.values().filter(|id| !visible(id)) {
                    assert!(!seen.text.contains(id.as_str()), "{place} tells of {id}: {}", seen.text);
                }
            }
            None => {}
        }
        unchanged(site, ground, step, before, role).await;
    }
}
