//! Test accounts and live ones: each is reached with its own keys alone.

use super::*;

/// The test account of the caller's own, and a key of its own for all that the caller's key may.
async fn sandbox(site: &Site, of: &Party, account_type: &str, bundle: &str) -> Party {
    let asked = json!({"type": account_type, "name": "Sandbox", "environment": "test"});
    let made = site.post("/v1/accounts").key(&of.key).json(asked).send().await.is(201);
    assert_eq!(made.body["environment"], "test");
    let key = site.key(&of.key, &made.id(), bundle).await;
    assert!(key.starts_with("tnk_test_"), "a test account has test keys");
    Party { id: made.id(), key }
}

/// What an account needs to sell mail and a zone.
async fn shop(site: &Site, of: &Party) -> (String, String) {
    let make = async |noun: &str, asked: Value| {
        site.post(&format!("/v1/{noun}")).key(&of.key).json(asked).send().await.is(201).id()
    };
    let root = site.folder.join(&of.id);
    let server =
        make("servers", json!({"name": "s", "connector": "files", "settings": {"root": root}})).await;
    let placement: Vec<_> =
        ["mail", "dns"].map(|kind| json!({"service_type": kind, "server_id": server})).into();
    let virtual_server = make("virtual_servers", json!({"name": "v", "placement": placement})).await;
    let services = json!([{"type": "mail"}, {"type": "dns"}]);
    let terms = json!({"virtual_server_id": virtual_server, "services": services, "quotas": mail_quotas(1)});
    make("plans", json!({"code": "tried", "name": "Tried", "terms": terms})).await;
    (server, virtual_server)
}

on_both_servers! {
    /// KEY-11
    async fn a_test_account_is_tried_out_whole_and_nothing_live_is_touched(site: With::workers()) {
        let world = site.world().await;
        let operator = sandbox(site, &world.operator, "operator", "operator_admin").await;
        let (server, _) = shop(site, &operator).await;
        let shown = site.get(&format!("/v1/servers/{server}")).key(&operator.key).send().await.is(200);
        assert_eq!(shown.body["environment"], "test");
        // The reseller's own stands below the operator's, and buys what that sells.
        let reseller = sandbox(site, &world.reseller, "reseller", "reseller_admin").await;
        let tenant = site.account(&reseller.key, "tenant", "Tried").await;
        let order = add("tried", 2, json!([{"type": "domain", "spec": {"name": "tried.example"}}]));
        let done = site.post("/v1/orders").key(&tenant.key).wait(20).json(order).send().await.is(201);
        assert_eq!(done.body["status"], "completed", "{}", done.text);
        // Seen from its own side at every level, and from the live side at none.
        for key in [&operator.key, &reseller.key, &tenant.key] {
            assert_eq!(site.get("/v1/orders").key(key).send().await.is(200).ids(), [done.id()]);
        }
        for noun in ["orders", "services", "resources", "subscriptions", "operations"] {
            let list = site.get(&format!("/v1/{noun}")).key(&world.operator.key).send().await.is(200);
            assert_eq!(list.ids(), Vec::<String>::new(), "{noun}");
        }
        let opened = told(site, &reseller.key, "account.created").await;
        assert_eq!(opened[0]["account_id"], reseller.id.as_str(), "the test account's own feed tells of it");
        told(site, &operator.key, "account.created").await;
        for noun in ["accounts", "keys", "servers", "plans", "events"] {
            let list = site.get(&format!("/v1/{noun}?limit=200")).key(&world.operator.key).send().await.is(200);
            for id in [&operator.id, &reseller.id, &tenant.id] {
                assert!(!list.text.contains(id.as_str()), "{noun}");
            }
            let list = site.get(&format!("/v1/{noun}?limit=200")).key(&operator.key).send().await.is(200);
            assert!(!list.ids().is_empty() && !list.text.contains(&world.server), "{noun}: {}", list.text);
        }
        // What a live account sells is for live ones.
        let order = add("hosted-mail", 1, json!([]));
        site.post("/v1/orders").key(&tenant.key).json(order).send().await.refused(422, "validation_failed");
    }

    /// KEY-11
    async fn a_key_of_one_environment_on_the_other_is_refused_and_audited(site: With::no_workers()) {
        let world = site.world().await;
        let test = sandbox(site, &world.reseller, "reseller", "reseller_admin").await;
        let below = site.account(&test.key, "tenant", "Below").await;
        let hook = json!({"url": "https://hooks.example/in"});
        let hook = site.post("/v1/webhook_endpoints").key(&test.key).json(hook).send().await.is(201).id();
        let (live, test_key) = (&world.reseller.key, &test.key);
        let account = |id: &str| site.get(&format!("/v1/accounts/{id}"));
        let orders = |id: &str| site.get("/v1/orders").acting_for(id);
        let opens = |id: &str| site.post("/v1/accounts").json(json!({"type": "tenant", "name": "Made", "parent_id": id}));
        let buys = |id: &str| {
            let items = json!([{"action": "add", "plan": "hosted-mail"}]);
            site.post("/v1/orders").json(json!({"account_id": id, "items": items}))
        };
        for id in [&test.id, &below.id] {
            for call in [account(id), orders(id), opens(id), buys(id)] {
                call.key(live).send().await.refused(403, "environment_mismatch");
            }
        }
        let call = site.delete(&format!("/v1/webhook_endpoints/{hook}"));
        call.key(live).send().await.refused(403, "environment_mismatch");
        for id in [&world.reseller.id, &world.tenant.id] {
            let key = site.post("/v1/keys").json(json!({"account_id": id, "name": "key", "scopes": ["orders:read"]}));
            for call in [account(id), orders(id), opens(id), buys(id), key] {
                call.key(test_key).send().await.refused(403, "environment_mismatch");
            }
        }
        // What would not be theirs in one environment either does not exist for them.
        let operator = sandbox(site, &world.operator, "operator", "operator_admin").await;
        let stranger = site.account(&world.operator.key, "reseller", "Stranger").await;
        for (id, key) in [(&operator.id, live), (&world.operator.id, test_key), (&test.id, &stranger.key), (&stranger.id, test_key)] {
            account(id).key(key).send().await.refused(404, "account_not_found");
            orders(id).key(key).send().await.refused(404, "account_not_found");
        }
        until("the refusals are in both audits", async || {
            let mut told = Vec::new();
            for key in [live, test_key] {
                let lines = site.get("/v1/audit?limit=200").key(key).send().await.is(200);
                told.push(lines.text.contains("environment_mismatch"));
            }
            told == [true, true]
        })
        .await;
    }

    /// KEY-11
    async fn an_account_has_one_test_account_for_good_and_all_below_it_is_for_tests(site: With::no_workers()) {
        let world = site.world().await;
        let live = &world.reseller;
        let open = |by: &str, asked: Value| site.post("/v1/accounts").key(by).json(asked);
        let asked = json!({"type": "reseller", "name": "Sandbox", "environment": "test", "external_id": "sandbox"});
        let wrong = json!({"type": "tenant", "name": "Sandbox", "environment": "test"});
        open(&live.key, wrong).send().await.refused(422, "validation_failed");
        let dry = site.post("/v1/accounts?dry_run=true").key(&live.key).json(asked.clone());
        dry.send().await.is(201);
        let made = open(&live.key, asked.clone()).idem("one").send().await.is(201);
        assert_eq!(open(&live.key, asked.clone()).idem("one").send().await.is(201).text, made.text);
        assert_eq!(open(&live.key, asked.clone()).send().await.is(200).id(), made.id());
        let second = json!({"type": "reseller", "name": "Second", "environment": "test"});
        open(&live.key, second).send().await.refused(409, "name_taken");
        let other = json!({"type": "reseller", "name": "Other", "environment": "test", "external_id": "sandbox"});
        open(&live.key, other).send().await.refused(409, "external_id_conflict");
        // The name is free on the caller's own side.
        open(&live.key, json!({"type": "tenant", "name": "Own", "external_id": "sandbox"})).send().await.is(201);
        let key = site.key(&live.key, &made.id(), "reseller_admin").await;
        let below = open(&key, json!({"type": "tenant", "name": "Below"})).send().await.is(201);
        assert_eq!(below.body["environment"], "test");
        open(&key, json!({"type": "tenant", "name": "Below", "environment": "live"})).send().await
            .refused(403, "environment_mismatch");
        let change = site.patch(&format!("/v1/accounts/{}", made.id())).key(&key).json(json!({"environment": "live"}));
        change.send().await.refused(422, "field_not_writable");
        // It can be made for a tenant, too, which has none below it otherwise.
        let own = site.key(&world.operator.key, &world.tenant.id, "operator_admin").await;
        sandbox(site, &Party { id: world.tenant.id.clone(), key: own }, "tenant", "tenant_admin").await;
    }

    /// KEY-8, KEY-11: making a key for the test account gives nothing that the maker lacks.
    async fn a_live_key_makes_test_keys_with_no_more_than_its_own_rights(site: With::no_workers()) {
        let world = site.world().await;
        let test = sandbox(site, &world.reseller, "reseller", "reseller_admin").await;
        let asked = json!({"account_id": test.id, "name": "more", "scopes": ["servers:write"]});
        site.post("/v1/keys").key(&world.reseller.key).json(asked).send().await.refused(403, "scope_escalation");
        // A key is rotated and revoked on its own side.
        let key = site.get("/v1/keys").key(&test.key).send().await.is(200).ids().remove(0);
        let rotate = |by: &str| site.post(&format!("/v1/keys/{key}/rotate")).key(by).json(json!({}));
        rotate(&world.reseller.key).send().await.refused(403, "environment_mismatch");
        let secret = rotate(&test.key).send().await.is(201).text_at("secret");
        assert!(secret.starts_with("tnk_test_"), "{secret}");
        site.get("/v1/me").key(&secret).send().await.is(200);
    }

    /// KEY-11
    async fn a_test_server_has_no_connector_to_a_real_system(site: With::no_workers()) {
        let world = site.world().await;
        let test = sandbox(site, &world.operator, "operator", "operator_admin").await;
        let settings = json!({"database": "mysql://u@db.example/mail", "doveadm_url": "http://127.0.0.1:11080/doveadm/v1"});
        let asked = json!({"name": "mail-1", "connector": "mail", "settings": settings});
        let made = |by: &str| site.post("/v1/servers").key(by).json(asked.clone());
        made(&test.key).send().await.refused(403, "environment_mismatch");
        made(&world.operator.key).send().await.is(201);
        let (server, virtual_server) = shop(site, &test).await;
        // Neither side builds on the other's.
        for (by, server) in [(&world.operator.key, &server), (&test.key, &world.server)] {
            let asked = json!({"name": "both", "placement": [{"service_type": "mail", "server_id": server}]});
            site.post("/v1/virtual_servers").key(by).json(asked).send().await.refused(422, "validation_failed");
        }
        let terms = json!({"virtual_server_id": virtual_server, "services": [{"type": "mail"}], "quotas": []});
        let asked = json!({"code": "both", "name": "Both", "terms": terms});
        site.post("/v1/plans").key(&world.operator.key).json(asked).send().await.refused(422, "validation_failed");
    }

    /// KEY-11
    async fn of_many_who_open_the_test_account_at_once_one_does(site: With::no_workers()) {
        let world = site.world().await;
        let asked = json!({"type": "reseller", "name": "Sandbox", "environment": "test"});
        let open = || site.post("/v1/accounts").key(&world.reseller.key).json(asked.clone()).send();
        let answers = futures_util::future::join_all((0..8).map(|_| open())).await;
        let made: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
        assert_eq!(made.len(), 1, "{answers:?}");
        let refused = |answer: &&Answer| ["name_taken", "concurrent_change"].contains(&answer.code());
        assert_eq!(answers.iter().filter(refused).count(), 7, "{answers:?}");
        let key = site.key(&world.reseller.key, &made[0].id(), "reseller_admin").await;
        assert_eq!(site.get("/v1/accounts").key(&key).send().await.is(200).ids(), [made[0].id()]);
    }
}
