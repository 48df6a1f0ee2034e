//! What a price list may say, and who.

use super::prices::{Channel, fixed, list, pays, seats, set};
use super::*;

on_both_servers! {
    async fn a_price_list_is_made_read_changed_and_deleted_by_its_account_and_those_above(site: With::no_workers()) {
        let Channel { distributor, reseller, sub, tenant, .. } = Channel::new(site).await;
        let asked = json!({"name": "Retail", "currency": "USD", "exchange_rate": "1.0850", "buyer_id": sub.id, "metadata": {"erp": "7"}});
        let made = site.post("/v1/price_lists").key(&reseller.key).json(asked).send().await.is(201);
        let path = format!("/v1/price_lists/{}", made.id());
        assert_eq!(made.header("location"), Some(path.as_str()));
        let told = json!([made.body["exchange_rate"], made.body["offers"], made.body["adjustment"], made.body["buyer_id"], made.body["account_id"]]);
        assert_eq!(told, json!(["1.085", "all", {"kind": "taken_over"}, sub.id, reseller.id]));
        for by in [&reseller.key, &distributor.key] {
            assert_eq!(site.get(&path).key(by).send().await.is(200).body, made.body);
            assert_eq!(site.all(by, "/v1/price_lists", 200).await, std::slice::from_ref(&made.body));
        }
        site.get(&path).key(&tenant.key).send().await.refused(403, "insufficient_scope");
        let other = site.account(&distributor.key, "reseller", "Other").await;
        for stranger in [&sub.key, &other.key] {
            for call in [site.get(&path), site.get(&format!("{path}/prices")), site.delete(&path), site.patch(&path).json(json!({"name": "Mine"}))] {
                call.key(stranger).send().await.refused(404, "not_found");
            }
            assert!(site.all(stranger, "/v1/price_lists", 200).await.is_empty());
        }
        let change = json!({"name": "Wholesale", "offers": "listed", "adjustment": {"kind": "discounted", "basis_points": 500}, "exchange_rate": null});
        let changed = site.patch(&path).key(&reseller.key).header("If-Match", made.header("etag").unwrap()).json(change.clone()).send().await.is(200);
        for (member, value) in change.as_object().unwrap() {
            assert_eq!(&changed.body[member], value);
        }
        let stale = site.patch(&path).key(&reseller.key).header("If-Match", made.header("etag").unwrap()).json(json!({"name": "Late"}));
        stale.send().await.refused(412, "precondition_failed");
        site.patch(&path).key(&reseller.key).json(json!({"currency": "EUR"})).send().await.refused(422, "field_not_writable");
        site.delete(&path).key(&reseller.key).send().await.is(204);
        site.get(&path).key(&reseller.key).send().await.refused(404, "not_found");
        let types: Vec<_> = all_told(site, &reseller.key).await.into_iter().filter(|event| event["resource"]["type"] == "price_list").map(|event| event["type"].clone()).collect();
        assert_eq!(types, ["price_list.created", "price_list.updated", "price_list.deleted"]);
    }

    async fn of_two_who_set_prices_at_once_the_second_is_told_of_the_first(site: With::no_workers()) {
        let Channel { plan, .. } = Channel::new(site).await;
        let by = &site.operator_key;
        let id = list(site, by, json!({})).await;
        let tag = site.get(&format!("/v1/price_lists/{id}")).key(by).send().await.is(200).header("etag").unwrap().to_owned();
        let place = format!("/v1/price_lists/{id}/prices/{plan}");
        let price = fixed(json!([{"from": 1, "amount": 5}]), 0, 0);
        site.put(&place).key(by).json(price.clone()).send().await.refused(428, "precondition_required");
        let one = site.put(&place).key(by).header("If-Match", &tag).json(price.clone()).send().await.is(200);
        site.put(&place).key(by).header("If-Match", &tag).json(price.clone()).send().await.refused(412, "precondition_failed");
        site.put(&place).key(by).header("If-Match", one.header("etag").unwrap()).json(price).send().await.is(200);
    }

    async fn a_price_that_cannot_be_is_refused_at_its_place(site: With::no_workers()) {
        let Channel { distributor, plan, .. } = Channel::new(site).await;
        let by = &site.operator_key;
        let id = list(site, by, json!({})).await;
        let tier = |from: i64| json!({"from": from, "amount": 1});
        let components = json!({"kind": "fixed", "components": {"seat": {"tiers": [tier(2), tier(1)]}, "a/b": {"tiers": [tier(1)]}, "setup": {"tiers": [tier(1), tier(5), tier(5)]}}});
        let refused = set(site, by, &id, &plan, json!({"rule": components})).send().await.refused(422, "validation_failed");
        let expected = [
            ("/rule/components", "missing_component"),
            ("/rule/components/a~1b", "unknown_component"),
            ("/rule/components/seat/tiers", "tiers"),
            ("/rule/components/setup/tiers", "tiers"),
        ];
        assert_eq!(refused.faults(), expected.map(|(place, code)| (place.to_owned(), code.to_owned())));
        let faults = async |rule: Value| {
            let refused = set(site, by, &id, &plan, json!({"rule": rule})).send().await.refused(422, "validation_failed");
            refused.body["errors"].clone()
        };
        let known = "must be one of taken_over, marked_up, discounted, fixed, unlisted, withheld";
        assert_eq!(faults(json!({"kind": "gift"})).await, json!([{"pointer": "/rule/kind", "code": "not_allowed", "detail": known}]));
        for (rule, places) in [
            (json!({"kind": "fixed"}), vec!["/rule/components"]),
            (json!({"kind": "marked_up", "percent": 10}), vec!["/rule/basis_points", "/rule/percent"]),
        ] {
            let errors = faults(rule).await;
            let mut told: Vec<_> = errors.as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
            told.sort_unstable();
            assert_eq!(told, places);
        }
        for rule in [json!({"kind": "marked_up"}), json!({"kind": "discounted", "basis_points": 10_001}), json!({"kind": "withheld", "basis_points": 1}), json!({"kind": "fixed", "components": {"seat": {"tiers": [{"from": 1, "amount": 0.5}]}}})] {
            set(site, by, &id, &plan, json!({"rule": rule})).send().await.refused(422, "validation_failed");
        }
        set(site, by, &id, "pln_01jq3v8z0kf5n9d2t7x4m6c1ab", json!({"rule": {"kind": "withheld"}})).send().await.refused(404, "not_found");
        // Nobody pays in two currencies without saying how they compare.
        set(site, by, &id, &plan, fixed(json!([tier(1)]), 1, 1)).send().await.is(200);
        let dollars = list(site, &distributor.key, json!({"currency": "USD"})).await;
        let taken_over = json!({"rule": {"kind": "taken_over"}});
        let refused = set(site, &distributor.key, &dollars, &plan, taken_over.clone()).send().await.refused(422, "validation_failed");
        assert_eq!(refused.faults(), [("/rule".into(), "no_exchange_rate".into())]);
        let rate = json!({"exchange_rate": "2"});
        site.patch(&format!("/v1/price_lists/{dollars}")).key(&distributor.key).json(rate).send().await.is(200);
        set(site, &distributor.key, &dollars, &plan, taken_over).send().await.is(200);
        for rate in ["0", "0.0", "1.0000001", "01", "1,5", "-1"] {
            let asked = json!({"name": "n", "currency": "EUR", "exchange_rate": rate});
            site.post("/v1/price_lists").key(&distributor.key).json(asked).send().await.refused(422, "validation_failed");
        }
    }

    async fn who_sells_nothing_and_who_is_no_customer_has_no_list(site: With::no_workers()) {
        let Channel { world, reseller, sub, tenant, plan, .. } = Channel::new(site).await;
        let ask = |by: &str, more: Value| {
            let mut body = json!({"name": "List", "currency": "EUR"});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            site.post("/v1/price_lists").key(by).json(body).send()
        };
        ask(&tenant.key, json!({})).await.refused(403, "insufficient_scope");
        let acting = json!({"name": "List", "currency": "EUR"});
        let refused = site.post("/v1/price_lists").key(&sub.key).acting_for(&tenant.id).json(acting).send().await;
        assert_eq!(refused.refused(422, "validation_failed").faults(), [(String::new(), "not_a_seller".into())]);
        for nobody in [&tenant.id, &reseller.id, "acc_01jq3v8z0kf5n9d2t7x4m6c1ab"] {
            let refused = ask(&reseller.key, json!({"buyer_id": nobody})).await.refused(422, "validation_failed");
            assert_eq!(refused.faults(), [("/buyer_id".into(), "not_found".into())]);
        }
        for not_paid_in in ["XAU", "HRK"] {
            ask(&reseller.key, json!({"currency": not_paid_in})).await.refused(422, "validation_failed");
        }
        // Nor can what somebody beside sells.
        let beside = site.account(&site.operator_key, "reseller", "Beside").await;
        let terms = json!({"virtual_server_id": world.virtual_server, "services": [{"type": "mail"}], "quotas": []});
        let theirs = json!({"code": "theirs", "name": "Theirs", "terms": terms});
        let theirs = site.post("/v1/plans").key(&beside.key).json(theirs).send().await.is(201).id();
        let own = list(site, &sub.key, json!({})).await;
        set(site, &sub.key, &own, &theirs, json!({"rule": {"kind": "withheld"}})).send().await.refused(404, "not_found");
        // A plan that is not sold to the account cannot be sold on, unless it is its own.
        let archived = site.post(&format!("/v1/plans/{plan}/pause")).key(&site.operator_key);
        archived.send().await.is(200);
        let id = list(site, &reseller.key, json!({})).await;
        set(site, &reseller.key, &id, &plan, json!({"rule": {"kind": "withheld"}})).send().await.refused(404, "not_found");
        let root = list(site, &site.operator_key, json!({})).await;
        set(site, &site.operator_key, &root, &plan, json!({"rule": {"kind": "withheld"}})).send().await.is(200);
    }

    async fn a_price_that_has_become_impossible_sells_nothing(site: With::no_workers()) {
        let Channel { world, distributor, reseller, plan, .. } = Channel::new(site).await;
        let by = &site.operator_key;
        let root = list(site, by, json!({})).await;
        let own = list(site, &distributor.key, json!({"adjustment": {"kind": "marked_up", "basis_points": 100_000}})).await;
        let price = |amount: i64| fixed(json!([{"from": 1, "amount": amount}]), 0, 0);
        set(site, by, &root, &plan, price(90_909_090_909)).send().await.is(200);
        assert!(pays(site, &reseller.key, None, &plan).await.is_some());
        set(site, by, &root, &plan, price(90_909_090_910)).send().await.is(200);
        assert_eq!(pays(site, &reseller.key, None, &plan).await, None, "more than a price can be");
        // A new version charges something more, for which the seller has no price yet.
        set(site, &distributor.key, &own, &plan, price(1)).send().await.is(200);
        assert!(pays(site, &reseller.key, None, &plan).await.is_some());
        let terms = json!({"terms": {"virtual_server_id": world.virtual_server, "services": [{"type": "mail"}], "quotas": [], "components": [{"code": "seat", "name": "Mailbox", "billing": "per_seat"}, {"code": "support", "name": "Support", "billing": "fixed"}]}});
        site.post(&format!("/v1/plans/{plan}/versions")).anyway().key(by).json(terms).send().await.is(200);
        for by in [&distributor.key, &reseller.key] {
            assert_eq!(pays(site, by, None, &plan).await, None);
        }
    }

    async fn what_a_plan_charges_is_checked_with_its_terms(site: With::no_workers()) {
        let world = site.world().await;
        let components = json!([
            {"code": "a", "name": "A", "billing": "fixed", "measures": "mail.mailboxes"},
            {"code": "a", "name": "A", "billing": "per_seat", "per": 2},
            {"code": "b", "name": "B", "billing": "usage"},
            {"code": "c", "name": "C", "billing": "usage", "measures": "web.sites"},
        ]);
        let terms = json!({"virtual_server_id": world.virtual_server, "services": [{"type": "mail"}], "quotas": [], "components": components});
        let asked = json!({"code": "odd", "name": "Odd", "terms": terms});
        let refused = site.post("/v1/plans").key(&site.operator_key).json(asked).send().await.refused(422, "validation_failed");
        let expected = [
            ("/terms/components/0/measures", "not_applicable"),
            ("/terms/components/1/code", "duplicate"),
            ("/terms/components/1/per", "not_applicable"),
            ("/terms/components/2/measures", "missing"),
            ("/terms/components/3/measures", "not_used"),
        ];
        assert_eq!(refused.faults(), expected.map(|(place, code)| (place.to_owned(), code.to_owned())));
        let plan = seats(site, &world.virtual_server, "seats").await;
        let seen = site.get(&format!("/v1/plans/{plan}")).key(&world.tenant.key).send().await.is(200);
        assert_eq!(seen.body["billing_period"], json!({"unit": "month", "count": 1}));
        assert_eq!(seen.body["components"][2], json!({"code": "storage", "name": "Storage", "billing": "usage", "measures": "mail.storage_mb", "per": 1024}));
    }
}
