//! Many requests, left to be sent one after the other.

use std::time::Duration;

use tenantry::model::services::operations::Lane;
use tenantry::program::{Roles, Running};
use tenantry::telemetry;

use super::*;

fn leave(site: &Site, by: &str, items: Value) -> Call {
    site.post("/v1/batches").key(by).json(json!({"items": items}))
}

fn item(method: &str, path: &str, body: Value) -> Value {
    json!({"method": method, "path": path, "body": body})
}

fn opening(name: &str) -> Value {
    item("POST", "/v1/accounts", json!({"type": "tenant", "name": name}))
}

/// The batch once nothing of it is left to be sent.
pub(super) async fn ended(site: &Site, by: &str, id: &str) -> Value {
    let mut batch = Value::Null;
    until("the batch has ended", async || {
        batch = site.get(&format!("/v1/batches/{id}")).key(by).send().await.is(200).body;
        !batch["ended_at"].is_null()
    })
    .await;
    batch
}

pub(super) async fn items(site: &Site, by: &str, id: &str) -> Vec<Value> {
    site.all(by, &format!("/v1/batches/{id}/items"), 7).await
}

fn statuses(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["status"].as_str().unwrap()).collect()
}

fn answers(items: &[Value]) -> Vec<i64> {
    items.iter().map(|item| item["answer"]["status"].as_i64().unwrap()).collect()
}

pub(super) fn code(item: &Value) -> &str {
    item["answer"]["problem"]["code"].as_str().unwrap()
}

async fn names(site: &Site, by: &str) -> Vec<String> {
    let accounts = site.all(by, "/v1/accounts", 200).await;
    accounts.iter().map(|account| account["name"].as_str().unwrap().to_owned()).collect()
}

/// A process on the same database that works and does not serve.
pub(super) async fn worker(site: &Site) -> Running {
    let metrics = telemetry::detached_metrics().unwrap().handle();
    site.program().await.start(Roles { api: false, workers: true }, metrics).await.unwrap()
}

on_both_servers! {
    async fn requests_are_sent_in_their_order_and_one_that_is_refused_stops_no_other(site: With::workers()) {
        let world = site.world().await;
        let (by, tenant) = (&world.reseller.key, &world.tenant.id);
        let left = leave(site, by, json!([
            opening("First"),
            item("PATCH", &format!("/v1/accounts/{tenant}"), json!({"name": "Renamed"})),
            item("PATCH", &format!("/v1/accounts/{tenant}"), json!({"nickname": "x"})),
            item("POST", &format!("/v1/accounts/{tenant}/suspend"), json!({"reason_code": "payment"})),
            item("POST", "/v1/services/svc_01jq3v8z0kf5n9d2t7x4m6c1ab/suspend", json!({"reason_code": "payment"})),
            {"method": "PATCH", "path": format!("/v1/accounts/{tenant}"), "if_match": "\"v1.x\"", "body": {"name": "Late"}},
            opening("Second"),
            {"method": "POST", "path": format!("/v1/accounts/{tenant}/resume")},
        ])).send().await.is(202);
        assert_eq!(left.header("location"), Some(format!("/v1/batches/{}", left.id()).as_str()));
        assert_eq!((&left.body["status"], &left.body["items"]["pending"]), (&json!("queued"), &json!(8)));

        let batch = ended(site, by, &left.id()).await;
        assert_eq!(batch["status"], "completed");
        assert_eq!(batch["items"], json!({"total": 8, "pending": 0, "succeeded": 5, "failed": 3, "cancelled": 0}));
        let items = items(site, by, &left.id()).await;
        assert_eq!(answers(&items), [201, 200, 422, 202, 404, 412, 201, 202]);
        assert_eq!([2, 4, 5].map(|at| code(&items[at])), ["validation_failed", "not_found", "precondition_failed"]);
        let account = site.get(&format!("/v1/accounts/{tenant}")).key(by).send().await.is(200);
        assert_eq!((&account.body["name"], &items[1]["answer"]["resource_id"]), (&json!("Renamed"), &json!(tenant)));
        assert_eq!(items[3]["answer"]["resource_id"], json!(tenant));
        let operation = items[3]["answer"]["operation_id"].as_str().unwrap();
        site.get(&format!("/v1/operations/{operation}?wait=20")).key(by).send().await.is(200);
        let made = items[0]["answer"]["resource_id"].as_str().unwrap();
        assert_eq!(site.get(&format!("/v1/accounts/{made}")).key(by).send().await.is(200).body["name"], "First");

        let failed = site.get(&format!("/v1/batches/{}/items?status=failed", left.id())).key(by).send().await.is(200);
        let indices: Vec<_> = failed.body["data"].as_array().unwrap().iter().map(|item| item["index"].clone()).collect();
        assert_eq!(indices, [json!(2), json!(4), json!(5)]);
        assert!(!failed.text.contains("nickname\": "), "a body is told to nobody");
        let told = told(site, by, "batch.completed").await;
        assert_eq!((told.len(), &told[0]["data"]["object"]["items"]["failed"]), (1, &json!(3)));
        let audit = site.all(by, "/v1/audit", 200).await;
        let of_batch = audit.iter().filter(|line| line["detail"]["batch_id"] == left.body["id"] && line["outcome"] == "done");
        assert_eq!(of_batch.count(), 5, "each request has its own line");
    }

    async fn what_cannot_be_left_is_refused_before_anything_is_kept(site: With::no_workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let refused = leave(site, by, json!([
            opening("Fine"),
            item("POST", "/v1/keys", json!({"name": "k", "scopes": ["accounts:read"]})),
            item("POST", "/v1/batches", json!({"items": []})),
            item("POST", "/v1/quotas/check", json!({})),
            item("PATCH", "/v1/accounts", json!({})),
            item("DELETE", "/v1/batches/bat_01jq3v8z0kf5n9d2t7x4m6c1ab", json!({})),
            item("POST", "/v1/keys/report_leaked", json!({"keys": []})),
        ])).send().await.refused(422, "validation_failed");
        let faults = refused.faults();
        let codes: Vec<_> = faults.iter().map(|(at, code)| (at.as_str(), code.as_str())).collect();
        assert_eq!(codes, [
            ("/items/1/path", "not_in_batches"),
            ("/items/2/path", "not_in_batches"),
            ("/items/3/path", "not_in_batches"),
            ("/items/4/path", "unknown_operation"),
            ("/items/5/path", "unknown_operation"),
            ("/items/6/path", "not_in_batches"),
        ]);
        for items in [json!([]), json!(vec![opening("Many"); 501])] {
            leave(site, by, items).send().await.refused(422, "validation_failed");
        }
        leave(site, by, json!([item("GET", "/v1/accounts", Value::Null)])).send().await.refused(422, "validation_failed");
        let auditor = site.key(&site.operator_key, &world.reseller.id, "auditor").await;
        leave(site, &auditor, json!([opening("Fine")])).send().await.refused(403, "insufficient_scope");
        assert!(site.get("/v1/batches").key(by).send().await.is(200).ids().is_empty());
        for _ in 0..20 {
            leave(site, by, json!([opening("Fine")])).send().await.is(202);
        }
        leave(site, by, json!([opening("Fine")])).send().await.refused(409, "state_conflict");
        assert!(!names(site, by).await.contains(&"Fine".to_owned()), "nobody has begun");
    }

    async fn five_mebibytes_of_requests_are_taken_and_more_are_not(site: With::no_workers()) {
        let by = &site.operator_key;
        let long = "x".repeat(4000);
        let one = json!({"type": "reseller", "name": long, "external_id": long});
        let large = json!(vec![item("POST", "/v1/accounts", one); 500]);
        leave(site, by, large.clone()).send().await.is(202);
        let text = json!({"items": large, "more": "y".repeat(1_300_000)}).to_string();
        site.post("/v1/batches").key(by).body("application/json", text).send().await.refused(413, "body_too_large");
        let elsewhere = json!({"name": "z".repeat(300_000)}).to_string();
        site.post("/v1/accounts").key(by).body("application/json", elsewhere).send().await.refused(413, "body_too_large");
    }

    /// KEY-8
    async fn a_batch_ends_with_the_key_it_was_left_with(site: With::workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let secret = site.key(by, &world.reseller.id, "reseller_admin").await;
        let own = site.get("/v1/me").key(&secret).send().await.is(200).text_of("/key/id");
        let left = leave(site, &secret, json!([
            opening("Before"),
            {"method": "DELETE", "path": format!("/v1/keys/{own}")},
            opening("Behind"),
            opening("Further behind"),
        ])).send().await.is(202);
        ended(site, by, &left.id()).await;
        let items = items(site, by, &left.id()).await;
        assert_eq!(statuses(&items), ["succeeded", "succeeded", "failed", "failed"]);
        assert_eq!((code(&items[2]), code(&items[3])), ("invalid_token", "invalid_token"));
        let names = names(site, by).await;
        assert!(names.contains(&"Before".to_owned()) && !names.iter().any(|name| name.contains("ehind")), "{names:?}");
    }

    async fn what_is_left_is_good_for_as_long_as_its_token_and_for_three_days(site: With { workers: false, ..With::clock() }) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let token = site.token(by).await;
        let of_token = leave(site, &token, json!([opening("Too late")])).send().await.is(202);
        let of_key = leave(site, by, json!([opening("In time")])).send().await.is(202);
        site.clock.advance(Duration::from_secs(71 * 3600));
        let first = worker(site).await;
        ended(site, by, &of_token.id()).await;
        assert_eq!(code(&items(site, by, &of_token.id()).await[0]), "invalid_token");
        assert_eq!(ended(site, by, &of_key.id()).await["items"]["succeeded"], 1);
        first.stop().await;
        let of_key = leave(site, by, json!([opening("Never")])).send().await.is(202);
        site.clock.advance(Duration::from_secs(72 * 3600));
        let second = worker(site).await;
        let batch = ended(site, by, &of_key.id()).await;
        assert_eq!((&batch["status"], &batch["items"]["cancelled"]), (&json!("cancelled"), &json!(1)));
        let again = site.post(&format!("/v1/batches/{}/retry_failed", of_token.id())).key(by).send().await;
        again.refused(409, "state_conflict");
        // And all of it is forgotten in its time, with what else is of this kind.
        let run = site.post("/v1/reconcile_runs").key(by).send().await.is(201).id();
        let row = json!({"rows": [{"subscription": "one", "status": "active"}]});
        site.post(&format!("/v1/reconcile_runs/{run}/rows")).key(by).json(row).send().await.is(200);
        site.clock.advance(Duration::from_secs(31 * 24 * 3600));
        until("they are gone", async || {
            let lists = ["/v1/batches", "/v1/reconcile_runs"];
            let mut left = 0;
            for list in lists {
                left += site.get(list).key(by).send().await.is(200).ids().len();
            }
            left == 0
        })
        .await;
        second.stop().await;
    }

    async fn a_batch_may_no_more_than_the_token_it_was_left_with_and_ends_with_it(site: With::no_workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let id = format!("key_{}", by.split('_').nth(2).unwrap());
        let token = async |scope: &str| {
            let grant = [("grant_type", "client_credentials"), ("scope", scope)];
            site.post("/oauth/token").basic(&id, by).form(&grant).send().await.is(200).text_at("access_token")
        };
        let (narrow, gone) = (token("batches:write").await, token("batches:write accounts:write").await);
        let narrow = leave(site, &narrow, json!([opening("Too much")])).send().await.is(202);
        let left = leave(site, &gone, json!([opening("Too late")])).send().await.is(202);
        site.post("/oauth/revoke").basic(&id, by).form(&[("token", gone.as_str())]).send().await.is(200);
        let worker = worker(site).await;
        for (batch, why) in [(&narrow, "insufficient_scope"), (&left, "invalid_token")] {
            ended(site, by, &batch.id()).await;
            assert_eq!(code(&items(site, by, &batch.id()).await[0]), why);
        }
        let is_told = async || {
            let audit = site.all(by, "/v1/audit", 200).await;
            audit.iter().any(|line| line["action"] == "accounts_create" && line["detail"]["code"] == "insufficient_scope")
        };
        until("the refusal is in the audit", is_told).await;
        // Who may more tries it again, and it is done.
        let again = site.post(&format!("/v1/batches/{}/retry_failed", left.id())).key(by).send().await.is(200);
        assert_eq!((&again.body["status"], &again.body["items"]["pending"]), (&json!("queued"), &json!(1)));
        assert_eq!(ended(site, by, &left.id()).await["items"]["succeeded"], 1);
        let above = site.post(&format!("/v1/batches/{}/retry_failed", narrow.id())).key(&site.operator_key).send().await;
        assert_eq!(above.refused(409, "state_conflict").text_at("current_state"), "another account's");
        let names = names(site, by).await;
        assert!(names.contains(&"Too late".to_owned()) && !names.contains(&"Too much".to_owned()), "{names:?}");
        worker.stop().await;
    }

    async fn a_request_acts_for_an_account_below_and_for_no_other(site: With::workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let other = site.account(&site.operator_key, "reseller", "Other").await;
        let person = |name: &str| {
            let email = format!("{name}@x.example");
            json!({"role": "viewer", "name": name, "email": email})
        };
        let member = |of: &str, name: &str| {
            json!({"method": "POST", "path": "/v1/members", "account_id": of, "body": person(name)})
        };
        let elsewhere = json!([member(&world.tenant.id, "ada"), member(&other.id, "bea")]);
        leave(site, by, elsewhere).send().await.refused(404, "account_not_found");
        let left = leave(site, by, json!([member(&world.tenant.id, "ada")])).send().await.is(202);
        assert_eq!(ended(site, by, &left.id()).await["items"]["succeeded"], 1);
        assert_eq!(site.get("/v1/members").key(&world.tenant.key).send().await.is(200).ids().len(), 1);
        // The whole of it for an account below.
        let for_it = site.post("/v1/batches").key(by).acting_for(&world.tenant.id);
        let left = for_it.json(json!({"items": [item("POST", "/v1/members", person("cleo"))]}));
        let left = left.send().await.is(202);
        assert_eq!(left.body["account_id"], world.tenant.id.as_str());
        assert_eq!(ended(site, by, &left.id()).await["items"]["succeeded"], 1);
        assert_eq!(site.get("/v1/members").key(&world.tenant.key).send().await.is(200).ids().len(), 2);
        for of in [&other.key, &world.tenant.key] {
            let seen = site.get(&format!("/v1/batches/{}", left.id())).key(of).send().await;
            match of == &world.tenant.key {
                true => assert_eq!(seen.is(200).id(), left.id()),
                false => { seen.refused(404, "not_found"); }
            }
        }
    }

    async fn a_dry_batch_says_what_would_be_refused_and_changes_nothing(site: With::workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let items_of = json!([opening("Tried"), item("POST", "/v1/accounts", json!({"type": "planet", "name": "Tried"}))]);
        let left = site.post("/v1/batches").key(by).json(json!({"items": items_of, "dry_run": true})).send().await.is(202);
        let batch = ended(site, by, &left.id()).await;
        assert_eq!((&batch["dry_run"], &batch["items"]["succeeded"], &batch["items"]["failed"]), (&json!(true), &json!(1), &json!(1)));
        assert_eq!(answers(&items(site, by, &left.id()).await), [201, 422]);
        assert!(!names(site, by).await.contains(&"Tried".to_owned()));
    }

    async fn what_is_cancelled_before_it_was_sent_is_never_sent(site: With::no_workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let left = leave(site, by, json!([opening("Never"), opening("Nor this")])).send().await.is(202);
        let cancel = async || site.post(&format!("/v1/batches/{}/cancel", left.id())).key(by).send().await;
        assert_eq!(cancel().await.is(200).body["status"], "cancelling");
        let worker = worker(site).await;
        let batch = ended(site, by, &left.id()).await;
        assert_eq!((&batch["status"], &batch["items"]["cancelled"]), (&json!("cancelled"), &json!(2)));
        assert_eq!(cancel().await.is(200).body["status"], "cancelled", "it may be said again");
        assert_eq!(told(site, by, "batch.cancelled").await.len(), 1);
        assert!(!names(site, by).await.iter().any(|name| name.starts_with('N')));
        let done = leave(site, by, json!([opening("Done")])).send().await.is(202);
        ended(site, by, &done.id()).await;
        let late = site.post(&format!("/v1/batches/{}/cancel", done.id())).key(by).send().await;
        late.refused(409, "state_conflict");
        worker.stop().await;
    }

    /// What a worker did before it died is told, though nothing more is to be done.
    async fn what_was_done_and_not_recorded_is_recorded_when_the_rest_is_cancelled(site: With::no_workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let resume = json!({"method": "POST", "path": format!("/v1/accounts/{}/resume", world.tenant.id)});
        let left = leave(site, by, json!([resume, opening("Never")])).send().await.is(202);
        let first = worker(site).await;
        ended(site, by, &left.id()).await;
        first.stop().await;
        // As it would lie there if the worker had died a moment after it had sent the first request.
        site.fresh.tamper(&format!(
            "UPDATE batch_items SET status = 'pending', answer_status = NULL WHERE batch_id = '{0}';
             UPDATE batches SET status = 'cancelling', succeeded = 0, ended_at = NULL, due_at = created_at WHERE id = '{0}';
             DELETE FROM replies WHERE key = 'batch {0}/000001'",
            left.id()
        )).await;
        let second = worker(site).await;
        let batch = ended(site, by, &left.id()).await;
        assert_eq!(batch["items"], json!({"total": 2, "pending": 0, "succeeded": 1, "failed": 0, "cancelled": 1}));
        assert_eq!(statuses(&items(site, by, &left.id()).await), ["succeeded", "cancelled"]);
        second.stop().await;
    }

    async fn what_an_account_above_has_left_is_seen_below_and_is_not_theirs_to_change(site: With::no_workers()) {
        let world = site.world().await;
        let reseller = &world.reseller;
        let order = json!({"items": [{"action": "add", "plan": "hosted-mail", "quantity": 5, "resources": []}]});
        let order = json!({"method": "POST", "path": "/v1/orders", "body": order});
        let ceiling = json!({"ceiling": 1});
        site.put(&format!("/v1/accounts/{}/quotas/mail.mailboxes", reseller.id)).anyway().key(&site.operator_key).json(ceiling).send().await.is(200);
        let left = leave(site, &site.operator_key, json!([order])).acting_for(&reseller.id).send().await.is(202);
        let cancel = site.post(&format!("/v1/batches/{}/cancel", left.id())).key(&reseller.key).send().await;
        assert_eq!(cancel.refused(409, "state_conflict").text_at("current_state"), "another account's");
        let worker = worker(site).await;
        ended(site, &reseller.key, &left.id()).await;
        let told = async |by: &str| items(site, by, &left.id()).await[0]["answer"]["problem"].clone();
        let (above, below) = (told(&site.operator_key).await, told(&reseller.key).await);
        assert_eq!((&above["code"], &below["code"]), (&json!("quota_exceeded"), &json!("quota_exceeded")));
        assert!(above["violations"].is_array() && below.get("violations").is_none(), "{above} {below}");
        worker.stop().await;
    }

    async fn a_key_that_is_narrowed_says_for_which_of_its_accounts_a_batch_is(site: With::workers()) {
        let world = site.world().await;
        let scopes = ["batches:read", "batches:write", "members:write", "accounts:read"];
        let asked = json!({"account_id": world.reseller.id, "name": "narrow", "scopes": scopes, "hold_classes": [], "roots": [world.tenant.id]});
        let by = site.post("/v1/keys").key(&world.reseller.key).json(asked).send().await.is(201).text_at("secret");
        let person = item("POST", "/v1/members", json!({"role": "peer", "name": "Ada", "email": "ada@x.example", "scopes": ["members:write"]}));
        let refused = leave(site, &by, json!([person])).send().await.refused(422, "validation_failed");
        assert_eq!(refused.faults()[0].1, "account_needed");
        site.post("/v1/reconcile_runs").key(&by).send().await.refused(403, "insufficient_scope");
        let left = leave(site, &by, json!([person])).acting_for(&world.tenant.id).send().await.is(202);
        let batch = json!([ended(site, &by, &left.id()).await, items(site, &by, &left.id()).await]);
        assert_eq!(batch[0]["items"]["succeeded"], 1, "{batch}");
    }

    async fn of_one_account_one_batch_is_sent_at_a_time_and_another_account_does_not_wait_for_them(site: With::workers()) {
        let world = site.world().await;
        let other = site.account(&site.operator_key, "reseller", "Other").await;
        let many = |name: &str| json!(vec![opening(name); 40]);
        let mut left = Vec::new();
        for (by, name) in [(&world.reseller.key, "One"), (&world.reseller.key, "Two"), (&other.key, "Three")] {
            left.push((by, leave(site, by, many(name)).send().await.is(202).id()));
        }
        let mut times = Vec::new();
        for (by, id) in &left {
            let batch = ended(site, by, id).await;
            times.push(["started_at", "ended_at"].map(|member| batch[member].as_str().unwrap().to_owned()));
        }
        let [[first_begun, first_ended], [second_begun, second_ended], [other_begun, _]] = &times[..] else { unreachable!() };
        assert!(first_ended <= second_begun || second_ended <= first_begun, "{times:?}");
        assert!(other_begun < first_ended.max(second_ended), "{times:?}");
    }

    /// A refusal that passes is waited for.
    async fn a_request_waits_for_the_operation_that_one_before_it_set_off(site: With::workers()) {
        let world = site.world().await;
        let tenant = &world.tenant;
        let made = site.ordered(tenant, "acme.example", 3).await;
        let path = format!("/v1/services/{}/resources", made.mail);
        let anna = site.post(&path).key(&tenant.key).wait(20).json(mailbox("anna@acme.example")).send().await.is(201);
        let resize = |to: i64| item("PATCH", &format!("/v1/resources/{}", anna.id()), json!({"spec": {"quota_mb": to}}));
        let left = leave(site, &tenant.key, json!([resize(100), resize(200), resize(300)])).send().await.is(202);
        assert_eq!(ended(site, &tenant.key, &left.id()).await["items"]["succeeded"], 3);
        let last = items(site, &tenant.key, &left.id()).await.pop().unwrap();
        let operation = format!("/v1/operations/{}?wait=20", last["answer"]["operation_id"].as_str().unwrap());
        site.get(&operation).key(&tenant.key).send().await.is(200);
        let resized = site.get(&format!("/v1/resources/{}", anna.id())).key(&tenant.key).send().await.is(200);
        assert_eq!(resized.text_of("/spec/address"), "anna@acme.example");
        assert_eq!(resized.body["spec"]["quota_mb"], 300, "in their order");
    }

    /// S3: a batch never keeps a suspension or its end waiting.
    async fn what_a_batch_sets_off_waits_for_what_was_asked_for_by_itself(site: With::workers()) {
        let world = site.world().await;
        let made = site.ordered(&world.tenant, "acme.example", 3).await;
        let by = &world.reseller.key;
        let path = |verb: &str| format!("/v1/services/{}/{verb}", made.mail);
        let suspend = item("POST", &path("suspend"), json!({"reason_code": "payment"}));
        let whole = item("POST", &format!("/v1/accounts/{}/suspend", world.tenant.id), json!({"reason_code": "payment"}));
        let left = leave(site, by, json!([suspend, whole])).send().await.is(202);
        ended(site, by, &left.id()).await;
        let items = items(site, by, &left.id()).await;
        let lane = async |operation: &str| -> Vec<(i64,)> {
            let mut conn = site.db.read(tenantry::model::Subtree::everything()).await.unwrap();
            let lanes = "SELECT lane FROM operations WHERE id = $1 OR parent_id = $1";
            conn.query(lanes).bind(operation).all().await.unwrap()
        };
        for item in &items {
            let operation = item["answer"]["operation_id"].as_str().unwrap();
            site.get(&format!("/v1/operations/{operation}?wait=20")).key(by).send().await.is(200);
            let lanes = lane(operation).await;
            assert!(!lanes.is_empty() && lanes.iter().all(|(lane,)| *lane == Lane::Bulk as i64), "{lanes:?}");
        }
        let resume = site.post(&format!("/v1/accounts/{}/resume", world.tenant.id)).key(by).json(json!({})).send().await.is(202);
        assert_eq!(lane(&resume.text_at("operation_id")).await[0].0, Lane::Access as i64);
    }

    async fn the_requests_of_a_batch_count_for_no_limit_and_leave_nothing_of_their_bodies(site: With { settings: &[("TENANTRY_LIMITS__KEY_PER_MINUTE", "100")], ..With::clock() }) {
        let world = site.world().await;
        let made = site.ordered(&world.tenant, "acme.example", 60).await;
        let by = &world.tenant.key;
        let path = format!("/v1/services/{}/resources", made.mail);
        let secret = "horse-battery-canary";
        let mailbox = |n: usize| {
            let spec = json!({"address": format!("u{n}@acme.example")});
            item("POST", &path, json!({"type": "mailbox", "spec": spec, "password": secret}))
        };
        let left: Vec<_> = (0..60).map(mailbox).collect();
        leave(site, by, json!(left)).send().await.is(202);
        // Whoever asked the API would have used up his own limit.
        let mut conn = site.db.read(tenantry::model::Subtree::everything()).await.unwrap();
        until("the batch has ended", async || {
            let left = "SELECT succeeded FROM batches WHERE ended_at IS NULL";
            conn.query(left).optional::<(i64,)>().await.unwrap().is_none()
        })
        .await;
        let done: Vec<(i64,)> = conn.query("SELECT succeeded FROM batches").all().await.unwrap();
        assert_eq!(done, [(60,)]);
        let bodies: Vec<(Option<String>,)> = conn.query("SELECT body FROM batch_items").all().await.unwrap();
        assert!(bodies.len() == 60 && bodies.iter().all(|(body,)| body.is_none()));
    }
}

/// What is left lies sealed until it is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_waits_lies_sealed() {
    for fresh in [common::Fresh::sqlite().await, common::Fresh::postgres().await] {
        let site = Site::open(fresh, With::no_workers()).await;
        leave(&site, &site.operator_key, json!([opening("canary-in-the-mine")])).send().await.is(202);
        let mut conn = site.db.read(tenantry::model::Subtree::everything()).await.unwrap();
        let bodies: Vec<(String,)> = conn.query("SELECT body FROM batch_items").all().await.unwrap();
        assert!(bodies.len() == 1 && bodies[0].0.starts_with("s1."), "{bodies:?}");
        drop(conn);
        site.close().await;
    }
}
