//! Keys that stand in a shop's pages, and the browsers that use them.

use super::*;
use reqwest::Method;

const SHOP: &str = "https://shop.example";

/// A storefront's key of the reseller's: its identifier and what the pages send.
async fn shop(site: &Site, world: &World, more: Value) -> (String, String) {
    let mut asked = json!({"name": "shop", "origins": [SHOP, "http://localhost:5173"]});
    asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = site.post("/v1/storefront_keys").key(&world.reseller.key).json(asked).send().await.is(201);
    (made.id(), made.text_at("key"))
}

fn plans(site: &Site, key: &str, origin: &str) -> Call {
    site.get("/v1/plans").key(key).header("Origin", origin)
}

/// This machine is a proxy whose word is taken, so that a test comes from where it says.
fn visited() -> With {
    With { settings: &[("TENANTRY_SERVER__TRUSTED_PROXIES", "127.0.0.1")], ..With::clock() }
}

fn cors(answer: &Answer) -> Vec<(String, String)> {
    let named = |name: &str| name.starts_with("access-control-") || name == "vary";
    let found = answer.headers.iter().filter(|(name, _)| named(name.as_str()));
    let mut told: Vec<_> =
        found.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    told.sort();
    told
}

on_both_servers! {
    /// KEY-1
    async fn a_storefronts_key_is_made_read_changed_and_revoked(site: With::no_workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let asked = json!({"name": "shop", "origins": [SHOP]});
        let make = |key: &str| site.post("/v1/storefront_keys").key(by).idem(key).json(asked.clone());
        let dry = site.post("/v1/storefront_keys?dry_run=true").key(by).json(asked.clone()).send().await.is(201);
        site.get(&format!("/v1/storefront_keys/{}", dry.id())).key(by).send().await.refused(404, "not_found");
        let made = make("one").send().await.is(201);
        assert_eq!(make("one").send().await.is(201).text, made.text);
        let (id, key) = (made.id(), made.text_at("key"));
        assert!(key.starts_with(&format!("tnp_live_{}_", &id[4..])), "{key}");
        assert_eq!(made.header("location"), Some(format!("/v1/storefront_keys/{id}").as_str()));
        assert_eq!((&made.body["requests_per_minute"], &made.body["requests_per_minute_per_address"]), (&json!(600), &json!(60)));
        // It can be read again, also from above, and not from beside.
        for reader in [by, &world.operator.key] {
            let list = site.get("/v1/storefront_keys").key(reader).send().await.is(200);
            assert_eq!(list.body["data"][0]["key"], key.as_str());
        }
        let read = site.get(&format!("/v1/storefront_keys/{id}")).key(by).send().await.is(200);
        assert_eq!(read.body, made.body);
        site.get(&format!("/v1/storefront_keys/{id}")).key(&world.tenant.key).send().await.refused(404, "not_found");
        // It is none of the secret keys.
        site.get(&format!("/v1/keys/{id}")).key(by).send().await.refused(404, "not_found");
        site.post(&format!("/v1/keys/{id}/rotate")).key(by).send().await.refused(404, "not_found");
        let change = |asked: Value| site.patch(&format!("/v1/storefront_keys/{id}")).key(by).json(asked);
        let tag = read.header("etag").unwrap().to_owned();
        change(json!({"name": "renamed"})).header("If-Match", "\"v9.x\"").send().await.refused(412, "precondition_failed");
        let changed = change(json!({"name": "renamed", "origins": ["https://new.example"]})).header("If-Match", &tag).send().await.is(200);
        assert_eq!((changed.text_at("name"), changed.text_at("key")), ("renamed".into(), key.clone()));
        plans(site, &key, SHOP).send().await.refused(403, "origin_not_allowed");
        plans(site, &key, "https://new.example").send().await.is(200);
        let revoke = || site.delete(&format!("/v1/storefront_keys/{id}")).key(by);
        assert_eq!(revoke().send().await.is(200).body["status"], "revoked");
        assert_eq!(revoke().send().await.is(200).body["status"], "revoked");
        plans(site, &key, "https://new.example").send().await.refused(401, "invalid_token");
        change(json!({"name": "back"})).send().await.refused(409, "state_conflict");
        for (event, count) in [("created", 1), ("updated", 1), ("revoked", 1)] {
            let told = told(site, by, &format!("storefront_key.{event}")).await;
            assert_eq!(told.len(), count, "{event}");
            assert_eq!(told[0]["resource"]["id"], id.as_str());
        }
        let audit = site.get("/v1/audit?limit=200").key(by).send().await.is(200);
        let lines = audit.body["data"].as_array().unwrap().iter().filter(|line| line["resource"] == id.as_str());
        let mut actions: Vec<_> = lines.filter(|line| line["outcome"] == "done").map(|line| line["action"].as_str().unwrap()).collect();
        actions.sort_unstable();
        actions.dedup();
        assert_eq!(actions, ["storefront_keys_create", "storefront_keys_revoke", "storefront_keys_update"]);
    }

    async fn only_origins_as_browsers_write_them_are_taken(site: With::no_workers()) {
        let world = site.world().await;
        let make = |origins: Value| {
            let asked = json!({"name": "shop", "origins": origins});
            site.post("/v1/storefront_keys").key(&world.reseller.key).json(asked)
        };
        for wrong in ["*", "null", "http://shop.example", "https://shop.example/", "https://shop.example:443", "https://Shop.example", "https://*.shop.example"] {
            let refused = make(json!([SHOP, wrong])).send().await.refused(422, "validation_failed");
            assert_eq!(refused.faults()[0].0, "/origins/1", "{wrong}: {}", refused.text);
        }
        make(json!([])).send().await.refused(422, "validation_failed");
        let many: Vec<_> = (0..21).map(|n| format!("https://shop{n}.example")).collect();
        make(json!(many)).send().await.refused(422, "validation_failed");
        make(json!(many[..20])).send().await.is(201);
        for (member, wrong) in [("requests_per_minute", 0), ("requests_per_minute", 6001), ("requests_per_minute_per_address", 0), ("requests_per_minute_per_address", 601)] {
            let asked = json!({"name": "shop", "origins": [SHOP], member: wrong});
            site.post("/v1/storefront_keys").key(&world.reseller.key).json(asked).send().await.refused(422, "validation_failed");
        }
    }

    /// KEY-8
    async fn a_storefronts_key_gives_nothing_that_its_maker_lacks(site: With::clock()) {
        let world = site.world().await;
        let key = async |asked: Value| {
            let mut whole = json!({"name": "maker", "scopes": ["keys:write", "catalog:read"], "hold_classes": []});
            whole.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
            site.post("/v1/keys").key(&world.reseller.key).json(whole).send().await.is(201).text_at("secret")
        };
        let shop = json!({"name": "shop", "origins": [SHOP]});
        let make = |by: &str, asked: &Value| site.post("/v1/storefront_keys").key(by).json(asked.clone());
        let blind = key(json!({"scopes": ["keys:write"]})).await;
        make(&blind, &shop).send().await.refused(403, "scope_escalation");
        let bound = key(json!({"allowed_addresses": ["127.0.0.0/8", "::1/128"]})).await;
        make(&bound, &shop).send().await.refused(403, "scope_escalation");
        let end = site.clock.now().plus(Duration::from_secs(3600)).to_string();
        let short = key(json!({"expires_at": end})).await;
        let made = make(&short, &shop).send().await.is(201);
        assert_eq!(made.text_at("expires_at"), end);
        let later = site.clock.now().plus(Duration::from_secs(3601)).to_string();
        let change = |asked: Value| site.patch(&format!("/v1/storefront_keys/{}", made.id())).key(&short).json(asked);
        change(json!({"expires_at": later})).send().await.refused(403, "scope_escalation");
        let longer = json!({"name": "shop", "origins": [SHOP], "expires_at": later});
        make(&short, &longer).send().await.refused(403, "scope_escalation");
        // For an account below, and for none elsewhere.
        let below = json!({"name": "shop", "origins": [SHOP], "account_id": world.tenant.id});
        make(&world.reseller.key, &below).send().await.is(201);
        let above = json!({"name": "shop", "origins": [SHOP], "account_id": world.operator.id});
        make(&world.reseller.key, &above).send().await.refused(404, "account_not_found");
        // With its end it ends.
        plans(site, &made.text_at("key"), SHOP).send().await.is(200);
        site.clock.advance(Duration::from_secs(3600));
        plans(site, &made.text_at("key"), SHOP).send().await.refused(401, "invalid_token");
    }

    async fn visitors_see_what_is_on_sale_and_nothing_else_of_the_account(site: With::no_workers()) {
        let world = site.world().await;
        let (by, (_, key)) = (&world.reseller.key, shop(site, &world, json!({})).await);
        let make = async |by: &str, code: &str, status: &str| {
            let terms = json!({"virtual_server_id": world.virtual_server, "services": [{"type": "mail"}], "quotas": []});
            let asked = json!({"code": code, "name": code, "status": status, "terms": terms, "metadata": {"margin": "secret-mark"}});
            site.post("/v1/plans").key(by).json(asked).send().await.is(201).id()
        };
        let (own, draft) = (make(by, "own", "active").await, make(by, "draft", "draft").await);
        let paused = make(&world.operator.key, "paused", "paused").await;
        let all = json!({"account_id": world.tenant.id, "name": "tenant", "bundle": "operator_admin"});
        let tenant = site.post("/v1/keys").key(&world.operator.key).json(all).send().await.is(201).text_at("secret");
        let below = make(&tenant, "below", "active").await;
        let list = plans(site, &key, SHOP).send().await.is(200);
        let mut due = vec![own.clone(), world.plan.clone()];
        due.sort();
        assert_eq!(list.ids(), due);
        for hidden in ["secret-mark", &world.virtual_server, &world.reseller.id, &world.operator.id] {
            assert!(!list.text.contains(hidden), "{hidden}: {}", list.text);
        }
        let get = |id: &str| site.get(&format!("/v1/plans/{id}")).key(&key).header("Origin", SHOP);
        let one = get(&own).send().await.is(200);
        assert!(one.body["account_id"].is_null() && one.body["metadata"] == json!({}), "{}", one.text);
        let tag = one.header("etag").expect("a plan has a tag").to_owned();
        get(&own).header("If-None-Match", &tag).send().await.is(304);
        for hidden in [&draft, &paused, &below] {
            get(hidden).send().await.refused(404, "not_found");
        }
        // Page by page.
        let first = site.get("/v1/plans?limit=1").key(&key).header("Origin", SHOP).send().await.is(200);
        let next = format!("/v1/plans?limit=1&cursor={}", first.text_at("next_cursor"));
        let second = site.get(&next).key(&key).header("Origin", SHOP).send().await.is(200);
        assert_eq!([first.ids(), second.ids()].concat(), due);
        // It acts for nobody else.
        plans(site, &key, SHOP).acting_for(&world.tenant.id).send().await.refused(404, "account_not_found");
    }

    /// KEY-2, KEY-12, TOK-2
    async fn a_storefronts_key_is_taken_in_no_other_way_and_no_other_text_for_it(site: With::no_workers()) {
        let world = site.world().await;
        let (id, key) = shop(site, &world, json!({})).await;
        let mut mistyped = key.clone();
        mistyped.pop();
        mistyped.push(if key.ends_with('0') { '1' } else { '0' });
        let forged = tenantry::access::publishable::generate(tenantry::model::accounts::accounts::Environment::Live, id.parse().unwrap());
        let test = tenantry::access::publishable::generate(tenantry::model::accounts::accounts::Environment::Test, id.parse().unwrap());
        for wrong in [&mistyped, &forged, &test, &"tnp_".to_owned()] {
            let refused = plans(site, wrong, SHOP).send().await.refused(401, "invalid_token");
            assert!(refused.header("access-control-allow-origin").is_none());
        }
        let query = site.get(&format!("/v1/plans?x={key}")).header("Origin", SHOP);
        query.send().await.refused(401, "unauthenticated");
        let grant = [("grant_type", "client_credentials")];
        site.post("/oauth/token").basic(&id, &key).form(&grant).send().await.is(401);
        let introspect = site.post("/oauth/introspect").basic(&id, &key).form(&[("token", &key)]);
        introspect.send().await.is(401);
        // Who finds it in a page finds what is meant to be there.
        site.post("/v1/keys/report_leaked").json(json!({"key": key})).send().await.is(202);
        plans(site, &key, SHOP).send().await.is(200);
    }

    async fn a_key_is_taken_only_with_one_origin_of_its_pages_letter_by_letter(site: With::no_workers()) {
        let world = site.world().await;
        let (id, key) = shop(site, &world, json!({})).await;
        for right in [SHOP, "http://localhost:5173"] {
            let told = cors(&plans(site, &key, right).send().await.is(200));
            assert_eq!(told, [
                ("access-control-allow-origin".into(), right.to_owned()),
                ("access-control-expose-headers".into(), "ETag, Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id".into()),
                ("vary".into(), "Origin".into()),
            ]);
        }
        for wrong in ["https://other.example", "https://shop.example.evil.example", "http://shop.example", "https://shop.example:8443", "https://shop.example/", "https://SHOP.example", "null", "*", "", "https://a.shop.example"] {
            let refused = plans(site, &key, wrong).send().await.refused(403, "origin_not_allowed");
            assert_eq!(cors(&refused), [], "{wrong}");
        }
        site.get("/v1/plans").key(&key).send().await.refused(403, "origin_not_allowed");
        plans(site, &key, SHOP).header("Origin", SHOP).send().await.refused(403, "origin_not_allowed");
        // What is refused for another reason is for the page to read.
        let refused = site.get("/v1/plans?nonsense=1").key(&key).header("Origin", SHOP).send().await.refused(400, "unknown_parameter");
        assert_eq!(refused.header("access-control-allow-origin"), Some(SHOP));
        until("the refusal is in the audit", async || {
            let lines = site.get("/v1/audit?limit=200").key(&world.reseller.key).send().await.is(200);
            lines.text.contains("origin_not_allowed")
        })
        .await;
        until("the log of requests has what the pages asked", async || {
            let log = site.get("/v1/requests?limit=200").key(&world.reseller.key).send().await.is(200);
            let rows = log.body["data"].as_array().unwrap().iter();
            let codes: Vec<_> = rows.filter(|row| row["key_id"] == id.as_str()).map(|row| row["code"].clone()).collect();
            codes.contains(&json!("origin_not_allowed")) && codes.contains(&json!("unknown_parameter"))
        })
        .await;
    }

    async fn secret_keys_get_no_cors_headers_at_all(site: With::no_workers()) {
        let world = site.world().await;
        shop(site, &world, json!({})).await;
        let token = {
            let me = site.get("/v1/me").key(&world.reseller.key).send().await.is(200);
            let grant = [("grant_type", "client_credentials")];
            let asked = site.post("/oauth/token").basic(&me.text_of("/key/id"), &world.reseller.key).form(&grant);
            asked.header("Origin", SHOP).send().await.is(200)
        };
        assert_eq!(cors(&token), []);
        for key in [&world.reseller.key, &token.text_at("access_token")] {
            assert_eq!(cors(&plans(site, key, SHOP).send().await.is(200)), []);
        }
        assert_eq!(cors(&site.get("/v1/plans").header("Origin", SHOP).send().await.refused(401, "unauthenticated")), []);
    }

    /// CFG-7
    async fn preflights_are_answered_for_what_a_storefront_opens_and_nothing_else(site: With::no_workers()) {
        let world = site.world().await;
        let ask = |path: &str, method: &str, origin: &str| {
            let call = site.call(Method::OPTIONS, path).header("Origin", origin);
            call.header("Access-Control-Request-Method", method).header("Access-Control-Request-Headers", "authorization")
        };
        for path in ["/v1/plans".to_owned(), format!("/v1/plans/{}", world.plan), "/v1/plans?limit=1".into()] {
            let answer = ask(&path, "GET", SHOP).send().await.is(204);
            let told = cors(&answer);
            assert_eq!(told, [
                ("access-control-allow-headers".into(), "Authorization, Content-Type, Idempotency-Key, If-None-Match".into()),
                ("access-control-allow-methods".into(), "GET".into()),
                ("access-control-allow-origin".into(), SHOP.to_owned()),
                ("access-control-max-age".into(), "600".into()),
                ("vary".into(), "Origin, Access-Control-Request-Method, Access-Control-Request-Headers".into()),
            ] as [(String, String); 5]);
            assert!(answer.header("x-request-id").is_some() && answer.text.is_empty());
        }
        // Nobody learns from it who has a shop here.
        ask("/v1/plans", "GET", "https://nobody.example").send().await.is(204);
        let others = [("/v1/plans", "POST"), ("/v1/plans", "get"), ("/v1/orders", "GET"), ("/v1/orders", "POST"), ("/v1/keys", "GET"), ("/oauth/token", "POST")];
        for (path, method) in others {
            let refused = ask(path, method, SHOP).send().await.refused(405, "method_not_allowed");
            let vary: Vec<_> = cors(&refused);
            assert_eq!(vary, [], "{method} {path}");
        }
        for wrong in ["null", "*", "http://shop.example", "https://shop.example/x"] {
            ask("/v1/plans", "GET", wrong).send().await.refused(405, "method_not_allowed");
        }
        // What is no preflight is refused with what there is.
        let bare = site.call(Method::OPTIONS, "/v1/plans");
        let refused = bare.send().await.refused(405, "method_not_allowed");
        let mut allowed: Vec<_> = refused.header("allow").unwrap().split(", ").collect();
        allowed.sort_unstable();
        assert_eq!(allowed, ["GET", "POST"]);
        let half = site.call(Method::OPTIONS, "/v1/plans").header("Origin", SHOP);
        half.send().await.refused(405, "method_not_allowed");
        ask("/v1/nowhere", "GET", SHOP).send().await.refused(404, "route_not_found");
    }

    /// RL-2, RL-4, RL-5, RL-11
    async fn a_key_has_limits_of_its_own_by_address_and_in_all(site: visited()) {
        let world = site.world().await;
        let caps = json!({"requests_per_minute": 5, "requests_per_minute_per_address": 2});
        let (_, key) = shop(site, &world, caps).await;
        let ask = |address: &str| plans(site, &key, SHOP).header("X-Forwarded-For", address);
        let first = ask("203.0.113.1").send().await.is(200);
        assert_eq!(first.header("ratelimit-policy"), Some("\"key\";q=5;w=60, \"addr\";q=2;w=60"));
        assert_eq!(first.header("ratelimit"), Some("\"addr\";r=1;t=30, \"key\";r=4;t=12"));
        ask("203.0.113.1").send().await.is(200);
        let refused = ask("203.0.113.1").send().await.refused(429, "rate_limited");
        assert_eq!(refused.body["violated-policies"], json!(["addr"]));
        assert_eq!(refused.header("access-control-allow-origin"), Some(SHOP), "the page reads it");
        assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 30);
        for address in ["203.0.113.2", "203.0.113.2", "2001:db8::1"] {
            ask(address).send().await.is(200);
        }
        let refused = ask("203.0.113.3").send().await.refused(429, "rate_limited");
        assert_eq!(refused.body["violated-policies"], json!(["key"]));
        // Nothing of the account's own was taken.
        site.get("/v1/plans").key(&world.reseller.key).send().await.is(200);
        site.clock.advance(Duration::from_secs(60));
        ask("203.0.113.3").send().await.is(200);
    }

    /// AUTHZ-7, KEY-7, KEY-11
    async fn a_storefronts_key_is_of_its_accounts_environment_and_ends_with_it(site: With::no_workers()) {
        let world = site.world().await;
        let asked = json!({"type": "reseller", "name": "Sandbox", "environment": "test"});
        let test = site.post("/v1/accounts").key(&world.reseller.key).json(asked).send().await.is(201).id();
        let own = site.key(&world.reseller.key, &test, "reseller_admin").await;
        let asked = json!({"name": "shop", "origins": [SHOP], "account_id": test});
        site.post("/v1/storefront_keys").key(&world.reseller.key).json(asked.clone()).send().await.refused(403, "environment_mismatch");
        let made = site.post("/v1/storefront_keys").key(&own).json(asked).send().await.is(201);
        assert!(made.text_at("key").starts_with("tnp_test_"));
        assert_eq!(plans(site, &made.text_at("key"), SHOP).send().await.is(200).ids(), Vec::<String>::new());
        let place = format!("/v1/storefront_keys/{}", made.id());
        site.get(&place).key(&world.reseller.key).send().await.refused(403, "environment_mismatch");
        let (_, live) = shop(site, &world, json!({})).await;
        let close = format!("UPDATE accounts SET status = 'closed' WHERE id = '{}'", world.reseller.id);
        site.fresh.tamper(&close).await;
        plans(site, &live, SHOP).send().await.refused(401, "invalid_token");
    }
}
