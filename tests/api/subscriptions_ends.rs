//! How subscriptions end, who ends them, and who takes that back.

use tenantry::model::Time;
use tenantry::program::Roles;
use tenantry::telemetry;

use super::subscriptions::{DAY, call, plan, read, subscribed, told};
use super::*;

async fn ends(site: &Site, subscription: &str) -> Vec<Value> {
    let holds = site.all(&site.operator_key, &format!("/v1/subscriptions/{subscription}/holds"), 50).await;
    holds.into_iter().filter(|hold| hold["reason_class"] == "ended" && hold["status"] == "active").collect()
}

on_both_servers! {
    /// S1, S3
    async fn what_is_cancelled_ends_with_its_period_and_what_is_in_it_stays_and_is_shut(site: With::clock()) {
        let world = site.world().await;
        let ordered = site.ordered(&world.tenant, "acme.example", 2).await;
        let (by, id) = (&world.tenant.key, &ordered.subscription);
        let resources = format!("/v1/services/{}/resources", ordered.mail);
        let box_id = site.post(&resources).key(by).wait(20).json(mailbox("a@acme.example")).send().await.is(201).id();
        let end = read(site, id).await["current_period"]["ends_at"].clone();
        let cancelled = call(site, by, id, "cancel").send().await.is(200);
        assert_eq!((&cancelled.body["status"], &cancelled.body["cancel_at"]), (&json!("cancelling"), &end));
        assert_eq!(cancelled.body["access"], "full");
        let again = call(site, by, id, "cancel").json(json!({"when": "period_end"})).send().await.is(200);
        assert_eq!(again.header("etag"), cancelled.header("etag"), "cancelling it again does no harm");

        let until_then: Time = end.as_str().unwrap().parse().unwrap();
        site.clock.advance(until_then.since(site.clock.now()) - Duration::from_secs(1));
        assert_eq!(read(site, id).await["status"], "cancelling");
        site.clock.advance(Duration::from_secs(2));
        for service in [&ordered.mail, &ordered.dns] {
            holds::settles(site, service, "suspended").await;
        }
        let over = read(site, id).await;
        assert_eq!((&over["status"], &over["current_period"], &over["cancel_at"]), (&json!("cancelled"), &Value::Null, &Value::Null));
        assert_eq!(over["ended_at"], end);
        until("it is told", async || told(site, id).await == ["activated", "cancelling", "cancelled"]).await;

        // Nobody's resuming lifts it, and nothing is added; what is there stays, and can be removed.
        let still = site.post(&format!("/v1/subscriptions/{id}/resume")).key(&site.operator_key).send().await.is(200);
        assert_eq!((&still.body["changed"], &still.body["remaining_holds"][0]["reason_code"]), (&json!(false), &json!("ended.cancelled")));
        let refused = site.post(&resources).key(by).json(mailbox("b@acme.example")).send().await.refused(409, "state_conflict");
        assert_eq!(refused.body["allowed_actions"], json!(["renew"]));
        let place = format!("/v1/resources/{box_id}");
        site.patch(&place).anyway().key(by).json(json!({"spec": {"quota_mb": 100}})).send().await.refused(409, "state_conflict");
        assert_eq!(site.get(&place).key(by).send().await.is(200).body["lifecycle"], "active");
        assert_eq!(site.quota(by, id, "mail.mailboxes").await.unwrap()["used"], 1);
        site.delete(&place).anyway().key(by).wait(20).send().await.is(200);

        let renewed = call(site, by, id, "renew").send().await.is(200);
        assert_eq!((&renewed.body["status"], &renewed.body["access"], &renewed.body["ended_at"]), (&json!("active"), &json!("full"), &Value::Null));
        assert_eq!(renewed.body["current_period"]["starts_at"], json!(site.clock.now()));
        assert_eq!(renewed.body["operation"]["status"], "succeeded");
        until("it is told", async || told(site, id).await == ["activated", "cancelling", "cancelled", "renewed"]).await;
        holds::settles(site, &ordered.mail, "full").await;
        site.post(&resources).key(by).wait(20).json(mailbox("b@acme.example")).send().await.is(201);
    }

    /// S3: the end of a subscription is one reason among others.
    async fn a_renewal_leaves_the_holds_of_others(site: With::workers()) {
        let world = site.world().await;
        let (id, service) = subscribed(site, &world.tenant.key, "hosted-mail").await;
        let billing = site.key(&site.operator_key, &world.reseller.id, "billing_system").await;
        site.post(&format!("/v1/subscriptions/{id}/suspend")).key(&billing).wait(20).json(json!({"reason_code": "payment"})).send().await.is(200);
        let ended = call(site, &billing, &id, "cancel").json(json!({"when": "now"})).send().await.is(200);
        assert_eq!((&ended.body["status"], &ended.body["access"]), (&json!("cancelled"), &json!("suspended")));
        let runs = call(site, &billing, &id, "renew").send().await.is(200);
        assert_eq!((&runs.body["status"], &runs.body["access"]), (&json!("suspended"), &json!("suspended")));
        site.post(&format!("/v1/subscriptions/{id}/resume")).key(&billing).wait(20).send().await.is(200);
        holds::settles(site, &service, "full").await;
        assert_eq!(read(site, &id).await["status"], "active");
    }

    /// S3: no account undoes what one above it did.
    async fn what_was_cancelled_from_above_is_neither_put_off_nor_taken_back_from_below(site: With::clock()) {
        let world = site.world().await;
        let (tenant, reseller) = (&world.tenant.key, &world.reseller.key);
        let (id, _) = subscribed(site, tenant, "hosted-mail").await;
        let at = |days: u32| json!({"at": site.clock.now().plus(days * DAY)});
        // A customer's own cancellation is the customer's to take back, and its seller's.
        for by in [tenant, reseller] {
            call(site, tenant, &id, "cancel").json(at(9)).send().await.is(200);
            assert_eq!(call(site, by, &id, "uncancel").send().await.is(200).body["status"], "active");
        }
        let unchanged = call(site, tenant, &id, "uncancel").send().await.is(200);
        assert_eq!(unchanged.body["cancel_at"], Value::Null, "taking back what is not there does no harm");

        call(site, reseller, &id, "cancel").json(at(9)).send().await.is(200);
        call(site, tenant, &id, "uncancel").send().await.refused(409, "state_conflict");
        let put_off = call(site, tenant, &id, "cancel").json(at(20)).send().await.is(200);
        assert_eq!(put_off.body["cancel_at"], at(9)["at"], "it is not put off");
        let sooner = call(site, tenant, &id, "cancel").json(at(5)).send().await.is(200);
        assert_eq!(sooner.body["cancel_at"], at(5)["at"]);
        call(site, tenant, &id, "uncancel").send().await.refused(409, "state_conflict");

        // Its new seller decides when the customer has moved.
        let other = site.account(&site.operator_key, "reseller", "Other").await;
        let moved = json!({"parent_id": other.id});
        site.post(&format!("/v1/accounts/{}/move", world.tenant.id)).key(&site.operator_key).json(moved).send().await.is(200);
        call(site, tenant, &id, "uncancel").send().await.refused(409, "state_conflict");
        call(site, &other.key, &id, "uncancel").send().await.is(200);

        call(site, &other.key, &id, "cancel").json(json!({"when": "now"})).send().await.is(200);
        call(site, tenant, &id, "renew").send().await.refused(409, "state_conflict");
        assert_eq!(call(site, &other.key, &id, "renew").send().await.is(200).body["status"], "active");
        // What the customer has ended its seller ends as well: then it is not the customer's any more.
        call(site, tenant, &id, "cancel").json(json!({"when": "now"})).send().await.is(200);
        call(site, &other.key, &id, "cancel").send().await.is(200);
        call(site, tenant, &id, "renew").send().await.refused(409, "state_conflict");
        call(site, &other.key, &id, "renew").send().await.is(200);
    }

    async fn a_cancellation_that_cannot_be_is_refused_at_its_place(site: With::no_workers()) {
        let world = site.world().await;
        let by = &world.tenant.key;
        let order = site.post("/v1/orders").key(by).json(add("hosted-mail", 1, json!([]))).send().await.is(202);
        let id = order.text_of("/items/0/subscription_id");
        for verb in ["cancel", "uncancel", "renew", "convert_trial"] {
            let refused = site.post(&format!("/v1/subscriptions/{id}/{verb}")).key(by).send().await.refused(409, "state_conflict");
            assert_eq!(refused.body["current_state"], "pending", "{verb}");
        }
        site.post(&format!("/v1/orders/{}/cancel", order.id())).key(by).send().await.is(200);
        for verb in ["cancel", "uncancel", "renew", "convert_trial"] {
            let refused = site.post(&format!("/v1/subscriptions/{id}/{verb}")).key(by).send().await.refused(409, "state_conflict");
            assert_eq!((&refused.body["current_state"], &refused.body["allowed_actions"]), (&json!("cancelled"), &json!([])), "{verb}: it never ran");
        }
        let faults = async |body: Value| {
            site.post(&format!("/v1/subscriptions/{id}/cancel")).key(by).json(body).send().await.refused(422, "validation_failed").faults()
        };
        let ahead = site.clock.now().plus(DAY);
        assert_eq!(faults(json!({"when": "now", "at": ahead})).await, [("/at".into(), "one_of_two".into())]);
        assert_eq!(faults(json!({"when": "never"})).await.len(), 1);
        assert_eq!(faults(json!({"reason": "moved"})).await, [("/reason".into(), "unknown_field".into())]);
    }

    async fn a_cancellation_in_the_past_is_refused_and_one_at_a_version_that_is_no_more(site: With::workers()) {
        let world = site.world().await;
        let by = &world.tenant.key;
        let (id, _) = subscribed(site, by, "hosted-mail").await;
        let past = json!({"at": site.clock.now().minus(DAY)});
        let refused = call(site, by, &id, "cancel").json(past).send().await.refused(422, "validation_failed");
        assert_eq!(refused.faults(), [("/at".into(), "too_early".into())]);
        let tag = site.get(&format!("/v1/subscriptions/{id}")).key(by).send().await.header("etag").unwrap().to_owned();
        call(site, by, &id, "cancel").header("If-Match", &tag).send().await.is(200);
        call(site, by, &id, "uncancel").header("If-Match", &tag).send().await.refused(412, "precondition_failed");
        assert_eq!(read(site, &id).await["status"], "cancelling");
    }

    /// The hold is there exactly as long as the subscription is over, whoever was faster.
    async fn of_ends_and_renewals_at_once_what_is_held_is_what_has_ended(site: With::workers()) {
        let world = site.world().await;
        let by = &world.tenant.key;
        let (id, service) = subscribed(site, by, "hosted-mail").await;
        for _ in 0..6 {
            let now = || call(site, by, &id, "cancel").json(json!({"when": "now"})).send();
            let renew = || call(site, by, &id, "renew").send();
            let (a, b, c, d) = tokio::join!(now(), renew(), now(), renew());
            for answer in [a, b, c, d] {
                assert!(matches!(answer.status, 200 | 202) || answer.code() == "concurrent_change", "{}", answer.text);
            }
            let (seen, held) = (read(site, &id).await, ends(site, &id).await);
            match seen["status"].as_str().unwrap() {
                "cancelled" => assert_eq!(held.len(), 1),
                status => assert_eq!((status, held.len()), ("active", 0)),
            }
            let access = if held.is_empty() { "full" } else { "suspended" };
            holds::settles(site, &service, access).await;
        }
    }

    /// What is paid for in one moment by two calls gives access, whichever was first.
    async fn of_a_renewal_and_a_resumption_at_once_one_gives_access(site: With::workers()) {
        let world = site.world().await;
        let (id, service) = subscribed(site, &world.tenant.key, "hosted-mail").await;
        let by = &world.reseller.key;
        for _ in 0..6 {
            let held = site.post(&format!("/v1/subscriptions/{id}/suspend")).key(by).wait(20).json(json!({"reason_code": "payment"}));
            held.send().await.is(200);
            call(site, by, &id, "cancel").json(json!({"when": "now"})).send().await.is(200);
            let renew = site.post(&format!("/v1/subscriptions/{id}/renew")).key(by).send();
            let resume = site.post(&format!("/v1/subscriptions/{id}/resume")).key(by).send();
            let (renewed, resumed) = tokio::join!(renew, resume);
            assert!(matches!((renewed.status, resumed.status), (200 | 202, 200 | 202)), "{} {}", renewed.text, resumed.text);
            holds::settles(site, &service, "full").await;
        }
    }

    /// The clocks of two replicas, both with workers.
    async fn each_end_is_told_once_whichever_replica_sees_it(site: With::clock()) {
        let metrics = telemetry::detached_metrics().unwrap().handle();
        let beside = site.program().await.start(Roles { api: false, workers: true }, metrics).await.unwrap();
        let world = site.world().await;
        let mut all = Vec::new();
        for _ in 0..4 {
            all.push(subscribed(site, &world.tenant.key, "hosted-mail").await.0);
        }
        let at = json!({"at": site.clock.now().plus(DAY)});
        for id in &all {
            call(site, &world.tenant.key, id, "cancel").json(at.clone()).send().await.is(200);
        }
        site.clock.advance(DAY);
        until("all are over", async || {
            let mut over = 0;
            for id in &all {
                over += usize::from(read(site, id).await["status"] == "cancelled");
            }
            over == all.len()
        })
        .await;
        for id in &all {
            until("it is told", async || told(site, id).await.len() >= 3).await;
            assert_eq!(told(site, id).await, ["activated", "cancelling", "cancelled"]);
            assert_eq!(ends(site, id).await.len(), 1);
        }
        beside.stop().await;
    }

    async fn what_was_cancelled_by_mistake_goes_on_where_it_was(site: With::clock()) {
        let world = site.world().await;
        let by = &world.tenant.key;
        plan(site, &world, "leased", json!({"lease": {"unit": "month", "count": 3}})).await;
        plan(site, &world, "tried", json!({"trial": {"unit": "week"}})).await;
        for code in ["leased", "tried", "hosted-mail"] {
            let (id, _) = subscribed(site, by, code).await;
            let before = read(site, &id).await;
            site.clock.advance(DAY);
            call(site, by, &id, "cancel").json(json!({"when": "now"})).send().await.is(200);
            let after = call(site, by, &id, "renew").send().await.is(200).body;
            for member in ["status", "current_period", "expires_at", "trial_ends_at"] {
                assert_eq!(after[member], before[member], "{code} {member}");
            }
        }
    }

    /// M2: the one who cancelled keeps his say wherever the account comes to stand below him.
    async fn a_cancellation_stays_with_whoever_made_it_when_the_account_moves(site: With::workers()) {
        let world = site.world().await;
        let sub = site.account(&world.reseller.key, "reseller", "Sub-reseller").await;
        let tenant = site.account(&sub.key, "tenant", "Customer").await;
        let (id, _) = subscribed(site, &tenant.key, "hosted-mail").await;
        let moved = async |to: &str| {
            site.post(&format!("/v1/accounts/{}/move", tenant.id)).key(&site.operator_key).json(json!({"parent_id": to})).send().await.is(200);
        };
        let verb = async |by: &str, verb: &str| site.post(&format!("/v1/subscriptions/{id}/{verb}")).key(by).send().await;
        // Made two levels above, taken back from one level above: by the same account.
        verb(&world.reseller.key, "cancel").await.is(200);
        moved(&world.reseller.id).await;
        verb(&tenant.key, "uncancel").await.refused(409, "state_conflict");
        verb(&world.reseller.key, "uncancel").await.is(200);
        // Made by the operator, with more sellers between them afterwards.
        verb(&site.operator_key, "cancel").await.is(200);
        moved(&sub.id).await;
        for by in [&tenant.key, &sub.key, &world.reseller.key] {
            verb(by, "uncancel").await.refused(409, "state_conflict");
        }
        verb(&site.operator_key, "uncancel").await.is(200);
        // The customer's own stays its own.
        verb(&tenant.key, "cancel").await.is(200);
        moved(&world.operator.id).await;
        verb(&tenant.key, "uncancel").await.is(200);
    }

    /// The plan of a seller that the account has left is not for sale to it any more, but what runs goes on.
    async fn a_subscription_to_a_plan_of_a_former_seller_can_be_managed(site: With::workers()) {
        let world = site.world().await;
        let own = json!({"code": "house", "name": "House", "terms": {"virtual_server_id": world.virtual_server, "services": [{"type": "mail"}], "quotas": [], "lease": {"unit": "year"}}});
        site.post("/v1/plans").key(&world.reseller.key).json(own).send().await.is(201);
        let (id, _) = subscribed(site, &world.tenant.key, "house").await;
        let other = site.account(&site.operator_key, "reseller", "Other").await;
        let to = json!({"parent_id": other.id});
        site.post(&format!("/v1/accounts/{}/move", world.tenant.id)).key(&site.operator_key).json(to).send().await.is(200);
        for by in [&world.tenant.key, &other.key] {
            let seen = site.get(&format!("/v1/subscriptions/{id}")).key(by).send().await.is(200);
            assert_eq!(seen.body["plan"], "house");
            assert_eq!(site.all(by, "/v1/subscriptions", 50).await.len(), 1);
        }
        call(site, &other.key, &id, "change_quantity").json(json!({"quantity": 3})).send().await.is(201);
        call(site, &other.key, &id, "cancel").json(json!({"when": "now"})).send().await.is(200);
        assert_eq!(call(site, &other.key, &id, "renew").send().await.is(200).body["status"], "active");
        let again = add("house", 1, json!([]));
        site.post("/v1/orders").key(&world.tenant.key).json(again).send().await.refused(422, "validation_failed");
    }
}
