//! What an order would cost, and for how long that holds.

use super::prices::{Channel, fixed, list, seats, set};
use super::*;

fn ask(site: &Site, by: &str, items: Value) -> Call {
    site.post("/v1/quotes").key(by).json(json!({"items": items}))
}

fn add_seats(quantity: i64) -> Value {
    json!([{"action": "add", "plan": "seats", "quantity": quantity}])
}

fn by_quote(site: &Site, by: &str, quote: &str, items: Value) -> Call {
    site.post("/v1/orders").key(by).wait(20).json(json!({"quote_id": quote, "items": items}))
}

/// A channel whose seats cost this much each, and the list that says so.
async fn priced(site: &Site, seat: i64) -> (Channel, String) {
    let channel = Channel::new(site).await;
    let wholesale = list(site, &site.operator_key, json!({})).await;
    let price = fixed(json!([{"from": 1, "amount": seat}]), 0, 0);
    set(site, &site.operator_key, &wholesale, &channel.plan, price).send().await.is(200);
    (channel, wholesale)
}

on_both_servers! {
    async fn an_order_by_a_quote_costs_what_was_quoted_whatever_prices_do_meanwhile(site: With::clock()) {
        let (Channel { world, tenant, plan, .. }, wholesale) = priced(site, 500).await;
        let root = &site.operator_key;
        let hour = Duration::from_secs(3600);
        let mut dearer = fixed(json!([{"from": 1, "amount": 900}]), 0, 0);
        dearer["valid_from"] = json!(site.clock.now().plus(hour));
        set(site, root, &wholesale, &plan, dearer).send().await.is(200);
        let quote = ask(site, &tenant.key, add_seats(3)).send().await.is(201);
        assert_eq!((&quote.body["status"], &quote.body["quota"]["fits"]), (&json!("open"), &json!(true)));
        assert_eq!(quote.body["items"][0]["charges"]["recurring"]["amount"], 1_500);
        let spare = ask(site, &tenant.key, add_seats(3)).send().await.is(201).id();
        site.clock.advance(hour * 2);
        // The plan has come to be another one as well.
        let terms = json!({"terms": {"virtual_server_id": world.virtual_server, "services": [{"type": "mail"}], "quotas": [], "components": []}});
        site.post(&format!("/v1/plans/{plan}/versions")).anyway().key(root).json(terms).send().await.is(200);
        set(site, root, &wholesale, &plan, json!({"rule": {"kind": "withheld"}})).send().await.is(200);
        ask(site, &tenant.key, add_seats(3)).send().await.refused(422, "validation_failed");
        let order = by_quote(site, &tenant.key, &quote.id(), add_seats(3)).send().await.is(201);
        assert_eq!((&order.body["status"], &order.body["quote_id"]), (&json!("completed"), &json!(quote.id())), "{}", order.text);
        assert_eq!(order.body["items"][0]["charges"], quote.body["items"][0]["charges"]);
        let subscription = order.text_of("/items/0/subscription_id");
        let runs = site.get(&format!("/v1/subscriptions/{subscription}")).key(&tenant.key).send().await.is(200);
        assert_eq!((&runs.body["plan_version"], &runs.body["charges"]["recurring"]), (&json!(1), &quote.body["items"][0]["charges"]["recurring"]));
        let place = format!("/v1/quotes/{}", quote.id());
        let taken = site.get(&place).key(&tenant.key).send().await.is(200);
        assert_eq!((&taken.body["status"], &taken.body["order_id"]), (&json!("accepted"), &json!(order.id())));
        // Nothing makes what is off sale.
        site.post(&format!("/v1/plans/{plan}/pause")).key(root).send().await.is(200);
        let paused = by_quote(site, &tenant.key, &spare, add_seats(3)).send().await.refused(422, "validation_failed");
        assert_eq!(paused.faults(), [("/items/0/plan".into(), "plan_not_applicable".into())]);
        // It is good for one order, and for as long as it says.
        let again = by_quote(site, &tenant.key, &quote.id(), add_seats(3)).send().await.refused(409, "state_conflict");
        assert_eq!(again.body["current_state"], "accepted");
        site.clock.advance(hour * (14 * 24 - 2));
        let late = by_quote(site, &tenant.key, &spare, add_seats(3)).send().await.refused(409, "state_conflict");
        assert_eq!(late.body["current_state"], "expired");
        let told: Vec<_> = all_told(site, &tenant.key).await.into_iter().filter(|event| event["resource"]["type"] == "quote").map(|event| event["type"].clone()).collect();
        assert_eq!(told, ["quote.created", "quote.created", "quote.accepted"]);
    }

    async fn a_quote_says_which_quota_is_short_and_reserves_nothing(site: With::workers()) {
        let world = site.world().await;
        let (tenant, root) = (&world.tenant, &site.operator_key);
        let path = format!("/v1/accounts/{}/quotas/mail.mailboxes", world.reseller.id);
        site.put(&path).anyway().key(root).json(json!({"ceiling": 5})).send().await.is(200);
        let items = |quantity: i64| json!([{"action": "add", "plan": "hosted-mail", "quantity": quantity}]);
        let before = site.all(&tenant.key, "/v1/orders", 200).await;
        let short = ask(site, &tenant.key, items(6)).send().await.is(201);
        assert_eq!(short.body["quota"]["fits"], false);
        assert_eq!(short.body["quota"]["violations"], json!([{"key": "mail.mailboxes", "level": "upstream", "holder": null, "requested": 6, "available": null}]));
        let fits = ask(site, &tenant.key, items(5)).send().await.is(201);
        assert_eq!(fits.body["quota"], json!({"fits": true, "violations": []}));
        // Its seller is told no more: the account reads the same.
        let asked = json!({"account_id": tenant.id, "items": items(6)});
        let of_seller = site.post("/v1/quotes").key(root).json(asked).send().await.is(201);
        assert_eq!(of_seller.body["quota"], short.body["quota"]);
        let row = site.quota(root, &world.reseller.id, "mail.mailboxes").await.unwrap();
        assert_eq!((&row["used"], &row["reserved"]), (&json!(0), &json!(0)));
        for noun in ["orders", "subscriptions", "services", "operations"] {
            assert_eq!(site.all(&tenant.key, &format!("/v1/{noun}"), 200).await.len(), before.len(), "{noun}");
        }
        let told: Vec<_> = all_told(site, &tenant.key).await.into_iter().map(|event| event["type"].clone()).filter(|event| event != "key.created" && event != "account.created").collect();
        assert_eq!(told, ["quote.created", "quote.created", "quote.created"]);
        // Of two that fit alone the second order does not any more.
        let other = ask(site, &tenant.key, items(5)).send().await.is(201).id();
        by_quote(site, &tenant.key, &fits.id(), items(5)).send().await.is(201);
        let refused = by_quote(site, &tenant.key, &other, items(5)).send().await.refused(409, "quota_exceeded");
        assert_eq!(refused.body["violations"][0]["requested"], 5);
        let left = site.get(&format!("/v1/quotes/{other}")).key(&tenant.key).send().await.is(200);
        assert_eq!(left.body["status"], "open", "an order that was refused takes no quote");
    }

    async fn a_change_is_quoted_at_what_it_will_cost(site: With::workers()) {
        let (Channel { world, tenant, .. }, wholesale) = priced(site, 500).await;
        let made = by_quote(site, &tenant.key, &ask(site, &tenant.key, add_seats(2)).send().await.is(201).id(), add_seats(2)).send().await.is(201);
        let subscription = made.text_of("/items/0/subscription_id");
        let plus = seats(site, &world.virtual_server, "plus").await;
        set(site, &site.operator_key, &wholesale, &plus, fixed(json!([{"from": 1, "amount": 700}]), 0, 0)).send().await.is(200);
        let more = json!([{"action": "change", "subscription_id": subscription, "quantity": 4}]);
        let moved = json!([{"action": "change", "subscription_id": subscription, "plan": "plus"}]);
        for (items, costs) in [(&more, 2_000), (&moved, 1_400)] {
            let quote = ask(site, &tenant.key, items.clone()).send().await.is(201);
            assert_eq!(quote.body["items"][0]["charges"]["recurring"]["amount"], costs);
            assert_eq!(quote.body["items"][0]["subscription_id"], subscription.as_str());
        }
        let quote = ask(site, &tenant.key, moved.clone()).send().await.is(201);
        set(site, &site.operator_key, &wholesale, &plus, fixed(json!([{"from": 1, "amount": 9_999}]), 0, 0)).send().await.is(200);
        let changed = by_quote(site, &tenant.key, &quote.id(), moved).send().await.is(201);
        assert_eq!(changed.body["items"][0]["charges"], quote.body["items"][0]["charges"]);
    }

    async fn an_order_that_is_not_what_was_quoted_is_refused_where_it_differs(site: With::no_workers()) {
        let (Channel { sub, tenant, plan, .. }, _) = priced(site, 500).await;
        let quote = ask(site, &tenant.key, json!([{"action": "add", "plan": "seats", "quantity": 2}, {"action": "add", "plan": plan, "quantity": 1}])).send().await.is(201).id();
        let item = |plan: &str, quantity: i64| json!({"action": "add", "plan": plan, "quantity": quantity});
        for (items, at) in [
            (json!([item("seats", 3), item(&plan, 1)]), 0),
            (json!([item("seats", 2), item("hosted-mail", 1)]), 1),
            (json!([item("seats", 2)]), 1),
            (json!([item("seats", 2), item(&plan, 1), item("seats", 1)]), 2),
        ] {
            let refused = by_quote(site, &tenant.key, &quote, items).send().await.refused(422, "validation_failed");
            assert_eq!(refused.faults(), [(format!("/items/{at}"), "differs_from_quote".into())]);
        }
        // It is its account's and nobody else's.
        let mine = json!({"quote_id": quote, "items": add_seats(2)});
        let refused = site.post("/v1/orders").key(&sub.key).json(mine).send().await.refused(422, "validation_failed");
        assert_eq!(refused.faults(), [("/quote_id".into(), "not_found".into())]);
        // By whichever name the plan goes.
        let good = json!({"quote_id": quote, "items": [item(&plan, 2), item("seats", 1)]});
        site.post("/v1/orders").key(&tenant.key).json(good).send().await.is(202);
    }

    async fn a_quote_of_a_change_is_void_once_the_subscription_is_another(site: With::workers()) {
        let (Channel { world, tenant, .. }, wholesale) = priced(site, 500).await;
        let by = &tenant.key;
        let made = site.post("/v1/orders").key(by).wait(20).json(add("seats", 2, json!([]))).send().await.is(201);
        let subscription = made.text_of("/items/0/subscription_id");
        let plus = seats(site, &world.virtual_server, "plus").await;
        set(site, &site.operator_key, &wholesale, &plus, fixed(json!([{"from": 1, "amount": 700}]), 0, 0)).send().await.is(200);
        let changed = |to: Value| {
            let mut item = json!({"action": "change", "subscription_id": subscription});
            item.as_object_mut().unwrap().extend(to.as_object().unwrap().clone());
            json!([item])
        };
        let (more, moved) = (changed(json!({"quantity": 4})), changed(json!({"plan": plus})));
        let quotes = [&more, &moved].map(|items| ask(site, by, items.clone()).send());
        let [more_quote, moved_quote] = quotes;
        let (more_quote, moved_quote) = (more_quote.await.is(201).id(), moved_quote.await.is(201).id());
        site.post("/v1/orders").key(by).json(json!({"items": changed(json!({"quantity": 3}))})).send().await.is(201);
        let differs = [("/items/0".to_owned(), "differs_from_quote".to_owned())];
        let refused = by_quote(site, by, &moved_quote, moved.clone()).send().await.refused(422, "validation_failed");
        assert_eq!(refused.faults(), differs);
        let fresh = ask(site, by, changed(json!({"plan": "plus"}))).send().await.is(201).id();
        by_quote(site, by, &fresh, moved).send().await.is(201);
        let refused = by_quote(site, by, &more_quote, more.clone()).send().await.refused(422, "validation_failed");
        assert_eq!(refused.faults(), differs);
        let twice = json!([more[0], {"action": "change", "subscription_id": subscription, "plan": "seats"}]);
        let refused = ask(site, by, twice).send().await.refused(422, "validation_failed");
        assert_eq!(refused.faults(), [("/items/1/subscription_id".into(), "duplicate".into())]);
    }

    async fn a_quote_is_the_sellers_of_whom_the_account_bought(site: With::no_workers()) {
        let (Channel { reseller, tenant, .. }, _) = priced(site, 500).await;
        let quote = ask(site, &tenant.key, add_seats(1)).send().await.is(201).id();
        let asked = json!({"parent_id": reseller.id});
        let moved = site.post(&format!("/v1/accounts/{}/move", tenant.id)).key(&site.operator_key).json(asked);
        moved.send().await.is(200);
        let refused = by_quote(site, &tenant.key, &quote, add_seats(1)).send().await.refused(422, "validation_failed");
        assert_eq!(refused.faults(), [("/quote_id".into(), "other_seller".into())]);
    }

    async fn no_item_goes_beyond_the_largest_quantity_of_its_plan(site: With::workers()) {
        let world = site.world().await;
        let by = &world.tenant.key;
        let terms = json!({"virtual_server_id": world.virtual_server, "services": [{"type": "mail"}], "quotas": [], "max_quantity": 3});
        let small = json!({"code": "small", "name": "Small", "terms": terms});
        site.post("/v1/plans").key(&site.operator_key).json(small).send().await.is(201);
        let made = site.post("/v1/orders").key(by).wait(20).json(add("small", 3, json!([]))).send().await.is(201);
        let subscription = made.text_of("/items/0/subscription_id");
        let change = |to: Value| {
            let mut item = json!({"action": "change", "subscription_id": subscription});
            item.as_object_mut().unwrap().extend(to.as_object().unwrap().clone());
            json!([item])
        };
        for items in [
            json!([{"action": "add", "plan": "small", "quantity": 4}]),
            change(json!({"quantity": 4})),
            change(json!({"quantity": 4, "plan": "small"})),
        ] {
            for path in ["/v1/orders", "/v1/quotes"] {
                let call = site.post(path).key(by).json(json!({"items": items}));
                let refused = call.send().await.refused(422, "validation_failed");
                assert_eq!(refused.faults(), [("/items/0/quantity".into(), "too_large".into())]);
            }
        }
    }

    async fn what_could_not_be_ordered_is_not_quoted(site: With::no_workers()) {
        let (Channel { sub, tenant, plan, .. }, _) = priced(site, 500).await;
        let own = list(site, &sub.key, json!({})).await;
        set(site, &sub.key, &own, &plan, json!({"rule": {"kind": "withheld"}})).send().await.is(200);
        for (items, fault) in [
            (add_seats(1), "/items/0/plan"),
            (json!([{"action": "add", "plan": "none"}]), "/items/0/plan"),
            (json!([{"action": "change", "subscription_id": "sub_01jq3v8z0kf5n9d2t7x4m6c1ab", "quantity": 2}]), "/items/0/subscription_id"),
        ] {
            let refused = ask(site, &tenant.key, items).send().await.refused(422, "validation_failed");
            assert_eq!(refused.faults()[0].0, fault);
        }
        assert!(site.all(&tenant.key, "/v1/quotes", 200).await.is_empty());
        let dry = site.post("/v1/quotes?dry_run=true").key(&sub.key).json(json!({"account_id": sub.id, "items": add_seats(1)})).send().await.is(201);
        site.get(&format!("/v1/quotes/{}", dry.id())).key(&sub.key).send().await.refused(404, "not_found");
        // A key with a cap asks for any price, and orders for no more than its cap.
        let capped = json!({"name": "capped", "bundle": "crm", "spend_cap": {"currency": "EUR", "per_day": 499}});
        let capped = site.post("/v1/keys").key(&sub.key).json(capped).send().await.is(201).text_at("secret");
        let quote = ask(site, &capped, add_seats(1)).send().await.is(201);
        by_quote(site, &capped, &quote.id(), add_seats(1)).send().await.refused(403, "spend_cap_exceeded");
    }
}
