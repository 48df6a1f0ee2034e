//! What a change in the middle of a billing period comes to.

use tenantry::model::Time;

use super::prices::{Channel, fixed, list, set};
use super::subscriptions::{call, plan, read, subscribed};
use super::*;

/// So much of an amount as is left of the period, in whole minor units, halves up.
fn left(amount: i128, period: &Value, now: Time) -> Value {
    let at = |member: &str| i128::from(period[member].as_str().unwrap().parse::<Time>().unwrap().as_micros());
    let (start, end, now) = (at("starts_at"), at("ends_at"), i128::from(now.as_micros()));
    let share = (2 * amount * (end - now) + (end - start)) / (2 * (end - start));
    json!({"amount": {"amount": i64::try_from(share).unwrap(), "currency": "EUR"}, "period": {"starts_at": json!(Time::from_micros(i64::try_from(now).unwrap()).unwrap()), "ends_at": period["ends_at"]}})
}

on_both_servers! {
    /// C.5, C.7
    async fn a_change_is_prorated_for_what_is_left_of_the_period_as_it_was_quoted(site: With::clock()) {
        let Channel { world, sub, tenant, plan: seats, .. } = Channel::new(site).await;
        let own = list(site, &sub.key, json!({})).await;
        set(site, &sub.key, &own, &seats, fixed(json!([{"from": 1, "amount": 601}]), 1_000, 7)).send().await.is(200);
        let yearly = plan(site, &world, "yearly", json!({"billing_period": {"unit": "year"}, "quotas": [],
            "components": [{"code": "all", "name": "Everything", "billing": "fixed"}]})).await;
        let flat = json!({"rule": {"kind": "fixed", "components": {"all": {"tiers": [{"from": 1, "amount": 9_900}]}}}});
        set(site, &sub.key, &own, &yearly, flat).send().await.is(200);
        let (id, _) = subscribed(site, &tenant.key, "seats").await;
        let period = read(site, &id).await["current_period"].clone();
        site.clock.advance(Duration::from_secs(10 * 24 * 60 * 60 + 7));

        let now = site.clock.now();
        let prorated = json!({"credit": left(2 * 601, &period, now), "charge": left(5 * 601, &period, now)});
        let items = json!({"items": [{"action": "change", "subscription_id": id, "quantity": 5}]});
        let quote = site.post("/v1/quotes").key(&tenant.key).json(items).send().await.is(201);
        assert_eq!(quote.body["items"][0]["proration"], prorated);
        let by_quote = json!({"quantity": 5, "quote_id": quote.id()});
        // An order by it goes by when it is placed.
        site.clock.advance(Duration::from_secs(24 * 60 * 60));
        let now = site.clock.now();
        let prorated = json!({"credit": left(2 * 601, &period, now), "charge": left(5 * 601, &period, now)});
        let tried = call(site, &tenant.key, &id, "change_quantity?dry_run=true").json(by_quote.clone()).send().await.is(201);
        assert_eq!(tried.body["items"][0]["proration"], prorated, "what is tried tells what it would come to");
        let done = call(site, &tenant.key, &id, "change_quantity").json(by_quote).send().await.is(201);
        assert_eq!(done.body["items"][0]["proration"], prorated);

        // A plan with periods of another length begins one, which is charged as a whole.
        site.clock.advance(Duration::from_secs(3 * 24 * 60 * 60));
        let now = site.clock.now();
        let moved = call(site, &tenant.key, &id, "change_plan").json(json!({"plan": "yearly"})).send().await.is(201);
        let runs = read(site, &id).await["current_period"].clone();
        assert_eq!(runs["starts_at"], json!(now));
        let whole = json!({"amount": {"amount": 9_900, "currency": "EUR"}, "period": runs});
        assert_eq!(moved.body["items"][0]["proration"], json!({"credit": left(5 * 601, &period, now), "charge": whole}));
    }

    async fn nothing_is_prorated_of_what_is_not_charged(site: With::clock()) {
        let Channel { world, tenant, .. } = Channel::new(site).await;
        plan(site, &world, "tried", json!({"trial": {"unit": "week"}})).await;
        for code in ["tried", "hosted-mail"] {
            let (id, _) = subscribed(site, &tenant.key, code).await;
            let done = call(site, &tenant.key, &id, "change_quantity").json(json!({"quantity": 5})).send().await.is(201);
            assert_eq!(done.body["items"][0]["proration"], Value::Null, "{code}");
        }
    }
}
