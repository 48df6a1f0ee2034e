//! Orders: what they make, what they refuse, and how they are taken back.

use super::*;

on_both_servers! {
    async fn a_completed_order_leaves_active_services_and_what_was_asked_for_in_them(site: With::workers()) {
        let world = site.world().await;
        let key = &world.tenant.key;
        let resources = json!([
            {"type": "mailbox", "spec": {"address": "Alice@ACME.example", "display_name": "Alice"}, "password": "correct horse"},
            {"type": "zone", "spec": {"name": "acme.example", "records": [{"name": "@", "type": "MX", "data": "10 mx.acme.example."}]}},
            {"type": "domain", "spec": {"name": "acme.example"}},
        ]);
        let accepted = site.post("/v1/orders").key(key).json(add("hosted-mail", 1, resources)).send().await.is(202);
        let operation = accepted.text_at("operation_id");
        assert_eq!(accepted.header("location"), Some(format!("/v1/operations/{operation}").as_str()));
        let ended = site.get(&format!("/v1/operations/{operation}?wait=20")).key(key).send().await.is(200);
        assert_eq!((&ended.body["status"], &ended.body["progress"]), (&json!("succeeded"), &json!({"done": 5, "total": 5})));
        let order = site.get(&format!("/v1/orders/{}", accepted.id())).key(key).send().await.is(200);
        assert_eq!((&order.body["status"], &order.body["items"][0]["status"]), (&json!("completed"), &json!("done")));
        let subscription = order.text_of("/items/0/subscription_id");
        assert_eq!(site.get(&format!("/v1/subscriptions/{subscription}")).key(key).send().await.text_at("status"), "active");
        for service in site.all(key, "/v1/services", 50).await {
            assert_eq!((&service["status"], &service["access"], &service["operation_id"]), (&json!("active"), &json!("full"), &Value::Null));
        }
        let resources = site.all(key, "/v1/resources", 50).await;
        let mut names: Vec<_> = resources.iter().map(|it| (it["type"].as_str().unwrap(), it["name"].as_str().unwrap())).collect();
        names.sort_unstable();
        assert_eq!(names, [("domain", "acme.example"), ("mailbox", "alice@acme.example"), ("zone", "acme.example")]);
        assert!(resources.iter().all(|resource| resource["lifecycle"] == "active"));
        let row = site.quota(key, &subscription, "mail.mailboxes").await.unwrap();
        assert_eq!((&row["used"], &row["reserved"]), (&json!(1), &json!(0)));
        let mail = order.text_of("/items/0/service_ids/0");
        let connection = site.get(&format!("/v1/services/{mail}/connection")).key(key).send().await.is(200);
        assert!(connection.text.contains("imap") && connection.text.contains("alice@acme.example"), "{}", connection.text);
        let zone = std::fs::read_dir(site.folder.join("served")).unwrap().count();
        assert!(zone > 1, "the files are there");
    }

    async fn an_order_that_cannot_be_is_refused_at_its_place(site: With::workers()) {
        let world = site.world().await;
        let key = &world.tenant.key;
        let place = |order: Value| site.post("/v1/orders").key(key).json(order).send();
        let fault = async |order: Value, pointer: &str, code: &str| {
            let refused = place(order.clone()).await.refused(422, "validation_failed");
            assert_eq!(refused.faults(), [(pointer.to_owned(), code.to_owned())], "{order}");
        };
        fault(add("no-such-plan", 1, json!([])), "/items/0/plan", "plan_not_applicable").await;
        fault(add("hosted-mail", 1, json!([mailbox("a@acme.example")])), "/items/0/resources/0/spec/address", "no_such_domain").await;
        fault(add("hosted-mail", 1, json!([{"type": "site", "spec": {"host": "www.acme.example"}}])), "/items/0/resources/0/type", "not_in_plan").await;
        let archived = |to: &str| site.post(&format!("/v1/plans/{}/{to}", world.plan)).key(&site.operator_key).send();
        archived("pause").await.is(200);
        fault(add("hosted-mail", 1, json!([])), "/items/0/plan", "plan_not_applicable").await;
        archived("activate").await.is(200);

        let ordered = site.ordered(&world.tenant, "acme.example", 2).await;
        let domain = json!([{"type": "domain", "spec": {"name": "ACME.example"}}]);
        let other = site.account(&site.operator_key, "tenant", "Other").await;
        let taken = site.post("/v1/orders").key(&other.key).json(add("hosted-mail", 1, domain)).send().await.refused(409, "name_taken");
        assert!(!taken.text.contains(&world.tenant.id));
        assert!(site.all(&other.key, "/v1/subscriptions", 50).await.is_empty(), "a refused order leaves nothing");
        let mixed = json!({"items": [{"action": "add", "plan": "hosted-mail"}, {"action": "change", "subscription_id": ordered.subscription, "quantity": 3}]});
        fault(mixed, "/items", "mixed_actions").await;
        let foreign = site.post("/v1/orders").key(&other.key).json(change(&ordered.subscription, json!({"quantity": 3}))).send().await;
        assert_eq!(foreign.refused(422, "validation_failed").faults(), [("/items/0/subscription_id".into(), "not_found".into())]);
    }

    async fn an_order_that_nobody_has_begun_is_cancelled_and_its_quota_is_free_again(site: With::no_workers()) {
        let world = site.world().await;
        let key = &world.tenant.key;
        let ceiling = format!("/v1/accounts/{}/quotas/mail.mailboxes", world.tenant.id);
        site.put(&ceiling).anyway().key(&world.reseller.key).json(json!({"ceiling": 1})).send().await.is(200);
        let order = || add("hosted-mail", 1, json!([{"type": "domain", "spec": {"name": "acme.example"}}]));
        let first = site.post("/v1/orders").key(key).json(order()).send().await.is(202);
        let reserved = site.quota(key, &world.tenant.id, "mail.mailboxes").await.unwrap();
        assert_eq!((&reserved["used"], &reserved["reserved"]), (&json!(0), &json!(1)));
        site.post("/v1/orders").key(key).json(add("hosted-mail", 1, json!([]))).send().await.refused(409, "quota_exceeded");
        let path = format!("/v1/orders/{}/cancel", first.id());
        for _ in 0..2 {
            assert_eq!(site.post(&path).key(key).send().await.is(200).body["status"], "cancelled");
        }
        let free = site.quota(key, &world.tenant.id, "mail.mailboxes").await.unwrap();
        assert_eq!((&free["used"], &free["reserved"]), (&json!(0), &json!(0)));
        let again = site.post("/v1/orders").key(key).json(order()).send().await.is(202);
        assert_ne!(again.id(), first.id(), "the name is free as well");
        let operation = first.text_at("operation_id");
        assert_eq!(site.get(&format!("/v1/operations/{operation}")).key(key).send().await.text_at("status"), "cancelled");
    }

    async fn cancelling_an_operation_cancels_what_it_was_for_and_never_what_holds_say(site: With::no_workers()) {
        let world = site.world().await;
        let key = &world.tenant.key;
        let ordered = site.post("/v1/orders").key(key).json(add("hosted-mail", 1, json!([]))).send().await.is(202);
        let cancel = |id: String| site.post(&format!("/v1/operations/{id}/cancel")).key(&site.operator_key).send();
        let cancelled = cancel(ordered.text_at("operation_id")).await.is(200);
        assert_eq!(cancelled.text_at("status"), "cancelled");
        let order = site.get(&format!("/v1/orders/{}", ordered.id())).key(key).send().await;
        assert_eq!(order.text_at("status"), "cancelled");
        let path = format!("/v1/accounts/{}/suspend", world.tenant.id);
        let held = site.post(&path).key(&world.reseller.key).json(json!({"reason_code": "payment"})).send().await.is(202);
        cancel(held.text_at("operation_id")).await.refused(409, "state_conflict");
    }

    async fn a_completed_order_is_neither_cancelled_nor_retried(site: With::workers()) {
        let world = site.world().await;
        let ordered = site.ordered(&world.tenant, "acme.example", 1).await;
        for action in ["cancel", "retry"] {
            let path = format!("/v1/orders/{}/{action}", ordered.order);
            let refused = site.post(&path).key(&world.tenant.key).send().await.refused(409, "state_conflict");
            assert_eq!(refused.text_at("current_state"), "completed");
        }
    }

    async fn an_order_that_came_to_nothing_keeps_its_external_id_from_nobody(site: With::workers()) {
        let world = site.world().await;
        let key = &world.tenant.key;
        let order = |domain: &str| {
            let mut order = add("hosted-mail", 1, json!([{"type": "domain", "spec": {"name": domain}}]));
            order["external_id"] = json!("order-1");
            order
        };
        // Somebody else's users are where the domain's would be.
        let place = site.folder.join("served/mail/users");
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("taken.example"), "not ours").unwrap();
        let failed = site.post("/v1/orders").key(key).wait(20).json(order("taken.example")).send().await.is(200);
        assert_eq!((&failed.body["status"], &failed.body["retryable"]), (&json!("failed"), &json!(false)), "{}", failed.text);
        let refused = site.post(&format!("/v1/orders/{}/retry", failed.id())).key(key).send().await.refused(409, "state_conflict");
        assert!(refused.text_at("detail").contains("a retry does not change"), "{}", refused.text);
        let told_again = site.post("/v1/orders").key(key).wait(20).json(order("taken.example")).send().await.is(200);
        assert_eq!((told_again.id(), &told_again.body["status"]), (failed.id(), &json!("failed")), "{}", told_again.text);
        let mended = site.post("/v1/orders").key(key).wait(20).json(order("free.example")).send().await.is(201);
        assert_eq!((&mended.body["status"], &mended.body["external_id"]), (&json!("completed"), &json!("order-1")));
        // And what did not come to nothing does.
        let again = site.post("/v1/orders").key(key).json(order("free.example")).send().await.is(200);
        assert_eq!(again.id(), mended.id());
        site.post("/v1/orders").key(key).json(order("other.example")).send().await.refused(409, "external_id_conflict");
    }

    async fn whoever_orders_again_under_the_same_external_id_waits_for_the_same_work(site: With::workers()) {
        let world = site.world().await;
        let mut order = add("hosted-mail", 1, json!([{"type": "domain", "spec": {"name": "acme.example"}}]));
        order["external_id"] = json!("order-1");
        let placed = site.post("/v1/orders").key(&world.tenant.key).json(order.clone()).send().await.is(202);
        let again = site.post("/v1/orders").key(&world.tenant.key).wait(20).json(order).send().await.is(200);
        assert_eq!((again.id(), &again.body["status"]), (placed.id(), &json!("completed")), "{}", again.text);
    }

    async fn a_subscription_moves_to_another_quantity_or_plan_and_never_below_its_use(site: With::workers()) {
        let world = site.world().await;
        let key = &world.tenant.key;
        site.plan(&world.virtual_server, "hosted-mail-plus", mail_quotas(2)).await;
        let ordered = site.ordered(&world.tenant, "acme.example", 1).await;
        let to = |to: Value| site.post("/v1/orders").key(key).json(change(&ordered.subscription, to)).send();
        let moved = to(json!({"quantity": 3})).await.is(201);
        assert_eq!((&moved.body["status"], &moved.body["operation_id"]), (&json!("completed"), &Value::Null));
        let place = format!("/v1/services/{}/resources", ordered.mail);
        for n in 0..3 {
            site.post(&place).key(key).wait(20).json(mailbox(&format!("u{n}@acme.example"))).send().await.is(201);
        }
        let refused = to(json!({"quantity": 2})).await.refused(422, "validation_failed");
        assert!(refused.faults().iter().all(|fault| fault.1 == "quota_in_use"), "{}", refused.text);
        let moved = to(json!({"plan": "hosted-mail-plus", "quantity": 2})).await.is(201);
        assert_eq!(moved.body["status"], "completed");
        let subscription = site.get(&format!("/v1/subscriptions/{}", ordered.subscription)).key(key).send().await.is(200);
        assert_eq!((&subscription.body["plan"], &subscription.body["quantity"]), (&json!("hosted-mail-plus"), &json!(2)));
        let row = site.quota(key, &ordered.subscription, "mail.mailboxes").await.unwrap();
        assert_eq!((&row["ceiling"], &row["used"]), (&json!(4), &json!(3)));
    }

    async fn a_service_takes_what_belongs_into_it_and_gives_it_up_again(site: With::workers()) {
        let world = site.world().await;
        let key = &world.tenant.key;
        let ordered = site.ordered(&world.tenant, "acme.example", 2).await;
        let place = format!("/v1/services/{}/resources", ordered.mail);
        let send = |body: Value| site.post(&place).key(key).wait(20).json(body).send();
        let fault = async |body: Value, pointer: &str| {
            assert_eq!(send(body).await.refused(422, "validation_failed").faults()[0].0, pointer);
        };
        fault(mailbox("a@other.example"), "/spec/address").await;
        fault(json!({"type": "zone", "spec": {"name": "acme.example"}}), "/type").await;
        fault(json!({"type": "pigeon", "spec": {}}), "/type").await;
        fault(json!({"spec": {}}), "/type").await;
        let made = send(json!({"type": "mailbox", "spec": {"address": "a@acme.example"}, "external_id": "crm:1"})).await.is(201);
        let again = send(json!({"type": "mailbox", "spec": {"address": "a@acme.example"}, "external_id": "crm:1"})).await.is(200);
        assert_eq!(again.id(), made.id());
        send(json!({"type": "mailbox", "spec": {"address": "b@acme.example"}, "external_id": "crm:1"})).await.refused(409, "external_id_conflict");
        send(mailbox("A@acme.example")).await.refused(409, "name_taken");
        let domain = format!("/v1/resources/{}", ordered.domain);
        site.delete(&domain).key(key).send().await.refused(409, "state_conflict");
        let path = format!("/v1/resources/{}", made.id());
        let etag = site.get(&path).key(key).send().await.header("etag").unwrap().to_owned();
        let renamed = json!({"spec": {"display_name": "A"}});
        let waited = site.patch(&path).key(key).wait(20).header("If-Match", &etag).json(renamed.clone()).send().await.is(200);
        assert_eq!(site.get(&path).key(key).send().await.header("etag"), waited.header("etag"), "the operation beside it is not the object's");
        site.patch(&path).key(key).header("If-Match", &etag).json(renamed).send().await.refused(412, "precondition_failed");
        site.delete(&path).key(key).wait(20).send().await.is(200);
        send(mailbox("a@acme.example")).await.is(201);
    }
}
