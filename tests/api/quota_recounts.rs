//! Counting anew: what drifted is found, told and set right.

use super::*;

const KEY: &str = "mail.mailboxes";

async fn recount(site: &Site, by: &str, account: &str, dry: bool) -> Value {
    let query = if dry { "?dry_run=true" } else { "" };
    site.post(&format!("/v1/accounts/{account}/recount_quotas{query}")).key(by).send().await.is(200).body
}

/// Each correction's holder and key, with what was there and what is.
fn corrected(recount: &Value) -> Vec<(String, String, [i64; 4])> {
    let numbers = |one: &Value| {
        ["used_before", "reserved_before", "used", "reserved"].map(|of| one[of].as_i64().unwrap())
    };
    let text = |one: &Value, of: &str| one[of].as_str().unwrap().to_owned();
    let corrections = recount["corrections"].as_array().unwrap().iter();
    let mut told: Vec<_> =
        corrections.map(|one| (text(one, "holder"), text(one, "key"), numbers(one))).collect();
    told.sort();
    told
}

async fn bound(site: &Site, account: &str, ceiling: i64, mode: &str) {
    let path = format!("/v1/accounts/{account}/quotas/{KEY}");
    let ceiling = json!({"ceiling": ceiling, "mode": mode});
    site.put(&path).anyway().key(&site.operator_key).json(ceiling).send().await.is(200);
}

async fn taken(site: &Site, holder: &str) -> (i64, i64) {
    let quota = site.quota(&site.operator_key, holder, KEY).await.expect("there is a ceiling");
    (quota["used"].as_i64().unwrap(), quota["reserved"].as_i64().unwrap())
}

on_both_servers! {
    async fn what_was_counted_wrongly_is_found_at_every_level_and_set_right(site: With::workers()) {
        let world = site.world().await;
        let (tenant, reseller, operator) = (&world.tenant, &world.reseller, &world.operator.id);
        bound(site, operator, 1000, "shared").await;
        bound(site, &reseller.id, 100, "shared").await;
        bound(site, &tenant.id, 50, "shared").await;
        let made = site.ordered(tenant, "acme.example", 5).await;
        let path = format!("/v1/services/{}/resources", made.mail);
        for name in ["anna", "bert"] {
            let asked = mailbox(&format!("{name}@acme.example"));
            site.post(&path).key(&tenant.key).wait(20).json(asked).send().await.is(201);
        }
        let by = &site.operator_key;
        assert_eq!(recount(site, by, operator, false).await, json!({"account_id": operator, "corrections": [], "skipped": []}));
        assert_eq!(told(site, by, "quota.recounted").await.len(), 0, "nothing was wrong");

        let drift = format!(
            "UPDATE quotas SET used = used + 7 WHERE holder = '{}' AND key = '{KEY}';
             UPDATE quotas SET used = 0 WHERE key = '{KEY}' AND account_id = '{}' AND holder LIKE '/%';
             UPDATE quotas SET used = used - 2, reserved = 4 WHERE key = '{KEY}' AND account_id = '{}' AND holder LIKE '/%'",
            made.subscription, tenant.id, reseller.id
        );
        site.fresh.tamper(&drift).await;
        let mut due = vec![
            (made.subscription.clone(), KEY.to_owned(), [9, 0, 2, 0]),
            (tenant.id.clone(), KEY.to_owned(), [0, 0, 5, 0]),
            (reseller.id.clone(), KEY.to_owned(), [3, 4, 5, 0]),
        ];
        due.sort();
        assert_eq!(corrected(&recount(site, by, operator, true).await), due);
        assert_eq!(taken(site, &made.subscription).await, (9, 0), "it was tried");
        assert_eq!(corrected(&recount(site, by, operator, false).await), due);
        assert_eq!(taken(site, &made.subscription).await, (2, 0));
        assert_eq!((taken(site, &tenant.id).await, taken(site, &reseller.id).await, taken(site, operator).await), ((5, 0), (5, 0), (5, 0)));
        let events = told(site, by, "quota.recounted").await;
        assert_eq!((events.len(), events[0]["data"]["object"]["corrections"].as_array().unwrap().len()), (1, 3));
        assert_eq!(corrected(&recount(site, by, operator, false).await), []);
    }

    /// What is set right below moves the levels above by as much, whatever else is in them.
    async fn a_recount_of_one_account_moves_the_levels_above_it(site: With::workers()) {
        let world = site.world().await;
        let (tenant, reseller) = (&world.tenant, &world.reseller);
        bound(site, &reseller.id, 100, "shared").await;
        bound(site, &tenant.id, 50, "shared").await;
        let made = site.ordered(tenant, "acme.example", 5).await;
        let second = site.account(&reseller.key, "tenant", "Second").await;
        site.ordered(&second, "second.example", 3).await;
        assert_eq!(taken(site, &reseller.id).await, (8, 0));
        // As if the subscription's own ceiling had been counted twice, all the way up.
        let drift = format!("UPDATE quotas SET used = used + 5 WHERE key = '{KEY}' AND holder LIKE '/%' AND account_id IN ('{}', '{}')", tenant.id, reseller.id);
        site.fresh.tamper(&drift).await;
        let counted = recount(site, &reseller.key, &tenant.id, false).await;
        assert_eq!(corrected(&counted), [(tenant.id.clone(), KEY.to_owned(), [10, 0, 5, 0])]);
        assert_eq!((taken(site, &tenant.id).await, taken(site, &reseller.id).await), ((5, 0), (8, 0)));
        // An allocated ceiling draws the same whatever is in it.
        bound(site, &tenant.id, 50, "allocated").await;
        assert_eq!(taken(site, &reseller.id).await, (53, 0));
        site.fresh.tamper(&format!("UPDATE quotas SET used = 1 WHERE key = '{KEY}' AND holder LIKE '/%' AND account_id = '{}'", tenant.id)).await;
        recount(site, &reseller.key, &tenant.id, false).await;
        assert_eq!((taken(site, &tenant.id).await, taken(site, &reseller.id).await), ((5, 0), (53, 0)));
        let _ = made;
    }

    async fn what_operations_in_flight_have_taken_stays_theirs(site: With::no_workers()) {
        let world = site.world().await;
        let tenant = &world.tenant;
        bound(site, &tenant.id, 50, "shared").await;
        let order = add("hosted-mail", 4, json!([{"type": "domain", "spec": {"name": "acme.example"}}]));
        let order = site.post("/v1/orders").key(&tenant.key).json(order).send().await.is(202);
        assert_eq!(taken(site, &tenant.id).await, (0, 4));
        let subscription = order.text_of("/items/0/subscription_id");
        let counted = recount(site, &world.reseller.key, &tenant.id, false).await;
        assert_eq!((corrected(&counted), &counted["skipped"]), (Vec::new(), &json!([subscription])));
        site.fresh.tamper(&format!("UPDATE quotas SET used = 9, reserved = 0 WHERE key = '{KEY}' AND holder LIKE '/%' AND account_id = '{}'", tenant.id)).await;
        let counted = recount(site, &world.reseller.key, &tenant.id, false).await;
        assert_eq!(corrected(&counted), [(tenant.id.clone(), KEY.to_owned(), [9, 0, 0, 4])]);
        assert_eq!(taken(site, &tenant.id).await, (0, 4));
        site.post(&format!("/v1/accounts/{}/recount_quotas", world.operator.id)).key(&world.reseller.key).send().await.refused(404, "account_not_found");
    }
}
