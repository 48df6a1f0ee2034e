//! Quotas that fill up are told of before they are full.

use super::*;

/// Whose quota reached which threshold, in the order told.
async fn reached(site: &Site, by: &str) -> Vec<(String, i64)> {
    let events = told(site, by, "quota.threshold").await;
    let object = |event: &Value| event["data"]["object"].clone();
    events
        .iter()
        .map(object)
        .map(|of| (of["holder"].as_str().unwrap().to_owned(), of["threshold"].as_i64().unwrap()))
        .collect()
}

async fn ceiling(site: &Site, account: &str, ceiling: i64) {
    let path = format!("/v1/accounts/{account}/quotas/mail.mailboxes");
    site.put(&path).anyway().key(&site.operator_key).json(json!({"ceiling": ceiling})).send().await.is(200);
}

on_both_servers! {
    async fn each_threshold_is_told_once_as_a_quota_fills_up_and_again_when_it_had_emptied(site: With::workers()) {
        let world = site.world().await;
        let (reseller, tenant) = (&world.reseller, &world.tenant);
        ceiling(site, &reseller.id, 20).await;
        let made = site.ordered(tenant, "acme.example", 15).await;
        let quantity = async |quantity: i64| {
            let path = format!("/v1/subscriptions/{}/change_quantity", made.subscription);
            site.post(&path).key(&tenant.key).json(json!({"quantity": quantity})).send().await.is(201);
        };
        let of_reseller = |threshold: i64| (reseller.id.clone(), threshold);
        assert_eq!(reached(site, &reseller.key).await, []);
        quantity(16).await;
        until("it is told", async || reached(site, &reseller.key).await == [of_reseller(80)]).await;
        quantity(17).await;
        quantity(20).await;
        until("it is told", async || reached(site, &reseller.key).await == [of_reseller(80), of_reseller(100)]).await;
        let event = told(site, &reseller.key, "quota.threshold").await.pop().unwrap();
        assert_eq!((&event["resource"]["type"], &event["resource"]["id"]), (&json!("quota"), &json!(format!("{}/mail.mailboxes", reseller.id))));
        let object = &event["data"]["object"];
        assert_eq!((&object["key"], &object["used"], &object["ceiling"], &object["over_limit"]), (&json!("mail.mailboxes"), &json!(20), &json!(20), &json!(false)));
        // It empties, which is nobody's concern, and fills again.
        quantity(1).await;
        let told_of = "SELECT COUNT(*) FROM quotas WHERE filled <> told";
        until("it is noted", async || {
            let mut conn = site.db.read(tenantry::model::Subtree::everything()).await.unwrap();
            conn.query(told_of).one::<(i64,)>().await.unwrap().0 == 0
        }).await;
        quantity(18).await;
        until("it is told", async || reached(site, &reseller.key).await.len() == 3).await;
        assert_eq!(reached(site, &reseller.key).await[2], of_reseller(90));
        // A ceiling below the use is passed.
        ceiling(site, &reseller.id, 12).await;
        until("it is told", async || reached(site, &reseller.key).await.len() == 4).await;
        let object = told(site, &reseller.key, "quota.threshold").await.pop().unwrap()["data"]["object"].clone();
        assert_eq!((&object["threshold"], &object["over_limit"], &object["available"]), (&json!(100), &json!(true), &json!(0)));
        // The customer is told nothing of its seller's.
        assert_eq!(reached(site, &tenant.key).await, []);
    }

    async fn a_subscription_tells_of_what_lies_in_it_and_small_ceilings_tell_nothing(site: With::workers()) {
        let world = site.world().await;
        let made = site.ordered(&world.tenant, "acme.example", 10).await;
        let place = format!("/v1/services/{}/resources", made.mail);
        for n in 0..8 {
            let small = json!({"type": "mailbox", "spec": {"address": format!("m{n}@acme.example"), "quota_mb": 100}});
            site.post(&place).key(&world.tenant.key).wait(20).json(small).send().await.is(201);
        }
        // Its one domain of one says nothing.
        until("it is told", async || reached(site, &world.tenant.key).await == [(made.subscription.clone(), 80)]).await;
    }
}
