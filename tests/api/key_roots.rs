//! Keys that are narrowed to some of the accounts below their own.

use super::*;

/// A reseller with three tenants, and a key of its own that reaches the first and the last of them.
struct Narrow {
    world: World,
    tenants: Vec<Party>,
    id: String,
    key: String,
}

impl Narrow {
    async fn new(site: &Site) -> Self {
        let world = site.world().await;
        let mut tenants = Vec::new();
        for name in ["First", "Second", "Third"] {
            tenants.push(site.account(&world.reseller.key, "tenant", name).await);
        }
        let roots = [&tenants[2].id, &tenants[0].id];
        let asked = json!({"name": "narrow", "bundle": "reseller_admin", "roots": roots});
        let made = site.post("/v1/keys").key(&world.reseller.key).json(asked).send().await.is(201);
        assert_eq!(made.body["roots"], json!(roots));
        let (id, key) = (made.id(), made.text_at("secret"));
        Self { world, tenants, id, key }
    }

    async fn make(&self, site: &Site, by: &str, more: Value) -> Answer {
        let mut asked =
            json!({"name": "k", "scopes": ["accounts:read", "keys:write", "keys:read"], "hold_classes": []});
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        site.post("/v1/keys").key(by).json(asked).send().await
    }
}

/// The answer without what every answer has of its own.
fn bare(answer: &Answer) -> String {
    let id = answer.text_at("request_id");
    answer.text.replace(&id, "")
}

fn accounts(rows: &[Value], member: &str) -> Vec<String> {
    let mut ids: Vec<_> = rows.iter().map(|row| row[member].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids.dedup();
    ids
}

on_both_servers! {
    /// KEY-4: with several roots, page by page, for the key and its tokens
    async fn a_narrowed_key_sees_its_roots_and_what_is_below_and_nothing_else(site: With::no_workers()) {
        let of = Narrow::new(site).await;
        let mut reached = vec![of.tenants[0].id.clone(), of.tenants[2].id.clone()];
        reached.sort();
        for by in [of.key.clone(), site.token(&of.key).await] {
            for limit in [1, 2, 200] {
                assert_eq!(accounts(&site.all(&by, "/v1/accounts", limit).await, "id"), reached, "{limit}");
                let keys = site.all(&by, "/v1/keys", limit).await;
                assert_eq!((accounts(&keys, "account_id"), keys.len()), (reached.clone(), 2));
            }
            let me = site.get("/v1/me").key(&by).send().await.is(200);
            assert_eq!((me.text_of("/account/id"), me.text_of("/key/id")), (of.world.reseller.id.clone(), of.id.clone()));
            for tenant in [&of.tenants[0], &of.tenants[2]] {
                site.get(&format!("/v1/accounts/{}", tenant.id)).key(&by).send().await.is(200);
                assert_eq!(site.get("/v1/accounts").key(&by).acting_for(&tenant.id).send().await.is(200).ids(), std::slice::from_ref(&tenant.id));
            }
            for outside in [&of.tenants[1].id, &of.world.tenant.id, &of.world.reseller.id, &of.world.operator.id] {
                // KEY-4, AUTHZ-3: byte for byte as if there were none.
                let none = "acc_01jq3v8z0kf5n9d2t7x4m6c1ab";
                let get = |id: &str| site.get(&format!("/v1/accounts/{id}")).key(&by).send();
                let (there, nowhere) = (get(outside).await.refused(404, "account_not_found"), get(none).await);
                assert_eq!(bare(&there), bare(&nowhere));
                let change = |id: &str| site.patch(&format!("/v1/accounts/{id}")).key(&by).json(json!({"name": "N"})).send();
                let (there, nowhere) = (change(outside).await.refused(404, "account_not_found"), change(none).await);
                assert_eq!(bare(&there), bare(&nowhere));
                if outside != &of.world.reseller.id {
                    site.get("/v1/accounts").key(&by).acting_for(outside).send().await.refused(404, "account_not_found");
                }
            }
        }
        let all = site.get("/v1/keys?limit=200").key(&of.world.reseller.key).send().await.is(200);
        for key in all.body["data"].as_array().unwrap() {
            let reachable = reached.contains(&key["account_id"].as_str().unwrap().to_owned());
            let got = site.get(&format!("/v1/keys/{}", key["id"].as_str().unwrap())).key(&of.key).send().await;
            assert_eq!(got.status, if reachable { 200 } else { 404 }, "{}", got.text);
        }
    }

    /// KEY-4
    async fn a_narrowed_key_changes_nothing_outside_and_what_it_did_is_written_down(site: With::no_workers()) {
        let of = Narrow::new(site).await;
        for (path, body) in [
            ("/v1/accounts", json!({"type": "tenant", "name": "T"})),
            ("/v1/webhook_endpoints", json!({"url": "https://hooks.example/in"})),
            ("/v1/orders", add("hosted-mail", 1, json!([]))),
        ] {
            site.post(path).key(&of.key).json(body).send().await.refused(404, "account_not_found");
        }
        let order = |account: &str| {
            let mut order = add("hosted-mail", 1, json!([]));
            order["account_id"] = json!(account);
            site.post("/v1/orders").key(&of.key).json(order).idem(&format!("order-{account}"))
        };
        order(&of.tenants[1].id).send().await.refused(404, "account_not_found");
        for tenant in [&of.tenants[0], &of.tenants[2]] {
            let placed = order(&tenant.id).send().await.is(202);
            let again = order(&tenant.id).send().await.is(202);
            assert_eq!((placed.text, again.header("idempotency-replayed")), (again.text.clone(), Some("true")));
            let acting = site.post("/v1/orders").key(&of.key).json(add("hosted-mail", 1, json!([]))).acting_for(&tenant.id);
            acting.idem("acting").send().await.is(202);
        }
        assert_eq!(site.get("/v1/orders").key(&of.key).send().await.is(200).ids().len(), 4);
        let lines = site.get("/v1/audit?limit=200").key(&of.world.reseller.key).send().await.is(200);
        let placed = lines.body["data"].as_array().unwrap().iter().filter(|line| line["action"] == "orders_place" && line["key_id"] == of.id.as_str());
        assert_eq!(placed.filter(|line| line["outcome"] == "done").count(), 2);
        // The feed, too, tells of the roots alone, in one order.
        let mut told = Vec::new();
        until("the orders are told", async || {
            let feed = site.get("/v1/events?limit=200").key(&of.key).send().await.is(200);
            told = feed.body["data"].as_array().unwrap().clone();
            told.iter().filter(|event| event["type"] == "order.created").count() == 4
        })
        .await;
        let outside = |event: &&Value| ![&of.tenants[0].id, &of.tenants[2].id].iter().any(|id| event["account_id"] == id.as_str());
        assert_eq!(told.iter().find(outside), None);
        let (mut after, mut parts) = (String::new(), Vec::new());
        loop {
            let part = site.get(&format!("/v1/events?limit=1{after}")).key(&of.key).send().await.is(200);
            let Some(event) = part.body["data"].as_array().unwrap().first().cloned() else { break };
            parts.push(event);
            after = format!("&after={}", part.text_at("next_after"));
        }
        assert_eq!(parts, told);
        let plans = site.get("/v1/plans").key(&of.key).send().await.is(200).ids();
        assert_eq!(plans, std::slice::from_ref(&of.world.plan), "what is on sale, once");
    }

    /// KEY-8
    async fn a_narrowed_key_makes_only_keys_that_reach_no_further(site: With::no_workers()) {
        let of = Narrow::new(site).await;
        let (first, second, third) = (&of.tenants[0].id, &of.tenants[1].id, &of.tenants[2].id);
        let none = "acc_01jq3v8z0kf5n9d2t7x4m6c1ab";
        for by in [of.key.clone(), site.token(&of.key).await] {
            of.make(site, &by, json!({})).await.refused(403, "scope_escalation");
            of.make(site, &by, json!({"account_id": of.world.reseller.id})).await.refused(403, "scope_escalation");
            let there = of.make(site, &by, json!({"roots": [first, second]})).await.refused(403, "scope_escalation");
            let nowhere = of.make(site, &by, json!({"roots": [first, none]})).await.refused(403, "scope_escalation");
            assert_eq!(bare(&there), bare(&nowhere));
            of.make(site, &by, json!({"roots": [of.world.reseller.id]})).await.refused(403, "scope_escalation");
            for account in [second, &of.world.tenant.id, &of.world.operator.id] {
                of.make(site, &by, json!({"account_id": account})).await.refused(404, "account_not_found");
            }
            let apart = of.make(site, &by, json!({"account_id": first, "roots": [third]})).await.refused(422, "validation_failed");
            assert_eq!(apart.faults(), [("/roots/0".into(), "outside_the_account".into())]);
        }
        let narrower = of.make(site, &of.key, json!({"roots": [third]})).await.is(201).text_at("secret");
        assert_eq!(site.get("/v1/accounts").key(&narrower).send().await.is(200).ids(), std::slice::from_ref(third));
        of.make(site, &narrower, json!({"roots": [first]})).await.refused(403, "scope_escalation");
        let own = of.make(site, &of.key, json!({"account_id": first})).await.is(201).text_at("secret");
        assert_eq!(site.get("/v1/accounts").key(&own).send().await.is(200).ids(), std::slice::from_ref(first));
        // It cannot give itself the secret of a wider key either.
        let wide = format!("key_{}", of.world.reseller.key.split('_').nth(2).unwrap());
        for id in [&wide, &of.id] {
            site.post(&format!("/v1/keys/{id}/rotate")).key(&of.key).send().await.refused(404, "not_found");
            site.delete(&format!("/v1/keys/{id}")).key(&of.key).send().await.refused(404, "not_found");
        }
    }

    /// KEY-4
    async fn the_roots_of_a_key_stand_below_its_account_and_are_fifty_at_most(site: With::no_workers()) {
        let of = Narrow::new(site).await;
        let by = &of.world.reseller.key;
        of.make(site, by, json!({"roots": ["acc_01jq3v8z0kf5n9d2t7x4m6c1ab"]})).await.refused(404, "account_not_found");
        of.make(site, by, json!({"roots": [of.world.operator.id]})).await.refused(404, "account_not_found");
        of.make(site, by, json!({"roots": []})).await.refused(422, "validation_failed");
        of.make(site, by, json!({"roots": vec![&of.tenants[0].id; 51]})).await.refused(422, "validation_failed");
        let same = of.make(site, by, json!({"roots": vec![&of.tenants[0].id; 50]})).await.is(201);
        assert_eq!(same.body["roots"], json!([of.tenants[0].id]));
        // Its own account among them is all that there is; one below another adds nothing.
        let all = of.make(site, by, json!({"roots": [of.tenants[0].id, of.world.reseller.id]})).await.is(201).text_at("secret");
        let seen = site.get("/v1/accounts?limit=200").key(&all).send().await.is(200).ids();
        assert_eq!(seen, site.get("/v1/accounts?limit=200").key(by).send().await.is(200).ids());
    }

    /// KEY-4, AUTHZ-5
    async fn a_token_of_a_narrowed_key_is_exchanged_only_for_accounts_that_it_reaches(site: With::no_workers()) {
        let of = Narrow::new(site).await;
        let token = site.token(&of.key).await;
        let exchange = |account: &str| {
            let form = [
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("subject_token", token.as_str()),
                ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
                ("account", account),
            ];
            site.post("/oauth/token").basic(&of.id, &of.key).form(&form).send()
        };
        for outside in [&of.tenants[1].id, &of.world.tenant.id] {
            assert_eq!(exchange(outside).await.is(400).text_at("error"), "invalid_target");
        }
        let acting = exchange(&of.tenants[0].id).await.is(200).text_at("access_token");
        assert_eq!(site.get("/v1/accounts").key(&acting).send().await.is(200).ids(), [of.tenants[0].id.clone()]);
        site.get("/v1/accounts").key(&acting).acting_for(&of.tenants[2].id).send().await.refused(404, "account_not_found");
    }
}
