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

    async fn a_capped_key_does_not_set_what_it_is_measured_by(site: With::no_workers()) {
        let (Channel { sub, tenant, plan, .. }, key) = capped(site, euros(Value::Null, 1_000)).await;
        let asked = json!({"name": "Free", "currency": "EUR"});
        site.post("/v1/price_lists").key(&key).json(asked).send().await.refused(403, "spend_cap_exceeded");
        let own = list(site, &sub.key, json!({})).await;
        let free = fixed(json!([{"from": 1, "amount": 0}]), 0, 0);
        set(site, &key, &own, &plan, free).send().await.refused(403, "spend_cap_exceeded");
        let path = format!("/v1/price_lists/{own}");
        let discount = json!({"adjustment": {"kind": "discounted", "basis_points": 10_000}});
        site.patch(&path).key(&key).json(discount).send().await.refused(403, "spend_cap_exceeded");
        site.delete(&path).key(&key).send().await.refused(403, "spend_cap_exceeded");
        order(site, &key, &tenant.id, 9).send().await.refused(403, "spend_cap_exceeded");
    }

    /// KEY: a renewal costs what the periods do that it is for.
    async fn a_renewal_and_a_conversion_count_too(site: With::workers()) {
        let (Channel { world, tenant, .. }, key) = capped(site, euros(Value::Null, 5_000)).await;
        let root = &site.operator_key;
        let wholesale = site.all(root, "/v1/price_lists", 200).await[0]["id"].as_str().unwrap().to_owned();
        let components = json!([{"code": "seat", "name": "Seat", "billing": "per_seat"}]);
        let price = json!({"rule": {"kind": "fixed", "components": {"seat": {"tiers": [{"from": 1, "amount": 1_000}]}}}});
        for (code, more) in [("leased", json!({"lease": {"unit": "month"}})), ("tried", json!({"trial": {"unit": "week"}})), ("bound", json!({"trial": {"unit": "week"}, "lease": {"unit": "month", "count": 3}}))] {
            let mut terms = more;
            terms["components"] = components.clone();
            let plan = subscriptions::plan(site, &world, code, terms).await;
            set(site, root, &wholesale, &plan, price.clone()).send().await.is(200);
        }
        // Two seats: 20 a month.
        let (leased, _) = subscriptions::subscribed(site, &tenant.key, "leased").await;
        let (tried, _) = subscriptions::subscribed(site, &tenant.key, "tried").await;
        let (bound, _) = subscriptions::subscribed(site, &tenant.key, "bound").await;
        let convert = |id: &str| subscriptions::call(site, &key, id, "convert_trial").send();
        convert(&bound).await.refused(403, "spend_cap_exceeded");
        let far = json!({"through": site.clock.now().plus(Duration::from_secs(100 * 24 * 60 * 60))});
        let renew = |body: Value| subscriptions::call(site, &key, &leased, "renew").json(body).send();
        renew(far).await.refused(403, "spend_cap_exceeded");
        renew(json!({})).await.is(200);
        convert(&tried).await.is(200);
        renew(json!({})).await.refused(403, "spend_cap_exceeded");
        let asked = json!({"name": "Helper", "scopes": ["subscriptions:write"]});
        site.post("/v1/keys").key(&key).json(asked).send().await.refused(403, "scope_escalation");
    }

    async fn of_a_move_counts_what_is_due_once_and_all_of_another_period(site: With::workers()) {
        let (Channel { world, tenant, .. }, key) = capped(site, euros(Value::Null, 5_000)).await;
        let root = &site.operator_key;
        let wholesale = site.all(root, "/v1/price_lists", 200).await[0]["id"].as_str().unwrap().to_owned();
        let subscription = order(site, &tenant.key, &tenant.id, 20).wait(20).send().await.is(201).text_of("/items/0/subscription_id");
        let mut plans = Vec::new();
        for (code, unit, each, once) in [("dear", "month", 100, 5_001), ("yearly", "year", 251, 0), ("fair", "year", 249, 20)] {
            let components = json!([{"code": "seat", "name": "Seat", "billing": "per_seat"}, {"code": "setup", "name": "Set-up", "billing": "one_time"}]);
            let terms = json!({"virtual_server_id": world.virtual_server, "services": [{"type": "mail"}], "quotas": [], "components": components, "billing_period": {"unit": unit}});
            let plan = json!({"code": code, "name": code, "terms": terms});
            let plan = site.post("/v1/plans").key(root).json(plan).send().await.is(201).id();
            let flat = |amount: i64| json!({"tiers": [{"from": 1, "amount": amount}]});
            let rule = json!({"kind": "fixed", "components": {"seat": flat(each), "setup": flat(once)}});
            set(site, root, &wholesale, &plan, json!({"rule": rule})).send().await.is(200);
            plans.push(code);
        }
        let moved = async |plan: &str| {
            let mut asked = change(&subscription, json!({"plan": plan}));
            asked["account_id"] = json!(tenant.id);
            site.post("/v1/orders").key(&key).json(asked).send().await
        };
        moved("dear").await.refused(403, "spend_cap_exceeded");
        moved("yearly").await.refused(403, "spend_cap_exceeded");
        moved("fair").await.is(201);
    }

    async fn a_cap_in_another_currency_begins_to_count_anew(site: With::no_workers()) {
        let (Channel { sub, tenant, plan, .. }, key) = capped(site, euros(Value::Null, 1_000)).await;
        let id = format!("key_{}", key.split('_').nth(2).unwrap());
        order(site, &key, &tenant.id, 8).send().await.is(202);
        let francs = list(site, &sub.key, json!({"currency": "CHF"})).await;
        set(site, &sub.key, &francs, &plan, fixed(json!([{"from": 1, "amount": 100}]), 200, 0)).send().await.is(200);
        let cap = json!({"spend_cap": {"currency": "CHF", "per_day": 1_000}});
        // By no way round.
        for cap in [json!({"spend_cap": null}), json!({"spend_cap": {"currency": "JPY", "per_day": 1}}), json!({"spend_cap": null}), cap] {
            site.patch(&format!("/v1/keys/{id}")).key(&sub.key).json(cap).send().await.is(200);
        }
        until("the cap is in francs", async || order(site, &key, &tenant.id, 8).send().await.status == 202).await;
        order(site, &key, &tenant.id, 1).send().await.refused(403, "spend_cap_exceeded");
    }

    async fn of_two_changes_of_a_key_at_once_none_is_lost(site: With::no_workers()) {
        let (Channel { sub, .. }, _) = capped(site, euros(Value::Null, 1)).await;
        for round in 0..5 {
            let made = site.post("/v1/keys").key(&site.operator_key).json(json!({"account_id": sub.id, "name": "k", "bundle": "crm"}));
            let path = format!("/v1/keys/{}", made.send().await.is(201).id());
            let change = |asked: Value| {
                let (path, site) = (path.clone(), &site);
                async move {
                    loop {
                        let answer = site.patch(&path).key(&site.operator_key).json(asked.clone()).send().await;
                        if answer.status == 200 {
                            break;
                        }
                        answer.refused(409, "concurrent_change");
                    }
                }
            };
            tokio::join!(change(json!({"spend_cap": euros(Value::Null, round)})), change(json!({"rate_class": "bulk"})));
            let now = site.get(&path).key(&site.operator_key).send().await.is(200);
            assert_eq!((&now.body["spend_cap"]["per_day"], &now.body["rate_class"]), (&json!(round), &json!("bulk")));
        }
    }

    async fn a_clock_that_is_behind_counts_for_the_day_that_has_begun(site: With { workers: false, ..With::clock() }) {
        let (Channel { tenant, .. }, key) = capped(site, euros(Value::Null, 1_000)).await;
        let midnight = site.clock.now().day().plus(Duration::from_secs(24 * 3600));
        let (yesterday, today) = (midnight.minus(Duration::from_secs(1)), midnight.plus(Duration::from_secs(1)));
        site.clock.set(today);
        order(site, &key, &tenant.id, 5).send().await.is(202);
        site.clock.set(yesterday);
        order(site, &key, &tenant.id, 4).send().await.refused(403, "spend_cap_exceeded");
        order(site, &key, &tenant.id, 1).send().await.is(202);
        site.clock.set(today);
        order(site, &key, &tenant.id, 1).send().await.refused(403, "spend_cap_exceeded");
    }

    async fn an_order_for_more_than_can_be_counted_is_over_every_cap(site: With::no_workers()) {
        let (Channel { tenant, plan, .. }, key) = capped(site, euros(Value::Null, 1_000_000_000_000_000)).await;
        order(site, &key, &tenant.id, 1).send().await.is(202);
        let wholesale = site.all(&site.operator_key, "/v1/price_lists", 200).await[0]["id"].as_str().unwrap().to_owned();
        let highest = fixed(json!([{"from": 1, "amount": 1_000_000_000_000_i64}]), 0, 0);
        set(site, &site.operator_key, &wholesale, &plan, highest).send().await.is(200);
        let items = vec![json!({"action": "add", "plan": "seats", "quantity": 1_000_000}); 20];
        let call = site.post("/v1/orders").key(&key).json(json!({"account_id": tenant.id, "items": items}));
        call.send().await.refused(403, "spend_cap_exceeded");
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
        make(json!({"name": "more", "scopes": ["prices:write"]})).await.refused(403, "scope_escalation");
        make(json!({"name": "reads", "scopes": ["orders:read"], "hold_classes": []})).await.is(201);
        // Nor does another key do it for it.
        let helper = json!({"name": "helps", "scopes": ["keys:write", "keys:read"], "hold_classes": []});
        let helper = make(helper).await.is(201).text_at("secret");
        let lifted = site.patch(&format!("/v1/keys/{id}")).key(&helper).json(json!({"spend_cap": null}));
        lifted.send().await.refused(403, "scope_escalation");
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
