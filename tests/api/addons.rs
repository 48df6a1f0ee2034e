//! What is sold beside plans, and what it makes of a subscription.

use tenantry::model::Time;

use super::prices::{Channel, amounts, list, set};
use super::quotas::taken;
use super::subscriptions::{call, plan, read};
use super::*;

/// An add-on of the account's for mailboxes, charged by the piece and once for setting it up.
pub async fn more_mailboxes(site: &Site, by: &str, code: &str, more: Value) -> String {
    let mut terms = json!({"quotas": [{"key": "mail.mailboxes", "per_unit": 5}], "components": [
        {"code": "pack", "name": "Five mailboxes", "billing": "per_seat"},
        {"code": "setup", "name": "Set-up", "billing": "one_time"},
    ]});
    terms.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let asked = json!({"code": code, "name": format!("The {code}"), "terms": terms});
    site.post("/v1/addons").key(by).json(asked).send().await.is(201).id()
}

/// Fixed prices for the add-on of [`more_mailboxes`].
pub fn costs(pack: i64, setup: i64) -> Value {
    let flat = |amount: i64| json!({"tiers": [{"from": 1, "amount": amount}]});
    json!({"rule": {"kind": "fixed", "components": {"pack": flat(pack), "setup": flat(setup)}}})
}

fn plus(addon: &str, quantity: i64) -> Value {
    json!([{"addon": addon, "quantity": quantity}])
}

/// An order of the plan with something beside it.
fn beside(plan: &str, quantity: i64, addons: Value) -> Value {
    json!({"items": [{"action": "add", "plan": plan, "quantity": quantity, "addons": addons}]})
}

async fn ordered(site: &Site, by: &str, asked: Value) -> Answer {
    let done = site.post("/v1/orders").key(by).wait(20).json(asked).send().await.is(201);
    assert_eq!(done.body["status"], "completed", "{}", done.text);
    done
}

async fn refused(call: Call) -> Vec<(String, String)> {
    call.send().await.refused(422, "validation_failed").faults()
}

fn fault(pointer: &str, code: &str) -> Vec<(String, String)> {
    vec![(pointer.to_owned(), code.to_owned())]
}

/// What the account pays for the add-on: none if it is not sold to it.
async fn pays(site: &Site, by: &str, addon: &str) -> Option<Value> {
    let told = site.all(by, "/v1/catalog/addons", 200).await;
    told.into_iter().find(|item| item["id"] == addon).map(|item| item["price"].clone())
}

on_both_servers! {
    /// P4, P7, P8
    async fn an_add_on_raises_a_quota_up_the_tree_and_is_charged_beside_the_plan(site: With::clock()) {
        let Channel { world, tenant, sub, .. } = Channel::new(site).await;
        let root = &site.operator_key;
        let mail = plan(site, &world, "mail-1", json!({"components": [{"code": "seat", "name": "Seat", "billing": "per_seat"}]})).await;
        let pack = more_mailboxes(site, root, "pack", json!({"max_quantity": 3})).await;
        let wholesale = list(site, root, json!({})).await;
        let seat = json!({"rule": {"kind": "fixed", "components": {"seat": {"tiers": [{"from": 1, "amount": 500}]}}}});
        set(site, root, &wholesale, &mail, seat).send().await.is(200);
        set(site, root, &wholesale, &pack, costs(2_000, 300)).send().await.is(200);
        let ceiling = format!("/v1/accounts/{}/quotas/mail.mailboxes", sub.id);
        site.put(&ceiling).anyway().key(root).json(json!({"ceiling": 14})).send().await.is(200);

        let order = ordered(site, &tenant.key, beside("mail-1", 2, plus("pack", 1))).await;
        let item = &order.body["items"][0];
        assert_eq!(item["addons"], plus("pack", 1));
        let lines: Vec<_> = item["charges"]["lines"].as_array().unwrap().iter()
            .map(|line| json!([line["addon"], line["component"], line["quantity"], line["amount"]["amount"]])).collect();
        assert_eq!(lines, [json!([null, "seat", 2, 1_000]), json!(["pack", "pack", 1, 2_000]), json!(["pack", "setup", 1, 300])]);
        assert_eq!((&item["charges"]["recurring"]["amount"], &item["charges"]["once"]["amount"]), (&json!(3_000), &json!(300)));
        let id = order.text_of("/items/0/subscription_id");
        assert_eq!(taken(site, &tenant.key, &id).await.0, 7, "two by the plan and five by the add-on");
        let above = async || site.quota(root, &sub.id, "mail.mailboxes").await.unwrap()["used"].clone();
        assert_eq!(above().await, 7);
        let seen = read(site, &id).await;
        assert_eq!((&seen["addons"][0]["addon"], &seen["addons"][0]["addon_id"], &seen["addons"][0]["quantity"]), (&json!("pack"), &json!(pack), &json!(1)));
        assert_eq!((&seen["charges"]["recurring"]["amount"], &seen["charges"]["once"]["amount"]), (&json!(3_000), &json!(0)));

        // Half a period later it has two of them: setting up is not charged again.
        let begun: Time = seen["current_period"]["starts_at"].as_str().unwrap().parse().unwrap();
        let ends: Time = seen["current_period"]["ends_at"].as_str().unwrap().parse().unwrap();
        site.clock.advance(ends.since(begun) / 2);
        let more = call(site, &tenant.key, &id, "change_addon").json(json!({"addon": pack, "quantity": 2})).send().await.is(201);
        let item = &more.body["items"][0];
        assert_eq!((&item["action"], &item["addons"]), (&json!("change"), &plus("pack", 2)), "by its code, however it was named");
        assert_eq!((&item["charges"]["recurring"]["amount"], &item["charges"]["once"]["amount"]), (&json!(5_000), &json!(0)));
        assert_eq!((&item["proration"]["credit"]["amount"]["amount"], &item["proration"]["charge"]["amount"]["amount"]), (&json!(1_500), &json!(2_500)));
        assert_eq!((taken(site, &tenant.key, &id).await.0, above().await), (12, json!(12)));

        // More than the seller's ceiling leaves is refused whole, and more than the add-on allows at all.
        let third = json!({"addon": "pack", "quantity": 3});
        call(site, &tenant.key, &id, "change_addon").json(third).send().await.refused(409, "quota_exceeded");
        let faults = refused(call(site, &tenant.key, &id, "change_addon").json(json!({"addon": "pack", "quantity": 4}))).await;
        assert_eq!(faults, fault("/quantity", "too_large"));
        assert_eq!(read(site, &id).await["addons"][0]["quantity"], 2);

        // What is in use is not taken away; what is not is given back to those above.
        let service = order.text_of("/items/0/service_ids/0");
        let place = format!("/v1/services/{service}/resources");
        site.post(&place).key(&tenant.key).wait(20).json(json!({"type": "domain", "spec": {"name": "many.example"}})).send().await.is(201);
        for name in ["a", "b", "c"] {
            let asked = json!({"type": "mailbox", "spec": {"address": format!("{name}@many.example"), "quota_mb": 1_000}});
            site.post(&place).key(&tenant.key).wait(20).json(asked).send().await.is(201);
        }
        let none = json!({"addon": "pack", "quantity": 0});
        assert_eq!(refused(call(site, &tenant.key, &id, "change_addon").json(none.clone())).await, fault("", "quota_in_use"));
        let third = site.all(&tenant.key, &place, 100).await.into_iter().find(|it| it["spec"]["address"] == "c@many.example").unwrap();
        site.delete(&format!("/v1/resources/{}", third["id"].as_str().unwrap())).key(&tenant.key).wait(20).send().await;
        until("it is gone", async || site.quota(root, &id, "mail.mailboxes").await.unwrap()["used"] == 2).await;
        let gone = call(site, &tenant.key, &id, "change_addon").json(none.clone()).send().await.is(201);
        assert_eq!(gone.body["items"][0]["addons"], plus("pack", 0));
        assert_eq!((&read(site, &id).await["addons"], above().await), (&json!([]), json!(2)));
        // Once more changes nothing, and what there is not cannot be taken away.
        let before = read(site, &id).await;
        call(site, &tenant.key, &id, "change_addon").json(none).send().await.is(201);
        assert_eq!(read(site, &id).await, before);
        let unknown = json!({"addon": "no-such", "quantity": 0});
        assert_eq!(refused(call(site, &tenant.key, &id, "change_addon").json(unknown)).await, fault("/addon", "addon_not_applicable"));
        let all = all_told(site, &tenant.key).await;
        let told: Vec<_> = all.iter().filter(|event| event["type"] == "subscription.addons_changed").collect();
        assert_eq!(told[0]["data"]["previous"]["addons"][0]["quantity"], 1);
        assert_eq!(told[0]["data"]["object"]["addons"][0]["quantity"], 2);
    }

    /// P4: also of what the plan gives nothing of.
    async fn a_full_subscription_is_told_of_the_add_ons_that_make_room_and_each_does_as_it_is_sent(site: With::workers()) {
        let Channel { world, tenant, reseller, .. } = Channel::new(site).await;
        let (root, key) = (&site.operator_key, &tenant.key);
        let terms = json!({"virtual_server_id": world.virtual_server, "services": [{"type": "mail"}],
            "quotas": [{"key": "mail.mailboxes", "included": 1}, {"key": "mail.storage_mb", "included": 500_000}], "max_quantity": 1});
        site.post("/v1/plans").key(root).json(json!({"code": "small", "name": "Small", "terms": terms})).send().await.is(201);
        let pack = more_mailboxes(site, root, "pack", json!({})).await;
        let domains = json!({"code": "domains", "name": "Domains", "terms": {"quotas": [{"key": "mail.domains", "per_unit": 2}]}});
        site.post("/v1/addons").key(root).json(domains).send().await.is(201);
        let order = ordered(site, key, beside("small", 1, json!([]))).await;
        let place = format!("/v1/services/{}/resources", order.text_of("/items/0/service_ids/0"));
        let domain = |name: &str| site.post(&place).key(key).wait(20).json(json!({"type": "domain", "spec": {"name": name}}));
        let box_of = |name: &str| site.post(&place).key(key).wait(20).json(mailbox(&format!("{name}@first.example")));
        let follow = async |refused: Answer| {
            let remedies = refused.refused(409, "quota_exceeded").body["remedies"].clone();
            assert_eq!(remedies.as_array().unwrap().len(), 1, "{remedies}");
            let remedy = &remedies[0];
            assert_eq!((&remedy["method"], &remedy["path"]), (&json!("POST"), &json!("/v1/orders")));
            site.post("/v1/orders").key(key).json(remedy["body"].clone()).send().await.is(201);
            remedy["body"]["items"][0]["addons"].clone()
        };
        // The plan gives no domain at all.
        let none = domain("first.example").send().await;
        assert_eq!(none.body["violations"][0]["available"], 0);
        assert_eq!(follow(none).await, plus("domains", 1));
        domain("first.example").send().await.is(201);
        domain("second.example").send().await.is(201);
        assert_eq!(follow(domain("third.example").send().await).await, plus("domains", 2), "more of what it has");
        box_of("a").send().await.is(201);
        assert_eq!(follow(box_of("b").send().await).await, plus("pack", 1));
        box_of("b").send().await.is(201);
        // None that does not suffice, nor one that is not sold to the account.
        for name in ["c", "d", "e", "f"] {
            box_of(name).send().await.is(201);
        }
        let retail = list(site, &reseller.key, json!({})).await;
        set(site, &reseller.key, &retail, &pack, json!({"rule": {"kind": "withheld"}})).send().await.is(200);
        assert_eq!(follow(box_of("g").send().await).await, plus("pack", 2), "it has it, and keeps it");
        let other = ordered(site, key, beside("small", 1, plus("domains", 1))).await;
        let place = format!("/v1/services/{}/resources", other.text_of("/items/0/service_ids/0"));
        let make = async |asked: Value| site.post(&place).key(key).wait(20).json(asked).send().await;
        make(json!({"type": "domain", "spec": {"name": "other.example"}})).await.is(201);
        make(mailbox("a@other.example")).await.is(201);
        assert_eq!(make(mailbox("b@other.example")).await.refused(409, "quota_exceeded").body["remedies"], json!([]));
    }

    /// P7: what is had is had, whatever lists and the add-on itself come to say.
    async fn an_add_ons_price_goes_down_the_tree_and_stays_as_it_was_ordered(site: With::workers()) {
        let Channel { world, distributor, reseller, sub, tenant, .. } = Channel::new(site).await;
        let root = &site.operator_key;
        plan(site, &world, "mail-1", json!({})).await;
        let pack = more_mailboxes(site, root, "pack", json!({})).await;
        assert_eq!(pays(site, &tenant.key, &pack).await, Some(Value::Null), "nobody has said a price");
        let wholesale = list(site, root, json!({})).await;
        let faults = refused(set(site, root, &wholesale, &pack, json!({"rule": {"kind": "fixed", "components": {"pack": {"tiers": [{"from": 1, "amount": 1}]}}}}))).await;
        assert_eq!(faults, fault("/rule/components", "missing_component"));
        let entry = set(site, root, &wholesale, &pack, costs(1_000, 0)).send().await.is(200);
        assert_eq!(entry.body["item_id"], json!(pack));
        list(site, &distributor.key, json!({"adjustment": {"kind": "marked_up", "basis_points": 1_000}})).await;
        list(site, &sub.key, json!({"currency": "JPY", "exchange_rate": "160", "adjustment": {"kind": "discounted", "basis_points": 5_000}})).await;
        let at = async |party: &Party| amounts(&pays(site, &party.key, &pack).await);
        assert_eq!(at(&distributor).await, ("EUR".into(), vec![vec![1_000], vec![0]]));
        assert_eq!(at(&reseller).await, ("EUR".into(), vec![vec![1_100], vec![0]]));
        assert_eq!(at(&tenant).await, ("JPY".into(), vec![vec![880], vec![0]]));
        // What is above is not told below.
        let told = site.get(&format!("/v1/addons/{pack}")).key(&tenant.key).send().await.is(200);
        assert_eq!((&told.body["account_id"], &told.body["metadata"]), (&Value::Null, &json!({})));
        site.patch(&format!("/v1/addons/{pack}")).anyway().key(&sub.key).json(json!({"name": "Mine"})).send().await.refused(404, "not_found");

        let order = ordered(site, &tenant.key, beside("mail-1", 1, plus("pack", 1))).await;
        let id = order.text_of("/items/0/subscription_id");
        set(site, root, &wholesale, &pack, costs(9_000, 0)).send().await.is(200);
        let renamed = json!({"name": "Smaller", "terms": {"quotas": [{"key": "mail.mailboxes", "per_unit": 1}], "components": [
            {"code": "pack", "name": "One mailbox", "billing": "per_seat"}, {"code": "setup", "name": "Set-up", "billing": "one_time"}]}});
        let changed = site.patch(&format!("/v1/addons/{pack}")).anyway().key(root).json(renamed).send().await.is(200);
        assert_eq!(changed.body["quotas"][0]["per_unit"], 1);
        site.patch(&format!("/v1/addons/{pack}")).anyway().key(root).json(json!({"status": "archived"})).send().await.is(200);
        assert_eq!(pays(site, &tenant.key, &pack).await, None);
        let more = call(site, &tenant.key, &id, "change_addon").json(json!({"addon": "pack", "quantity": 2})).send().await.is(201);
        assert_eq!(more.body["items"][0]["charges"]["recurring"], json!({"amount": 1_760, "currency": "JPY"}));
        assert_eq!(taken(site, &tenant.key, &id).await.0, 11);
        assert_eq!(amounts(&Some(read(site, &id).await["addons"][0]["price"].clone())), ("JPY".into(), vec![vec![880], vec![0]]));
        let faults = refused(site.post("/v1/orders").key(&tenant.key).json(beside("mail-1", 1, plus("pack", 1)))).await;
        assert_eq!(faults, fault("/items/0/addons/0/addon", "addon_not_applicable"));
        let last = json!({"name": "Again"});
        site.patch(&format!("/v1/addons/{pack}")).anyway().key(root).json(last).send().await.refused(409, "state_conflict");
    }

    async fn an_add_on_goes_with_the_plans_that_it_is_for_and_a_move_takes_it_along_or_leaves_it(site: With::workers()) {
        let Channel { world, tenant, sub, .. } = Channel::new(site).await;
        let (root, key) = (&site.operator_key, &tenant.key);
        let one = plan(site, &world, "one", json!({})).await;
        let two = plan(site, &world, "two", json!({})).await;
        plan(site, &world, "yearly", json!({"billing_period": {"unit": "year"}})).await;
        let free = more_mailboxes(site, root, "free", json!({})).await;
        more_mailboxes(site, root, "of-one", json!({"plan_ids": [one]})).await;
        let zones = json!({"code": "zones", "name": "Zones", "terms": {"quotas": [{"key": "dns.zones", "per_unit": 1}]}});
        site.post("/v1/addons").key(root).json(zones).send().await.is(201);
        let order = async |plan: &str, addon: &str| {
            let call = site.post("/v1/orders").key(key).json(beside(plan, 1, json!([{"addon": "free", "quantity": 0}, {"addon": addon, "quantity": 1}])));
            refused(call).await
        };
        for (plan, addon) in [("two", "of-one"), ("yearly", "free"), ("one", "zones"), ("one", "no-such")] {
            let expected = match addon {
                "free" => fault("/items/0/addons/1/addon", "duplicate"),
                _ => fault("/items/0/addons/1/addon", "addon_not_applicable"),
            };
            assert_eq!(order(plan, addon).await, expected, "{plan} {addon}");
        }
        let yearly = site.post("/v1/orders").key(key).json(beside("yearly", 1, plus("free", 1)));
        assert_eq!(refused(yearly).await, fault("/items/0/addons/0/addon", "addon_not_applicable"));

        let both = json!([{"addon": free, "quantity": 1}, {"addon": "of-one", "quantity": 1}]);
        let done = ordered(site, key, beside(&one, 1, both)).await;
        let id = done.text_of("/items/0/subscription_id");
        let moved = |more: Value| {
            let mut body = json!({"plan": two});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            call(site, key, &id, "change_plan").json(body)
        };
        let refusal = moved(json!({})).send().await.refused(422, "validation_failed");
        assert_eq!(refusal.faults(), fault("/plan", "addon_not_applicable"));
        assert!(refusal.text.contains("of-one"), "{}", refusal.text);
        let away = moved(json!({"addons": plus("of-one", 0)})).send().await.is(201);
        assert_eq!(away.body["items"][0]["plan"], "two");
        let seen = read(site, &id).await;
        assert_eq!((&seen["plan"], &seen["addons"][0]["addon"], &seen["addons"][1]), (&json!("two"), &json!("free"), &Value::Null));
        assert_eq!(taken(site, key, &id).await.0, 6);

        // One subscription is charged in one currency.
        let yen = list(site, &sub.key, json!({"currency": "JPY"})).await;
        set(site, &sub.key, &yen, &free, costs(100, 0)).send().await.is(200);
        let priced = ordered(site, key, beside("two", 1, plus("free", 1))).await;
        let priced = priced.text_of("/items/0/subscription_id");
        site.delete(&format!("/v1/price_lists/{yen}")).anyway().key(&sub.key).send().await.is(204);
        let euro = list(site, &sub.key, json!({})).await;
        let dear = more_mailboxes(site, root, "dear", json!({})).await;
        set(site, &sub.key, &euro, &dear, costs(100, 0)).send().await.is(200);
        let other = call(site, key, &priced, "change_addon").json(json!({"addon": "dear", "quantity": 1}));
        assert_eq!(refused(other).await, fault("/addon", "other_currency"));
    }

    async fn a_quote_holds_the_add_ons_of_then_and_an_order_of_others_is_not_what_was_quoted(site: With::workers()) {
        let Channel { world, tenant, sub, .. } = Channel::new(site).await;
        let (root, key) = (&site.operator_key, &tenant.key);
        plan(site, &world, "mail-1", json!({})).await;
        let pack = more_mailboxes(site, root, "pack", json!({})).await;
        let retail = list(site, &sub.key, json!({})).await;
        set(site, &sub.key, &retail, &pack, costs(700, 100)).send().await.is(200);
        let items = |addon: &str, quantity: i64| beside("mail-1", 1, plus(addon, quantity))["items"].clone();
        let quote = site.post("/v1/quotes").key(key).json(json!({"items": items("pack", 2)})).send().await.is(201);
        assert_eq!(quote.body["items"][0]["addons"], plus("pack", 2));
        assert_eq!(quote.body["items"][0]["charges"]["recurring"]["amount"], 1_400);
        set(site, &sub.key, &retail, &pack, costs(9_000, 100)).send().await.is(200);
        let by = |items: Value| site.post("/v1/orders").key(key).wait(20).json(json!({"quote_id": quote.id(), "items": items}));
        for other in [items("pack", 1), beside("mail-1", 1, json!([]))["items"].clone()] {
            assert_eq!(refused(by(other)).await, fault("/items/0", "differs_from_quote"));
        }
        let order = by(items(&pack, 2)).send().await.is(201);
        assert_eq!(order.body["items"][0]["charges"], quote.body["items"][0]["charges"]);
        // A change is quoted as what the subscription comes to have.
        let id = order.text_of("/items/0/subscription_id");
        let change = json!([{"action": "change", "subscription_id": id, "addons": plus("pack", 3)}]);
        let quote = site.post("/v1/quotes").key(key).json(json!({"items": change})).send().await.is(201);
        assert_eq!(quote.body["items"][0]["charges"]["recurring"]["amount"], 2_100);
        let told = json!({"addon": "pack", "quantity": 3, "quote_id": quote.id()});
        call(site, key, &id, "change_addon").json(json!({"addon": "pack", "quantity": 1})).send().await.is(201);
        let done = call(site, key, &id, "change_addon").json(told).send().await.is(201);
        assert_eq!(done.body["items"][0]["charges"], quote.body["items"][0]["charges"]);
    }

    async fn what_is_wrong_with_an_add_on_is_told_member_by_member(site: With::no_workers()) {
        let root = &site.operator_key;
        let wrong = json!({"code": "wrong", "name": "Wrong", "terms": {
            "quotas": [{"key": "mail.mailboxes", "per_unit": 1}, {"key": "mail.mailboxes", "per_unit": 2}],
            "components": [{"code": "used", "name": "Used", "billing": "usage", "measures": "mail.mailboxes"}],
            "plan_ids": ["pln_01jq3v8z0kf5n9d2t7x4m6c1ab"],
        }});
        let mut faults = refused(site.post("/v1/addons").key(root).json(wrong)).await;
        faults.sort();
        let expected = [("/terms/components/0/billing", "not_applicable"), ("/terms/plan_ids/0", "not_found"), ("/terms/quotas/1/key", "duplicate")];
        assert_eq!(faults, expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned())));
        let none = json!({"code": "none", "name": "None", "terms": {"quotas": []}});
        assert_eq!(refused(site.post("/v1/addons").key(root).json(none)).await.len(), 1);
        more_mailboxes(site, root, "pack", json!({})).await;
        let again = json!({"code": "pack", "name": "Again", "terms": {"quotas": [{"key": "dns.zones", "per_unit": 1}]}});
        site.post("/v1/addons").key(root).json(again).send().await.refused(409, "name_taken");
    }
}
