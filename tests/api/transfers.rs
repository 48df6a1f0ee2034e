//! Subscriptions that come to be another account's.

use super::quotas::taken;
use super::subscriptions::{call, read};
use super::*;
use crate::common::api::Ordered;

/// Two sellers with a customer each.
struct Two {
    world: World,
    new: Party,
    customer: Party,
}

impl Two {
    async fn new(site: &Site) -> Self {
        let world = site.world().await;
        let new = site.account(&site.operator_key, "reseller", "New").await;
        let customer = site.account(&new.key, "tenant", "New customer").await;
        Self { world, new, customer }
    }
}

fn transfer(site: &Site, by: &str, subscription: &str, to: &str) -> Call {
    call(site, by, subscription, "transfer").json(json!({"account_id": to}))
}

/// What of the subscription a key reaches.
async fn reached(site: &Site, key: &str, made: &Ordered) -> Vec<u16> {
    let mut answers = Vec::new();
    for place in [
        format!("subscriptions/{}", made.subscription),
        format!("subscriptions/{}/quotas", made.subscription),
        format!("services/{}", made.mail),
        format!("services/{}/resources", made.mail),
        format!("services/{}/holds", made.mail),
        format!("resources/{}", made.domain),
    ] {
        answers.push(site.get(&format!("/v1/{place}")).key(key).send().await.status);
    }
    answers
}

async fn ceiling(site: &Site, account: &str, ceiling: i64) {
    let place = format!("/v1/accounts/{account}/quotas/mail.mailboxes");
    site.put(&place).anyway().key(&site.operator_key).json(json!({"ceiling": ceiling})).send().await.is(200);
}

async fn used(site: &Site, account: &str) -> i64 {
    taken(site, &site.operator_key, account).await.1
}

on_both_servers! {
    async fn a_subscription_is_anothers_with_all_that_is_in_it_and_draws_from_those_above_him(site: With::workers()) {
        let Two { world, new, customer } = Two::new(site).await;
        let (root, old) = (&site.operator_key, &world.reseller);
        let made = site.ordered(&world.tenant, "acme.example", 3).await;
        let place = format!("/v1/services/{}/resources", made.mail);
        let named = json!({"type": "mailbox", "spec": {"address": "a@acme.example"}, "external_id": "crm:a"});
        site.post(&place).key(&world.tenant.key).wait(20).json(named).send().await.is(201);
        ceiling(site, &old.id, 10).await;
        ceiling(site, &new.id, 2).await;
        assert_eq!((used(site, &old.id).await, used(site, &new.id).await), (3, 0));

        // There is no room for it: nothing of it goes anywhere.
        let short = transfer(site, root, &made.subscription, &customer.id).send().await.refused(409, "quota_exceeded");
        assert_eq!(short.body["violations"], json!([{"key": "mail.mailboxes", "level": "account", "holder": new.id, "requested": 3, "available": 2}]));
        assert_eq!((used(site, &old.id).await, used(site, &new.id).await), (3, 0));
        assert_eq!(reached(site, &world.tenant.key, &made).await, [200; 6]);
        ceiling(site, &new.id, 4).await;
        let before = read(site, &made.subscription).await;
        let done = transfer(site, root, &made.subscription, &customer.id).send().await.is(200);
        assert_eq!((&done.body["account_id"], &done.body["operation"]["status"]), (&json!(customer.id), &json!("succeeded")));
        for same in ["plan", "plan_version", "quantity", "price", "current_period", "order_id", "status"] {
            assert_eq!(done.body[same], before[same], "{same}");
        }
        assert_eq!((used(site, &old.id).await, used(site, &new.id).await), (0, 3));
        for key in [&world.tenant.key, &old.key] {
            assert_eq!(reached(site, key, &made).await, [404; 6]);
        }
        for key in [&customer.key, &new.key] {
            assert_eq!(reached(site, key, &made).await, [200; 6]);
        }
        for noun in ["subscriptions", "services", "resources"] {
            let list = site.all(&customer.key, &format!("/v1/{noun}"), 200).await;
            assert!(!list.is_empty() && list.iter().all(|row| row["account_id"] == customer.id), "{noun}");
            assert!(site.all(&world.tenant.key, &format!("/v1/{noun}"), 200).await.is_empty(), "{noun}");
        }
        // Its order stays with whom it was placed for. The name that it was given is free there, and none here.
        site.get(&format!("/v1/orders/{}", made.order)).key(&world.tenant.key).send().await.is(200);
        let names: Vec<_> = site.all(&customer.key, &place, 200).await.iter().map(|row| row["external_id"].clone()).collect();
        assert!(names.iter().all(Value::is_null), "{names:?}");
        // It goes on where it is.
        let more = site.post(&place).key(&customer.key).wait(20).json(mailbox("b@acme.example")).send().await.is(201);
        assert_eq!(more.body["operation"]["status"], "succeeded", "{}", more.text);
        site.post(&place).key(&customer.key).wait(20).json(mailbox("c@acme.example")).send().await.is(201);
        site.post(&place).key(&customer.key).json(mailbox("d@acme.example")).send().await.refused(409, "quota_exceeded");
        call(site, &customer.key, &made.subscription, "change_quantity").json(json!({"quantity": 4})).send().await.is(201);
        call(site, &customer.key, &made.subscription, "change_quantity").json(json!({"quantity": 5})).send().await.refused(409, "quota_exceeded");
        assert_eq!((used(site, &old.id).await, used(site, &new.id).await), (0, 4));

        let out = told(site, &world.tenant.key, "subscription.transferred_out").await;
        assert_eq!((&out[0]["account_id"], &out[0]["data"]["object"]["account_id"]), (&json!(world.tenant.id), &json!(world.tenant.id)));
        let here = told(site, &customer.key, "subscription.transferred").await;
        assert_eq!((&here[0]["account_id"], &here[0]["data"]["object"]["account_id"]), (&json!(customer.id), &json!(customer.id)));
        // Once more changes nothing.
        let before = read(site, &made.subscription).await;
        let again = transfer(site, root, &made.subscription, &customer.id).send().await.is(200);
        assert_eq!((&again.body, &again.body["operation_id"]), (&before, &Value::Null));
    }

    /// S3
    async fn holds_go_along_and_what_those_left_behind_had_placed_is_the_new_sellers_to_lift(site: With::workers()) {
        let Two { world, new, customer } = Two::new(site).await;
        let (root, old) = (&site.operator_key, &world.reseller);
        let made = site.ordered(&world.tenant, "acme.example", 1).await;
        let suspend = async |by: &str, place: &str, code: &str| {
            site.post(&format!("/v1/{place}/suspend")).key(by).wait(20).json(json!({"reason_code": code})).send().await
        };
        let on_it = format!("subscriptions/{}", made.subscription);
        // Both for the same reason: in one hand they are one.
        for (by, code) in [(&world.tenant.key, "voluntary"), (&old.key, "payment"), (root, "payment"), (root, "abuse")] {
            assert!(suspend(by, &on_it, code).await.status < 300, "{code}");
        }
        holds::settles(site, &made.mail, "suspended").await;
        transfer(site, root, &made.subscription, &customer.id).send().await.is(200);
        let resume = async |by: &str, code: &str| {
            let lifted = site.post(&format!("/v1/{on_it}/resume")).key(by).wait(20).json(json!({"reason_code": code})).send().await.is(200);
            let left: Vec<_> = lifted.body["remaining_holds"].as_array().unwrap().iter().map(|hold| hold["reason_class"].as_str().unwrap().to_owned()).collect();
            left
        };
        assert_eq!(resume(&customer.key, "voluntary").await, ["payment", "payment", "abuse"], "his own to lift now");
        assert_eq!(resume(&new.key, "payment").await, ["payment", "abuse"]);
        assert_eq!(resume(root, "payment").await, ["abuse"]);
        // To where its new account's seller is the one who had placed the other: two equal ones come to be one.
        site.post(&format!("/v1/{on_it}/resume")).key(root).wait(20).json(json!({"reason_code": "abuse"})).send().await.is(200);
        suspend(&new.key, &on_it, "payment").await;
        suspend(root, &on_it, "payment").await;
        let direct = site.account(root, "tenant", "Direct").await;
        transfer(site, root, &made.subscription, &direct.id).send().await.is(200);
        assert!(resume(root, "payment").await.is_empty());
        holds::settles(site, &made.mail, "full").await;

        // Access is what the holds at the new place say.
        suspend(root, &format!("accounts/{}", new.id), "payment").await;
        transfer(site, root, &made.subscription, &customer.id).send().await.is(200);
        holds::settles(site, &made.mail, "suspended").await;
        transfer(site, root, &made.subscription, &world.tenant.id).send().await.is(200);
        holds::settles(site, &made.mail, "full").await;
    }

    /// S4: who cancelled it has his say where he stands above it still.
    async fn a_cancelled_subscription_is_taken_back_by_its_new_seller_if_its_old_one_cancelled_it(site: With::clock()) {
        let Two { world, new, customer } = Two::new(site).await;
        let root = &site.operator_key;
        for (by, may) in [(&world.reseller.key, &new.key), (root, root)] {
            let made = site.ordered(&world.tenant, &format!("{}.example", by.len() + usize::from(by == root)), 1).await;
            call(site, by, &made.subscription, "cancel").send().await.is(200);
            transfer(site, root, &made.subscription, &customer.id).send().await.is(200);
            call(site, &customer.key, &made.subscription, "uncancel").send().await.refused(409, "state_conflict");
            if by == root {
                call(site, &new.key, &made.subscription, "uncancel").send().await.refused(409, "state_conflict");
            }
            assert_eq!(call(site, may, &made.subscription, "uncancel").send().await.is(200).body["cancel_at"], Value::Null);
        }
        // What has ended can be transferred, and runs again at its new place.
        let made = site.ordered(&world.tenant, "ended.example", 1).await;
        call(site, &world.tenant.key, &made.subscription, "cancel").json(json!({"when": "now"})).send().await.is(200);
        holds::settles(site, &made.mail, "suspended").await;
        assert_eq!(transfer(site, root, &made.subscription, &customer.id).send().await.is(200).body["status"], "cancelled");
        call(site, &customer.key, &made.subscription, "renew").send().await.is(200);
        holds::settles(site, &made.mail, "full").await;
    }

    /// S3: nobody is taken out of a hold by whoever could not lift it.
    async fn an_account_that_is_held_from_above_keeps_its_subscriptions(site: With::workers()) {
        let Two { world, .. } = Two::new(site).await;
        let (root, by) = (&site.operator_key, &world.reseller.key);
        let made = site.ordered(&world.tenant, "acme.example", 1).await;
        let free = site.account(by, "tenant", "Free").await;
        let place = format!("/v1/accounts/{}", world.tenant.id);
        site.post(&format!("{place}/suspend")).key(root).wait(20).json(json!({"reason_code": "abuse"})).send().await.is(200);
        let refused = transfer(site, by, &made.subscription, &free.id).send().await.refused(409, "state_conflict");
        assert!(!refused.text.contains("abuse"), "{}", refused.text);
        transfer(site, root, &made.subscription, &free.id).send().await.is(200);
        holds::settles(site, &made.mail, "full").await;
    }

    async fn what_a_seller_cancelled_runs_again_where_nobody_stands_above(site: With::workers()) {
        let world = site.world().await;
        let root = &site.operator_key;
        let made = site.ordered(&world.tenant, "acme.example", 1).await;
        call(site, &world.reseller.key, &made.subscription, "cancel").send().await.is(200);
        transfer(site, root, &made.subscription, &world.operator.id).send().await.is(200);
        assert_eq!(call(site, root, &made.subscription, "uncancel").send().await.is(200).body["status"], "active");
    }

    async fn what_is_being_made_or_may_not_be_there_stays_where_it_is(site: With::clock()) {
        let Two { world, customer, .. } = Two::new(site).await;
        let root = &site.operator_key;
        let made = site.ordered(&world.tenant, "acme.example", 1).await;
        let id = made.subscription.clone();
        // Where the server's folder was is a file, so that what is begun does not end.
        let [served, away] = ["served", "away"].map(|name| site.folder.join(name));
        std::fs::rename(&served, &away).unwrap();
        std::fs::write(&served, "").unwrap();
        let place = format!("/v1/services/{}/resources", made.mail);
        let begun = site.post(&place).key(&world.tenant.key).json(mailbox("a@acme.example")).send().await.is(202);
        let busy = transfer(site, root, &id, &customer.id).send().await.refused(409, "operation_in_progress");
        assert_eq!(busy.body["operation_id"], begun.body["operation_id"]);
        let order = site.post("/v1/orders").key(&world.tenant.key).json(add("hosted-mail", 1, json!([]))).send().await.is(202);
        transfer(site, root, &order.text_of("/items/0/subscription_id"), &customer.id).send().await.refused(409, "state_conflict");
        std::fs::remove_file(&served).unwrap();
        std::fs::rename(&away, &served).unwrap();
        let ended = format!("/v1/operations/{}", begun.text_at("operation_id"));
        until("it has ended", async || {
            site.clock.advance(Duration::from_secs(60));
            site.get(&ended).key(root).send().await.is(200).body["status"] == "succeeded"
        }).await;

        let agent = site.account(root, "agent", "Agent").await;
        let faults = transfer(site, root, &id, &agent.id).send().await.refused(422, "validation_failed").faults();
        assert_eq!(faults, [("/account_id".into(), "not_allowed_here".into())]);
        // Whoever does not reach both moves nothing.
        transfer(site, &world.reseller.key, &id, &customer.id).send().await.refused(404, "account_not_found");
        transfer(site, &customer.key, &id, &customer.id).send().await.refused(404, "not_found");
        let billing = site.key(root, &world.reseller.id, "billing_system").await;
        transfer(site, &billing, &id, &world.reseller.id).send().await.refused(403, "insufficient_scope");
        assert_eq!(read(site, &id).await["account_id"], world.tenant.id);
        // To his own seller is a way as well.
        let up = transfer(site, &world.reseller.key, &id, &world.reseller.id).header("Prefer", "wait=0").send().await;
        assert!([200, 202].contains(&up.status), "{}", up.text);
        assert_eq!(read(site, &id).await["account_id"], world.reseller.id);
    }
}
