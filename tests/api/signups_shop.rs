//! Signing up from a shop's pages, where anybody can have written what is sent.

use super::signups::{asked, send, step, token, unknown, verify};
use super::*;

const SHOP: &str = "https://shop.example";

/// The key of the reseller's shop, which takes sign-ups.
async fn shop(site: &Site, world: &World, more: Value) -> String {
    let mut asked = json!({"name": "shop", "origins": [SHOP], "signups_per_hour": 20, "signups_per_hour_per_address": 20});
    asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    site.post("/v1/storefront_keys").key(&world.reseller.key).json(asked).send().await.is(201).text_at("key")
}

fn from_page(call: Call) -> Call {
    call.header("Origin", SHOP)
}

/// This machine is a proxy whose word is taken, so that a test comes from where it says.
fn visited() -> With {
    With { settings: &[("TENANTRY_SERVER__TRUSTED_PROXIES", "127.0.0.1")], ..With::clock() }
}

on_both_servers! {
    /// P1
    async fn a_visitor_signs_up_in_the_shop_and_comes_back_with_the_token_that_the_seller_mailed(site: With::workers()) {
        let world = site.world().await;
        let key = shop(site, &world, json!({})).await;
        let preflight = site.call(reqwest::Method::OPTIONS, "/v1/signups").header("Origin", SHOP);
        preflight.header("Access-Control-Request-Method", "POST").send().await.is(204);
        let mut wanted = unknown("hosted-mail", "Acme");
        wanted["domain"] = json!("acme.example");
        let made = from_page(send(site, &key, wanted)).send().await.is(201);
        assert_eq!((&made.body["status"], made.header("access-control-allow-origin")), (&json!("pending"), Some(SHOP)));
        let mut mailed = None;
        until("the seller is told", async || {
            mailed = told(site, &world.reseller.key, "signup.created").await.pop();
            mailed.is_some()
        })
        .await;
        let mailed = mailed.unwrap();
        assert_eq!(mailed["data"]["object"]["administrator"]["email"], "acme@mail.example");
        let sent = token(site, &world.reseller.key, mailed["resource"]["id"].as_str().unwrap()).await;
        // Nobody waits here for the seller's work, nor sees it.
        let done = from_page(verify(site, &key, &made.id(), &sent)).send().await.is(202);
        assert_eq!((&done.body["status"], &done.body["account"]["name"], &done.body["operation"]), (&json!("accepted"), &json!("Acme"), &Value::Null), "{}", done.text);
        for hidden in ["opened_account_id", "order_id", "operation_id", "member_id"] {
            assert_eq!(done.body[hidden], Value::Null, "{hidden}");
        }
        let seen = site.get(&format!("/v1/signups/{}", made.id())).key(&world.reseller.key).send().await.is(200);
        let account = site.get(&format!("/v1/accounts/{}", seen.text_at("opened_account_id"))).key(&world.reseller.key).send().await.is(200);
        assert_eq!(account.text_at("parent_id"), world.reseller.id);
        let order = format!("/v1/orders/{}", seen.text_at("order_id"));
        until("it is made", async || site.get(&order).key(&world.reseller.key).send().await.is(200).body["status"] == "completed").await;
    }

    async fn a_page_says_nothing_that_is_for_the_seller_to_say_and_sees_nothing(site: With::no_workers()) {
        let world = site.world().await;
        let key = shop(site, &world, json!({})).await;
        let mut wanted = asked("hosted-mail", "Acme");
        wanted["account"]["external_id"] = json!("crm:1");
        wanted["metadata"] = json!({"tier": "partner"});
        let refused = from_page(send(site, &key, wanted)).send().await.refused(422, "validation_failed");
        let mut faults = refused.faults();
        faults.sort();
        assert_eq!(faults, [("/account/external_id".into(), "for_the_seller".into()), ("/administrator/email_verified".into(), "for_the_seller".into()), ("/metadata".into(), "for_the_seller".into())]);
        let mut much = unknown("hosted-mail", "Acme");
        much["quantity"] = json!(11);
        let refused = from_page(send(site, &key, much)).send().await.refused(422, "validation_failed");
        assert_eq!(refused.faults(), [("/quantity".into(), "too_large".into())]);
        let sub = site.account(&world.reseller.key, "reseller", "Sub").await;
        let mut elsewhere = unknown("hosted-mail", "Acme");
        elsewhere["parent_id"] = json!(sub.id);
        from_page(send(site, &key, elsewhere)).send().await.refused(404, "account_not_found");
        let made = from_page(send(site, &key, unknown("hosted-mail", "Acme"))).send().await.is(201);
        let place = format!("/v1/signups/{}", made.id());
        from_page(site.get(&place).key(&key)).send().await.refused(403, "insufficient_scope");
        from_page(step(site, &key, &made.id(), "verification_token")).send().await.refused(403, "insufficient_scope");
        from_page(step(site, &key, &made.id(), "approve")).send().await.refused(403, "insufficient_scope");
        // What was asked below is not this shop's.
        let theirs = send(site, &sub.key, unknown("hosted-mail", "Other")).send().await.is(201).id();
        let sent = token(site, &sub.key, &theirs).await;
        from_page(verify(site, &key, &theirs, &sent)).send().await.refused(404, "not_found");
        // A shop that only shows what is on sale takes nobody.
        let closed = shop(site, &world, json!({"signups_per_hour": 0})).await;
        from_page(send(site, &closed, unknown("hosted-mail", "Acme"))).send().await.refused(403, "insufficient_scope");
        from_page(verify(site, &closed, &made.id(), "x")).send().await.refused(403, "insufficient_scope");
        from_page(site.get("/v1/plans").key(&closed)).send().await.is(200);
    }

    /// RL-11
    async fn sign_ups_are_limited_in_all_by_address_and_by_mail_address(site: visited()) {
        let world = site.world().await;
        let key = shop(site, &world, json!({"signups_per_hour": 6, "signups_per_hour_per_address": 4})).await;
        let ask = |from: &str, name: &str| from_page(send(site, &key, unknown("hosted-mail", name))).header("X-Forwarded-For", from);
        for _ in 0..3 {
            ask("203.0.113.1", "Same").send().await.is(201);
        }
        let refused = ask("203.0.113.2", "SAME").send().await.refused(429, "rate_limited");
        assert_eq!(refused.body["violated-policies"], json!(["signup-email"]));
        ask("203.0.113.1", "Other").send().await.is(201);
        let refused = ask("203.0.113.1", "Third").send().await.refused(429, "rate_limited");
        assert_eq!(refused.body["violated-policies"], json!(["signup-addr"]));
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((900..=1080).contains(&wait), "a quarter of an hour, and a little more: {wait}");
        ask("203.0.113.2", "Third").send().await.is(201);
        ask("203.0.113.2", "Fourth").send().await.is(201);
        let refused = ask("203.0.113.3", "Fifth").send().await.refused(429, "rate_limited");
        assert_eq!(refused.body["violated-policies"], json!(["signup"]));
        // The seller's own key is not bound by what the shop takes.
        send(site, &world.reseller.key, unknown("hosted-mail", "Fifth")).send().await.is(201);
        site.clock.advance(Duration::from_secs(3600));
        ask("203.0.113.1", "Same").send().await.is(201);
    }

    /// P5
    async fn strangers_are_not_told_what_the_seller_has_left(site: With::no_workers()) {
        let world = site.world().await;
        let key = shop(site, &world, json!({})).await;
        let early = from_page(send(site, &key, unknown("full", "Early")));
        let terms = json!({"virtual_server_id": world.virtual_server, "services": [{"type": "mail"}],
            "quotas": [{"key": "mail.mailboxes", "per_unit": 10, "mode": "allocated"}]});
        let asked = json!({"code": "full", "name": "full", "terms": terms});
        site.post("/v1/plans").key(&site.operator_key).json(asked).send().await.is(201);
        let early = early.send().await.is(201).id();
        let sent = token(site, &world.reseller.key, &early).await;
        let ceiling = format!("/v1/accounts/{}/quotas/mail.mailboxes", world.reseller.id);
        site.put(&ceiling).anyway().key(&site.operator_key).json(json!({"ceiling": 7})).send().await.is(200);
        let refused = from_page(send(site, &key, unknown("full", "Late"))).send().await.refused(422, "plan_not_applicable");
        assert_eq!((&refused.body["violations"], &refused.body["remedies"]), (&Value::Null, &Value::Null));
        assert!(refused.text.contains("no more of it can be had") && !refused.text.contains("mail.mailboxes"), "{}", refused.text);
        let half = from_page(verify(site, &key, &early, &sent)).send().await.is(200);
        assert_eq!((&half.body["status"], &half.body["awaits"]), (&json!("pending"), &json!(["approval"])));
        // The seller is, when it does the same.
        let seen = step(site, &world.reseller.key, &early, "approve").send().await.refused(409, "quota_exceeded");
        assert_eq!(seen.body["violations"][0]["available"], 7);
    }

    /// IDEM-4
    async fn what_strangers_send_takes_no_idempotency_key_from_the_account(site: With::no_workers()) {
        let world = site.world().await;
        let key = shop(site, &world, json!({})).await;
        let wanted = unknown("hosted-mail", "Acme");
        let theirs = || from_page(send(site, &key, wanted.clone())).idem("order-4711");
        let made = theirs().send().await.is(201);
        assert_eq!(theirs().send().await.is(201).text, made.text);
        let own = send(site, &world.reseller.key, unknown("hosted-mail", "Own")).idem("order-4711").send().await.is(201);
        assert_ne!(own.id(), made.id());
    }

    /// KEY-8
    async fn a_shops_key_signs_nobody_up_whose_maker_could_not(site: With::no_workers()) {
        let world = site.world().await;
        let asked = json!({"name": "shop", "origins": [SHOP], "signups_per_hour": 1});
        let maker = async |more: Value| {
            let mut key = json!({"name": "maker", "scopes": ["keys:write", "catalog:read", "signups:create"], "hold_classes": []});
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            site.post("/v1/keys").key(&world.reseller.key).json(key).send().await.is(201).text_at("secret")
        };
        let make = |by: &str, asked: &Value| site.post("/v1/storefront_keys").key(by).json(asked.clone());
        let blind = maker(json!({"scopes": ["keys:write", "catalog:read"]})).await;
        make(&blind, &asked).send().await.refused(403, "scope_escalation");
        let shows = make(&blind, &json!({"name": "shop", "origins": [SHOP]})).send().await.is(201).id();
        let open = |by: &str| site.patch(&format!("/v1/storefront_keys/{shows}")).key(by).json(json!({"signups_per_hour": 1}));
        open(&blind).send().await.refused(403, "scope_escalation");
        let capped = maker(json!({"spend_cap": {"per_day": 100, "currency": "EUR"}})).await;
        make(&capped, &asked).send().await.refused(403, "scope_escalation");
        let hands_on = json!({"name": "k", "scopes": ["signups:create"], "hold_classes": []});
        site.post("/v1/keys").key(&capped).json(hands_on).send().await.refused(403, "scope_escalation");
        open(&maker(json!({})).await).send().await.is(200);
    }
}
