//! The course of subscriptions: periods, trials and leases, and changes by calls of their own.

use tenantry::model::Time;

use super::prices::Channel;
use super::*;

pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A plan for mail on these terms.
pub async fn plan(site: &Site, world: &World, code: &str, more: Value) -> String {
    let mut terms = json!({"virtual_server_id": world.virtual_server, "services": [{"type": "mail"}],
        "quotas": [{"key": "mail.mailboxes", "per_unit": 1}, {"key": "mail.storage_mb", "per_unit": 25_600}, {"key": "mail.domains", "included": 1}]});
    terms.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let asked = json!({"code": code, "name": code, "terms": terms});
    site.post("/v1/plans").key(&site.operator_key).json(asked).send().await.is(201).id()
}

/// A subscription to the plan that is there, and its service.
pub async fn subscribed(site: &Site, by: &str, plan: &str) -> (String, String) {
    let done = site.post("/v1/orders").key(by).wait(20).json(add(plan, 2, json!([]))).send().await.is(201);
    assert_eq!(done.body["status"], "completed", "{}", done.text);
    (done.text_of("/items/0/subscription_id"), done.text_of("/items/0/service_ids/0"))
}

pub async fn read(site: &Site, subscription: &str) -> Value {
    site.get(&format!("/v1/subscriptions/{subscription}")).key(&site.operator_key).send().await.is(200).body
}

pub fn call(site: &Site, by: &str, subscription: &str, verb: &str) -> Call {
    site.post(&format!("/v1/subscriptions/{subscription}/{verb}")).key(by).wait(20)
}

/// The types of the events about the subscription, in their order.
pub async fn told(site: &Site, subscription: &str) -> Vec<String> {
    let events = site.all(&site.operator_key, "/v1/events", 100).await;
    let about = events.iter().filter(|event| event["resource"]["id"] == subscription);
    about
        .map(|event| event["type"].as_str().unwrap().trim_start_matches("subscription.").to_owned())
        .collect()
}

/// Has the clock stand so long after a time.
fn turn(site: &Site, to: &Value, later: Duration) {
    let to: Time = to.as_str().unwrap().parse().unwrap();
    site.clock.advance(to.plus(later).since(site.clock.now()));
}

/// Waits until the clock's hand has passed over all that is due now: something was, and has happened.
pub async fn passes(site: &Site, by: &str) {
    let (id, _) = subscribed(site, by, "hosted-mail").await;
    let soon = site.clock.now().plus(Duration::from_micros(1));
    call(site, by, &id, "cancel").json(json!({"at": soon})).send().await.is(200);
    site.clock.advance(Duration::from_micros(1));
    becomes(site, &id, "cancelled").await;
}

async fn becomes(site: &Site, subscription: &str, status: &str) {
    until(&format!("it is {status}"), async || read(site, subscription).await["status"] == status).await;
}

on_both_servers! {
    /// P8, S4
    async fn a_trial_expires_unless_it_is_converted_and_that_is_told_three_days_before(site: With::clock()) {
        let Channel { world, tenant, sub, .. } = Channel::new(site).await;
        plan(site, &world, "tried", json!({"trial": {"unit": "day", "count": 14}})).await;
        let begun = site.clock.now();
        let (first, service) = subscribed(site, &tenant.key, "tried").await;
        let seen = read(site, &first).await;
        assert_eq!((&seen["status"], &seen["trial_ends_at"]), (&json!("trialing"), &json!(begun.plus(14 * DAY))));
        assert_eq!((&seen["current_period"], &seen["access"]), (&Value::Null, &json!("full")));
        // A plan is tried once.
        let (second, _) = subscribed(site, &tenant.key, "tried").await;
        assert_eq!(read(site, &second).await["status"], "active");
        let other = site.account(&sub.key, "tenant", "Another").await;
        let (converted, _) = subscribed(site, &other.key, "tried").await;
        call(site, &sub.key, &converted, "renew").send().await.refused(409, "state_conflict");

        site.clock.advance(11 * DAY - Duration::from_secs(1));
        passes(site, &tenant.key).await;
        until("it is told that it began, and no more", async || told(site, &first).await == ["activated"]).await;
        site.clock.advance(Duration::from_secs(2));
        until("it is told", async || told(site, &first).await == ["activated", "trial_ending"]).await;
        let runs = call(site, &other.key, &converted, "convert_trial").send().await.is(200);
        assert_eq!((&runs.body["status"], &runs.body["current_period"]["starts_at"]), (&json!("active"), &json!(site.clock.now())));
        let again = call(site, &other.key, &converted, "convert_trial").send().await.is(200);
        assert_eq!((again.header("etag"), &again.body), (runs.header("etag"), &runs.body), "converting it again does no harm");

        turn(site, &seen["trial_ends_at"], Duration::from_secs(1));
        becomes(site, &first, "expired").await;
        holds::settles(site, &service, "suspended").await;
        until("it is told", async || told(site, &first).await == ["activated", "trial_ending", "expired"]).await;
        for runs in [&second, &converted] {
            assert_eq!(read(site, runs).await["status"], "active");
        }
        call(site, &tenant.key, &first, "convert_trial").send().await.refused(409, "state_conflict");
        let renewed = call(site, &tenant.key, &first, "renew").send().await.is(200);
        assert_eq!((&renewed.body["status"], &renewed.body["access"]), (&json!("active"), &json!("full")), "it is paid for at last");
    }

    /// P8, S4
    async fn a_lease_expires_unless_it_is_renewed_and_twice_for_the_same_time_is_once(site: With::clock()) {
        let world = site.world().await;
        let (by, billing) = (&world.tenant.key, site.key(&site.operator_key, &world.reseller.id, "billing_system").await);
        plan(site, &world, "leased", json!({"lease": {"unit": "month"}})).await;
        let begun = site.clock.now();
        let (leased, service) = subscribed(site, by, "leased").await;
        let seen = read(site, &leased).await;
        assert_eq!(seen["expires_at"], seen["current_period"]["ends_at"]);
        let through = json!({"through": begun.plus(70 * DAY)});
        let renewed = call(site, &billing, &leased, "renew").json(through.clone()).send().await.is(200);
        assert_eq!(renewed.body["expires_at"], through["through"]);
        let again = call(site, &billing, &leased, "renew").json(through.clone()).send().await.is(200);
        assert_eq!(again.header("etag"), renewed.header("etag"));
        let earlier = json!({"through": begun.plus(DAY)});
        assert_eq!(call(site, &billing, &leased, "renew").json(earlier).send().await.is(200).body["expires_at"], through["through"]);

        site.clock.advance(67 * DAY + Duration::from_secs(1));
        until("it is told", async || told(site, &leased).await == ["activated", "renewed", "expiring"]).await;
        site.clock.advance(3 * DAY);
        becomes(site, &leased, "expired").await;
        holds::settles(site, &service, "suspended").await;
        let past = json!({"through": begun});
        let refused = call(site, &billing, &leased, "renew").json(past).send().await.refused(422, "validation_failed");
        assert_eq!(refused.faults(), [("/through".into(), "too_early".into())]);
        let runs = call(site, &billing, &leased, "renew").send().await.is(200);
        assert_eq!((&runs.body["status"], &runs.body["access"]), (&json!("active"), &json!("full")));
        assert_eq!(runs.body["expires_at"], runs.body["current_period"]["ends_at"], "for its length from now on");
        let all = ["activated", "renewed", "expiring", "expired", "renewed"];
        until("it is told", async || told(site, &leased).await == all).await;
        // What runs until it is cancelled is renewed by every invoice that is paid, and that changes nothing.
        let (plain, _) = subscribed(site, by, "hosted-mail").await;
        let before = read(site, &plain).await;
        call(site, &billing, &plain, "renew").json(through).send().await.is(200);
        assert_eq!(read(site, &plain).await, before);
    }

    /// P8: a plan is tried once, and only as itself.
    async fn a_trial_is_of_its_plan_and_is_not_had_again_by_way_of_another(site: With::workers()) {
        let world = site.world().await;
        let by = &world.tenant.key;
        let week = json!({"trial": {"unit": "week"}});
        for (code, terms) in [("first", &week), ("second", &week), ("dear", &json!({}))] {
            plan(site, &world, code, terms.clone()).await;
        }
        let (id, _) = subscribed(site, by, "first").await;
        let refused = call(site, by, &id, "change_plan").json(json!({"plan": "dear"})).send().await.refused(409, "state_conflict");
        assert_eq!(refused.body["allowed_actions"], json!(["convert_trial"]));
        call(site, by, &id, "change_plan").json(json!({"plan": "second"})).send().await.is(201);
        assert_eq!(read(site, &id).await["status"], "trialing");
        for (code, status) in [("first", "active"), ("second", "trialing"), ("second", "active")] {
            let (id, _) = subscribed(site, by, code).await;
            assert_eq!(read(site, &id).await["status"], status, "{code}");
        }
    }

    async fn a_lease_is_that_of_the_plan_and_never_less_than_was_paid_for(site: With::clock()) {
        let world = site.world().await;
        let by = &world.tenant.key;
        for (code, terms) in [("monthly", json!({"lease": {"unit": "month"}})), ("yearly", json!({"lease": {"unit": "year"}})), ("open", json!({}))] {
            plan(site, &world, code, terms).await;
        }
        let (id, _) = subscribed(site, by, "monthly").await;
        let moved = async |plan: &str| {
            call(site, by, &id, "change_plan").json(json!({"plan": plan})).send().await.is(201);
            read(site, &id).await["expires_at"].clone()
        };
        site.clock.advance(DAY);
        let year = moved("yearly").await;
        assert!(year.as_str().unwrap().parse::<Time>().unwrap() >= site.clock.now().plus(365 * DAY), "{year}");
        assert_eq!(moved("monthly").await, year);
        assert_eq!(moved("open").await, Value::Null);
        assert_ne!(moved("monthly").await, Value::Null);
        // Until when it is paid for is not for the customer to say, and nothing is paid for that is to end.
        let far = json!({"through": site.clock.now().plus(3_650 * DAY)});
        let refused = call(site, by, &id, "renew").json(far.clone()).send().await.refused(422, "validation_failed");
        assert_eq!(refused.faults(), [("/through".into(), "not_applicable".into())]);
        call(site, by, &id, "cancel").send().await.is(200);
        let refused = call(site, &world.reseller.key, &id, "renew").json(far).send().await.refused(409, "state_conflict");
        assert_eq!(refused.body["allowed_actions"], json!(["uncancel"]));
    }

    async fn billing_periods_follow_one_another_and_begin_anew_with_a_plan_of_another_length(site: With::clock()) {
        let world = site.world().await;
        plan(site, &world, "monthly", json!({})).await;
        plan(site, &world, "yearly", json!({"billing_period": {"unit": "year"}})).await;
        let (id, _) = subscribed(site, &world.tenant.key, "monthly").await;
        let first = read(site, &id).await;
        let etag = async || site.get(&format!("/v1/subscriptions/{id}")).key(&site.operator_key).send().await.header("etag").unwrap().to_owned();
        let tag = etag().await;
        turn(site, &first["current_period"]["ends_at"], Duration::ZERO);
        let second = read(site, &id).await;
        assert_eq!(second["current_period"]["starts_at"], first["current_period"]["ends_at"]);
        assert_ne!(etag().await, tag, "nothing shown is stale");
        site.clock.advance(DAY);
        call(site, &world.tenant.key, &id, "change_quantity").json(json!({"quantity": 3})).send().await.is(201);
        assert_eq!(read(site, &id).await["current_period"], second["current_period"], "the same plan, the same periods");
        call(site, &world.tenant.key, &id, "change_plan").json(json!({"plan": "yearly"})).send().await.is(201);
        let moved = read(site, &id).await;
        assert_eq!(moved["current_period"]["starts_at"], json!(site.clock.now()));
        assert_eq!(moved["billing_period"], json!({"unit": "year", "count": 1}));
    }

    async fn a_change_by_a_call_of_its_own_is_an_order_of_one_item(site: With::workers()) {
        let world = site.world().await;
        let ordered = site.ordered(&world.tenant, "acme.example", 2).await;
        plan(site, &world, "mail-alone", json!({})).await;
        let by = &world.tenant.key;
        let done = call(site, &world.reseller.key, &ordered.subscription, "change_quantity").json(json!({"quantity": 5})).send().await.is(201);
        assert_eq!((&done.body["account_id"], &done.body["status"]), (&json!(world.tenant.id), &json!("completed")), "for whom it belongs to");
        assert_eq!(done.header("location"), Some(format!("/v1/orders/{}", done.id()).as_str()));
        assert_eq!(done.body["items"][0]["action"], "change");
        assert_eq!(read(site, &ordered.subscription).await["quantity"], 5);
        let faults = async |verb: &str, body: Value| {
            call(site, by, &ordered.subscription, verb).json(body).send().await.refused(422, "validation_failed").faults()
        };
        assert_eq!(faults("change_plan", json!({"plan": "mail-alone"})).await, [("/plan".into(), "plan_not_applicable".into())]);
        assert_eq!(faults("change_plan", json!({"plan": "no-such"})).await, [("/plan".into(), "plan_not_applicable".into())]);
        assert_eq!(faults("change_quantity", json!({})).await, [("/quantity".into(), "required".into())]);
        site.post(&format!("/v1/services/{}/resources", ordered.mail)).key(by).wait(20).json(mailbox("a@acme.example")).send().await.is(201);
        site.post(&format!("/v1/services/{}/resources", ordered.mail)).key(by).wait(20).json(mailbox("b@acme.example")).send().await.is(201);
        let short = faults("change_quantity", json!({"quantity": 1})).await;
        assert!(!short.is_empty() && short.iter().all(|fault| *fault == (String::new(), "quota_in_use".into())), "{short:?}");
        assert_eq!(read(site, &ordered.subscription).await["quantity"], 5);
    }
}
