//! What is said above and must not be heard below: each thing that an ancestor keeps to itself has a word in it that
//! is nowhere else, and no answer to those below has one of the words.

use std::collections::BTreeMap;

use reqwest::Method;

use super::document::{Operation, operations, served};
use super::ground::mailbox;
use super::*;

/// The words that were planted, with where they are; and what is secret from everybody once it was told.
#[derive(Default)]
struct Planted {
    words: BTreeMap<String, &'static str>,
    secrets: Vec<String>,
}

impl Planted {
    /// A word of its own for a place.
    fn word(&mut self, place: &'static str) -> String {
        let word = format!("mark{}qz", self.words.len());
        self.words.insert(word.clone(), place);
        word
    }

    /// Fails if an answer has one of the words or the secrets.
    fn unheard(&self, asked: &str, answer: &Answer) {
        let headers =
            answer.headers.values().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join("\n");
        for (word, place) in &self.words {
            assert!(
                !answer.text.contains(word) && !headers.contains(word),
                "{asked} tells {place}: {}",
                answer.text
            );
        }
        for secret in &self.secrets {
            assert!(
                !answer.text.contains(secret) && !headers.contains(secret),
                "{asked} tells a secret: {}",
                answer.text
            );
        }
    }
}

/// Who hears, and who has planted.
struct Scene {
    planted: Planted,
    operator: String,
    reseller: Party,
    tenant: Party,
    subscription: String,
    mail: String,
}

/// A price that is no other number.
const COST: i64 = 654_321_987;
/// A ceiling that is no other number.
const CEILING: i64 = 765_432_198;

async fn scene(site: &Site) -> Scene {
    let mut planted = Planted::default();
    planted.words.insert(CEILING.to_string(), "a ceiling");
    let root = &site.operator_key;
    let operator = site.get("/v1/me").key(root).send().await.is(200).text_of("/account/id");
    let reseller = site.account(root, "reseller", "Reseller").await;
    let tenant = site.account(&reseller.key, "tenant", "Tenant").await;
    for (id, by) in [(&operator, root), (&reseller.id, root)] {
        let said = json!({
            "name": planted.word("the name of an account above"),
            "contact_email": format!("{}@above.example", planted.word("the address of an account above")),
            "metadata": {"note": planted.word("the metadata of an account above")},
        });
        site.patch(&format!("/v1/accounts/{id}")).key(by).json(said).send().await.is(200);
        let hook = json!({
            "url": format!("https://{}.example/in", planted.word("an endpoint's address")),
            "description": planted.word("an endpoint's description"),
        });
        let hook = site.post("/v1/webhook_endpoints").key(by).acting_for(id).json(hook).send().await.is(201);
        planted.secrets.push(hook.text_at("secret"));
        let key =
            json!({"account_id": id, "name": planted.word("the name of a key"), "scopes": ["orders:read"]});
        let key = site.post("/v1/keys").key(by).json(key).send().await.is(201);
        planted.secrets.push(key.text_at("secret"));
        let path = format!("/v1/accounts/{id}/quotas/dns.records");
        site.put(&path).anyway().key(root).json(json!({"ceiling": CEILING})).send().await.is(200);
    }
    let folder = site.folder.join(planted.word("a server's settings"));
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    let make = async |noun: &str, asked: Value| {
        site.post(&format!("/v1/{noun}")).key(root).json(asked).send().await.is(201).id()
    };
    let files =
        json!({"name": planted.word("a server's name"), "connector": "files", "settings": {"root": folder}});
    let files = make("servers", files).await;
    let key = planted.word("a server's credentials");
    let mail = json!({
        "name": planted.word("a server's name"),
        "connector": "mail",
        "settings": {"database": "sqlite:///nowhere/hosting.db", "doveadm_url": "http://127.0.0.1:9/doveadm/v1",
            "imap_host": "127.0.0.1", "imap_port": 9, "imap_security": "none", "mx_host": "mx.hosting.example"},
        "credentials": json!({"doveadm_api_key": key}).to_string(),
    });
    make("servers", mail).await;
    let placement: Vec<_> =
        ["mail", "dns"].map(|kind| json!({"service_type": kind, "server_id": files})).into();
    let shared = json!({"name": planted.word("a virtual server's name"), "placement": placement});
    let shared = make("virtual_servers", shared).await;
    let plan = make("plans", ground::plan(&shared, "sold")).await;
    // What the seller pays is its own; what it charges is what its customers see.
    planted.words.insert(COST.to_string(), "what a seller pays");
    let name = planted.word("a price list's name");
    for (by, amount) in [(root, COST), (&reseller.key, 99)] {
        let list = json!({"name": name, "currency": "EUR"});
        let list = site.post("/v1/price_lists").key(by).json(list).send().await.is(201).id();
        let seat = json!({"seat": {"tiers": [{"from": 1, "amount": amount}]}});
        let price = json!({"rule": {"kind": "fixed", "components": seat}});
        site.put(&format!("/v1/price_lists/{list}/prices/{plan}"))
            .anyway()
            .key(by)
            .json(price)
            .send()
            .await
            .is(200);
    }
    let item = json!({"action": "add", "plan": "sold", "quantity": 2, "resources": [
        {"type": "domain", "spec": {"name": "acme.example"}}, mailbox("a@acme.example"),
    ]});
    let order =
        site.post("/v1/orders").key(&tenant.key).wait(20).json(json!({"items": [item]})).send().await.is(201);
    let subscription = order.text_of("/items/0/subscription_id");
    let hold = json!({"reason_code": "abuse.spam", "effect": "degrade", "reason": planted.word("why a hold was placed")});
    site.post(&format!("/v1/subscriptions/{subscription}/suspend"))
        .key(root)
        .wait(20)
        .json(hold)
        .send()
        .await
        .is(200);
    let mail = order.text_of("/items/0/service_ids/0");
    Scene { planted, operator, reseller, tenant, subscription, mail }
}

/// The answers to every operation that reads, on all that the key's lists have.
async fn heard(site: &Site, key: &str, all: &[Operation]) -> Vec<(String, Answer)> {
    let mut answers = Vec::new();
    for operation in all.iter().filter(|operation| operation.method == Method::GET && !operation.is_oauth()) {
        let noun = operation.path.split('/').nth(2).unwrap_or_default();
        let ids = match operation.path.contains("{id}") {
            true => site.get(&format!("/v1/{noun}?limit=200")).key(key).send().await.is(200).ids(),
            false => vec![String::new()],
        };
        for id in ids {
            let query = if operation.name == "search_find" { "?q=tenant" } else { "" };
            let path = operation.path.replace("{id}", &id).replace("{key}", "dns.records") + query;
            answers.push((path.clone(), site.get(&path).key(key).send().await));
        }
    }
    answers
}

on_both_servers! {
    /// AUTHZ-9, SEC-5
    async fn no_answer_below_has_a_word_that_was_said_above(site: With::workers()) {
        let document = served(site).await;
        let all = operations(&document);
        let scene = scene(site).await;
        let Scene { planted, tenant, .. } = &scene;
        let wide = site.key(&site.operator_key, &tenant.id, "operator_admin").await;
        let answers = heard(site, &wide, &all).await;
        assert!(answers.len() > 40, "{}", answers.len());
        for (asked, answer) in &answers {
            assert_eq!(answer.status, 200, "{asked}: {}", answer.text);
            planted.unheard(asked, answer);
        }
        // What changes something, and what is refused, says as little.
        let subscription = format!("/v1/subscriptions/{}", scene.subscription);
        for (path, body) in [
            (format!("{subscription}/suspend"), json!({"reason_code": "voluntary"})),
            (format!("{subscription}/resume"), json!({})),
            (format!("/v1/services/{}/resources", scene.mail), mailbox("b@acme.example")),
            (format!("/v1/services/{}/resources", scene.mail), mailbox("c@acme.example")),
            ("/v1/orders".to_owned(), json!({"items": [{"action": "add", "plan": "sold", "quantity": 1_000_000}]})),
            ("/v1/orders".to_owned(), json!({"items": [{"action": "add", "plan": "none"}]})),
            ("/v1/keys".to_owned(), json!({"name": "k", "scopes": ["orders:read"]})),
            ("/v1/webhook_endpoints".to_owned(), json!({"url": "https://hooks.example/in"})),
            (format!("/v1/accounts/{}", scene.operator), json!({"name": "n"})),
            (format!("/v1/accounts/{}/suspend", scene.reseller.id), json!({"reason_code": "payment"})),
        ] {
            let answer = site.post(&path).key(&wide).json(body).send().await;
            assert!(answer.status < 500, "{path}: {}", answer.text);
            planted.unheard(&path, &answer);
        }
        // The one above hears all but the secrets: the words were really there.
        let above = heard(site, &site.operator_key, &all).await;
        let hidden = ["a server's credentials"];
        for (word, place) in planted.words.iter().filter(|(_, place)| !hidden.contains(place)) {
            assert!(above.iter().any(|(_, answer)| answer.text.contains(word.as_str())), "{place} was not planted");
        }
        let secret = Planted {
            words: planted.words.clone().into_iter().filter(|(_, place)| hidden.contains(place)).collect(),
            secrets: planted.secrets.clone(),
        };
        assert!(secret.words.len() == 1 && secret.secrets.len() == 4);
        for (asked, answer) in &above {
            secret.unheard(asked, answer);
        }
    }
}
