//! What a billing system believes, compared with what is.

use super::batches::{ended, items};
use super::*;

async fn begin(site: &Site, by: &str) -> String {
    site.post("/v1/reconcile_runs").key(by).send().await.is(201).id()
}

fn rows(site: &Site, by: &str, run: &str, rows: Value) -> Call {
    site.post(&format!("/v1/reconcile_runs/{run}/rows")).key(by).json(json!({"rows": rows}))
}

/// The run once it has been compared.
async fn compared(site: &Site, by: &str, run: &str) -> Value {
    let begun = site.post(&format!("/v1/reconcile_runs/{run}/compare")).key(by).send().await.is(202);
    assert_eq!(begun.header("location"), Some(format!("/v1/reconcile_runs/{run}").as_str()));
    let mut found = Value::Null;
    until("it has been compared", async || {
        found = site.get(&format!("/v1/reconcile_runs/{run}")).key(by).send().await.is(200).body;
        found["status"] == "compared"
    })
    .await;
    found
}

async fn differences(site: &Site, by: &str, run: &str) -> Vec<Value> {
    site.all(by, &format!("/v1/reconcile_runs/{run}/differences"), 2).await
}

/// A kind, whose it is, and the verb and body of the repair.
type Told = (String, String, Option<(String, Value)>);

/// What of each difference is looked at: its kind, whose it is, and the verb and body of its repair.
fn found_to_differ(differences: &[Value]) -> Vec<Told> {
    let told = |difference: &Value| {
        let text = |member: &str| difference[member].as_str().unwrap_or_default().to_owned();
        let repair = difference["repair"].as_object().map(|repair| {
            let verb = repair["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
            (verb, repair["body"].clone())
        });
        (text("kind"), text("subscription"), repair)
    };
    let mut told: Vec<_> = differences.iter().map(told).collect();
    told.sort_by(|one, other| (&one.1, &one.0).cmp(&(&other.1, &other.0)));
    told
}

fn apply(site: &Site, by: &str, run: &str, asked: Value) -> Call {
    site.post(&format!("/v1/reconcile_runs/{run}/apply")).key(by).json(asked)
}

/// A subscription of the tenant's under a name of the billing system's.
async fn named(site: &Site, of: &Party, name: &str, quantity: i64) -> String {
    let domain = json!({"type": "domain", "spec": {"name": format!("{name}.example")}});
    let item = json!({"action": "add", "plan": "hosted-mail", "quantity": quantity, "external_id": name, "resources": [domain]});
    let order =
        site.post("/v1/orders").key(&of.key).wait(20).json(json!({"items": [item]})).send().await.is(201);
    order.text_of("/items/0/subscription_id")
}

async fn subscription(site: &Site, by: &str, id: &str) -> Value {
    site.get(&format!("/v1/subscriptions/{id}")).key(by).send().await.is(200).body
}

async fn act(site: &Site, by: &str, id: &str, verb: &str, body: Value) {
    let answer =
        site.post(&format!("/v1/subscriptions/{id}/{verb}")).key(by).wait(20).json(body).send().await;
    assert!(answer.status < 300, "{}", answer.text);
}

on_both_servers! {
    async fn each_belief_that_is_wrong_is_told_with_its_repair_and_made_true_by_a_batch(site: With::workers()) {
        let world = site.world().await;
        let (tenant, by) = (&world.tenant, &world.reseller.key);
        site.plan(&world.virtual_server, "other-mail", mail_quotas(1)).await;
        let mut ids = Vec::new();
        for name in ["equal", "unpaid", "paid", "abused", "gone", "seats", "moved", "forgotten"] {
            ids.push(named(site, tenant, name, 2).await);
        }
        let id = |at: usize| ids[at].as_str();
        act(site, by, id(2), "suspend", json!({"reason_code": "payment"})).await;
        act(site, by, id(3), "suspend", json!({"reason_code": "abuse"})).await;
        act(site, by, id(4), "cancel", json!({"when": "now"})).await;

        let run = begin(site, by).await;
        let row = |name: &str, status: &str| json!({"subscription": name, "status": status});
        rows(site, by, &run, json!([
            {"subscription": "equal", "status": "active", "plan": "hosted-mail", "quantity": 2},
            row("unpaid", "active"),
            row("paid", "active"),
            row("abused", "active"),
        ])).send().await.is(200);
        let kept = rows(site, by, &run, json!([
            row("unpaid", "suspended"),
            row("gone", "active"),
            {"subscription": id(5), "status": "active", "quantity": 3},
            {"subscription": "moved", "status": "active", "plan": "other-mail", "quantity": 2},
            row("never-heard-of", "active"),
            row("never-was", "ended"),
        ])).send().await.is(200);
        assert_eq!((&kept.body["status"], &kept.body["rows"]), (&json!("open"), &json!(9)), "of two rows of one name one is kept");

        let run_now = compared(site, by, &run).await;
        let counts = json!({"equal": 2, "unknown": 1, "ambiguous": 0, "not_listed": 1, "ended": 0, "status": 4, "plan": 1, "quantity": 1});
        assert_eq!(run_now["counts"], counts);
        let found = differences(site, by, &run).await;
        let repair = |verb: &str, body: Value| Some((verb.to_owned(), body));
        let payment = json!({"reason_code": "payment"});
        let due = [
            ("status", "abused", None),
            ("not_listed", "forgotten", None),
            ("status", "gone", None),
            ("plan", "moved", repair("change_plan", json!({"plan": "other-mail"}))),
            ("unknown", "never-heard-of", None),
            ("status", "paid", repair("resume", payment.clone())),
            ("quantity", id(5), repair("change_quantity", json!({"quantity": 3}))),
            ("status", "unpaid", repair("suspend", payment)),
        ];
        let mut due: Vec<_> = due.into_iter().map(|(kind, name, repair)| (kind.to_owned(), name.to_owned(), repair)).collect();
        due.sort_by(|one, other| (&one.1, &one.0).cmp(&(&other.1, &other.0)));
        assert_eq!(found_to_differ(&found), due);
        let abused = found.iter().find(|difference| difference["subscription"] == "abused").unwrap();
        assert_eq!(abused["ours"], json!({"status": "active", "access": "suspended", "plan": "hosted-mail", "quantity": 2}));
        let of_kind = format!("/v1/reconcile_runs/{run}/differences?kind=quantity");
        assert_eq!(site.get(&of_kind).key(by).send().await.is(200).body["data"].as_array().unwrap().len(), 1);
        assert_eq!(told(site, by, "reconcile_run.compared").await.len(), 1);

        let dry = apply(site, by, &run, json!({"kinds": ["status", "plan", "quantity"], "dry_run": true})).send().await.is(202);
        assert_eq!(ended(site, by, &dry.id()).await["items"]["succeeded"], 4);
        assert_eq!(subscription(site, by, id(1)).await["access"], "full", "it was tried");
        let done = apply(site, by, &run, json!({"kinds": ["status", "plan", "quantity"]})).send().await.is(202);
        assert_eq!(ended(site, by, &done.id()).await["items"]["succeeded"], 4);
        for item in items(site, by, &done.id()).await {
            if let Some(operation) = item["answer"]["operation_id"].as_str() {
                site.get(&format!("/v1/operations/{operation}?wait=20")).key(by).send().await.is(200);
            }
        }
        let now = async |at: usize, member: &str| subscription(site, by, id(at)).await[member].clone();
        assert_eq!((now(1, "access").await, now(2, "access").await), (json!("suspended"), json!("full")));
        assert_eq!(now(3, "access").await, "suspended", "what abuse has suspended is not billing's to lift");
        assert_eq!((now(5, "quantity").await, now(6, "plan").await), (json!(3), json!("other-mail")));
        assert_eq!(now(7, "status").await, "active", "what nobody listed runs on");

        let again = begin(site, by).await;
        rows(site, by, &again, json!([row("unpaid", "suspended"), row("paid", "active"), {"subscription": "seats", "status": "active", "quantity": 3}]))
            .send().await.is(200);
        assert_eq!(compared(site, by, &again).await["counts"]["equal"], 3);
    }

    async fn one_that_billing_believes_to_have_ended_is_ended(site: With::workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let runs = named(site, &world.tenant, "left", 1).await;
        let run = begin(site, by).await;
        rows(site, by, &run, json!([{"subscription": "left", "status": "ended"}])).send().await.is(200);
        assert_eq!(compared(site, by, &run).await["counts"]["ended"], 1);
        let none = apply(site, by, &run, json!({"kinds": ["status", "plan", "quantity"]})).send().await.is(202);
        assert_eq!(none.body["items"]["total"], 0, "whoever suspends and resumes ends nothing");
        let batch = apply(site, by, &run, json!({"kinds": ["ended"]})).send().await.is(202);
        assert_eq!(ended(site, by, &batch.id()).await["items"]["succeeded"], 1);
        assert_eq!(subscription(site, by, &runs).await["status"], "cancelled");
    }

    /// S3
    async fn suspensions_are_compared_with_the_believers_own_and_nobody_elses_are_lifted(site: With::workers()) {
        let world = site.world().await;
        let (by, root) = (&world.reseller.key, &site.operator_key);
        let payment = json!({"reason_code": "payment"});
        let mut ids = Vec::new();
        for name in ["abused", "both", "ending"] {
            ids.push(named(site, &world.tenant, name, 1).await);
        }
        act(site, root, &ids[0], "suspend", json!({"reason_code": "abuse"})).await;
        for by in [by, root] {
            act(site, by, &ids[1], "suspend", payment.clone()).await;
        }
        act(site, by, &ids[2], "cancel", json!({"when": "period_end"})).await;
        let second = site.account(by, "tenant", "Second").await;
        named(site, &second, "whole", 1).await;
        site.post(&format!("/v1/accounts/{}/suspend", second.id)).key(by).wait(20).json(payment.clone()).send().await;
        let run = begin(site, by).await;
        let row = |name: &str, status: &str| json!({"subscription": name, "status": status});
        let believed = json!([row("abused", "suspended"), row("both", "active"), row("ending", "ended"), row("whole", "suspended")]);
        rows(site, by, &run, believed).send().await.is(200);
        assert_eq!(compared(site, by, &run).await["counts"]["equal"], 1, "suspended with its account, it is suspended");
        let found = found_to_differ(&differences(site, by, &run).await);
        let due = [
            ("status".to_owned(), "abused".to_owned(), Some(("suspend".to_owned(), payment))),
            ("status".to_owned(), "both".to_owned(), None),
            ("ended".to_owned(), "ending".to_owned(), None),
        ];
        assert_eq!(found, due);
    }

    async fn of_one_subscription_two_rows_are_one_too_many(site: With::workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let id = named(site, &world.tenant, "zz-called-twice", 1).await;
        let run = begin(site, by).await;
        let twice = json!([{"subscription": "zz-called-twice", "status": "active"}, {"subscription": id, "status": "ended"}]);
        rows(site, by, &run, twice).send().await.is(200);
        let counts = compared(site, by, &run).await["counts"].clone();
        assert_eq!((&counts["ambiguous"], &counts["not_listed"]), (&json!(1), &json!(0)), "{counts}");
    }

    async fn a_name_that_two_have_is_told_and_nothing_is_done_about_it(site: With::workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let second = site.account(by, "tenant", "Second").await;
        named(site, &world.tenant, "twin", 1).await;
        let domain = json!([{"type": "domain", "spec": {"name": "other-twin.example"}}]);
        let mut other = add("hosted-mail", 1, domain);
        other["items"][0]["external_id"] = json!("twin");
        let other = site.post("/v1/orders").key(&second.key).wait(20).json(other).send().await.is(201);
        let run = begin(site, by).await;
        rows(site, by, &run, json!([{"subscription": "twin", "status": "suspended"}])).send().await.is(200);
        let counts = compared(site, by, &run).await["counts"].clone();
        assert_eq!((&counts["ambiguous"], &counts["not_listed"]), (&json!(1), &json!(2)));
        assert!(differences(site, by, &run).await.iter().all(|difference| difference["repair"].is_null()));
        // Once one of them has ended the name is the other's.
        act(site, by, &other.text_of("/items/0/subscription_id"), "cancel", json!({"when": "now"})).await;
        let run = begin(site, by).await;
        rows(site, by, &run, json!([{"subscription": "twin", "status": "suspended"}])).send().await.is(200);
        let counts = compared(site, by, &run).await["counts"].clone();
        assert_eq!((&counts["ambiguous"], &counts["status"]), (&json!(0), &json!(1)));
    }

    async fn a_run_tells_of_its_own_part_of_the_tree_and_to_those_who_see_it(site: With::workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let apart = site.account(&site.operator_key, "reseller", "Apart").await;
        let theirs = site.account(&apart.key, "tenant", "Theirs").await;
        named(site, &world.tenant, "ours", 1).await;
        named(site, &theirs, "theirs", 1).await;
        let run = begin(site, by).await;
        rows(site, by, &run, json!([{"subscription": "theirs", "status": "suspended"}])).send().await.is(200);
        let counts = compared(site, by, &run).await["counts"].clone();
        assert_eq!((&counts["unknown"], &counts["not_listed"]), (&json!(1), &json!(1)));
        for of in [&apart.key, &world.tenant.key] {
            site.get(&format!("/v1/reconcile_runs/{run}")).key(of).send().await;
            let read = site.get(&format!("/v1/reconcile_runs/{run}/differences")).key(of).send().await;
            assert!([403, 404].contains(&read.status), "{}", read.text);
        }
        let elsewhere = json!({"account_id": theirs.id});
        site.post("/v1/reconcile_runs").key(by).json(elsewhere).send().await.refused(404, "account_not_found");
        let narrow = site.post("/v1/reconcile_runs").key(&site.operator_key).json(json!({"account_id": theirs.id})).send().await.is(201);
        assert_eq!(compared(site, &site.operator_key, &narrow.id()).await["counts"]["not_listed"], 1);
        site.get(&format!("/v1/reconcile_runs/{}", narrow.id())).key(&apart.key).send().await.refused(404, "not_found");
        // Left for an account, it is seen there, and what is believed is not that account's to say.
        let theirs = site.post("/v1/reconcile_runs").key(&site.operator_key).acting_for(&apart.id).send().await.is(201).id();
        site.get(&format!("/v1/reconcile_runs/{theirs}")).key(&apart.key).send().await.is(200);
        let row = json!([{"subscription": "theirs", "status": "active"}]);
        rows(site, &apart.key, &theirs, row).send().await.refused(409, "state_conflict");
        for (verb, asked) in [("compare", json!({})), ("apply", json!({"kinds": ["status"]}))] {
            let call = site.post(&format!("/v1/reconcile_runs/{theirs}/{verb}")).key(&apart.key);
            let call = if verb == "apply" { call.json(asked) } else { call };
            call.send().await.refused(409, "state_conflict");
        }
        let auditor = site.key(&site.operator_key, &world.reseller.id, "auditor").await;
        site.post("/v1/reconcile_runs").key(&auditor).send().await.refused(403, "insufficient_scope");
    }

    async fn a_run_takes_rows_until_it_is_compared_and_repairs_for_an_hour(site: With::clock()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        named(site, &world.tenant, "one", 1).await;
        let run = begin(site, by).await;
        let one = json!([{"subscription": "one", "status": "suspended"}]);
        for bad in [
            json!([]),
            json!([{"subscription": "one"}]),
            json!([{"subscription": "one", "status": "paused"}]),
            json!([{"subscription": "one", "status": "active", "quantity": 0}]),
            json!([{"subscription": "", "status": "active"}]),
            json!(vec![json!({"subscription": "one", "status": "active"}); 1001]),
        ] {
            rows(site, by, &run, bad).send().await.refused(422, "validation_failed");
        }
        rows(site, by, &run, one.clone()).send().await.is(200);
        let early = apply(site, by, &run, json!({"kinds": ["status"]})).send().await.refused(409, "state_conflict");
        assert_eq!(early.text_at("current_state"), "open");
        compared(site, by, &run).await;
        rows(site, by, &run, one).send().await.refused(409, "state_conflict");
        compared(site, by, &run).await;
        site.clock.advance(std::time::Duration::from_secs(59 * 60));
        apply(site, by, &run, json!({"kinds": ["status"], "dry_run": true})).send().await.is(202);
        site.clock.advance(std::time::Duration::from_secs(60));
        let late = apply(site, by, &run, json!({"kinds": ["status"]})).send().await.refused(409, "state_conflict");
        assert_eq!(late.text_at("current_state"), "compared more than an hour ago");
        for _ in 0..5 {
            begin(site, by).await;
        }
        site.post("/v1/reconcile_runs").key(by).send().await.refused(409, "state_conflict");
    }
}
