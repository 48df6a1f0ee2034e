//! Servers, plans and operations on them.

use super::*;

on_both_servers! {
    async fn a_plan_is_made_versioned_and_taken_off_sale(site: With::workers()) {
        let world = site.world().await;
        let (by, path) = (&site.operator_key, format!("/v1/plans/{}", world.plan));
        let seen = site.get(&path).key(&world.tenant.key).send().await.is(200);
        assert_eq!((&seen.body["account_id"], &seen.body["virtual_server_id"]), (&Value::Null, &Value::Null));
        let ordered = site.ordered(&world.tenant, "acme.example", 1).await;
        let terms = json!({"terms": {"virtual_server_id": world.virtual_server, "services": [{"type": "mail"}], "quotas": [{"key": "mail.domains", "included": 7}]}});
        let versioned = site.post(&format!("{path}/versions")).key(by).header("If-Match", seen.header("etag").unwrap()).json(terms.clone()).send().await.is(200);
        assert_eq!(versioned.body["current_version"], 2);
        let kept = site.quota(by, &ordered.subscription, "mail.domains").await.unwrap();
        assert_eq!(kept["ceiling"], 1, "what runs keeps its terms");
        let stale = site.post(&format!("{path}/pause")).key(by).header("If-Match", "\"v1\"").send().await;
        stale.refused(412, "precondition_failed");
        site.post(&format!("{path}/archive")).key(by).send().await.is(200);
        site.get(&path).key(&world.tenant.key).send().await.refused(404, "not_found");
        site.post(&format!("{path}/activate")).key(by).send().await.refused(409, "state_conflict");
        site.post(&format!("{path}/versions")).anyway().key(by).json(terms).send().await.refused(409, "state_conflict");
        site.post(&format!("{path}/activate")).key(&world.reseller.key).send().await.refused(404, "not_found");
    }

    async fn a_plan_or_a_server_that_cannot_be_is_refused_at_its_place(site: With::no_workers()) {
        let world = site.world().await;
        let plan = |code: &str, terms: Value| site.post("/v1/plans").key(&site.operator_key).json(json!({"code": code, "name": "P", "terms": terms})).send();
        let terms = |services: Value, quotas: Value| json!({"virtual_server_id": world.virtual_server, "services": services, "quotas": quotas});
        let twice = plan("p", terms(json!([{"type": "mail"}, {"type": "mail"}]), json!([{"key": "web.sites"}]))).await.refused(422, "validation_failed");
        assert_eq!(twice.faults(), [("/terms/quotas/0/key".into(), "not_used".into()), ("/terms/services/1/type".into(), "duplicate".into())]);
        plan("hosted-mail", terms(json!([{"type": "mail"}]), json!([]))).await.refused(409, "name_taken");
        plan("Not A Code", terms(json!([{"type": "mail"}]), json!([]))).await.refused(422, "validation_failed");
        let foreign = json!({"virtual_server_id": "vsr_01jq3v8z0kf5n9d2t7x4m6c1ab", "services": [{"type": "mail"}], "quotas": []});
        assert_eq!(plan("p", foreign).await.refused(422, "validation_failed").faults()[0].0, "/terms/virtual_server_id");

        let server = |body: Value| site.post("/v1/servers").key(&site.operator_key).json(body).send();
        let unknown = server(json!({"name": "s", "connector": "pigeons"})).await.refused(422, "validation_failed");
        assert_eq!(unknown.faults(), [("/connector".into(), "unknown_connector".into())]);
        let settings = server(json!({"name": "s", "connector": "files", "settings": {"colour": "red"}})).await.refused(422, "validation_failed");
        assert_eq!(settings.faults(), [("/settings/colour".into(), "unknown_field".into()), ("/settings/root".into(), "required".into())]);
        site.get("/v1/servers").key(&world.reseller.key).send().await.refused(403, "insufficient_scope");
    }

    async fn a_server_is_tested_by_an_operation_that_says_what_is_wrong(site: With::workers()) {
        let world = site.world().await;
        let test = |id: &str| site.post(&format!("/v1/servers/{id}/test")).key(&site.operator_key).wait(20).send();
        let good = test(&world.server).await.is(200);
        assert_eq!(good.body["operation"]["status"], "succeeded", "{}", good.text);
        let broken = json!({"name": "broken", "connector": "files", "settings": {"root": "relative/folder"}});
        let broken = site.post("/v1/servers").key(&site.operator_key).json(broken).send().await.is(201).id();
        let told = test(&broken).await.is(200);
        assert_eq!(told.body["operation"]["status"], "failed", "{}", told.text);
        assert!(told.body["operation"]["error"]["detail"].is_string());
        for path in ["/v1/connectors", "/v1/service_types", "/v1/quota_definitions"] {
            assert!(!site.get(path).key(&site.operator_key).send().await.is(200).body["data"].as_array().unwrap().is_empty());
        }
    }

    async fn an_operation_is_waited_for_no_longer_than_was_asked(site: With::no_workers()) {
        let world = site.world().await;
        let key = &site.operator_key;
        let begun = std::time::Instant::now();
        let order = site.post("/v1/orders").key(key).acting_for(&world.tenant.id).wait(1).json(add("hosted-mail", 1, json!([]))).send().await.is(202);
        assert!(begun.elapsed() >= Duration::from_secs(1), "it waited for what nobody does");
        assert_eq!(order.body["status"], "queued");
        let path = format!("/v1/operations/{}", order.text_at("operation_id"));
        for wait in ["31", "-1", "soon"] {
            site.get(&format!("{path}?wait={wait}")).key(key).send().await.refused(422, "validation_failed");
        }
        let waited = site.get(&format!("{path}?wait=1")).key(key).send().await.is(200);
        assert_eq!(waited.body["status"], "queued");
        site.post(&format!("{path}/retry")).key(key).send().await.refused(409, "state_conflict");
    }
}
