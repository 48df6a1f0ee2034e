//! A customer's whole life in the channel, by calls alone, from the first price to the end of its lease.

use super::prices::{Channel, amounts, list, pays, set};
use super::quotas::taken;
use super::signups::{token, unknown, verify};
use super::subscriptions::{DAY, call, plan, read};
use super::*;

const SHOP: &str = "https://shop.example";

/// A list of the account's, and what it says of the plan and the add-on.
async fn sells(site: &Site, by: &str, asked: Value, said: &[(&str, Value)]) {
    let list = list(site, by, asked).await;
    for (item, rule) in said {
        set(site, by, &list, item, json!({"rule": rule})).send().await.is(200);
    }
}

fn tiered(tiers: &[(i64, i64)]) -> Value {
    let tiers: Vec<_> = tiers.iter().map(|(from, amount)| json!({"from": from, "amount": amount})).collect();
    json!({"kind": "fixed", "components": {"seat": {"tiers": tiers}}})
}

/// Signs a customer up from the shop's page, and tells its account and its subscription.
async fn signs_up(site: &Site, seller: &Party) -> (String, String) {
    let shop = json!({"name": "shop", "origins": [SHOP], "signups_per_hour": 20});
    let page =
        site.post("/v1/storefront_keys").key(&seller.key).json(shop).send().await.is(201).text_at("key");
    let mut wanted = unknown("mail", "Acme");
    wanted["domain"] = json!("acme.example");
    let asked = site.post("/v1/signups").key(&page).header("Origin", SHOP).json(wanted).send().await.is(201);
    let sent = token(site, &seller.key, &asked.id()).await;
    verify(site, &page, &asked.id(), &sent).header("Origin", SHOP).send().await.is(202);
    let seen = site.get(&format!("/v1/signups/{}", asked.id())).key(&seller.key).send().await.is(200);
    let place = format!("/v1/orders/{}", seen.text_at("order_id"));
    let order = async || site.get(&place).key(&seller.key).send().await.is(200);
    until("it is made", async || order().await.body["status"] == "completed").await;
    (seen.text_at("opened_account_id"), order().await.text_of("/items/0/subscription_id"))
}

on_both_servers! {
    /// M2, P1, P3 to P5, P7, P8, S4
    async fn from_the_first_price_over_trial_seats_and_transfer_to_the_end_of_the_lease(site: With::clock()) {
        let Channel { world, distributor, reseller, sub, .. } = Channel::new(site).await;
        let root = &site.operator_key;
        let seat = json!([{"code": "seat", "name": "Mailbox", "billing": "per_seat"}]);
        let half_a_year = json!({"unit": "month", "count": 6});
        let mail = plan(site, &world, "mail", json!({"trial": {"unit": "day", "count": 14}, "lease": half_a_year, "components": seat})).await;
        let small = plan(site, &world, "small", json!({"lease": half_a_year, "components": seat, "max_quantity": 3})).await;
        let pack = json!({"code": "pack", "name": "Five more", "terms": {
            "quotas": [{"key": "mail.mailboxes", "per_unit": 5}, {"key": "mail.storage_mb", "per_unit": 128_000}], "components": seat}});
        let pack = site.post("/v1/addons").key(root).json(pack).send().await.is(201).id();

        // Each on the way makes its own price of what it pays.
        sells(site, root, json!({}), &[(&mail, tiered(&[(1, 500), (250, 400)])), (&small, tiered(&[(1, 300)])), (&pack, tiered(&[(1, 1_000)]))]).await;
        sells(site, &distributor.key, json!({"adjustment": {"kind": "marked_up", "basis_points": 1_000}}), &[]).await;
        sells(site, &reseller.key, json!({"adjustment": {"kind": "marked_up", "basis_points": 2_000}}), &[(&mail, json!({"kind": "discounted", "basis_points": 500}))]).await;
        sells(site, &sub.key, json!({"currency": "CHF", "exchange_rate": "0.95", "adjustment": {"kind": "marked_up", "basis_points": 5_000}}), &[]).await;
        let at = async |by: &Party, whose: Option<&str>, item: &str| amounts(&pays(site, &by.key, whose, item).await);
        assert_eq!(at(&distributor, None, &mail).await, ("EUR".into(), vec![vec![500, 400]]));
        assert_eq!(at(&reseller, None, &mail).await, ("EUR".into(), vec![vec![550, 440]]));
        // 550 less 5 % is 522.5, 440 less 5 % is 418.
        assert_eq!(at(&sub, None, &mail).await, ("EUR".into(), vec![vec![523, 418]]));

        // 523 and 418 by 1.5 and 0.95: 745.275 and 595.65.
        let (account, id) = signs_up(site, &sub).await;
        let customer = site.key(&sub.key, &account, "tenant_admin").await;
        let runs = read(site, &id).await;
        assert_eq!((&runs["status"], &runs["account_id"], &runs["quantity"]), (&json!("trialing"), &json!(account), &json!(1)));
        assert_eq!(amounts(&Some(runs["price"].clone())), ("CHF".into(), vec![vec![745, 596]]));
        let service = site.all(&customer, "/v1/services", 10).await[0]["id"].as_str().unwrap().to_owned();

        site.clock.advance(7 * DAY);
        let converted = call(site, &customer, &id, "convert_trial").send().await.is(200);
        assert_eq!((&converted.body["status"], &converted.body["charges"]["recurring"]), (&json!("active"), &json!({"amount": 745, "currency": "CHF"})));
        // From 250 seats on each of them costs less.
        let many = call(site, &customer, &id, "change_quantity").json(json!({"quantity": 300})).send().await.is(201);
        assert_eq!(many.body["items"][0]["charges"]["recurring"]["amount"], 300 * 596);

        let place = format!("/v1/services/{service}/resources");
        for name in ["a", "b", "c"] {
            site.post(&place).key(&customer).wait(20).json(mailbox(&format!("{name}@acme.example"))).send().await.is(201);
        }
        // Down to less than is in use: what is exceeded is said, and nothing is changed.
        let down = |quantity: i64| call(site, &customer, &id, "change_plan").json(json!({"plan": "small", "quantity": quantity}));
        let refused = down(2).send().await.refused(422, "validation_failed");
        assert_eq!(refused.faults(), [(String::new(), "quota_in_use".into()), (String::new(), "quota_in_use".into())]);
        assert!(refused.text.contains("mail.mailboxes has 3 in use"), "{}", refused.text);
        assert_eq!(read(site, &id).await["plan"], "mail");
        let moved = down(3).send().await.is(201);
        // 300 by 1.1 is 330, by 1.2 is 396, by 1.5 and 0.95 is 564.3.
        assert_eq!(moved.body["items"][0]["charges"]["recurring"]["amount"], 3 * 564);

        // The fourth mailbox: an add-on makes room, ordered as it is told.
        let fourth = || site.post(&place).key(&customer).wait(20).json(mailbox("d@acme.example"));
        let full = fourth().send().await.refused(409, "quota_exceeded");
        let remedies = full.body["remedies"].as_array().unwrap();
        let more = remedies.iter().find(|remedy| remedy["body"]["items"][0]["addons"][0]["addon"] == "pack").expect("an add-on");
        let bought = site.post(more["path"].as_str().unwrap()).key(&customer).json(more["body"].clone()).send().await.is(201);
        // A thousand by 1.1, 1.2 and 1.5 by 0.95.
        assert_eq!(bought.body["items"][0]["charges"]["recurring"]["amount"], 3 * 564 + 1_881);
        assert_eq!(fourth().send().await.is(201).body["operation"]["status"], "succeeded");

        // To another reseller of the same distributor: what it costs stays what it was.
        let other = site.account(&distributor.key, "reseller", "Other").await;
        let elsewhere = site.account(&other.key, "tenant", "Acme elsewhere").await;
        let used = async |party: &str| taken(site, root, party).await.1;
        for seller in [&other.id, &sub.id] {
            let ceiling = format!("/v1/accounts/{seller}/quotas/mail.mailboxes");
            site.put(&ceiling).anyway().key(root).json(json!({"ceiling": 100})).send().await.is(200);
        }
        assert_eq!((used(&sub.id).await, used(&other.id).await), (8, 0));
        let transfer = call(site, &distributor.key, &id, "transfer").json(json!({"account_id": elsewhere.id}));
        assert_eq!(transfer.send().await.is(200).body["charges"], bought.body["items"][0]["charges"]);
        assert_eq!((used(&sub.id).await, used(&other.id).await), (0, 8));
        site.get(&format!("/v1/subscriptions/{id}")).key(&customer).send().await.refused(404, "not_found");

        let cancelled = call(site, &elsewhere.key, &id, "cancel").send().await.is(200);
        assert_eq!((&cancelled.body["status"], &cancelled.body["cancel_at"]), (&json!("cancelling"), &cancelled.body["current_period"]["ends_at"]));
        let back = call(site, &elsewhere.key, &id, "uncancel").send().await.is(200);
        assert_eq!((&back.body["status"], &back.body["cancel_at"]), (&json!("active"), &Value::Null));

        let ends = back.body["expires_at"].as_str().unwrap().parse::<tenantry::model::Time>().unwrap();
        site.clock.advance(ends.since(site.clock.now()));
        until("it has expired", async || read(site, &id).await["status"] == "expired").await;
        holds::settles(site, &service, "suspended").await;
        let told = all_told(site, root).await;
        let of_it = |event: &&Value| event["resource"]["id"] == id.as_str();
        let types: Vec<_> = told.iter().filter(of_it).map(|event| event["type"].as_str().unwrap().trim_start_matches("subscription.").to_owned()).collect();
        let life = ["activated", "converted", "quantity_changed", "plan_changed", "addons_changed", "transferred", "transferred_out", "cancelling", "uncancelled", "expired"];
        assert_eq!(types, life);
    }
}
