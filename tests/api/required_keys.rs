//! Accounts that demand an Idempotency-Key of their own keys.

use super::*;

const ORDERS: &[(&str, &str)] = &[("TENANTRY_REQUESTS__REQUIRE_IDEMPOTENCY_KEY", "orders_place")];

/// IDEM-1: whoever mistypes where a key is needed is told so, and so is who names what needs none
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[should_panic(expected = "there is no operation orders_list that takes an Idempotency-Key")]
async fn an_operation_that_needs_no_key_is_refused_at_the_start() {
    let reading = &[("TENANTRY_REQUESTS__REQUIRE_IDEMPOTENCY_KEY", "orders_place,orders_list")];
    Site::open(crate::common::Fresh::sqlite().await, With { settings: reading, ..With::no_workers() }).await;
}

/// IDEM-1: what OAuth's own operations would pass over cannot be demanded of them
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[should_panic(expected = "there is no operation oauth_token that takes an Idempotency-Key")]
async fn an_operation_that_takes_no_key_is_refused_at_the_start() {
    let without = &[("TENANTRY_REQUESTS__REQUIRE_IDEMPOTENCY_KEY", "oauth_token")];
    Site::open(crate::common::Fresh::sqlite().await, With { settings: without, ..With::no_workers() }).await;
}

on_both_servers! {
    /// IDEM-1
    async fn an_account_that_demands_it_is_refused_changes_without_a_key(site: With::no_workers()) {
        let world = site.world().await;
        let path = format!("/v1/accounts/{}", world.reseller.id);
        let demand = |on: bool| site.patch(&path).key(&world.reseller.key).json(json!({"require_idempotency_key": on}));
        assert_eq!(site.get(&path).key(&world.reseller.key).send().await.is(200).body["require_idempotency_key"], false);
        assert_eq!(demand(true).send().await.is(200).body["require_idempotency_key"], true);
        let tenant = json!({"type": "tenant", "name": "T"});
        let refused = site.post("/v1/accounts").key(&world.reseller.key).json(tenant.clone()).send().await;
        let refused = refused.refused(400, "idempotency_key_required");
        assert_eq!(refused.header("link"), Some("</docs/errors/idempotency_key_required>; rel=\"describedby\""));
        site.get("/docs/errors/idempotency_key_required").send().await.is(200);
        // Before anything is looked up: what is there and what is not are told apart no more than a body that is none.
        for (call, body) in [
            (site.delete("/v1/keys/key_01jq3v8z0kf5n9d2t7x4m6c1ab"), json!({})),
            (site.patch("/v1/accounts/acc_01jq3v8z0kf5n9d2t7x4m6c1ab"), json!({"x": 1})),
            (site.put(&format!("{path}/quotas/mail.mailboxes")).anyway(), json!(7)),
            (site.post("/v1/accounts").acting_for("acc_01jq3v8z0kf5n9d2t7x4m6c1ab"), json!({})),
        ] {
            call.key(&world.reseller.key).json(body).send().await.refused(400, "idempotency_key_required");
        }
        let acting = site.post("/v1/accounts").key(&world.reseller.key).json(tenant.clone()).idem("once");
        acting.send().await.is(201);
        // Reads, and what is only tried, need none; a token of the account's does.
        site.get("/v1/accounts").key(&world.reseller.key).send().await.is(200);
        site.post("/v1/accounts?dry_run=true").key(&world.reseller.key).json(tenant.clone()).send().await.is(201);
        let id = format!("key_{}", world.reseller.key.split('_').nth(2).unwrap());
        let token = site.post("/oauth/token").basic(&id, &world.reseller.key).form(&[("grant_type", "client_credentials")]);
        let token = token.send().await.is(200).text_at("access_token");
        site.post("/v1/accounts").key(&token).json(tenant.clone()).send().await.refused(400, "idempotency_key_required");
        // A credential that is not good, or lacks the scope, is told so first.
        site.post("/v1/servers").key(&world.reseller.key).send().await.refused(403, "insufficient_scope");
        demand(false).send().await.refused(400, "idempotency_key_required");
        demand(false).idem("off").send().await.is(200);
        site.post("/v1/accounts").key(&world.reseller.key).json(tenant).send().await.is(201);
    }

    /// IDEM-1
    async fn an_operation_that_the_operator_names_is_refused_to_everybody_without_a_key(site: With { settings: ORDERS, ..With::no_workers() }) {
        let world = site.world().await;
        let order = || site.post("/v1/orders").json(add("hosted-mail", 1, json!([])));
        for by in [&world.tenant.key, &site.operator_key] {
            let refused = order().key(by).acting_for(&world.tenant.id).send().await.refused(400, "idempotency_key_required");
            assert_eq!(refused.text_at("detail"), "The operation needs an Idempotency-Key.");
        }
        order().key(&world.tenant.key).idem("once").send().await.is(202);
        site.post("/v1/orders?dry_run=true").key(&world.tenant.key).json(add("hosted-mail", 1, json!([]))).send().await.is(202);
        site.get("/v1/orders").key(&world.tenant.key).send().await.is(200);
        let rename = site.patch(&format!("/v1/accounts/{}", world.tenant.id)).key(&world.reseller.key);
        rename.json(json!({"name": "N"})).send().await.is(200);
    }

    /// IDEM-1
    async fn it_is_the_accounts_own_rule_and_nobody_elses(site: With::no_workers()) {
        let world = site.world().await;
        let on = json!({"require_idempotency_key": true});
        site.patch(&format!("/v1/accounts/{}", world.reseller.id)).key(&world.reseller.key).json(on).send().await.is(200);
        let rename = |by: &str| site.patch(&format!("/v1/accounts/{}", world.tenant.id)).key(by).json(json!({"name": "N"}));
        rename(&world.tenant.key).send().await.is(200);
        rename(&world.operator.key).send().await.is(200);
        rename(&world.reseller.key).send().await.refused(400, "idempotency_key_required");
        rename(&world.operator.key).acting_for(&world.reseller.id).send().await.is(200);
    }
}
