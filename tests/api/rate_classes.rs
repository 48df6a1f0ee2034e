//! Classes of keys: how much may be asked for with a key, and who decides it.

use super::*;

fn with() -> With {
    let settings =
        &[("TENANTRY_LIMITS__KEY_PER_MINUTE", "100"), ("TENANTRY_LIMITS__CLASSES", "bulk=40,high=300")];
    With { settings, workers: false, ..With::clock() }
}

/// Asks for a key of the account's in a class, or in none.
async fn make(site: &Site, by: &str, account: &str, class: Option<&str>) -> Answer {
    let mut asked = json!({"account_id": account, "name": "k", "bundle": "reseller_admin"});
    if let Some(class) = class {
        asked["rate_class"] = json!(class);
    }
    site.post("/v1/keys").key(by).json(asked).send().await
}

/// What a key is told of its limit.
async fn policy(site: &Site, key: &str) -> String {
    let told = site.get("/v1/limits").key(key).send().await.is(200);
    let header = told.header("ratelimit-policy").unwrap();
    let quota = told.body["rate_policies"][0]["quota"].as_u64().unwrap();
    assert!(header.starts_with(&format!("\"key\";q={quota};w=60")), "{header}");
    let left = told.header("ratelimit").unwrap();
    assert!(left.contains("\"key\";r="), "{left}");
    format!("{} {quota}", told.text_at("rate_class"))
}

on_both_servers! {
    /// RL-1, RL-4: who is above an account says how much may be asked for with its keys, and it is told and kept.
    async fn a_key_has_the_class_that_those_above_gave_it(site: with()) {
        let reseller = site.account(&site.operator_key, "reseller", "R").await;
        assert_eq!(policy(site, &reseller.key).await, "standard 100");
        let made = make(site, &site.operator_key, &reseller.id, Some("high")).await.is(201);
        assert_eq!(made.body["rate_class"], "high");
        let high = made.text_at("secret");
        assert_eq!(policy(site, &high).await, "high 300");
        let bulk = make(site, &site.operator_key, &reseller.id, Some("bulk")).await.is(201).text_at("secret");
        assert_eq!(policy(site, &bulk).await, "bulk 40");
        for _ in 0..39 {
            site.get("/v1/orders").key(&bulk).send().await.is(200);
        }
        let refused = site.get("/v1/orders").key(&bulk).send().await.refused(429, "rate_limited");
        assert_eq!(refused.body["violated-policies"], json!(["key"]));
        site.get("/v1/orders").key(&high).send().await.is(200);
        let shown = site.get(&format!("/v1/keys/{}", made.id())).key(&high).send().await.is(200);
        assert_eq!(shown.body["rate_class"], "high");
        let rotated = site.post(&format!("/v1/keys/{}/rotate", made.id())).key(&site.operator_key).send().await.is(201);
        assert_eq!(policy(site, &rotated.text_at("secret")).await, "high 300");
    }

    /// RL-1: nobody raises himself: an account's own keys make keys of their own class.
    async fn nobody_gives_his_own_account_another_class(site: with()) {
        let reseller = site.account(&site.operator_key, "reseller", "R").await;
        make(site, &reseller.key, &reseller.id, Some("high")).await.refused(403, "scope_escalation");
        make(site, &reseller.key, &reseller.id, Some("bulk")).await.refused(403, "scope_escalation");
        let bulk = make(site, &site.operator_key, &reseller.id, Some("bulk")).await.is(201).text_at("secret");
        let own = make(site, &bulk, &reseller.id, None).await.is(201);
        assert_eq!(own.body["rate_class"], "bulk", "a key that is held low makes no other one");
        make(site, &bulk, &reseller.id, Some("standard")).await.refused(403, "scope_escalation");
        assert_eq!(make(site, &reseller.key, &reseller.id, None).await.is(201).body["rate_class"], "standard");
        let tenant = site.account(&reseller.key, "tenant", "T").await;
        let asked = json!({"account_id": tenant.id, "name": "k", "bundle": "tenant_admin", "rate_class": "high"});
        let below = site.post("/v1/keys").key(&reseller.key).json(asked).send().await.is(201);
        assert_eq!(below.body["rate_class"], "high");
        let me = site.get("/v1/me").key(&site.operator_key).send().await.is(200).text_of("/account/id");
        assert_eq!(make(site, &site.operator_key, &me, Some("high")).await.is(201).body["rate_class"], "high");
    }

    /// RL-1: those above put a key into another class, at once, and its own account does not.
    async fn a_key_is_put_into_another_class_from_above_alone(site: with()) {
        let reseller = site.account(&site.operator_key, "reseller", "R").await;
        let made = make(site, &site.operator_key, &reseller.id, None).await.is(201);
        let (key, path) = (made.text_at("secret"), format!("/v1/keys/{}", made.id()));
        let put = |by: &str, class: &str| site.patch(&path).key(by).json(json!({"rate_class": class}));
        put(&key, "high").send().await.refused(403, "scope_escalation");
        put(&reseller.key, "bulk").send().await.refused(403, "scope_escalation");
        assert_eq!(policy(site, &key).await, "standard 100");
        let tag = made.header("etag").unwrap();
        let changed = put(&site.operator_key, "high").header("If-Match", tag).send().await.is(200);
        assert_eq!(changed.body["rate_class"], "high");
        assert_eq!(policy(site, &key).await, "high 300");
        put(&site.operator_key, "bulk").header("If-Match", tag).send().await.refused(412, "precondition_failed");
        assert_eq!(put(&reseller.key, "high").send().await.is(200).header("etag"), changed.header("etag"));
        site.patch(&path).key(&key).json(json!({})).send().await.is(200);
        put(&site.operator_key, "endless").send().await.refused(422, "validation_failed");
        site.delete(&path).key(&site.operator_key).send().await.is(200);
        put(&site.operator_key, "bulk").send().await.refused(409, "state_conflict");
    }

    async fn a_class_that_is_not_known_is_refused(site: with()) {
        let reseller = site.account(&site.operator_key, "reseller", "R").await;
        let refused = make(site, &site.operator_key, &reseller.id, Some("endless")).await.refused(422, "validation_failed");
        assert_eq!(refused.body["errors"][0]["pointer"], "/rate_class");
        let limits = site.get("/v1/limits").key(&reseller.key).send().await.is(200);
        assert_eq!(limits.body["rate_classes"], json!(["standard", "bulk", "high"]));
    }

    /// RL-1: a token is in the class of the key behind it.
    async fn a_token_is_in_the_class_of_its_key(site: with()) {
        let reseller = site.account(&site.operator_key, "reseller", "R").await;
        let made = make(site, &site.operator_key, &reseller.id, Some("high")).await.is(201);
        let form = [("grant_type", "client_credentials")];
        let token = site.post("/oauth/token").basic(&made.id(), &made.text_at("secret")).form(&form).send().await.is(200);
        assert_eq!(policy(site, &token.text_at("access_token")).await, "high 300");
    }
}
