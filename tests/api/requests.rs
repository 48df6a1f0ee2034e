//! The log of requests: what a caller asked and was told, for it to look up.

use super::*;

/// The request once it is in the log, which takes a moment. It is asked for by the operator, whose refusals until then
/// stand in the operator's own log.
async fn logged(site: &Site, by: &str, id: &str) -> Value {
    let path = format!("/v1/requests/{id}");
    until("the request is in the log", async || {
        site.get(&path).key(&site.operator_key).send().await.status == 200
    })
    .await;
    site.get(&path).key(by).send().await.is(200).body
}

on_both_servers! {
    /// ERR-1: the `instance` of a refusal is there to be read.
    async fn a_refusal_leads_to_its_request(site: With::no_workers()) {
        let world = site.world().await;
        let call = site.post("/v1/orders").key(&world.tenant.key).idem("order-4711").header("User-Agent", "crm/3.1");
        let refused = call.json(json!({"items": []})).send().await.refused(422, "validation_failed");
        let id = refused.text_at("request_id");
        assert_eq!(refused.text_at("instance"), format!("/v1/requests/{id}"));
        let told = logged(site, &world.tenant.key, &id).await;
        assert_eq!(told["account_id"], world.tenant.id.as_str());
        for (member, value) in [
            ("operation", json!("orders_place")), ("method", json!("POST")), ("path", json!("/v1/orders")),
            ("status", json!(422)), ("code", json!("validation_failed")), ("idempotency_key", json!("order-4711")),
            ("replayed", json!(false)), ("address", json!("127.0.0.1")), ("user_agent", json!("crm/3.1")),
        ] {
            assert_eq!(told[member], value, "{member}: {told}");
        }
    }

    async fn changes_and_refusals_are_kept_and_reads_are_not(site: With::no_workers()) {
        let world = site.world().await;
        let key = &world.tenant.key;
        let id = |answer: &Answer| answer.header("x-request-id").unwrap().to_owned();
        let endpoint = json!({"url": "https://hooks.example/in?token=secret-in-url"});
        let send = || site.post("/v1/webhook_endpoints").key(key).idem("hook-1").json(endpoint.clone()).send();
        let (read, made, again) = (id(&site.get("/v1/orders").key(key).send().await.is(200)), id(&send().await.is(201)), id(&send().await.is(201)));
        let scope = id(&site.post("/v1/servers").key(key).json(json!({})).send().await.refused(403, "insufficient_scope"));
        let nothing = id(&site.get("/v1/orders/ord_01jq3v8z0kf5n9d2t7x4m6c1ab?x=1").key(key).send().await.refused(400, "unknown_parameter"));
        let last = logged(site, key, &nothing).await;
        assert_eq!((&last["path"], &last["code"]), (&json!("/v1/orders/ord_01jq3v8z0kf5n9d2t7x4m6c1ab"), &json!("unknown_parameter")));
        for (id, status, replayed) in [(&made, 201, false), (&again, 201, true), (&scope, 403, false)] {
            let told = logged(site, key, id).await;
            assert_eq!((&told["status"], &told["replayed"]), (&json!(status), &json!(replayed)), "{told}");
        }
        site.get(&format!("/v1/requests/{read}")).key(key).send().await.refused(404, "not_found");
        let list = site.get("/v1/requests?limit=3").key(key).send().await.is(200);
        assert_eq!(list.ids(), [nothing, scope, again], "the newest first");
        assert_eq!(site.all(key, "/v1/requests", 2).await.len(), 4, "in pages of two, each once");
        assert!(!list.text.contains("secret-in-url"));
    }

    async fn a_request_is_seen_by_its_account_and_from_above_only(site: With::no_workers()) {
        let world = site.world().await;
        let sibling = site.account(&world.reseller.key, "tenant", "Sibling").await;
        let of = |party: &Party| site.post("/v1/keys").key(&party.key).json(json!({"name": "x"})).send();
        let id = of(&world.tenant).await.header("x-request-id").unwrap().to_owned();
        let above = of(&world.reseller).await.header("x-request-id").unwrap().to_owned();
        logged(site, &world.tenant.key, &id).await;
        logged(site, &world.reseller.key, &id).await;
        logged(site, &world.reseller.key, &above).await;
        for (by, id) in [(&sibling.key, &id), (&world.tenant.key, &above)] {
            site.get(&format!("/v1/requests/{id}")).key(by).send().await.refused(404, "not_found");
        }
        let list = site.get("/v1/requests").key(&world.reseller.key).acting_for(&world.tenant.id).send().await.is(200);
        assert_eq!(list.ids(), [id]);
        assert_eq!(site.get("/v1/requests").key(&sibling.key).send().await.is(200).ids(), [""; 0]);
    }
}
