//! What add-ons make of quotas and caps, and what callers at once make of add-ons.

use super::addons::{costs, more_mailboxes};
use super::prices::{Channel, list, set};
use super::subscriptions::{call, read};
use super::*;

const DOMAINS: &str = "mail.domains";

/// A plan of the operator's for mail with quota for mailboxes and what more is said.
async fn mail(site: &Site, world: &World, code: &str, more: &[Value]) -> String {
    let quotas: Vec<_> = [
        json!({"key": "mail.mailboxes", "included": 1}),
        json!({"key": "mail.storage_mb", "included": 100_000}),
    ]
    .into_iter()
    .chain(more.iter().cloned())
    .collect();
    let terms = json!({"virtual_server_id": world.virtual_server, "services": [{"type": "mail"}], "quotas": quotas,
        "components": [{"code": "seat", "name": "Seat", "billing": "per_seat"}]});
    let asked = json!({"code": code, "name": code, "terms": terms});
    site.post("/v1/plans").key(&site.operator_key).json(asked).send().await.is(201).id()
}

async fn domains(site: &Site) -> String {
    let asked =
        json!({"code": "domains", "name": "Domains", "terms": {"quotas": [{"key": DOMAINS, "per_unit": 2}]}});
    site.post("/v1/addons").key(&site.operator_key).json(asked).send().await.is(201).id()
}

fn beside(plan: &str, addons: Value) -> Value {
    json!({"items": [{"action": "add", "plan": plan, "addons": addons}]})
}

/// The subscription to the plan that is made, and where its resources are.
async fn made(site: &Site, by: &str, asked: Value) -> (String, String) {
    let done = site.post("/v1/orders").key(by).wait(20).json(asked).send().await.is(201);
    assert_eq!(done.body["status"], "completed", "{}", done.text);
    let service = done.text_of("/items/0/service_ids/0");
    (done.text_of("/items/0/subscription_id"), format!("/v1/services/{service}/resources"))
}

fn domain(name: &str) -> Value {
    json!({"type": "domain", "spec": {"name": name}})
}

on_both_servers! {
    /// P5: what those above carry is what is drawn from them, however it is drawn.
    async fn a_key_that_comes_to_be_shared_or_allocated_is_carried_above_as_it_is_drawn(site: With::workers()) {
        let Channel { world, tenant, sub, .. } = Channel::new(site).await;
        let (root, key) = (&site.operator_key, &tenant.key);
        mail(site, &world, "bare", &[]).await;
        mail(site, &world, "shared", &[json!({"key": DOMAINS, "included": 3, "mode": "shared"})]).await;
        domains(site).await;
        let ceiling = format!("/v1/accounts/{}/quotas/{DOMAINS}", sub.id);
        site.put(&ceiling).anyway().key(root).json(json!({"ceiling": 50})).send().await.is(200);
        let above = async || {
            let row = site.quota(root, &sub.id, DOMAINS).await.unwrap();
            (row["used"].as_i64().unwrap(), row["reserved"].as_i64().unwrap())
        };
        let (id, place) = made(site, key, beside("bare", json!([{"addon": "domains", "quantity": 1}]))).await;
        assert_eq!(above().await, (2, 0));
        let first = site.post(&place).key(key).wait(20).json(domain("first.example")).send().await.is(201);
        let to = |plan: &str, addons: i64| call(site, key, &id, "change_plan").json(json!({"plan": plan, "addons": [{"addon": "domains", "quantity": addons}]}));
        to("shared", 0).send().await.is(201);
        assert_eq!(above().await, (1, 0), "what is used");
        let second = site.post(&place).key(key).wait(20).json(domain("second.example")).send().await.is(201);
        assert_eq!(above().await, (2, 0));
        to("bare", 2).send().await.is(201);
        assert_eq!(above().await, (4, 0), "the whole again");
        to("shared", 0).send().await.is(201);
        for gone in [first, second] {
            let gone = site.delete(&format!("/v1/resources/{}", gone.id())).key(key).wait(20).send().await;
            assert!(gone.status < 300, "{}", gone.text);
        }
        until("nothing is used", async || above().await == (0, 0)).await;
    }

    /// P5: of giving an add-on up and using what it gives, one is done.
    async fn nothing_is_made_of_a_quota_that_is_given_up_at_the_same_time(site: With::workers()) {
        let Channel { world, tenant, sub, .. } = Channel::new(site).await;
        let (root, key) = (&site.operator_key, &tenant.key);
        let ceiling = format!("/v1/accounts/{}/quotas/{DOMAINS}", sub.id);
        site.put(&ceiling).anyway().key(root).json(json!({"ceiling": 500})).send().await.is(200);
        mail(site, &world, "bare", &[]).await;
        domains(site).await;
        let mut drawn = 0;
        for round in 0..8 {
            let (id, place) = made(site, key, beside("bare", json!([{"addon": "domains", "quantity": 1}]))).await;
            let none = call(site, key, &id, "change_addon").json(json!({"addon": "domains", "quantity": 0}));
            let make = site.post(&place).key(key).json(domain(&format!("d{round}.example")));
            let (none, make) = tokio::join!(none.send(), make.send());
            assert_ne!(none.status == 201, make.status == 202, "{} {}", none.text, make.text);
            let has = read(site, &id).await["addons"].as_array().unwrap().len();
            assert_eq!(has, usize::from(make.status == 202));
            drawn += 2 * i64::from(make.status == 202);
        }
        let used = async || site.quota(root, &sub.id, DOMAINS).await.unwrap()["used"].as_i64().unwrap();
        assert_eq!(used().await, drawn, "those above carry what is had");
    }

    /// P5: a change that changes nothing of what it read writes nothing over what others make of it.
    async fn ceilings_are_those_of_the_quantity_whoever_else_changes_it_at_once(site: With::workers()) {
        let Channel { world, tenant, .. } = Channel::new(site).await;
        let (root, key) = (&site.operator_key, &tenant.key);
        super::subscriptions::plan(site, &world, "by-seat", json!({})).await;
        let (id, _) = made(site, key, beside("by-seat", json!([]))).await;
        for round in 1..=12 {
            let to = |quantity: i64| call(site, key, &id, "change_quantity").json(json!({"quantity": quantity})).send();
            // To what it is, twice, and to one more.
            let answers = tokio::join!(to(round), to(round + 1), to(round));
            for answer in [&answers.0, &answers.1, &answers.2] {
                assert!([201, 409].contains(&answer.status), "{}", answer.text);
            }
            let has = read(site, &id).await["quantity"].clone();
            let row = site.quota(root, &id, "mail.mailboxes").await.unwrap();
            assert_eq!(row["ceiling"], has, "round {round}");
            let next = call(site, key, &id, "change_quantity").json(json!({"quantity": round + 1}));
            next.send().await.is(201);
        }
    }

    async fn of_two_add_ons_with_one_code_a_remedy_names_the_one_that_it_means(site: With::workers()) {
        let Channel { world, tenant, sub, .. } = Channel::new(site).await;
        let key = &tenant.key;
        mail(site, &world, "bare", &[json!({"key": DOMAINS, "included": 1})]).await;
        let far = more_mailboxes(site, &site.operator_key, "pack", json!({})).await;
        let near = more_mailboxes(site, &sub.key, "pack", json!({"quotas": [{"key": "mail.mailboxes", "per_unit": 1}]})).await;
        let (id, place) = made(site, key, beside("bare", json!([]))).await;
        site.post(&place).key(key).wait(20).json(domain("acme.example")).send().await.is(201);
        site.post(&place).key(key).wait(20).json(mailbox("a@acme.example")).send().await.is(201);
        let full = site.post(&place).key(key).json(mailbox("b@acme.example")).send().await.refused(409, "quota_exceeded");
        let remedies: Vec<_> = full.body["remedies"].as_array().unwrap().iter().map(|remedy| remedy["body"].clone()).collect();
        let named: Vec<_> = remedies.iter().map(|body| body["items"][0]["addons"][0]["addon"].as_str().unwrap().to_owned()).collect();
        assert_eq!(named, [far.clone(), near.clone()]);
        for (body, addon) in remedies.into_iter().zip([&far, &near]) {
            site.post("/v1/orders").key(key).json(body).send().await.is(201);
            let has = read(site, &id).await["addons"].as_array().unwrap().iter().any(|one| one["addon_id"] == addon.as_str());
            assert!(has, "{addon}");
        }
    }

    /// KEY-9: what has no price is counted by no cap.
    async fn a_key_with_a_cap_buys_nothing_of_which_a_part_has_no_price(site: With::workers()) {
        let Channel { world, tenant, sub, .. } = Channel::new(site).await;
        let priced = mail(site, &world, "priced", &[]).await;
        let cheap = more_mailboxes(site, &site.operator_key, "cheap", json!({})).await;
        let retail = list(site, &sub.key, json!({"offers": "all"})).await;
        let seat = json!({"rule": {"kind": "fixed", "components": {"seat": {"tiers": [{"from": 1, "amount": 500}]}}}});
        set(site, &sub.key, &retail, &priced, seat).send().await.is(200);
        set(site, &sub.key, &retail, &cheap, costs(1, 0)).send().await.is(200);
        mail(site, &world, "unpriced", &[]).await;
        more_mailboxes(site, &site.operator_key, "free", json!({})).await;
        let asked = json!({"name": "capped", "account_id": tenant.id, "scopes": ["orders:place", "catalog:write", "orders:read"], "spend_cap": {"per_day": 1_000, "currency": "EUR"}});
        let capped = site.post("/v1/keys").key(&site.operator_key).json(asked).send().await.is(201).text_at("secret");
        let order = |plan: &str, addons: Value| site.post("/v1/orders").key(&capped).wait(20).json(beside(plan, addons));
        for (plan, addon) in [("unpriced", "cheap"), ("priced", "free")] {
            let refused = order(plan, json!([{"addon": addon, "quantity": 1}])).send().await.refused(403, "spend_cap_exceeded");
            assert!(refused.text.contains("no price"), "{}", refused.text);
        }
        let done = order("priced", json!([{"addon": "cheap", "quantity": 1}])).send().await.is(201);
        let id = done.text_of("/items/0/subscription_id");
        for (addon, quantity) in [("free", 1), ("cheap", 600)] {
            let change = json!({"addon": addon, "quantity": quantity});
            call(site, &capped, &id, "change_addon").json(change).send().await.refused(403, "spend_cap_exceeded");
        }
        let own = json!({"code": "own", "name": "Own", "terms": {"quotas": [{"key": "mail.mailboxes", "per_unit": 100}]}});
        site.post("/v1/addons").key(&capped).json(own).send().await.refused(403, "spend_cap_exceeded");
    }
}
