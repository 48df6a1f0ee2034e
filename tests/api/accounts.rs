//! The tree: who sees what, who acts for whom.

use super::*;

on_both_servers! {
    /// AUTHZ-3
    async fn what_lies_outside_the_callers_subtree_does_not_exist(site: With::workers()) {
        let world = site.world().await;
        let ordered = site.ordered(&world.tenant, "acme.example", 1).await;
        let endpoint = json!({"url": "https://hooks.example/in"});
        let endpoint = site.post("/v1/webhook_endpoints").key(&world.reseller.key).json(endpoint).send().await.is(201).id();
        let order = site.get(&format!("/v1/orders/{}", ordered.order)).key(&world.tenant.key).send().await.is(200);
        let key = site.get("/v1/me").key(&world.tenant.key).send().await.is(200).text_of("/key/id");
        let sibling = site.account(&site.operator_key, "reseller", "Sibling").await;
        let theirs = [
            ("accounts", world.tenant.id.clone()), ("accounts", world.reseller.id.clone()), ("accounts", world.operator.id.clone()),
            ("keys", key), ("servers", world.server.clone()), ("virtual_servers", world.virtual_server.clone()),
            ("orders", ordered.order.clone()), ("operations", order.text_at("operation_id")),
            ("subscriptions", ordered.subscription.clone()), ("services", ordered.mail.clone()),
            ("resources", ordered.domain.clone()), ("webhook_endpoints", endpoint),
        ];
        let full = site.key(&site.operator_key, &sibling.id, "operator_admin").await;
        for (noun, id) in &theirs {
            // The same answer as for an identifier that names nothing at all.
            let nothing = format!("{}{}", &id[..4], "01jq3v8z0kf5n9d2t7x4m6c1ab");
            let told = site.get(&format!("/v1/{noun}/{id}")).key(&full).send().await;
            let none = site.get(&format!("/v1/{noun}/{nothing}")).key(&full).send().await;
            assert_eq!((told.status, none.status), (404, 404), "{noun}: {}", told.text);
            assert_eq!(without_ids(&told), without_ids(&none), "{noun}");
            site.get(&format!("/v1/{noun}/{id}")).key(&site.operator_key).send().await.is(200);
        }
        let id = |noun: &str| theirs.iter().rfind(|(known, _)| *known == noun).map(|(_, id)| id.clone()).unwrap();
        for path in [
            format!("/v1/accounts/{}/children", world.tenant.id), format!("/v1/accounts/{}/quotas", world.tenant.id),
            format!("/v1/accounts/{}/holds", world.tenant.id), format!("/v1/subscriptions/{}/holds", ordered.subscription),
            format!("/v1/subscriptions/{}/quotas", ordered.subscription), format!("/v1/services/{}/holds", ordered.mail),
            format!("/v1/services/{}/resources", ordered.mail), format!("/v1/services/{}/connection", ordered.mail),
            format!("/v1/webhook_endpoints/{}/deliveries", id("webhook_endpoints")),
        ] {
            site.get(&path).key(&full).send().await.is(404);
            site.get(&path).key(&site.operator_key).send().await.is(200);
        }
        let hold = json!({"reason_code": "payment"});
        for (path, body) in [
            (format!("/v1/accounts/{}/suspend", world.tenant.id), hold.clone()),
            (format!("/v1/subscriptions/{}/suspend", ordered.subscription), hold.clone()),
            (format!("/v1/services/{}/suspend", ordered.mail), hold.clone()),
            (format!("/v1/services/{}/resume", ordered.mail), json!({})),
            (format!("/v1/services/{}/resources", ordered.mail), mailbox("a@acme.example")),
            (format!("/v1/resources/{}/set_password", ordered.domain), json!({"password": "long enough"})),
            (format!("/v1/orders/{}/cancel", ordered.order), Value::Null),
            (format!("/v1/orders/{}/retry", ordered.order), Value::Null),
            (format!("/v1/operations/{}/cancel", id("operations")), Value::Null),
            (format!("/v1/operations/{}/retry", id("operations")), Value::Null),
            (format!("/v1/servers/{}/test", world.server), Value::Null),
            (format!("/v1/plans/{}/archive", world.plan), Value::Null),
        ] {
            let call = site.post(&path).key(&full);
            let call = if body.is_null() { call } else { call.json(body) };
            let answer = call.send().await;
            assert_eq!(answer.status, 404, "{path}: {}", answer.text);
        }
        for path in [format!("/v1/resources/{}", ordered.domain), format!("/v1/keys/{}", id("keys"))] {
            site.delete(&path).key(&full).send().await.is(404);
        }
        site.patch(&format!("/v1/accounts/{}", world.tenant.id)).key(&full).json(json!({"name": "Mine"})).send().await.is(404);
        for list in ["accounts", "orders", "subscriptions", "services", "resources", "operations", "keys", "servers", "webhook_endpoints"] {
            let seen = site.get(&format!("/v1/{list}?limit=200")).key(&full).send().await.is(200);
            assert!(theirs.iter().all(|(_, id)| !seen.text.contains(id.as_str())), "{list}: {}", seen.text);
        }
        site.get(&format!("/v1/services/{}", ordered.mail)).key(&world.tenant.key).send().await.is(200);
    }

    /// AUTHZ-9
    async fn nothing_of_the_accounts_above_is_told_to_those_below(site: With::workers()) {
        let world = site.world().await;
        let ordered = site.ordered(&world.tenant, "acme.example", 1).await;
        let hold = json!({"reason_code": "abuse.spam", "reason": "complaint 77 of the regulator"});
        let path = format!("/v1/subscriptions/{}/suspend", ordered.subscription);
        site.post(&path).key(&site.operator_key).wait(20).json(hold).send().await.is(200);
        let above = [&world.operator.id, &world.reseller.id];
        let key = &world.tenant.key;
        for path in [
            "/v1/me".to_owned(), "/v1/accounts".into(), format!("/v1/accounts/{}", world.tenant.id), "/v1/plans".into(),
            format!("/v1/plans/{}", world.plan), "/v1/orders".into(), "/v1/subscriptions".into(), "/v1/services".into(),
            "/v1/resources".into(), "/v1/operations".into(), format!("/v1/subscriptions/{}/holds", ordered.subscription),
            "/v1/events?limit=200".into(), format!("/v1/services/{}/connection", ordered.mail),
        ] {
            let told = site.get(&path).key(key).send().await.is(200);
            for id in above {
                assert!(!told.text.contains(id.as_str()), "{path} tells {id}: {}", told.text);
            }
            assert!(!told.text.contains(&world.server) && !told.text.contains("regulator"), "{path}: {}", told.text);
        }
        let holds = site.get(&format!("/v1/subscriptions/{}/holds", ordered.subscription)).key(key).send().await;
        assert_eq!(holds.body["data"][0]["placed_by_role"], "operator");
    }

    /// AUTHZ-4
    async fn an_account_acts_for_those_below_and_for_nobody_else(site: With::no_workers()) {
        let world = site.world().await;
        let sibling = site.account(&site.operator_key, "reseller", "Sibling").await;
        let get = |key: &str, subject: &str| site.get("/v1/me").key(key).acting_for(subject).send();
        let told = get(&world.reseller.key, &world.tenant.id).await.is(200);
        assert_eq!(told.text_of("/account/id"), world.tenant.id);
        assert_eq!(told.text_of("/key/account_id"), world.reseller.id);
        for subject in [&sibling.id, &world.operator.id, "acc_01jq3v8z0kf5n9d2t7x4m6c1ab", "nobody"] {
            get(&world.reseller.key, subject).await.refused(404, "account_not_found");
        }
        let order = site.post("/v1/orders").key(&world.reseller.key).acting_for(&world.tenant.id).json(add("hosted-mail", 1, json!([]))).send().await.is(202);
        assert_eq!(order.text_at("account_id"), world.tenant.id);
        let named = |account: &str| {
            let mut order = add("hosted-mail", 1, json!([]));
            order["account_id"] = json!(account);
            order
        };
        let order = site.post("/v1/orders").key(&world.reseller.key).json(named(&world.tenant.id)).send().await.is(202);
        assert_eq!(order.text_at("account_id"), world.tenant.id);
        site.post("/v1/orders").key(&world.reseller.key).json(named(&sibling.id)).send().await.refused(404, "account_not_found");
        let seen = site.get("/v1/accounts").key(&site.operator_key).acting_for(&world.reseller.id).send().await.is(200);
        assert_eq!(seen.ids(), [world.reseller.id.clone(), world.tenant.id.clone()]);
    }

    async fn accounts_stand_only_where_their_type_may(site: With::no_workers()) {
        let world = site.world().await;
        let new = |key: &str, account_type: &str| site.post("/v1/accounts").key(key).json(json!({"type": account_type, "name": "New"})).send();
        for account_type in ["operator", "distributor"] {
            let refused = new(&world.reseller.key, account_type).await.refused(422, "validation_failed");
            assert_eq!(refused.faults(), [("/type".into(), "not_allowed_here".into())]);
        }
        for account_type in ["reseller", "agent", "tenant"] {
            new(&world.reseller.key, account_type).await.is(201);
        }
        let below = json!({"type": "tenant", "name": "New", "parent_id": world.tenant.id});
        site.post("/v1/accounts").key(&world.reseller.key).json(below).send().await.refused(422, "validation_failed");
        let elsewhere = json!({"type": "tenant", "name": "New", "parent_id": world.operator.id});
        site.post("/v1/accounts").key(&world.reseller.key).json(elsewhere).send().await.refused(404, "account_not_found");
    }

    async fn what_is_left_out_is_inherited_and_null_clears(site: With::no_workers()) {
        let world = site.world().await;
        let path = format!("/v1/accounts/{}", world.reseller.id);
        let set = json!({"locale": "de-DE", "time_zone": "Europe/Berlin", "currency": "EUR", "contact_email": "it@acme.example"});
        site.patch(&path).key(&site.operator_key).json(set).send().await.is(200);
        let child = json!({"type": "tenant", "name": "Child", "currency": "CHF", "metadata": {"crm": "4711"}});
        let child = site.post("/v1/accounts").key(&world.reseller.key).json(child).send().await.is(201);
        assert_eq!(child.header("location"), Some(format!("/v1/accounts/{}", child.id()).as_str()));
        for (member, value) in [("locale", "de-DE"), ("time_zone", "Europe/Berlin"), ("currency", "CHF")] {
            assert_eq!(child.body[member], value);
        }
        assert_eq!((&child.body["contact_email"], &child.body["metadata"]["crm"]), (&Value::Null, &json!("4711")));
        let cleared = site.patch(&path).key(&site.operator_key).json(json!({"contact_email": null})).send().await.is(200);
        assert_eq!((&cleared.body["contact_email"], &cleared.body["currency"]), (&Value::Null, &json!("EUR")));
    }

    /// IDEM-15
    async fn an_external_id_converges_on_equal_content_and_conflicts_on_other(site: With::no_workers()) {
        let world = site.world().await;
        let other = site.account(&site.operator_key, "reseller", "Other").await;
        let new = |key: &str, name: &str| site.post("/v1/accounts").key(key).json(json!({"type": "tenant", "name": name, "external_id": "crm:1"})).send();
        let first = new(&world.reseller.key, "Acme").await.is(201);
        let again = new(&world.reseller.key, "Acme").await.is(200);
        assert_eq!((again.id(), again.header("location")), (first.id(), first.header("location")));
        let conflict = new(&world.reseller.key, "Other").await.refused(409, "external_id_conflict");
        assert_eq!(conflict.text_at("existing_id"), first.id());
        assert_ne!(new(&other.key, "Acme").await.is(201).id(), first.id(), "another account's names are its own");

        let order = |quantity: i64| {
            let mut order = add("hosted-mail", quantity, json!([]));
            order["external_id"] = json!("crm:order:1");
            site.post("/v1/orders").key(&world.tenant.key).json(order).send()
        };
        let first = order(1).await.is(202);
        assert_eq!(order(1).await.is(200).id(), first.id());
        order(2).await.refused(409, "external_id_conflict");
        assert_eq!(site.all(&world.tenant.key, "/v1/subscriptions", 50).await.len(), 1);
    }
}

/// The answer without what names this one request.
fn without_ids(answer: &Answer) -> Value {
    let mut body = answer.body.clone();
    for member in ["instance", "request_id"] {
        body.as_object_mut().unwrap().remove(member);
    }
    body
}
