//! Ceilings: at every level, exact under load, and mended by what a refusal names.

use super::*;

const KEY: &str = "mail.mailboxes";

async fn put(site: &Site, by: &str, account: &str, ceiling: Value) -> Answer {
    site.put(&format!("/v1/accounts/{account}/quotas/{KEY}")).anyway().key(by).json(ceiling).send().await
}

pub async fn taken(site: &Site, key: &str, holder: &str) -> (i64, i64, i64) {
    let row = site.quota(key, holder, KEY).await.expect("there is a ceiling");
    let number = |name: &str| row[name].as_i64().expect("a number");
    (number("ceiling"), number("used"), number("reserved"))
}

/// A plan of mail only, of one mailbox for each unit.
async fn unit_plan(site: &Site, world: &World) {
    let terms = json!({
        "virtual_server_id": world.virtual_server,
        "services": [{"type": "mail"}],
        "quotas": [{"key": KEY, "per_unit": 1}],
    });
    let plan = json!({"code": "unit", "name": "One mailbox", "terms": terms});
    site.post("/v1/plans").key(&site.operator_key).json(plan).send().await.is(201);
}

/// An order of one unit, sent again for as long as the server asks for that.
async fn placed(site: &Site, tenant: &Party, idem: String) -> Answer {
    loop {
        let order = add("unit", 1, json!([]));
        let answer = site.post("/v1/orders").key(&tenant.key).idem(&idem).json(order).send().await;
        if answer.body["retryable"] != true || answer.status < 400 {
            return answer;
        }
        assert_eq!(answer.header("retry-after"), Some("1"), "{}", answer.text);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

on_both_servers! {
    async fn of_five_hundred_orders_at_once_a_ceiling_of_a_hundred_four_levels_up_lets_exactly_a_hundred_through(site: With::workers()) {
        let world = site.world().await;
        unit_plan(site, &world).await;
        let distributor = site.account(&site.operator_key, "distributor", "Distributor").await;
        let reseller = site.account(&distributor.key, "reseller", "Reseller").await;
        let mut tenants = Vec::new();
        for n in 0..5 {
            tenants.push(site.account(&reseller.key, "tenant", &format!("Tenant {n}")).await);
        }
        put(site, &site.operator_key, &world.operator.id, json!({"ceiling": 100})).await.is(200);

        let orders = (0..500).map(|n| {
            let tenant = &tenants[n % tenants.len()];
            placed(site, tenant, format!("order-{n}"))
        });
        let answers = futures_util::future::join_all(orders).await;
        let (mut accepted, mut refused) = (0, 0);
        for answer in answers {
            match answer.status {
                202 => accepted += 1,
                _ => {
                    let answer = answer.refused(409, "quota_exceeded");
                    assert_eq!(answer.body["violations"][0]["level"], "upstream");
                    refused += 1;
                }
            }
        }
        assert_eq!((accepted, refused), (100, 400));

        until("every order is done", async || {
            taken(site, &site.operator_key, &world.operator.id).await == (100, 100, 0)
        }).await;
        let mut recount = 0;
        for subscription in site.all(&site.operator_key, "/v1/subscriptions", 200).await {
            assert_eq!(subscription["status"], "active");
            let id = subscription["id"].as_str().unwrap();
            recount += taken(site, &site.operator_key, id).await.0;
        }
        assert_eq!(recount, 100);
        let orders = site.all(&site.operator_key, "/v1/orders", 200).await;
        assert_eq!(orders.len(), 100);
        assert!(orders.iter().all(|order| order["status"] == "completed"));
    }

    async fn the_twenty_sixth_mailbox_of_twenty_five_is_refused_and_the_remedy_does_as_it_is_sent(site: With::workers()) {
        let world = site.world().await;
        site.plan(&world.virtual_server, "hosted-mail-plus", mail_quotas(2)).await;
        let tenant = &world.tenant;
        let mut resources = vec![json!({"type": "domain", "spec": {"name": "acme.example"}})];
        resources.extend((1..=25).map(|n| mailbox(&format!("user{n}@acme.example"))));
        let order = add("hosted-mail", 25, json!(resources));
        let order = site.post("/v1/orders").key(&tenant.key).wait(30).json(order).send().await.is(201);
        assert_eq!(order.body["status"], "completed", "{}", order.text);
        let (subscription, mail) = (order.text_of("/items/0/subscription_id"), order.text_of("/items/0/service_ids/0"));
        let place = format!("/v1/services/{mail}/resources");

        let refused = site.post(&place).key(&tenant.key).json(mailbox("user26@acme.example")).send().await;
        let refused = refused.refused(409, "quota_exceeded");
        let violations = refused.body["violations"].as_array().unwrap();
        let mailboxes = violations.iter().find(|violation| violation["key"] == KEY).expect("the key that is short");
        assert_eq!(*mailboxes, json!({"key": KEY, "level": "self", "holder": subscription, "requested": 1, "available": 0}));
        let plans: Vec<_> = refused.body["remedies"].as_array().unwrap().iter().map(|r| r["body"]["items"][0].clone()).collect();
        assert!(plans.iter().any(|item| item["plan"] == "hosted-mail-plus"), "{plans:?}");
        let remedy = &refused.body["remedies"][0];
        assert_eq!((&remedy["method"], &remedy["path"], &remedy["body"]["items"][0]["quantity"]), (&json!("POST"), &json!("/v1/orders"), &json!(26)));

        let path = remedy["path"].as_str().unwrap();
        site.post(path).key(&tenant.key).json(remedy["body"].clone()).send().await.is(201);
        let made = site.post(&place).key(&tenant.key).wait(20).json(mailbox("user26@acme.example")).send().await.is(201);
        assert_eq!(made.body["operation"]["status"], "succeeded", "{}", made.text);
        assert_eq!(taken(site, &tenant.key, &subscription).await, (26, 26, 0));
        assert_eq!(site.all(&tenant.key, &place, 10).await.len(), 27);
    }

    async fn each_of_the_remedies_that_name_a_plan_does_as_it_is_sent(site: With::workers()) {
        let world = site.world().await;
        site.plan(&world.virtual_server, "hosted-mail-plus", mail_quotas(2)).await;
        let ordered = site.ordered(&world.tenant, "acme.example", 1).await;
        let place = format!("/v1/services/{}/resources", ordered.mail);
        let key = &world.tenant.key;
        site.post(&place).key(key).wait(20).json(mailbox("a@acme.example")).send().await.is(201);
        let refused = site.post(&place).key(key).json(mailbox("b@acme.example")).send().await.refused(409, "quota_exceeded");
        let remedies = refused.body["remedies"].as_array().unwrap();
        let plan = remedies.iter().find(|remedy| remedy["body"]["items"][0]["plan"] == "hosted-mail-plus").unwrap();
        site.post("/v1/orders").key(key).json(plan["body"].clone()).send().await.is(201);
        site.post(&place).key(key).wait(20).json(mailbox("b@acme.example")).send().await.is(201);
        let subscription = site.get(&format!("/v1/subscriptions/{}", ordered.subscription)).key(key).send().await;
        assert_eq!(subscription.body["plan"], "hosted-mail-plus");
    }

    async fn no_remedy_names_a_plan_that_is_not_sold_to_the_account(site: With::workers()) {
        let world = site.world().await;
        let plus = site.plan(&world.virtual_server, "hosted-mail-plus", mail_quotas(2)).await;
        let ordered = site.ordered(&world.tenant, "acme.example", 1).await;
        let place = format!("/v1/services/{}/resources", ordered.mail);
        let key = &world.tenant.key;
        site.post(&place).key(key).wait(20).json(mailbox("a@acme.example")).send().await.is(201);
        let named = async || {
            let refused = site.post(&place).key(key).json(mailbox("b@acme.example")).send().await.refused(409, "quota_exceeded");
            refused.text.contains("hosted-mail-plus")
        };
        assert!(named().await);
        let list = super::prices::list(site, &world.reseller.key, json!({})).await;
        let withheld = json!({"rule": {"kind": "withheld"}});
        super::prices::set(site, &world.reseller.key, &list, &plus, withheld).send().await.is(200);
        assert!(!named().await);
    }

    async fn a_resellers_ceiling_bounds_what_its_tenants_have_together_and_hides_its_figures_from_them(site: With::workers()) {
        let world = site.world().await;
        let (a, reseller) = (&world.tenant, &world.reseller);
        let b = site.account(&reseller.key, "tenant", "Other").await;
        put(site, &site.operator_key, &reseller.id, json!({"ceiling": 3})).await.is(200);
        site.ordered(a, "a.example", 2).await;

        let refused = site.post("/v1/orders").key(&b.key).json(add("hosted-mail", 2, json!([]))).send().await;
        let refused = refused.refused(409, "quota_exceeded");
        assert_eq!(refused.body["violations"], json!([{"key": KEY, "level": "upstream", "holder": null, "requested": 2, "available": null}]));
        assert!(!refused.text.contains(&reseller.id) && !refused.text.contains(&world.operator.id), "{}", refused.text);

        let own = site.post("/v1/orders").key(&reseller.key).acting_for(&b.id).json(add("hosted-mail", 2, json!([]))).send().await;
        let own = own.refused(409, "quota_exceeded");
        assert_eq!(own.body["violations"], json!([{"key": KEY, "level": "account", "holder": reseller.id, "requested": 2, "available": 1}]));

        site.post("/v1/orders").key(&b.key).wait(20).json(add("hosted-mail", 1, json!([]))).send().await.is(201);
        assert_eq!(taken(site, &reseller.key, &reseller.id).await, (3, 3, 0));
        let (own, above) = (format!("/v1/accounts/{}/quotas", b.id), format!("/v1/accounts/{}/quotas", reseller.id));
        site.get(&own).key(&b.key).send().await.is(200);
        site.get(&above).key(&b.key).send().await.refused(404, "account_not_found");
    }

    async fn an_allocated_ceiling_is_taken_from_above_as_a_whole_and_given_back(site: With::workers()) {
        let world = site.world().await;
        let (by, operator, reseller) = (&site.operator_key, &world.operator.id, &world.reseller.id);
        let other = site.account(by, "reseller", "Other").await;
        put(site, by, operator, json!({"ceiling": 10})).await.is(200);
        put(site, by, reseller, json!({"ceiling": 8, "mode": "allocated"})).await.is(200);
        assert_eq!(taken(site, by, operator).await, (10, 8, 0));

        let refused = put(site, by, &other.id, json!({"ceiling": 3, "mode": "allocated"})).await;
        assert_eq!(refused.refused(422, "validation_failed").faults(), [("/ceiling".into(), "exceeds_parent".into())]);
        put(site, by, &other.id, json!({"ceiling": 2, "mode": "allocated"})).await.is(200);
        assert_eq!(taken(site, by, operator).await, (10, 10, 0));

        site.ordered(&world.tenant, "acme.example", 8).await;
        assert_eq!(taken(site, by, reseller).await, (8, 8, 0));
        assert_eq!(taken(site, by, operator).await, (10, 10, 0), "what was allocated is not drawn twice");
        let more = site.post("/v1/orders").key(&world.tenant.key).json(add("hosted-mail", 1, json!([]))).send().await;
        more.refused(409, "quota_exceeded");

        put(site, by, &other.id, json!({"ceiling": null})).await.is(200);
        assert_eq!(taken(site, by, operator).await, (10, 8, 0));
        put(site, by, reseller, json!({"ceiling": 9, "mode": "shared"})).await.is(200);
        assert_eq!(taken(site, by, operator).await, (10, 8, 0));
        site.post("/v1/orders").key(&world.tenant.key).wait(20).json(add("hosted-mail", 1, json!([]))).send().await.is(201);
        assert_eq!(taken(site, by, operator).await, (10, 9, 0));
    }

    async fn a_ceiling_lowered_below_the_use_takes_nothing_away_and_lets_nothing_grow(site: With::workers()) {
        let world = site.world().await;
        let (by, reseller) = (&site.operator_key, &world.reseller.id);
        let ordered = site.ordered(&world.tenant, "acme.example", 5).await;
        let lowered = put(site, by, reseller, json!({"ceiling": 3})).await.is(200);
        assert_eq!(lowered.body["quota"]["over_limit"], true);
        assert_eq!(lowered.body["quota"]["available"], 0);
        assert_eq!(taken(site, by, reseller).await, (3, 5, 0), "use that was there before the ceiling counts");

        let key = &world.tenant.key;
        let place = format!("/v1/services/{}/resources", ordered.mail);
        site.post(&place).key(key).wait(20).json(mailbox("a@acme.example")).send().await.is(201);
        let more = change(&ordered.subscription, json!({"quantity": 6}));
        site.post("/v1/orders").key(key).json(more).send().await.refused(409, "quota_exceeded");
        let less = change(&ordered.subscription, json!({"quantity": 4}));
        site.post("/v1/orders").key(key).json(less).send().await.is(201);
        assert_eq!(taken(site, by, reseller).await, (3, 4, 0), "shrinking is always allowed");
    }

    /// PAGE-6: what is taken of a ceiling is no change of it, and one that is set back is as it was.
    async fn a_ceiling_is_changed_at_what_it_says_whatever_is_taken_of_it(site: With::no_workers()) {
        let world = site.world().await;
        let (by, path) = (&world.reseller.key, format!("/v1/accounts/{}/quotas/{KEY}", world.tenant.id));
        let none = site.get(&path).key(by).send().await.is(200);
        assert_eq!(none.body, json!({"quota": null}));
        let set = async |tag: &str, body: Value| site.put(&path).key(by).header("If-Match", tag).json(body).send().await;
        let shared = set(none.header("etag").unwrap(), json!({"ceiling": 5})).await.is(200);
        let tag = shared.header("etag").unwrap().to_owned();
        site.post("/v1/orders").key(&world.tenant.key).json(add("hosted-mail", 2, json!([]))).send().await.is(202);
        let taken = site.get(&path).key(by).send().await.is(200);
        assert_eq!(taken.body["quota"]["reserved"], 2);
        assert_ne!(taken.header("etag"), Some(tag.as_str()), "it looks otherwise");
        let allocated = set(&tag, json!({"ceiling": 5, "mode": "allocated"})).await.is(200);
        for stale in [&tag, none.header("etag").unwrap()] {
            set(stale, json!({"ceiling": 6})).await.refused(412, "precondition_failed");
        }
        let gone = set(allocated.header("etag").unwrap(), json!({"ceiling": null})).await.is(200);
        assert_eq!((gone.header("etag"), &gone.text), (none.header("etag"), &none.text));
        set(&tag, json!({"ceiling": 6})).await.refused(412, "precondition_failed");
        set(none.header("etag").unwrap(), json!({"ceiling": 5})).await.is(200);
        set(&tag, json!({"ceiling": 6})).await.is(200);
    }

    async fn nobody_sets_his_own_ceiling_but_the_operator(site: With::no_workers()) {
        let world = site.world().await;
        let refused = put(site, &world.reseller.key, &world.reseller.id, json!({"ceiling": 5})).await;
        assert_eq!(refused.refused(422, "validation_failed").faults(), [("/ceiling".into(), "own_quota".into())]);
        put(site, &world.reseller.key, &world.operator.id, json!({"ceiling": 5})).await.refused(404, "account_not_found");
        put(site, &world.reseller.key, &world.tenant.id, json!({"ceiling": 5})).await.is(200);
        put(site, &site.operator_key, &world.operator.id, json!({"ceiling": 5})).await.is(200);
        let unknown = format!("/v1/accounts/{}/quotas/mail.pigeons", world.tenant.id);
        site.put(&unknown).anyway().key(&world.reseller.key).json(json!({"ceiling": 5})).send().await.refused(404, "not_found");
        put(site, &world.reseller.key, &world.tenant.id, json!({})).await.refused(422, "validation_failed");
        put(site, &world.reseller.key, &world.tenant.id, json!({"ceiling": -1})).await.refused(422, "validation_failed");
    }

    async fn a_larger_mailbox_takes_at_once_and_a_smaller_one_gives_back(site: With::workers()) {
        let world = site.world().await;
        let key = &world.tenant.key;
        let ordered = site.ordered(&world.tenant, "acme.example", 1).await;
        let new = json!({"type": "mailbox", "spec": {"address": "a@acme.example", "quota_mb": 1000}});
        let place = format!("/v1/services/{}/resources", ordered.mail);
        let made = site.post(&place).key(key).wait(20).json(new).send().await.is(201);
        let path = format!("/v1/resources/{}", made.id());
        let storage = async || site.quota(key, &ordered.subscription, "mail.storage_mb").await.unwrap()["used"].clone();
        assert_eq!(storage().await, 1000);
        let too_much = site.patch(&path).key(key).json(json!({"spec": {"quota_mb": 25_601}})).send().await;
        let too_much = too_much.refused(409, "quota_exceeded");
        assert_eq!(too_much.body["violations"][0]["available"], 24_600);
        site.patch(&path).key(key).wait(20).json(json!({"spec": {"quota_mb": 25_600}})).send().await.is(200);
        assert_eq!(storage().await, 25_600);
        let smaller = site.patch(&path).key(key).wait(20).json(json!({"spec": {"quota_mb": 10}})).send().await.is(200);
        assert_eq!(smaller.body["spec"]["quota_mb"], 10);
        assert_eq!(storage().await, 10);
        site.delete(&path).key(key).wait(20).send().await.is(200);
        assert_eq!(storage().await, 0);
    }
}
