//! Whether quotas suffice, asked beforehand, and which level it is that does not let more through.

use super::quotas::taken;
use super::*;

const KEY: &str = "mail.mailboxes";

async fn ceiling(site: &Site, account: &str, asked: Value) {
    let path = format!("/v1/accounts/{account}/quotas/{KEY}");
    site.put(&path).anyway().key(&site.operator_key).json(asked).send().await.is(200);
}

/// What is said of so many mailboxes, on a subscription or in an account.
async fn checked(site: &Site, by: &str, of: Value, amount: i64) -> Value {
    let mut asked = json!({"amounts": [{"key": KEY, "amount": amount}]});
    asked.as_object_mut().unwrap().extend(of.as_object().unwrap().clone());
    site.post("/v1/quotas/check").key(by).json(asked).send().await.is(200).body
}

/// What is said of mailboxes.
async fn explained(site: &Site, by: &str, of: Value) -> Value {
    let mut asked = json!({"keys": [KEY]});
    asked.as_object_mut().unwrap().extend(of.as_object().unwrap().clone());
    let told = site.post("/v1/quotas/explain").key(by).json(asked).send().await.is(200);
    assert_eq!(told.body["data"].as_array().unwrap().len(), 1, "{}", told.text);
    told.body["data"][0].clone()
}

/// Levels by how near they are, who holds them, what they have left and whether they bind.
fn levels(explained: &Value) -> Vec<(String, String, i64, bool)> {
    let level = |level: &Value| {
        let text = |name: &str| level[name].as_str().unwrap().to_owned();
        (text("level"), text("holder"), level["available"].as_i64().unwrap(), level["binds"] == true)
    };
    explained["levels"].as_array().unwrap().iter().map(level).collect()
}

on_both_servers! {
    /// P4
    async fn a_check_says_what_the_call_would_be_refused_for_and_takes_nothing(site: With::workers()) {
        let world = site.world().await;
        site.plan(&world.virtual_server, "hosted-mail-plus", mail_quotas(5)).await;
        let (tenant, made) = (&world.tenant.key, site.ordered(&world.tenant, "acme.example", 2).await);
        let of = json!({"subscription_id": made.subscription});
        let fits = checked(site, tenant, of.clone(), 2).await;
        assert_eq!(fits, json!({"fits": true, "violations": [], "remedies": []}));
        assert_eq!(taken(site, tenant, &made.subscription).await, (2, 0, 0));

        let place = format!("/v1/services/{}/resources", made.mail);
        for n in 0..2 {
            site.post(&place).key(tenant).wait(20).json(mailbox(&format!("m{n}@acme.example"))).send().await.is(201);
        }
        // That it is full is told by itself, some time later.
        let told_of = async || {
            let events = all_told(site, &world.operator.key).await;
            events.iter().filter(|event| event["type"] != "quota.threshold").count()
        };
        let events = told_of().await;
        // As much as a mailbox takes, in one call.
        let amounts = json!([{"key": KEY, "amount": 1}, {"key": "mail.storage_mb", "amount": 25_600}]);
        let asked = json!({"subscription_id": made.subscription, "amounts": amounts});
        let said = site.post("/v1/quotas/check").key(tenant).json(asked).send().await.is(200).body;
        let refused = site.post(&place).key(tenant).json(mailbox("m3@acme.example")).send().await.refused(409, "quota_exceeded");
        assert_eq!((&said["violations"], &said["remedies"]), (&refused.body["violations"], &refused.body["remedies"]));
        assert_eq!((said["violations"].as_array().unwrap().len(), &said["fits"]), (2, &json!(false)));
        assert!(said["remedies"].as_array().unwrap().len() >= 2, "{said}");
        assert_eq!(taken(site, tenant, &made.subscription).await, (2, 2, 0));
        // But for the mark of before.
        assert_eq!(told_of().await, events);
    }

    /// P5
    async fn an_explanation_names_the_level_that_binds_and_no_figures_of_those_above(site: With::workers()) {
        let world = site.world().await;
        let (operator, reseller, tenant) = (&world.operator, &world.reseller, &world.tenant);
        let made = site.ordered(tenant, "acme.example", 5).await;
        let (of, own) = (json!({"subscription_id": made.subscription}), made.subscription.clone());
        let alone = explained(site, &tenant.key, of.clone()).await;
        assert_eq!((&alone["available_here"], &alone["binding"], &alone["unit"]), (&json!(5), &json!("self"), &json!("1")));
        assert_eq!(levels(&alone), [("self".into(), own.clone(), 5, true)]);
        let free = explained(site, &tenant.key, json!({})).await;
        assert_eq!((&free["available_here"], &free["binding"], &free["levels"]), (&Value::Null, &Value::Null, &json!([])));

        ceiling(site, &operator.id, json!({"ceiling": 100})).await;
        ceiling(site, &reseller.id, json!({"ceiling": 7})).await;
        // What the subscription was given is its own: nobody above is asked any more.
        assert_eq!(explained(site, &tenant.key, of).await, alone);
        // What is ordered next is taken from all above.
        let account = json!({"account_id": tenant.id});
        let below = explained(site, &tenant.key, account.clone()).await;
        assert_eq!((&below["available_here"], &below["binding"], &below["levels"]), (&Value::Null, &json!("upstream"), &json!([])));
        let seller = explained(site, &reseller.key, account.clone()).await;
        assert_eq!((&seller["available_here"], &seller["binding"]), (&json!(2), &json!("account")));
        assert_eq!(levels(&seller), [("account".into(), reseller.id.clone(), 2, true)]);
        let all = explained(site, &operator.key, account.clone()).await;
        assert_eq!(levels(&all), [("account".into(), reseller.id.clone(), 2, true), ("account".into(), operator.id.clone(), 95, false)]);
        let row = &all["levels"][1];
        assert_eq!((&row["ceiling"], &row["used"], &row["reserved"], &row["mode"]), (&json!(100), &json!(5), &json!(0), &json!("shared")));

        // A check says the same: who is below is told of the one above, without its figures.
        let short = checked(site, &tenant.key, account.clone(), 3).await;
        assert_eq!(short["violations"], json!([{"key": KEY, "level": "upstream", "holder": null, "requested": 3, "available": null}]));
        assert_eq!(checked(site, &tenant.key, json!({}), 2).await["fits"], true);
        let short = checked(site, &reseller.key, account.clone(), 3).await;
        assert_eq!(short["violations"], json!([{"key": KEY, "level": "account", "holder": reseller.id, "requested": 3, "available": 2}]));

        // A ceiling that was allocated is not asked for again above.
        ceiling(site, &reseller.id, json!({"ceiling": 90, "mode": "allocated"})).await;
        let whole = explained(site, &operator.key, account).await;
        assert_eq!(levels(&whole), [("account".into(), reseller.id.clone(), 85, true)]);
        let of_all = site.post("/v1/quotas/explain").key(&operator.key).json(json!({"subscription_id": made.subscription})).send().await.is(200);
        let keys: Vec<_> = of_all.body["data"].as_array().unwrap().iter().map(|of| of["key"].as_str().unwrap()).collect();
        assert_eq!(keys, ["mail.domains", "mail.mailboxes", "mail.storage_mb", "dns.zones", "dns.records"]);
    }

    async fn a_key_that_is_narrowed_is_told_no_figures_of_what_it_does_not_reach(site: With::no_workers()) {
        let world = site.world().await;
        let (operator, reseller) = (&world.operator, &world.reseller);
        ceiling(site, &operator.id, json!({"ceiling": 100})).await;
        ceiling(site, &reseller.id, json!({"ceiling": 7})).await;
        let narrow = json!({"name": "narrow", "scopes": ["quotas:read"], "hold_classes": [], "roots": [world.tenant.id]});
        let narrow = site.post("/v1/keys").key(&reseller.key).json(narrow).send().await.is(201).text_at("secret");
        let account = json!({"account_id": world.tenant.id});
        let told = explained(site, &narrow, account.clone()).await;
        assert_eq!((&told["binding"], &told["levels"], &told["available_here"]), (&json!("upstream"), &json!([]), &Value::Null));
        let short = checked(site, &narrow, account.clone(), 8).await;
        assert_eq!(short["violations"][0]["available"], Value::Null);
        assert_eq!(levels(&explained(site, &reseller.key, account).await), [("account".into(), reseller.id.clone(), 7, true)]);
    }

    async fn a_subscription_has_none_of_what_its_plan_does_not_give(site: With::workers()) {
        let world = site.world().await;
        let made = site.ordered(&world.tenant, "acme.example", 1).await;
        let sites = json!({"subscription_id": made.subscription, "keys": ["web.sites"]});
        let told = site.post("/v1/quotas/explain").key(&world.tenant.key).json(sites).send().await.is(200);
        assert_eq!(told.body["data"], json!([{"key": "web.sites", "unit": "1", "available_here": 0, "binding": "self", "levels": []}]));
        let asked = json!({"subscription_id": made.subscription, "amounts": [{"key": "web.sites", "amount": 1}, {"key": KEY, "amount": 1}]});
        let said = site.post("/v1/quotas/check").key(&world.tenant.key).json(asked).send().await.is(200);
        assert_eq!(said.body["violations"], json!([{"key": "web.sites", "level": "self", "holder": made.subscription, "requested": 1, "available": 0}]));
    }

    async fn a_check_is_no_change_and_what_is_asked_wrongly_is_told_at_its_place(site: With::no_workers()) {
        let world = site.world().await;
        let path = format!("/v1/accounts/{}", world.tenant.id);
        site.patch(&path).key(&world.reseller.key).json(json!({"require_idempotency_key": true})).send().await.is(200);
        // Which asks for a key with every change.
        let key = json!({"name": "k", "scopes": ["quotas:read"]});
        site.post("/v1/keys").key(&world.tenant.key).json(key).send().await.refused(400, "idempotency_key_required");
        assert_eq!(checked(site, &world.tenant.key, json!({}), 1).await["fits"], true);

        let both = json!({"account_id": world.tenant.id, "subscription_id": "sub_00000000000000000000000000"});
        let faults = |asked: Value, path: &str| site.post(path).key(&world.tenant.key).json(asked).send();
        let told = |answer: Answer| answer.refused(422, "validation_failed").faults();
        let (check, explain) = ("/v1/quotas/check", "/v1/quotas/explain");
        let fault = |pointer: &str, code: &str| vec![(pointer.to_owned(), code.to_owned())];
        assert_eq!(told(faults(both, explain).await), fault("/account_id", "one_of_two"));
        let nobodys = json!({"subscription_id": "sub_00000000000000000000000000"});
        assert_eq!(told(faults(nobodys, explain).await), fault("/subscription_id", "not_found"));
        for (asked, pointer) in [
            (json!({"amounts": []}), "/amounts"),
            (json!({"amounts": [{"key": KEY, "amount": 0}]}), "/amounts/0/amount"),
            (json!({"amounts": [{"key": "mail.boxes", "amount": 1}]}), "/amounts/0/key"),
        ] {
            assert_eq!(told(faults(asked, check).await)[0].0, pointer);
        }
        let other = json!({"account_id": world.reseller.id, "amounts": [{"key": KEY, "amount": 1}]});
        faults(other, check).await.refused(404, "account_not_found");
        let dry = site.post("/v1/quotas/check?dry_run=true").key(&world.tenant.key).json(json!({"amounts": [{"key": KEY, "amount": 1}]}));
        dry.send().await.refused(400, "unknown_parameter");
    }
}
