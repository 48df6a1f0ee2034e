//! Finding by what things are called.

use super::*;

async fn found(site: &Site, by: &str, called: &str) -> Vec<(String, String)> {
    let query: String = url::form_urlencoded::byte_serialize(called.as_bytes()).collect();
    let told = site.get(&format!("/v1/search?q={query}")).key(by).send().await.is(200);
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    told.body["data"].as_array().unwrap().iter().map(|row| (text(row, "type"), text(row, "id"))).collect()
}

fn one(kind: &str, id: &str) -> Vec<(String, String)> {
    vec![(kind.to_owned(), id.to_owned())]
}

on_both_servers! {
    async fn what_is_in_reach_is_found_by_name_domain_address_and_external_id(site: With::workers()) {
        let world = site.world().await;
        let (root, reseller, tenant) = (&site.operator_key, &world.reseller, &world.tenant);
        let named = json!({"type": "tenant", "name": "Zirkel & Söhne", "external_id": "crm:17"});
        let account = site.post("/v1/accounts").key(&reseller.key).json(named).send().await.is(201).id();
        let resources = json!([
            {"type": "domain", "spec": {"name": "acme.example"}},
            {"type": "mailbox", "spec": {"address": "alice@acme.example"}, "external_id": "person-1"},
            {"type": "zone", "spec": {"name": "acme.example"}},
        ]);
        let mut order = add("hosted-mail", 1, resources);
        order["external_id"] = json!("deal-1");
        order["items"][0]["external_id"] = json!("service-1001");
        order["account_id"] = json!(tenant.id);
        let made = site.post("/v1/orders").key(&reseller.key).wait(20).json(order).send().await.is(201);
        let item = |pointer: &str| made.text_of(&format!("/items/0/{pointer}"));
        let inside = site.all(root, "/v1/resources", 50).await;
        let resource = |kind: &str| one(kind, inside.iter().find(|row| row["type"] == kind).unwrap()["id"].as_str().unwrap());

        assert_eq!(found(site, root, "zirkel & Söhne").await, one("account", &account));
        assert_eq!(found(site, root, "zirkel").await, [], "the whole name");
        assert_eq!(found(site, &reseller.key, "crm:17").await, one("account", &account));
        assert_eq!(found(site, root, "crm:17").await, [], "it was the reseller who called it so");
        assert_eq!(found(site, root, "service-1001").await, one("subscription", &item("subscription_id")));
        assert_eq!(found(site, &reseller.key, "deal-1").await, one("order", &made.id()));
        assert_eq!(found(site, &reseller.key, "person-1").await, resource("mailbox"));
        for by in [root, &reseller.key, &tenant.key] {
            assert_eq!(found(site, by, "Alice@ACME.example").await, resource("mailbox"));
            let mut domain = found(site, by, "acme.EXAMPLE").await;
            domain.sort();
            assert_eq!(domain, [resource("domain"), resource("zone")].concat());
        }
        let told = site.get("/v1/search?q=deal-1").key(&reseller.key).send().await.is(200);
        assert_eq!(told.body["data"][0], json!({"type": "order", "id": made.id(), "account_id": tenant.id, "name": null, "external_id": "deal-1"}));

        // Of whom another seller finds nothing, nor a key that may not read such things.
        let other = site.account(root, "reseller", "Other").await;
        for called in ["alice@acme.example", "acme.example", "service-1001", "Zirkel & Söhne", "deal-1", "Tenant"] {
            assert_eq!(found(site, &other.key, called).await, [], "{called}");
        }
        let narrow = json!({"name": "narrow", "scopes": ["accounts:read"], "hold_classes": []});
        let narrow = site.post("/v1/keys").key(&reseller.key).json(narrow).send().await.is(201).text_at("secret");
        for called in ["alice@acme.example", "acme.example", "service-1001", "deal-1", "person-1"] {
            assert_eq!(found(site, &narrow, called).await, [], "{called}");
        }
        assert_eq!(found(site, &narrow, "crm:17").await, one("account", &account));
        // What is deleted is not found any more.
        site.delete(&format!("/v1/resources/{}", resource("mailbox")[0].1)).key(&tenant.key).wait(20).send().await;
        until("the mailbox is gone", async || found(site, root, "alice@acme.example").await.is_empty()).await;
    }

    /// A resource is found by who may read it: the wall of the account it lies in stands before a search as well.
    async fn what_an_account_shows_nobody_above_is_not_found_from_there(site: With::workers()) {
        let world = site.world().await;
        let (reseller, tenant) = (&world.reseller.key, &world.tenant);
        let domain = json!([{"type": "domain", "spec": {"name": "acme.example"}, "external_id": "d-1"}]);
        let mut order = add("hosted-mail", 1, domain);
        order["account_id"] = json!(tenant.id);
        site.post("/v1/orders").key(reseller).wait(20).json(order).send().await.is(201);
        assert_eq!(found(site, reseller, "acme.example").await.len(), 1);
        let none = json!({"delegation": {"allow": "none"}});
        site.patch(&format!("/v1/accounts/{}", tenant.id)).key(&tenant.key).json(none).send().await.is(200);
        for called in ["acme.example", "d-1"] {
            until("the wall stands", async || found(site, reseller, called).await.is_empty()).await;
        }
        assert_eq!(found(site, &tenant.key, "acme.example").await.len(), 1);
        assert_eq!(found(site, reseller, "Tenant").await, one("account", &tenant.id));
    }

    async fn nothing_is_found_by_nothing(site: With::no_workers()) {
        let long = format!("/v1/search?q={}", "a".repeat(255));
        for path in ["/v1/search", "/v1/search?q=", &long] {
            site.get(path).key(&site.operator_key).send().await.refused(422, "validation_failed");
        }
        for called in [" ", "a\0b", &"ä".repeat(254)] {
            assert_eq!(found(site, &site.operator_key, called).await, []);
        }
        assert_eq!(found(site, &site.operator_key, "' OR 1=1 --").await, []);
    }
}
