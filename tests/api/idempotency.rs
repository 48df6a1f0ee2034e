//! Requests that are sent again: under one key they act once.

use super::*;

fn account(name: &str) -> Value {
    json!({"type": "tenant", "name": name})
}

on_both_servers! {
    /// IDEM-6, IDEM-13
    async fn two_hundred_copies_of_one_keyed_order_at_once_are_one_order_and_two_hundred_equal_answers(site: With::workers()) {
        let world = site.world().await;
        let order = add("hosted-mail", 1, json!([{"type": "domain", "spec": {"name": "acme.example"}}]));
        // A crowded server may put a copy off, which then comes again as it is told it may.
        let copy = async || loop {
            let answer = site.post("/v1/orders").key(&world.tenant.key).idem("order-4711").json(order.clone()).send().await;
            if answer.body["retryable"] != true {
                return answer;
            }
        };
        let answers = futures_util::future::join_all((0..200).map(|_| copy())).await;
        let first = answers[0].clone().is(202);
        let mut fresh = 0;
        for answer in &answers {
            assert_eq!((answer.status, &answer.text), (202, &first.text));
            assert_eq!((answer.header("location"), answer.header("etag")), (first.header("location"), first.header("etag")));
            fresh += usize::from(answer.header("idempotency-replayed").is_none());
        }
        assert_eq!(fresh, 1, "one of them did the work");
        assert_eq!(site.all(&world.tenant.key, "/v1/orders", 50).await.len(), 1);
        assert_eq!(site.all(&world.tenant.key, "/v1/subscriptions", 50).await.len(), 1);
        let again = site.post("/v1/orders").key(&world.tenant.key).idem("order-4711").wait(20).json(order).send().await.is(201);
        assert_eq!(again.id(), first.id());
        assert_eq!((again.body["status"].as_str(), again.header("idempotency-replayed")), (Some("completed"), Some("true")));
    }

    /// IDEM-2, IDEM-4, IDEM-5, IDEM-10
    async fn a_repeated_request_is_answered_in_the_same_bytes_and_a_different_one_is_refused(site: With::no_workers()) {
        let world = site.world().await;
        let key = &world.reseller.key;
        let send = |idem: &str, body: Value| site.post("/v1/accounts").key(key).idem(idem).json(body).send();
        let first = send("crm-1", account("Acme")).await.is(201);
        assert_eq!(first.header("idempotency-replayed"), None);
        for idem in ["crm-1", "\"crm-1\""] {
            let again = send(idem, account("Acme")).await.is(201);
            assert_eq!((&again.text, again.header("location"), again.header("etag")), (&first.text, first.header("location"), first.header("etag")));
            assert_eq!(again.header("idempotency-replayed"), Some("true"));
            assert_ne!(again.header("x-request-id").unwrap(), first.header("x-request-id").unwrap());
        }
        let spaced = "{ \"name\" : \"Acme\",\n \"type\":\"tenant\" }";
        let again = site.post("/v1/accounts").key(key).idem("crm-1").body("application/json", spaced).send().await.is(201);
        assert_eq!(again.text, first.text, "the same members in another order are the same body");

        send("crm-1", account("Other")).await.refused(422, "idempotency_key_reused");
        site.post("/v1/orders").key(key).idem("crm-1").json(add("hosted-mail", 1, json!([]))).send().await.refused(422, "idempotency_key_reused");
        assert_ne!(send("crm-2", account("Acme")).await.is(201).id(), first.id());
        for malformed in ["", "a b", "a\\b", &"k".repeat(256)] {
            let refused = send(malformed, account("Acme")).await.refused(400, "idempotency_key_invalid");
            assert_eq!(refused.faults(), [("Idempotency-Key".into(), "invalid".into())]);
        }
        assert_eq!(site.all(key, "/v1/accounts", 50).await.len(), 4, "the reseller, its first tenant and two more");
    }

    /// IDEM-7
    async fn a_refused_request_leaves_its_key_free(site: With::no_workers()) {
        let world = site.world().await;
        let key = &world.tenant.key;
        let send = |body: Value| site.post("/v1/orders").key(key).idem("order-1").json(body).send();
        send(add("no-such-plan", 1, json!([]))).await.refused(422, "validation_failed");
        send(json!({"items": []})).await.refused(422, "validation_failed");
        let good = send(add("hosted-mail", 1, json!([]))).await.is(202);
        assert_eq!(send(add("hosted-mail", 1, json!([]))).await.is(202).text, good.text);
    }

    /// IDEM-3
    async fn a_key_belongs_to_the_account_that_used_it_and_to_the_one_it_acted_for(site: With::no_workers()) {
        let world = site.world().await;
        let other = site.account(&site.operator_key, "reseller", "Other").await;
        let mut ids = Vec::new();
        for key in [&world.reseller.key, &other.key, &site.operator_key] {
            ids.push(site.post("/v1/accounts").key(key).idem("same").json(account("Acme")).send().await.is(201).id());
        }
        let acting = site.post("/v1/accounts").key(&site.operator_key).acting_for(&other.id).idem("same").json(account("Acme")).send().await.is(201);
        assert_eq!(acting.header("idempotency-replayed"), None);
        ids.push(acting.id());
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 4);
        let second = site.key(&site.operator_key, &world.reseller.id, "reseller_admin").await;
        let again = site.post("/v1/accounts").key(&second).idem("same").json(account("Acme")).send().await.is(201);
        assert_eq!(again.header("idempotency-replayed"), Some("true"), "an account's keys stand for the same caller");
    }

    /// IDEM-11, IDEM-14
    async fn the_secret_of_a_new_key_is_told_again_to_whoever_repeats_the_request_for_a_day(site: With::clock()) {
        let world = site.world().await;
        let asked = json!({"name": "shop", "scopes": ["orders:read"]});
        let send = || site.post("/v1/keys").key(&world.reseller.key).idem("key-1").json(asked.clone()).send();
        let first = send().await.is(201);
        let again = send().await.is(201);
        assert_eq!((&again.text, again.header("idempotency-replayed")), (&first.text, Some("true")));
        let secret = first.text_at("secret");
        site.get("/v1/orders").key(&secret).send().await.is(200);

        let mut conn = site.db.read(tenantry::model::Subtree::everything()).await.unwrap();
        let kept: Vec<(String,)> = conn.query("SELECT r.body FROM replies r").all().await.unwrap();
        drop(conn);
        assert!(!kept.is_empty() && kept.iter().all(|(body,)| !body.contains(&secret) && !body.contains("tnk_")));

        site.clock.advance(Duration::from_secs(24 * 3600 + 1));
        send().await.refused(409, "idempotency_result_expired");
        site.clock.advance(Duration::from_secs(48 * 3600));
        assert_ne!(send().await.is(201).id(), first.id(), "after 72 hours the key is a new one");
    }

    async fn a_dry_run_answers_like_the_real_one_and_leaves_nothing(site: With::workers()) {
        let world = site.world().await;
        let key = &world.tenant.key;
        let before = all_told(site, &site.operator_key).await;
        let order = add("hosted-mail", 1, json!([{"type": "domain", "spec": {"name": "acme.example"}}]));
        let dry = site.post("/v1/orders?dry_run=true").key(key).idem("order-1").json(order.clone()).send().await.is(202);
        assert_eq!(dry.body["items"][0]["action"], "add");
        site.get(&format!("/v1/orders/{}", dry.id())).key(key).send().await.refused(404, "not_found");
        assert!(site.all(key, "/v1/subscriptions", 50).await.is_empty());
        assert_eq!(all_told(site, &site.operator_key).await, before);
        let mut conn = site.db.read(tenantry::model::Subtree::everything()).await.unwrap();
        let lines: Vec<(String,)> = conn.query("SELECT a.action FROM audit a WHERE a.action = 'orders_place'").all().await.unwrap();
        drop(conn);
        assert!(lines.is_empty());
        site.post("/v1/orders?dry_run=true").key(key).json(add("none", 1, json!([]))).send().await.refused(422, "validation_failed");
        site.post("/v1/orders?dry_run=perhaps").key(key).json(order.clone()).send().await.refused(422, "validation_failed");
        let real = site.post("/v1/orders").key(key).idem("order-1").json(order).send().await.is(202);
        assert_eq!(real.header("idempotency-replayed"), None, "a dry run uses up no key");
    }

    /// IDEM-1, IDEM-2
    async fn a_read_has_no_use_for_a_key_and_one_that_is_sent_twice_is_none(site: With::no_workers()) {
        let key = &site.operator_key;
        let read = site.get("/v1/me").key(key).idem("a b").send().await.is(200);
        assert_eq!(read.header("idempotency-replayed"), None);
        let twice = site.post("/v1/accounts").key(key).idem("one").idem("two").json(account("Acme")).send().await;
        twice.refused(400, "idempotency_key_invalid");
        assert_eq!(site.all(key, "/v1/accounts", 50).await.len(), 1, "the operator alone");
    }

    /// IDEM-13
    async fn a_repeated_order_names_its_first_operation_even_when_that_has_ended(site: With::workers()) {
        let world = site.world().await;
        let place = || site.post("/v1/orders").key(&world.tenant.key).idem("order-1").json(add("hosted-mail", 1, json!([])));
        let first = place().send().await.is(202);
        let done = place().wait(20).send().await.is(201);
        assert_eq!(done.body["status"], "completed");
        let again = place().send().await.is(202);
        assert_eq!((&again.text, again.header("location")), (&first.text, first.header("location")));
        let operation = site.get(first.header("location").unwrap()).key(&world.tenant.key).send().await.is(200);
        assert_eq!(operation.body["status"], "succeeded");
    }
}
