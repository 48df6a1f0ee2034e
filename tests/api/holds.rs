//! Suspending and resuming: whose hold it is, and who may lift it.

use super::*;

async fn suspend(site: &Site, key: &str, on: &str, hold: Value) -> Answer {
    site.post(&format!("/v1/{on}/suspend")).key(key).wait(20).json(hold).send().await
}

async fn resume(site: &Site, key: &str, on: &str) -> Answer {
    site.post(&format!("/v1/{on}/resume")).key(key).wait(20).send().await
}

fn because(reason_code: &str) -> Value {
    json!({"reason_code": reason_code})
}

/// The access that the service is to have, and the one that has been brought about.
async fn access(site: &Site, service: &str) -> (String, String) {
    let told = site.get(&format!("/v1/services/{service}")).key(&site.operator_key).send().await.is(200);
    (told.text_at("access"), told.text_at("applied_access"))
}

pub async fn settles(site: &Site, service: &str, to: &str) {
    until(&format!("access {to}"), async || access(site, service).await == (to.into(), to.into())).await;
}

fn classes(holds: &Value) -> Vec<&str> {
    let mut classes: Vec<_> =
        holds.as_array().unwrap().iter().map(|hold| hold["reason_class"].as_str().unwrap()).collect();
    classes.sort_unstable();
    classes
}

on_both_servers! {
    async fn a_billing_key_suspends_for_payment_and_its_resume_leaves_the_hold_for_abuse(site: With::workers()) {
        let world = site.world().await;
        let ordered = site.ordered(&world.tenant, "acme.example", 1).await;
        let billing = site.key(&site.operator_key, &world.reseller.id, "billing_system").await;
        let on = format!("services/{}", ordered.mail);

        let held = suspend(site, &billing, &on, because("payment.card_failed")).await.is(200);
        assert_eq!((&held.body["changed"], &held.body["access"]), (&json!(true), &json!("suspended")));
        assert_eq!(held.body["operation"]["status"], "succeeded");
        assert_eq!(access(site, &ordered.mail).await, ("suspended".into(), "suspended".into()));
        assert_eq!(access(site, &ordered.dns).await, ("full".into(), "full".into()), "the other service is not held");

        let again = suspend(site, &billing, &on, because("payment.card_failed")).await.is(200);
        assert_eq!((&again.body["changed"], &again.body["operation_id"]), (&json!(false), &Value::Null));
        assert_eq!(again.body["holds"][0]["id"], held.body["holds"][0]["id"], "an equal hold is not doubled");

        let refused = suspend(site, &billing, &on, because("abuse")).await.refused(403, "insufficient_scope");
        assert!(refused.text_at("detail").contains("payment"), "{}", refused.text);
        suspend(site, &billing, &on, because("boredom")).await.refused(422, "validation_failed");
        let abuse = suspend(site, &world.reseller.key, &on, because("abuse.spam")).await.is(200);
        assert_eq!((&abuse.body["changed"], &abuse.body["operation_id"]), (&json!(true), &Value::Null));

        let paid = resume(site, &billing, &on).await.is(200);
        assert_eq!(paid.body["access"], "suspended");
        assert_eq!((classes(&paid.body["holds"]), classes(&paid.body["remaining_holds"])), (vec!["payment"], vec!["abuse"]));
        assert_eq!(resume(site, &billing, &on).await.is(200).body["changed"], false, "resuming again does no harm");
        assert_eq!(access(site, &ordered.mail).await.0, "suspended");

        let lifted = resume(site, &world.reseller.key, &on).await.is(200);
        assert_eq!((&lifted.body["access"], &lifted.body["remaining_holds"]), (&json!("full"), &json!([])));
        assert_eq!(access(site, &ordered.mail).await, ("full".into(), "full".into()));
    }

    async fn a_hold_is_lifted_by_its_placer_and_those_above_never_by_those_below(site: With::workers()) {
        let world = site.world().await;
        let ordered = site.ordered(&world.tenant, "acme.example", 1).await;
        let on = format!("subscriptions/{}", ordered.subscription);
        suspend(site, &world.reseller.key, &on, json!({"reason_code": "payment", "reason": "Invoice 7"})).await.is(200);

        let kept = resume(site, &world.tenant.key, &on).await.is(200);
        assert_eq!((&kept.body["changed"], &kept.body["access"]), (&json!(false), &json!("suspended")));
        let remaining = &kept.body["remaining_holds"][0];
        assert_eq!((&remaining["placed_by"], &remaining["placed_by_role"], &remaining["reason"]), (&Value::Null, &json!("reseller"), &Value::Null));
        let lifted = resume(site, &site.operator_key, &on).await.is(200);
        assert_eq!((&lifted.body["changed"], &lifted.body["access"]), (&json!(true), &json!("full")));

        suspend(site, &world.tenant.key, &on, because("voluntary")).await.is(200);
        suspend(site, &site.operator_key, &on, because("legal")).await.is(200);
        let partly = resume(site, &world.reseller.key, &on).await.is(200);
        assert_eq!((classes(&partly.body["holds"]), classes(&partly.body["remaining_holds"])), (vec!["voluntary"], vec!["legal"]));
        assert_eq!(partly.body["remaining_holds"][0]["placed_by_role"], "operator");
        let listed = site.get(&format!("/v1/{on}/holds")).key(&site.operator_key).send().await.is(200);
        assert_eq!(listed.body["data"].as_array().unwrap().len(), 3, "released ones are listed too");
    }

    async fn a_key_with_the_scope_to_override_lifts_what_others_placed(site: With::workers()) {
        let world = site.world().await;
        let ordered = site.ordered(&world.tenant, "acme.example", 1).await;
        let on = format!("services/{}", ordered.mail);
        let asked = json!({"account_id": world.reseller.id, "name": "trusted", "scopes": ["services:read", "services:resume", "holds:override"]});
        let trusted = site.post("/v1/keys").key(&site.operator_key).json(asked).send().await.is(201).text_at("secret");
        suspend(site, &site.operator_key, &on, because("administrative")).await.is(200);
        assert_eq!(resume(site, &world.reseller.key, &on).await.is(200).body["access"], "suspended");
        assert_eq!(resume(site, &trusted, &on).await.is(200).body["access"], "full");
    }

    async fn one_reason_can_be_lifted_and_the_heavier_effect_decides(site: With::workers()) {
        let world = site.world().await;
        let ordered = site.ordered(&world.tenant, "acme.example", 1).await;
        let (key, on) = (&world.reseller.key, format!("services/{}", ordered.mail));
        suspend(site, key, &on, json!({"reason_code": "policy", "effect": "degrade"})).await.is(200);
        assert_eq!(access(site, &ordered.mail).await.1, "degraded");
        suspend(site, key, &on, because("payment")).await.is(200);
        assert_eq!(access(site, &ordered.mail).await.1, "suspended");
        let lifted = site.post(&format!("/v1/{on}/resume")).key(key).wait(20).json(because("payment")).send().await.is(200);
        assert_eq!((&lifted.body["access"], classes(&lifted.body["remaining_holds"])), (&json!("degraded"), vec!["policy"]));
        suspend(site, key, &on, json!({"reason_code": "legal", "effect": "freeze_changes"})).await.is(200);
        let place = format!("/v1/{on}/resources");
        let refused = site.post(&place).key(key).json(mailbox("a@acme.example")).send().await.refused(409, "state_conflict");
        assert_eq!(refused.text_at("current_state"), "frozen");
        resume(site, key, &on).await.is(200);
        site.post(&place).key(key).wait(20).json(mailbox("a@acme.example")).send().await.is(201);
        assert_eq!(access(site, &ordered.mail).await, ("full".into(), "full".into()));
    }

    async fn a_hold_on_an_account_reaches_all_below_and_lifting_it_restores_each_as_it_was(site: With::workers()) {
        let world = site.world().await;
        let other = site.account(&world.reseller.key, "tenant", "Other").await;
        let outside = site.account(&site.operator_key, "tenant", "Outside").await;
        let (a, b) = (site.ordered(&world.tenant, "a.example", 1).await, site.ordered(&other, "b.example", 1).await);
        let c = site.ordered(&outside, "c.example", 1).await;
        suspend(site, &world.reseller.key, &format!("services/{}", b.mail), because("abuse")).await.is(200);

        let on = format!("accounts/{}", world.reseller.id);
        let held = suspend(site, &site.operator_key, &on, because("payment")).await.is(200);
        assert_eq!(held.body["access"], "suspended");
        for service in [&a.mail, &a.dns, &b.mail, &b.dns] {
            settles(site, service, "suspended").await;
        }
        assert_eq!(access(site, &c.mail).await, ("full".into(), "full".into()));
        let subscription = site.get(&format!("/v1/subscriptions/{}", a.subscription)).key(&world.tenant.key).send().await.is(200);
        assert_eq!(subscription.body["status"], "suspended");

        for party in [&world.reseller, &world.tenant, &other] {
            let me = site.get("/v1/me").key(&party.key).send().await.is(200);
            assert_eq!(me.body["account"]["suspended"], true);
            site.post("/v1/orders").key(&party.key).json(add("hosted-mail", 1, json!([]))).send().await.refused(403, "account_suspended");
        }
        resume(site, &world.reseller.key, &on).await.refused(403, "account_suspended");
        site.get("/v1/me").key(&outside.key).send().await.is(200);

        resume(site, &site.operator_key, &on).await.is(200);
        for service in [&a.mail, &a.dns, &b.dns] {
            settles(site, service, "full").await;
        }
        settles(site, &b.mail, "suspended").await;
        let again = site.post("/v1/orders").key(&world.tenant.key).json(add("hosted-mail", 1, json!([]))).send().await;
        again.is(202);
    }

    async fn a_hold_begins_and_ends_by_the_clock(site: With::clock()) {
        let world = site.world().await;
        let ordered = site.ordered(&world.tenant, "acme.example", 1).await;
        let (key, on) = (&world.reseller.key, format!("services/{}", ordered.mail));
        let hour = Duration::from_secs(3600);
        let at = |hours: u32| json!(site.clock.now().plus(hour * hours));
        let dated = json!({"reason_code": "payment", "starts_at": at(1), "expires_at": at(3)});
        let placed = suspend(site, key, &on, dated).await.is(200);
        assert_eq!((&placed.body["access"], &placed.body["holds"][0]["status"]), (&json!("full"), &json!("scheduled")));
        assert_eq!(access(site, &ordered.mail).await, ("full".into(), "full".into()));
        site.clock.advance(hour + Duration::from_secs(1));
        settles(site, &ordered.mail, "suspended").await;
        site.clock.advance(hour);
        assert_eq!(access(site, &ordered.mail).await.0, "suspended");
        site.clock.advance(hour);
        settles(site, &ordered.mail, "full").await;
        let holds = site.get(&format!("/v1/{on}/holds")).key(key).send().await.is(200);
        assert_eq!(holds.body["data"][0]["status"], "expired");
        let late = json!({"reason_code": "payment", "expires_at": site.clock.now()});
        let refused = suspend(site, key, &on, late).await.refused(422, "validation_failed");
        assert_eq!(refused.faults(), [("/expires_at".into(), "too_early".into())]);

        let dated = json!({"reason_code": "payment", "starts_at": at(1)});
        suspend(site, key, &on, dated).await.is(200);
        assert_eq!(resume(site, key, &on).await.is(200).body["changed"], true, "what has not begun is lifted as well");
        site.clock.advance(hour * 2);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(access(site, &ordered.mail).await, ("full".into(), "full".into()));
    }

    /// AUTHZ-7
    async fn a_hold_on_an_account_alone_stops_its_keys_and_leaves_what_it_sold_alone(site: With::workers()) {
        let world = site.world().await;
        let ordered = site.ordered(&world.tenant, "acme.example", 1).await;
        let own = site.ordered(&world.reseller, "own.example", 1).await;
        let on = format!("accounts/{}", world.reseller.id);
        let alone = json!({"reason_code": "payment", "scope": "account_only"});
        let order = json!({"items": [{"action": "add", "plan": world.plan}]});
        let buy = async |party: &Party| site.post("/v1/orders").key(&party.key).json(order.clone()).send().await;
        let fan_outs = async || {
            let all = site.all(&site.operator_key, "/v1/operations", 100).await;
            all.iter().filter(|operation| operation["kind"] == "access_fanout").count()
        };
        let held = suspend(site, &site.operator_key, &on, alone.clone()).await.is(200);
        assert_eq!((&held.body["changed"], &held.body["operation_id"]), (&json!(true), &Value::Null));
        assert_eq!((&held.body["holds"][0]["scope"], &held.body["access"]), (&json!("account_only"), &json!("suspended")));
        assert_eq!(suspend(site, &site.operator_key, &on, alone.clone()).await.is(200).body["changed"], false);
        buy(&world.reseller).await.refused(403, "account_suspended");
        site.get("/v1/services").key(&world.reseller.key).send().await.is(200);
        buy(&world.tenant).await.is(202);
        for service in [&ordered.mail, &ordered.dns, &own.mail] {
            assert_eq!(access(site, service).await, ("full".into(), "full".into()), "no service is touched");
        }
        assert_eq!(fan_outs().await, 0, "nothing is worked on");
        // A hold that reaches further stands beside it, and goes without it.
        let both = suspend(site, &site.operator_key, &on, because("abuse")).await;
        assert!(both.body["operation_id"].is_string() && both.body["holds"][0]["scope"] == "all", "{}", both.text);
        settles(site, &ordered.mail, "suspended").await;
        let lift = json!({"reason_code": "abuse"});
        site.post(&format!("/v1/{on}/resume")).key(&site.operator_key).json(lift).send().await;
        settles(site, &ordered.mail, "full").await;
        buy(&world.reseller).await.refused(403, "account_suspended");
        let lifted = resume(site, &site.operator_key, &on).await.is(200);
        assert_eq!((&lifted.body["changed"], &lifted.body["operation_id"]), (&json!(true), &Value::Null));
        buy(&world.reseller).await.is(202);
        // It is for the suspension of accounts.
        let refused = suspend(site, &site.operator_key, &format!("services/{}", ordered.mail), alone).await;
        refused.refused(422, "validation_failed");
        let degrade = json!({"reason_code": "payment", "scope": "account_only", "effect": "degrade"});
        suspend(site, &site.operator_key, &on, degrade).await.refused(422, "validation_failed");
    }

    /// AUTHZ-7: the same where it begins later and ends by itself
    async fn a_hold_on_an_account_alone_that_begins_and_ends_by_the_clock_is_no_work(site: With::clock()) {
        let world = site.world().await;
        let on = format!("accounts/{}", world.reseller.id);
        let hour = Duration::from_secs(3600);
        let (begin, end) = (site.clock.now().plus(hour), site.clock.now().plus(2 * hour));
        let asked = json!({"reason_code": "payment", "scope": "account_only", "starts_at": begin, "expires_at": end});
        suspend(site, &site.operator_key, &on, asked).await.is(200);
        let asked = json!({"type": "tenant", "name": "Another"});
        let write = async || site.post("/v1/accounts").key(&world.reseller.key).json(asked.clone()).send().await.status;
        assert_eq!(write().await, 201);
        site.clock.advance(hour + Duration::from_secs(1));
        until("it is in force", async || write().await == 403).await;
        site.clock.advance(hour);
        until("it is over", async || write().await == 201).await;
        let all = site.all(&site.operator_key, "/v1/operations", 100).await;
        assert!(all.iter().all(|operation| operation["kind"] != "access_fanout"), "{all:?}");
    }
}
