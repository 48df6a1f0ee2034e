//! How much may be ordered with a key.

use super::prices::{Channel, fixed, list, set};
use super::*;

/// A channel whose seats cost a euro each and two to set up, and a key of the sub-reseller's with a cap.
async fn capped(site: &Site, cap: Value) -> (Channel, String) {
    let channel = Channel::new(site).await;
    let wholesale = list(site, &site.operator_key, json!({})).await;
    let price = fixed(json!([{"from": 1, "amount": 100}]), 200, 0);
    set(site, &site.operator_key, &wholesale, &channel.plan, price).send().await.is(200);
    let asked = json!({"name": "shop", "bundle": "reseller_admin", "spend_cap": cap});
    let made = site.post("/v1/keys").key(&channel.sub.key).json(asked).send().await.is(201);
    assert_eq!(made.body["spend_cap"], cap);
    (channel, made.text_at("secret"))
}

fn order(site: &Site, key: &str, account: &str, quantity: i64) -> Call {
    let item = json!({"action": "add", "plan": "seats", "quantity": quantity});
    site.post("/v1/orders").key(key).json(json!({"account_id": account, "items": [item]}))
}

fn euros(per_order: Value, per_day: i64) -> Value {
    json!({"currency": "EUR", "per_order": per_order, "per_day": per_day})
}

on_both_servers! {
    async fn a_key_orders_for_no_more_than_its_cap_by_the_order_and_by_the_day(site: With { workers: false, ..With::clock() }) {
        let (Channel { tenant, .. }, key) = capped(site, euros(json!(1_200), 2_700)).await;
        let place = async |quantity: i64| order(site, &key, &tenant.id, quantity).send().await;
        for (quantity, taken) in [(11, false), (10, true), (10, true), (2, false), (1, true), (1, false)] {
            match taken {
                true => drop(place(quantity).await.is(202)),
                false => drop(place(quantity).await.refused(403, "spend_cap_exceeded")),
            }
        }
        // What is only tried counts for nothing, and the account's other keys have no cap.
        let orders = site.all(&tenant.key, "/v1/orders", 200).await.len();
        assert_eq!(orders, 3);
        let dry = json!({"account_id": tenant.id, "items": [{"action": "add", "plan": "seats"}]});
        site.post("/v1/orders?dry_run=true").key(&key).json(dry).send().await.refused(403, "spend_cap_exceeded");
        order(site, &tenant.key, &tenant.id, 50).send().await.is(202);
        site.clock.advance(Duration::from_secs(24 * 3600));
        place(10).await.is(202);
        // By a token it is the same key.
        let id = format!("key_{}", key.split('_').nth(2).unwrap());
        let grant = [("grant_type", "client_credentials")];
        let token = site.post("/oauth/token").basic(&id, &key).form(&grant).send().await.is(200).text_at("access_token");
        let acting = json!({"items": [{"action": "add", "plan": "seats", "quantity": 10}]});
        site.post("/v1/orders").key(&token).acting_for(&tenant.id).json(acting.clone()).send().await.is(202);
        site.post("/v1/orders").key(&token).acting_for(&tenant.id).json(acting).send().await.refused(403, "spend_cap_exceeded");
    }

    async fn of_a_change_counts_what_it_costs_more(site: With::workers()) {
        let (Channel { tenant, .. }, key) = capped(site, euros(Value::Null, 1_000)).await;
        let made = order(site, &tenant.key, &tenant.id, 20).wait(20).send().await.is(201);
        let subscription = made.text_of("/items/0/subscription_id");
        let quantity = async |quantity: i64| {
            let mut asked = change(&subscription, json!({"quantity": quantity}));
            asked["account_id"] = json!(tenant.id);
            site.post("/v1/orders").key(&key).json(asked).send().await
        };
        quantity(26).await.is(201);
        quantity(24).await.is(201);
        quantity(29).await.refused(403, "spend_cap_exceeded");
        quantity(28).await.is(201);
        quantity(29).await.refused(403, "spend_cap_exceeded");
    }

    async fn what_has_no_price_or_one_in_another_currency_is_not_ordered_with_a_capped_key(site: With::no_workers()) {
        let (Channel { sub, tenant, plan, .. }, key) = capped(site, euros(Value::Null, 1_000_000)).await;
        let unpriced = json!({"account_id": tenant.id, "items": [{"action": "add", "plan": "seats"}, {"action": "add", "plan": "hosted-mail"}]});
        site.post("/v1/orders").key(&key).json(unpriced).send().await.refused(403, "spend_cap_exceeded");
        let francs = list(site, &sub.key, json!({"currency": "CHF"})).await;
        set(site, &sub.key, &francs, &plan, fixed(json!([{"from": 1, "amount": 1}]), 0, 0)).send().await.is(200);
        let refused = order(site, &key, &tenant.id, 1).send().await.refused(403, "spend_cap_exceeded");
        assert!(refused.text.contains("CHF"), "{}", refused.text);
    }

    async fn orders_at_once_do_not_pass_the_cap_together(site: With::no_workers()) {
        let (Channel { tenant, .. }, key) = capped(site, euros(Value::Null, 3_500)).await;
        let calls = (0..8).map(|_| tokio::spawn(order(site, &key, &tenant.id, 8).send()));
        let mut taken = 0;
        for call in calls.collect::<Vec<_>>() {
            match call.await.unwrap().status {
                202 => taken += 1,
                status => assert_eq!(status, 403),
            }
        }
        assert_eq!(taken, 3);
    }

    /// KEY-4
    async fn a_capped_key_gives_nobody_more_than_it_has(site: With::no_workers()) {
        let (Channel { sub, tenant, .. }, key) = capped(site, euros(Value::Null, 1_000)).await;
        let id = format!("key_{}", key.split('_').nth(2).unwrap());
        let make = |asked: Value| site.post("/v1/keys").key(&key).json(asked).send();
        for cap in [Value::Null, euros(Value::Null, 10)] {
            let asked = json!({"name": "more", "scopes": ["orders:place"], "spend_cap": cap});
            make(asked).await.refused(403, "scope_escalation");
        }
        make(json!({"name": "reads", "scopes": ["orders:read"], "hold_classes": []})).await.is(201);
        let other = site.post("/v1/keys").key(&sub.key).json(json!({"name": "other", "bundle": "crm"})).send().await.is(201);
        site.post(&format!("/v1/keys/{}/rotate", other.id())).key(&key).send().await.refused(403, "scope_escalation");
        let change = |by: &str, cap: Value| site.patch(&format!("/v1/keys/{id}")).key(by).json(json!({"spend_cap": cap})).send();
        change(&key, Value::Null).await.refused(403, "scope_escalation");
        order(site, &key, &tenant.id, 9).send().await.refused(403, "spend_cap_exceeded");
        let raised = change(&sub.key, euros(Value::Null, 1_100)).await.is(200);
        assert_eq!(raised.body["spend_cap"]["per_day"], 1_100);
        // Its own secret it may renew.
        let renewed = site.post(&format!("/v1/keys/{id}/rotate")).key(&key).send().await.is(201).text_at("secret");
        order(site, &renewed, &tenant.id, 9).send().await.is(202);
        order(site, &renewed, &tenant.id, 1).send().await.refused(403, "spend_cap_exceeded");
        change(&sub.key, Value::Null).await.is(200);
        until("the cap is gone", async || order(site, &renewed, &tenant.id, 1).send().await.status == 202).await;
    }
}
