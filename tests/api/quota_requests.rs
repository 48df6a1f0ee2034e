//! Asking those above for more, and what they say.

use super::*;

const KEY: &str = "mail.mailboxes";

async fn give(site: &Site, account: &str, ceiling: Value) {
    let path = format!("/v1/accounts/{account}/quotas/{KEY}");
    site.put(&path).anyway().key(&site.operator_key).json(ceiling).send().await.is(200);
}

async fn ceiling(site: &Site, account: &str) -> Value {
    site.quota(&site.operator_key, account, KEY).await.expect("there is a ceiling")["ceiling"].clone()
}

fn ask(site: &Site, by: &str, ceiling: i64) -> Call {
    site.post("/v1/quota_requests").key(by).json(json!({"key": KEY, "ceiling": ceiling}))
}

fn decide(site: &Site, by: &str, request: &str, decision: &str) -> Call {
    site.post(&format!("/v1/quota_requests/{request}/{decision}")).key(by)
}

async fn pending(site: &Site, by: &str) -> Vec<String> {
    site.get("/v1/quota_requests?status=pending").key(by).send().await.is(200).ids()
}

on_both_servers! {
    async fn who_is_refused_for_want_of_quota_asks_as_the_refusal_says_and_is_given_it(site: With::workers()) {
        let world = site.world().await;
        let (tenant, reseller) = (&world.tenant, &world.reseller);
        give(site, &tenant.id, json!({"ceiling": 2})).await;
        let order = async || {
            let asked = add("hosted-mail", 3, json!([{"type": "domain", "spec": {"name": "acme.example"}}]));
            site.post("/v1/orders").key(&tenant.key).wait(20).json(asked).send().await
        };
        let refused = order().await.refused(409, "quota_exceeded");
        let remedies = refused.body["remedies"].as_array().unwrap();
        let remedy = remedies.iter().find(|remedy| remedy["path"] == "/v1/quota_requests").expect("asking would help");
        assert_eq!(remedy["body"], json!({"account_id": tenant.id, "key": KEY, "ceiling": 3}));
        let checked = json!({"account_id": tenant.id, "amounts": [{"key": KEY, "amount": 3}]});
        let checked = site.post("/v1/quotas/check").key(&tenant.key).json(checked).send().await.is(200);
        assert_eq!(&checked.body["remedies"][0], remedy, "what was asked beforehand says the same");

        let asked = site.post("/v1/quota_requests").key(&tenant.key).json(remedy["body"].clone()).send().await.is(201);
        assert_eq!((&asked.body["status"], &asked.body["granted"]), (&json!("pending"), &Value::Null));
        let again = ask(site, &tenant.key, 5).send().await.refused(409, "state_conflict");
        assert_eq!(again.text_at("current_state"), "asked for already");
        let refused = order().await.refused(409, "quota_exceeded");
        assert_eq!(refused.body["remedies"], json!([]), "nobody asks twice");
        for by in [&tenant.key, &reseller.key, &site.operator_key] {
            assert_eq!(pending(site, by).await, [asked.id()]);
        }
        let said = decide(site, &reseller.key, &asked.id(), "approve").json(json!({"note": "welcome"})).send().await.is(200);
        assert_eq!((&said.body["status"], &said.body["granted"], &said.body["note"]), (&json!("approved"), &json!(3), &json!("welcome")));
        let twice = decide(site, &reseller.key, &asked.id(), "approve").send().await.is(200);
        assert_eq!(twice.header("etag"), said.header("etag"));
        assert_eq!((ceiling(site, &tenant.id).await, pending(site, &tenant.key).await), (json!(3), Vec::new()));
        order().await.is(201);
        let events = all_told(site, &tenant.key).await;
        let types: Vec<_> = events.iter().filter_map(|event| event["type"].as_str()).filter(|told| told.starts_with("quota")).collect();
        let types: Vec<_> = types.into_iter().filter(|told| *told != "quota.threshold").collect();
        assert_eq!(types, ["quota.changed", "quota_request.created", "quota_request.approved", "quota.changed"]);
    }

    async fn nobody_decides_of_what_he_asked_for_himself(site: With::no_workers()) {
        let world = site.world().await;
        let (tenant, reseller) = (&world.tenant, &world.reseller);
        for account in [&tenant.id, &reseller.id] {
            give(site, account, json!({"ceiling": 2})).await;
        }
        let (own, below) = (ask(site, &reseller.key, 9).send().await.is(201).id(), ask(site, &tenant.key, 4).send().await.is(201).id());
        for decision in ["approve", "reject"] {
            let refused = decide(site, &reseller.key, &own, decision).send().await.refused(409, "state_conflict");
            assert_eq!(refused.body["allowed_actions"], json!(["withdraw"]));
            decide(site, &tenant.key, &below, decision).send().await.refused(403, "insufficient_scope");
        }
        let other = site.account(&site.operator_key, "reseller", "Other").await;
        decide(site, &other.key, &below, "approve").send().await.refused(404, "not_found");

        let said = decide(site, &reseller.key, &below, "reject").json(json!({"note": "not yet"})).send().await.is(200);
        assert_eq!((&said.body["status"], &said.body["note"]), (&json!("rejected"), &json!("not yet")));
        decide(site, &site.operator_key, &below, "approve").send().await.refused(409, "state_conflict");
        decide(site, &site.operator_key, &own, "withdraw").send().await.refused(409, "state_conflict");
        let gone = decide(site, &reseller.key, &own, "withdraw").send().await.is(200);
        assert_eq!(gone.body["status"], "withdrawn");
        decide(site, &site.operator_key, &own, "approve").send().await.refused(409, "state_conflict");
        assert_eq!(ceiling(site, &tenant.id).await, 2);
        ask(site, &tenant.key, 4).send().await.is(201);
    }

    async fn what_cannot_be_asked_or_given_says_why_and_stays_pending(site: With::no_workers()) {
        let world = site.world().await;
        let (tenant, reseller) = (&world.tenant, &world.reseller);
        let faults = async |call: Call| call.send().await.refused(422, "validation_failed").faults();
        assert_eq!(faults(ask(site, &tenant.key, 4)).await, [("/key".into(), "no_ceiling".into())]);
        assert_eq!(faults(ask(site, &site.operator_key, 4)).await, [("/account_id".into(), "nothing_above".into())]);
        give(site, &reseller.id, json!({"ceiling": 5})).await;
        give(site, &tenant.id, json!({"ceiling": 4, "mode": "allocated"})).await;
        assert_eq!(faults(ask(site, &tenant.key, 4)).await, [("/ceiling".into(), "not_more".into())]);
        let asked = ask(site, &tenant.key, 6).send().await.is(201).id();
        // The seller has five.
        let approve = |ceiling: i64| decide(site, &reseller.key, &asked, "approve").json(json!({"ceiling": ceiling}));
        assert_eq!(faults(decide(site, &reseller.key, &asked, "approve")).await, [("/ceiling".into(), "exceeds_parent".into())]);
        assert_eq!(faults(approve(4)).await, [("/ceiling".into(), "not_more".into())]);
        assert_eq!((pending(site, &reseller.key).await, ceiling(site, &tenant.id).await), (vec![asked.clone()], json!(4)));
        let given = approve(5).send().await.is(200);
        assert_eq!((&given.body["ceiling"], &given.body["granted"]), (&json!(6), &json!(5)));
        let row = site.quota(&tenant.key, &tenant.id, KEY).await.unwrap();
        assert_eq!((&row["ceiling"], &row["mode"]), (&json!(5), &json!("allocated")), "it stays as it was given");

        // What has no ceiling any more is not given one.
        give(site, &reseller.id, json!({"ceiling": 9})).await;
        let asked = ask(site, &tenant.key, 8).send().await.is(201).id();
        give(site, &tenant.id, json!({"ceiling": null})).await;
        decide(site, &reseller.key, &asked, "approve").send().await.refused(409, "state_conflict");
        assert!(site.quota(&tenant.key, &tenant.id, KEY).await.is_none());
    }

    async fn who_has_taken_more_than_his_ceiling_asks_for_enough(site: With::no_workers()) {
        let world = site.world().await;
        let by = &world.tenant.key;
        site.post("/v1/orders").key(by).json(add("hosted-mail", 5, json!([]))).send().await.is(202);
        give(site, &world.tenant.id, json!({"ceiling": 2})).await;
        let refused = site.post("/v1/orders").key(by).json(add("hosted-mail", 1, json!([]))).send().await.refused(409, "quota_exceeded");
        let checked = json!({"account_id": world.tenant.id, "amounts": [{"key": KEY, "amount": 1}]});
        let checked = site.post("/v1/quotas/check").key(by).json(checked).send().await.is(200);
        for told in [refused, checked] {
            assert_eq!(told.body["remedies"][0]["body"]["ceiling"], 6, "{}", told.text);
        }
    }

    async fn of_a_yes_and_a_no_at_once_one_holds(site: With::no_workers()) {
        let world = site.world().await;
        give(site, &world.tenant.id, json!({"ceiling": 1})).await;
        for round in 0..6 {
            let before = ceiling(site, &world.tenant.id).await;
            let asked = ask(site, &world.tenant.key, 10 + round).send().await.is(201).id();
            let yes = decide(site, &world.reseller.key, &asked, "approve").send();
            let no = decide(site, &site.operator_key, &asked, "reject").send();
            let (yes, no) = tokio::join!(yes, no);
            let now = ceiling(site, &world.tenant.id).await;
            match (yes.status, no.status) {
                (200, 409) => assert_eq!(now, 10 + round),
                (409, 200) => assert_eq!(now, before),
                _ => panic!("{} and {}", yes.text, no.text),
            }
        }
    }
}
