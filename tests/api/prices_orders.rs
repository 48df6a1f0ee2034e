//! What an order costs, and for how long that is so.

use super::prices::{Channel, fixed, list, set};
use super::*;

fn eur(amount: i64) -> Value {
    json!({"amount": amount, "currency": "EUR"})
}

/// An order of the tenant's for the plan, waited for.
async fn ordered(site: &Site, by: &str, plan: &str, quantity: i64) -> Value {
    let done =
        site.post("/v1/orders").key(by).wait(20).json(add(plan, quantity, json!([]))).send().await.is(201);
    assert_eq!(done.body["status"], "completed", "{}", done.text);
    done.body["items"][0].clone()
}

on_both_servers! {
    /// P3, P8
    async fn an_order_costs_what_the_catalogue_said_and_goes_on_doing_so(site: With::workers()) {
        let Channel { world, reseller, sub, tenant, plan, .. } = Channel::new(site).await;
        let (by, root) = (&tenant.key, &site.operator_key);
        let wholesale = list(site, root, json!({})).await;
        let tiers = json!([{"from": 1, "amount": 500}, {"from": 250, "amount": 450}]);
        set(site, root, &wholesale, &plan, fixed(tiers, 1_000, 7)).send().await.is(200);
        list(site, &sub.key, json!({"adjustment": {"kind": "marked_up", "basis_points": 1000}})).await;
        let asked = json!({"account_id": tenant.id, "items": [{"action": "add", "plan": "seats", "quantity": 249}]});
        let tried = site.post("/v1/orders?dry_run=true").key(&sub.key).json(asked).send().await.is(202);
        let item = ordered(site, by, "seats", 249).await;
        let lines = json!([
            {"addon": null, "component": "seat", "name": "Mailbox", "billing": "per_seat", "quantity": 249, "amount": eur(249 * 550)},
            {"addon": null, "component": "setup", "name": "Set-up", "billing": "one_time", "quantity": 1, "amount": eur(1_100)},
            {"addon": null, "component": "storage", "name": "Storage", "billing": "usage", "quantity": null, "amount": null},
        ]);
        let month = json!({"unit": "month", "count": 1});
        let due = json!({"lines": lines, "billing_period": month, "recurring": eur(249 * 550), "once": eur(1_100)});
        assert_eq!(item["charges"], due);
        assert_eq!(tried.body["items"][0]["charges"], due, "what is tried costs what it would");

        // The seller raises its price; what runs keeps the one it was ordered at.
        set(site, root, &wholesale, &plan, fixed(json!([{"from": 1, "amount": 2_000}]), 0, 0)).send().await.is(200);
        let subscription = item["subscription_id"].as_str().unwrap();
        let read = async || site.get(&format!("/v1/subscriptions/{subscription}")).key(by).send().await.is(200).body;
        let kept = read().await;
        let running = json!({"lines": [lines[0], lines[2]], "billing_period": month, "recurring": eur(249 * 550), "once": eur(0)});
        assert_eq!((&kept["charges"], &kept["price"]["components"][0]["tiers"][1]["unit_price"]), (&running, &eur(495)));
        let more = site.post("/v1/orders").key(by).json(change(subscription, json!({"quantity": 300}))).send().await.is(201);
        assert_eq!(more.body["items"][0]["charges"]["recurring"], eur(300 * 495), "the tier from 250 on");
        assert_eq!(more.body["items"][0]["charges"]["once"], eur(0), "it was set up once");
        assert_eq!(read().await["charges"]["recurring"], eur(300 * 495));
        // Moved to another plan it costs what that one does now.
        let terms = json!({"virtual_server_id": world.virtual_server, "services": [{"type": "mail"}], "quotas": [],
            "components": [{"code": "all", "name": "Everything", "billing": "fixed"}], "billing_period": {"unit": "year"}});
        let flat = json!({"code": "flat", "name": "Flat", "terms": terms});
        let flat = site.post("/v1/plans").key(root).json(flat).send().await.is(201).id();
        let price = json!({"rule": {"kind": "fixed", "components": {"all": {"tiers": [{"from": 1, "amount": 9_000}]}}}});
        set(site, root, &wholesale, &flat, price).send().await.is(200);
        let moved = site.post("/v1/orders").key(by).json(change(subscription, json!({"plan": "flat"}))).send().await.is(201);
        let charges = &moved.body["items"][0]["charges"];
        assert_eq!((&charges["recurring"], &charges["billing_period"]), (&eur(9_900), &json!({"unit": "year", "count": 1})));
        assert_eq!(&read().await["charges"], charges);
        // What the sellers above pay is nowhere in it, and those above see the same.
        for reader in [by, &reseller.key, root] {
            let order = site.get(&format!("/v1/orders/{}", moved.id())).key(reader).send().await.is(200);
            assert_eq!(&order.body["items"][0]["charges"], charges);
            assert!(!order.text.contains("9000"), "{}", order.text);
        }
    }

    /// P7
    async fn what_is_not_sold_to_an_account_cannot_be_ordered_by_it(site: With::workers()) {
        let Channel { sub, tenant, plan, .. } = Channel::new(site).await;
        let own = list(site, &sub.key, json!({"currency": "CHF"})).await;
        let unpriced = ordered(site, &tenant.key, "hosted-mail", 1).await;
        assert_eq!(unpriced["charges"], Value::Null, "nobody has set a price");
        let subscription = unpriced["subscription_id"].as_str().unwrap().to_owned();
        set(site, &sub.key, &own, &plan, json!({"rule": {"kind": "withheld"}})).send().await.is(200);
        let known: Vec<_> = site.all(&tenant.key, "/v1/orders", 200).await;
        for plan in ["seats", &plan] {
            for asked in [add(plan, 1, json!([])), change(&subscription, json!({"plan": plan}))] {
                let call = site.post("/v1/orders").key(&tenant.key).json(asked);
                let refused = call.send().await.refused(422, "validation_failed");
                assert_eq!(refused.faults(), [("/items/0/plan".into(), "plan_not_applicable".into())]);
            }
        }
        assert_eq!(site.all(&tenant.key, "/v1/orders", 200).await, known);
        // The seller itself still buys it.
        let none = ordered(site, &sub.key, "seats", 1).await;
        assert_eq!(none["charges"], Value::Null);
    }

    async fn an_order_whose_price_cannot_be_counted_is_refused(site: With::no_workers()) {
        let Channel { world, tenant, .. } = Channel::new(site).await;
        let root = &site.operator_key;
        let codes: Vec<_> = (0..10).map(|at| format!("part-{at}")).collect();
        let components: Vec<_> = codes.iter().map(|code| json!({"code": code, "name": code, "billing": "per_seat"})).collect();
        let terms = json!({"virtual_server_id": world.virtual_server, "services": [{"type": "mail"}], "quotas": [], "components": components});
        let dear = json!({"code": "dear", "name": "Dear", "terms": terms});
        let dear = site.post("/v1/plans").key(root).json(dear).send().await.is(201).id();
        let highest = json!({"tiers": [{"from": 1, "amount": 1_000_000_000_000_i64}]});
        let priced: serde_json::Map<_, _> = codes.into_iter().map(|code| (code, highest.clone())).collect();
        let wholesale = list(site, root, json!({"currency": "JPY"})).await;
        set(site, root, &wholesale, &dear, json!({"rule": {"kind": "fixed", "components": priced}})).send().await.is(200);
        let order = |quantity: i64| site.post("/v1/orders?dry_run=true").key(&tenant.key).json(add("dear", quantity, json!([]))).send();
        let most = order(900_000).await.is(202);
        assert_eq!(most.body["items"][0]["charges"]["recurring"], json!({"amount": 9_000_000_000_000_000_000_i64, "currency": "JPY"}));
        let refused = order(1_000_000).await.refused(422, "validation_failed");
        assert_eq!(refused.faults(), [("/items/0/quantity".into(), "too_large".into())]);
    }
}
