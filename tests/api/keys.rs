//! Credentials: what they open, what they may hand on, and how they end.

use tenantry::store::audit;

use super::*;

/// Each operation of the document: its method, its path with identifiers filled in, and its scope.
fn operations() -> Vec<(reqwest::Method, String, Option<String>)> {
    let document = tenantry::api::document();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let scope = operation["security"][0]["oauth2"][0].as_str().map(str::to_owned);
            let filled =
                path.replace("{id}", "acc_01jq3v8z0kf5n9d2t7x4m6c1ab").replace("{key}", "mail.mailboxes");
            operations.push((method.to_uppercase().parse().unwrap(), filled, scope));
        }
    }
    assert!(operations.len() > 60);
    operations
}

on_both_servers! {
    async fn every_operation_asks_for_a_credential_and_for_the_scope_that_the_document_tells(site: With::no_workers()) {
        let scopes: Vec<_> = tenantry::model::scopes::Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        for (method, path, scope) in operations() {
            if scope.is_none() {
                let open = !path.starts_with("/v1/") || path == "/v1/keys/report_leaked";
                assert!(open, "{path} has no scope");
                continue;
            }
            let place = format!("{method} {path}");
            let none = site.call(method.clone(), &path).send().await.refused(401, "unauthenticated");
            assert!(none.header("www-authenticate").unwrap().starts_with("Bearer resource_metadata="), "{place}");
            for wrong in ["nonsense", "tnk_live_01jq3v8z0kf5n9d2t7x4m6c1ab_x", "eyJ.a.b"] {
                let invalid = site.call(method.clone(), &path).key(wrong).send().await.refused(401, "invalid_token");
                assert!(invalid.header("www-authenticate").unwrap().contains("error=\"invalid_token\""), "{place}");
            }
        }
        // A key with every scope but one is refused by exactly the operations of that one.
        let mut lacking: std::collections::BTreeMap<&str, String> = Default::default();
        for left_out in &scopes {
            let others: Vec<_> = scopes.iter().filter(|scope| scope != &left_out).collect();
            let asked = json!({"name": "all but one", "scopes": others});
            let made = site.post("/v1/keys").key(&site.operator_key).json(asked).send().await.is(201);
            lacking.insert(left_out, made.text_at("secret"));
        }
        for (method, path, scope) in operations() {
            let Some(scope) = scope else { continue };
            let key = &lacking[scope.as_str()];
            let refused = site.call(method.clone(), &path).key(key).send().await.refused(403, "insufficient_scope");
            let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
            assert_eq!(refused.header("www-authenticate"), Some(challenge.as_str()), "{method} {path}");
            let granted = site.call(method.clone(), &path).key(&site.operator_key).json(json!({"x": 1})).send().await;
            assert!(![401, 403, 500].contains(&granted.status), "{method} {path}: {}", granted.text);
        }
    }

    async fn a_key_hands_on_nothing_that_it_lacks(site: With::no_workers()) {
        let world = site.world().await;
        let make = |by: &str, body: Value| site.post("/v1/keys").key(by).json(body).send();
        let refused = make(&world.reseller.key, json!({"name": "k", "scopes": ["orders:read", "servers:write"]})).await;
        assert!(refused.refused(403, "scope_escalation").text_at("detail").contains("servers:write"));
        make(&world.reseller.key, json!({"name": "k", "bundle": "operator_admin"})).await.refused(403, "scope_escalation");
        make(&world.reseller.key, json!({"name": "k", "bundle": "reseller_admin", "account_id": world.operator.id})).await.refused(404, "account_not_found");
        let narrow = json!({"name": "k", "scopes": ["keys:write", "services:suspend"], "hold_classes": ["payment"]});
        let narrow = make(&world.reseller.key, narrow).await.is(201).text_at("secret");
        let wider = json!({"name": "k", "scopes": ["services:suspend"], "hold_classes": ["payment", "abuse"]});
        make(&narrow, wider).await.refused(403, "scope_escalation");
        make(&narrow, json!({"name": "k", "scopes": ["services:suspend"]})).await.refused(403, "scope_escalation");
        make(&narrow, json!({"name": "k", "scopes": ["services:suspend"], "hold_classes": ["payment"]})).await.is(201);
        for both in [json!({"name": "k"}), json!({"name": "k", "bundle": "crm", "scopes": ["orders:read"]})] {
            make(&world.reseller.key, both).await.refused(422, "validation_failed");
        }
    }

    async fn a_secret_is_told_once_and_a_revoked_key_is_refused_at_once(site: With::no_workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let made = site.post("/v1/keys").key(by).json(json!({"name": "shop", "scopes": ["orders:read"]})).send().await.is(201);
        let (id, secret) = (made.id(), made.text_at("secret"));
        assert!(secret.starts_with(&format!("tnk_live_{}_", &id[4..])), "the secret names its key");
        site.get("/v1/orders").key(&secret).send().await.is(200);
        let path = format!("/v1/keys/{id}");
        for told in [site.get(&path).key(by).send().await.is(200), site.get("/v1/keys").key(by).send().await.is(200)] {
            assert!(told.text.contains(&id) && !told.text.contains("tnk_") && !told.text.contains("\"secret"), "{}", told.text);
        }
        for changed in [secret.replace("tnk_live", "tnk_test"), format!("{}A", &secret[..secret.len() - 1]), secret.to_uppercase()] {
            if changed != secret {
                site.get("/v1/orders").key(&changed).send().await.refused(401, "invalid_token");
            }
        }
        let revoked = site.delete(&path).key(by).send().await.is(200);
        assert_eq!(revoked.body["status"], "revoked");
        site.get("/v1/orders").key(&secret).send().await.refused(401, "invalid_token");
        site.delete(&path).key(by).send().await.is(200);
        site.delete(&format!("/v1/keys/{}", "key_01jq3v8z0kf5n9d2t7x4m6c1ab")).key(by).send().await.refused(404, "not_found");
    }

    async fn a_key_ends_when_its_time_is_over(site: With::clock()) {
        let world = site.world().await;
        let expires = site.clock.now().plus(Duration::from_secs(3600));
        let asked = json!({"name": "short", "scopes": ["orders:read"], "expires_at": expires});
        let secret = site.post("/v1/keys").key(&world.reseller.key).json(asked.clone()).send().await.is(201).text_at("secret");
        site.get("/v1/orders").key(&secret).send().await.is(200);
        site.clock.advance(Duration::from_secs(3600));
        site.get("/v1/orders").key(&secret).send().await.refused(401, "invalid_token");
        let refused = site.post("/v1/keys").key(&world.reseller.key).json(asked).send().await.refused(422, "validation_failed");
        assert_eq!(refused.faults(), [("/expires_at".into(), "in_the_past".into())]);
    }
    /// KEY-12
    async fn a_credential_in_a_url_is_refused_whatever_else_is_sent(site: With::no_workers()) {
        let key = &site.operator_key;
        let escaped = key.replace('_', "%5F");
        for query in ["access_token=x", "api_key=x", "key=", "token=x", "Access_Token=x", "limit=5&token=x", key]
            .into_iter()
            .map(str::to_owned)
            .chain([format!("key={key}"), format!("limit={key}"), format!("x=1&y={escaped}")])
        {
            for path in ["/v1/orders", "/v1/me", "/v1/nowhere", "/oauth/jwks"] {
                let call = site.get(&format!("{path}?{query}")).key(key);
                let refused = call.send().await.refused(401, "unauthenticated");
                assert_eq!(refused.text_at("detail"), "credentials in URL", "{path}?{query}");
                assert!(refused.header("www-authenticate").unwrap().starts_with("Bearer resource_metadata="));
                assert!(!refused.text.contains("tnk_"), "{}", refused.text);
            }
        }
        site.get("/v1/orders?keys=x").key(key).send().await.refused(400, "unknown_parameter");
        site.get("/v1/orders?limit=5").key(key).send().await.is(200);
    }

    /// KEY-12
    async fn a_key_in_a_body_lets_nobody_in(site: With::no_workers()) {
        let body = json!({"name": "k", "scopes": ["orders:read"], "key": site.operator_key, "access_token": site.operator_key});
        let refused = site.post("/v1/keys").json(body).send().await.refused(401, "unauthenticated");
        assert!(!refused.text.contains("tnk_"), "{}", refused.text);
    }
    /// KEY-8
    async fn a_key_makes_and_rotates_no_key_that_outlives_it(site: With::clock()) {
        let world = site.world().await;
        let in_hours = |hours: u64| site.clock.now().plus(Duration::from_secs(3600 * hours));
        let make = |by: &str, expires: Option<tenantry::model::Time>| {
            let mut asked = json!({"name": "k", "scopes": ["keys:write"], "hold_classes": []});
            if let Some(expires) = expires {
                asked["expires_at"] = json!(expires);
            }
            site.post("/v1/keys").key(by).json(asked).send()
        };
        let maker = make(&world.reseller.key, Some(in_hours(2))).await.is(201);
        let (end, maker) = (maker.text_at("expires_at"), maker.text_at("secret"));
        make(&maker, Some(in_hours(2).plus(Duration::from_micros(1)))).await.refused(403, "scope_escalation");
        assert_eq!(make(&maker, Some(in_hours(2))).await.is(201).text_at("expires_at"), end);
        assert_eq!(make(&maker, Some(in_hours(1))).await.is(201).text_at("expires_at"), in_hours(1).to_string());
        assert_eq!(make(&maker, None).await.is(201).text_at("expires_at"), end, "its maker's end if nothing is said");
        let longer = make(&world.reseller.key, Some(in_hours(3))).await.is(201).id();
        let rotate = |by: &str| site.post(&format!("/v1/keys/{longer}/rotate")).key(by).send();
        rotate(&maker).await.refused(403, "scope_escalation");
        rotate(&world.reseller.key).await.is(201);
    }

    /// KEY-8
    async fn who_reaches_for_rights_that_it_lacks_is_in_the_audit(site: With::no_workers()) {
        let world = site.world().await;
        let wide = json!({"name": "k", "bundle": "operator_admin"});
        let make = |path: &str| site.post(path).key(&world.reseller.key).idem("wide").json(wide.clone()).send();
        let refused = make("/v1/keys?dry_run=true").await.refused(403, "scope_escalation");
        make("/v1/keys").await.refused(403, "scope_escalation");
        let account = world.reseller.id.parse().unwrap();
        let lines = async || {
            let mut conn = site.db.read(tenantry::model::Subtree::everything()).await.unwrap();
            audit::after(&mut conn, account, 0, 1000).await.unwrap()
        };
        until("the refusal is written", async || lines().await.iter().any(|line| line.outcome == "refused")).await;
        let lines = lines().await;
        assert!(lines.iter().map(|line| line.sequence).eq(1..=lines.len() as i64), "no gap");
        let lines: Vec<_> = lines.iter().filter(|line| line.outcome == "refused").collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!((lines[0].action.as_str(), &lines[0].request_id), ("keys_create", &refused.text_at("request_id")));
        let narrow = json!({"name": "k", "scopes": ["orders:read"], "hold_classes": []});
        site.post("/v1/keys").key(&world.reseller.key).idem("wide").json(narrow).send().await.is(201);
    }
}
