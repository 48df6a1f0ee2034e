//! Entity tags: what has not changed is not sent again, and what has changed is not written over.

use reqwest::Method;

use super::*;

/// An order that nobody works on.
async fn queued(site: &Site, world: &World) -> String {
    let order = add("hosted-mail", 1, json!([{"type": "domain", "spec": {"name": "acme.example"}}]));
    site.post("/v1/orders").key(&world.tenant.key).json(order).send().await.is(202).id()
}

on_both_servers! {
    /// PAGE-6, If-None-Match.
    async fn what_still_looks_the_same_is_not_sent_again(site: With::no_workers()) {
        let world = site.world().await;
        let order = queued(site, &world).await;
        let paths = [
            format!("/v1/accounts/{}", world.tenant.id), format!("/v1/orders/{order}"),
            format!("/v1/plans/{}", world.plan), format!("/v1/servers/{}", world.server),
            format!("/v1/virtual_servers/{}", world.virtual_server), "/v1/openapi.json".to_owned(),
        ];
        for path in &paths {
            let by = &site.operator_key;
            let first = site.get(path).key(by).send().await.is(200);
            let tag = first.header("etag").unwrap().to_owned();
            assert!(tag.starts_with('"') && tag.ends_with('"'), "a strong tag: {tag}");
            let asked = async |tags: &str| site.get(path).key(by).header("If-None-Match", tags).send().await;
            for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
                let again = asked(&known).await.is(304);
                assert_eq!((again.text.as_str(), again.header("etag")), ("", Some(tag.as_str())), "{path} with {known}");
            }
            for other in ["\"other\"", "\"v1\"", "W/\"v1\""] {
                assert_eq!(asked(other).await.is(200).text, first.text, "{path} with {other}");
            }
        }
    }

    /// PAGE-6: a tag follows all that is shown, also what a hold above makes of it.
    async fn a_hold_above_changes_how_things_look_and_so_their_tags(site: With::workers()) {
        let world = site.world().await;
        let ordered = site.ordered(&world.tenant, "acme.example", 1).await;
        let paths = [
            format!("/v1/accounts/{}", world.tenant.id), format!("/v1/subscriptions/{}", ordered.subscription),
            format!("/v1/services/{}", ordered.mail),
        ];
        let mut tags = Vec::new();
        for path in &paths {
            let read = site.get(path).key(&world.tenant.key).send().await.is(200);
            tags.push((path, read.header("etag").unwrap().to_owned(), read.text));
        }
        let hold = json!({"reason_code": "payment"});
        let above = format!("/v1/accounts/{}/suspend", world.reseller.id);
        site.post(&above).key(&site.operator_key).wait(20).json(hold).send().await.is(200);
        for (path, tag, before) in tags {
            let now = site.get(path).key(&world.tenant.key).header("If-None-Match", &tag).send().await.is(200);
            assert_ne!(now.text, before, "{path}");
            assert_ne!(now.header("etag"), Some(tag.as_str()), "{path}");
        }
    }

    /// PAGE-6, If-Match: any of a list, but strong ones only.
    async fn a_change_is_made_at_one_of_the_versions_named(site: With::no_workers()) {
        let world = site.world().await;
        let path = format!("/v1/accounts/{}", world.tenant.id);
        let read = site.get(&path).key(&world.reseller.key).send().await.is(200);
        let tag = read.header("etag").unwrap().to_owned();
        let rename = |tags: String, name: &'static str| {
            site.patch(&path).key(&world.reseller.key).header("If-Match", &tags).json(json!({"name": name})).send()
        };
        for none in [format!("W/{tag}"), "\"v8\", \"v9\"".into(), "\"other\"".into(), "v1".into()] {
            rename(none, "None of these").await.refused(412, "precondition_failed");
        }
        let renamed = rename(format!("\"v9\", {tag}"), "Listed").await.is(200);
        let shown = site.get(&path).key(&world.reseller.key).send().await.is(200);
        assert_eq!((shown.text_at("name").as_str(), shown.header("etag")), ("Listed", renamed.header("etag")));
        let refused = rename(tag, "Late").await.refused(412, "precondition_failed");
        rename(refused.text_at("etag"), "As told").await.is(200);
        rename("*".into(), "Whatever it is").await.is(200);
    }

    /// PAGE-6, DELETE and actions.
    async fn an_action_on_a_version_that_is_past_changes_nothing(site: With::no_workers()) {
        let world = site.world().await;
        let by = &world.tenant.key;
        let order = queued(site, &world).await;
        let endpoint = json!({"url": "https://hooks.example/in"});
        let endpoint = site.post("/v1/webhook_endpoints").key(by).json(endpoint).send().await.is(201).id();
        let key = json!({"name": "spare", "scopes": ["orders:read"], "hold_classes": []});
        let key = site.post("/v1/keys").key(by).json(key).send().await.is(201).id();
        let calls = [
            (Method::POST, format!("/v1/orders/{order}/cancel"), format!("/v1/orders/{order}")),
            (Method::POST, format!("/v1/orders/{order}/retry"), format!("/v1/orders/{order}")),
            (Method::DELETE, format!("/v1/webhook_endpoints/{endpoint}"), format!("/v1/webhook_endpoints/{endpoint}")),
            (Method::POST, format!("/v1/keys/{key}/rotate"), format!("/v1/keys/{key}")),
            (Method::DELETE, format!("/v1/keys/{key}"), format!("/v1/keys/{key}")),
        ];
        for (method, call, object) in &calls {
            let before = site.get(object).key(by).send().await.is(200);
            let past = site.call(method.clone(), call).key(by).header("If-Match", "\"v77\"").send().await;
            let past = past.refused(412, "precondition_failed");
            assert!(before.header("etag").unwrap().starts_with(past.text_at("etag").trim_end_matches('"')), "{call}");
            let after = site.get(object).key(by).send().await.is(200);
            assert_eq!((after.text, after.headers.get("etag")), (before.text, before.headers.get("etag")), "{call}");
        }
        for (method, call, object) in [&calls[0], &calls[2], &calls[4]] {
            let tag = site.get(object).key(by).send().await.header("etag").unwrap().to_owned();
            let done = site.call(method.clone(), call).key(by).header("If-Match", &tag).send().await;
            assert!(done.status < 300, "{call}: {}", done.text);
        }
    }

    /// PAGE-6: what is agreed on is not changed by whoever has not seen it.
    async fn a_plan_and_a_ceiling_are_changed_by_who_says_what_they_were(site: With::no_workers()) {
        let world = site.world().await;
        let ceiling = format!("/v1/accounts/{}/quotas/mail.mailboxes", world.tenant.id);
        let terms = json!({"terms": {"virtual_server_id": world.virtual_server, "services": [{"type": "mail"}], "quotas": []}});
        let changes = [
            (Method::PUT, ceiling.clone(), ceiling, json!({"ceiling": 5})),
            (Method::POST, format!("/v1/plans/{}/versions", world.plan), format!("/v1/plans/{}", world.plan), terms),
        ];
        for (method, path, shown, body) in changes {
            let by = &site.operator_key;
            let change = || site.call(method.clone(), &path).key(by).json(body.clone());
            let before = site.get(&shown).key(by).send().await.is(200);
            change().send().await.refused(428, "precondition_required");
            // Of what is not there and of what belongs to others nothing else is told.
            let other = path.replace(&world.tenant.id, "acc_01jq3v8z0kf5n9d2t7x4m6c1ab");
            let other = other.replace(&world.plan, "pln_01jq3v8z0kf5n9d2t7x4m6c1ab");
            site.call(method.clone(), &other).key(by).json(body.clone()).send().await.refused(428, "precondition_required");
            assert_eq!(site.get(&shown).key(by).send().await.is(200).text, before.text);
            change().header("If-Match", "\"v77\"").send().await.refused(412, "precondition_failed");
            let tag = before.header("etag").unwrap();
            let made = change().header("If-Match", tag).idem(&path).send().await.is(200);
            let now = site.get(&shown).key(by).send().await.is(200);
            assert_eq!(made.header("etag"), now.header("etag"), "{path}");
            change().header("If-Match", tag).send().await.refused(412, "precondition_failed");
            let again = change().header("If-Match", tag).idem(&path).send().await.is(200);
            assert_eq!(again.text, made.text, "what is sent again is answered again");
        }
    }

    /// A condition that would be passed over is refused: nothing is done that the caller made depend on it.
    async fn a_condition_that_an_operation_does_not_know_is_refused(site: With::no_workers()) {
        let world = site.world().await;
        let suspend = format!("/v1/accounts/{}/suspend", world.tenant.id);
        let hold = json!({"reason_code": "payment"});
        let call = site.post(&suspend).key(&site.operator_key).header("If-Match", "\"v1\"").json(hold);
        let refused = call.send().await.refused(400, "unknown_parameter");
        assert_eq!(refused.body["errors"][0]["header"], "If-Match");
        let holds = site.get(&format!("/v1/accounts/{}/holds", world.tenant.id)).key(&site.operator_key).send().await;
        assert_eq!(holds.is(200).body["data"], json!([]));
    }

    /// PAGE-6: of two changes of one version, one is made.
    async fn of_changes_at_once_with_one_tag_exactly_one_is_made(site: With::no_workers()) {
        let world = site.world().await;
        let path = format!("/v1/accounts/{}", world.tenant.id);
        let ceiling = format!("{path}/quotas/mail.mailboxes");
        for round in 0..8 {
            let tag = site.get(&ceiling).key(&world.reseller.key).send().await.header("etag").unwrap().to_owned();
            let set = |of: u64| {
                let asked = json!({"ceiling": 10 * round + of});
                site.put(&ceiling).key(&world.reseller.key).header("If-Match", &tag).json(asked).send()
            };
            let (one, other) = tokio::join!(set(1), set(2));
            let mut statuses = [one.status, other.status];
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 412], "{} {}", one.text, other.text);
            let tag = site.get(&path).key(&world.reseller.key).send().await.header("etag").unwrap().to_owned();
            let rename = |name: String| {
                site.patch(&path).key(&world.reseller.key).header("If-Match", &tag).json(json!({"name": name})).send()
            };
            let (one, other) = tokio::join!(rename(format!("one {round}")), rename(format!("other {round}")));
            let mut statuses = [one.status, other.status];
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 412], "{} {}", one.text, other.text);
        }
    }
}
