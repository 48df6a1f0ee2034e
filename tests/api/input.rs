//! What callers send wrong: each refusal names the place and the mend, and nothing is changed.

use super::*;

type Places = Vec<(String, String)>;

fn places<const N: usize>(places: [(&str, &str); N]) -> Places {
    places.map(|(place, code)| (place.to_owned(), code.to_owned())).to_vec()
}

on_both_servers! {
    /// VAL-1
    async fn a_body_that_may_be_left_out_is_good_if_it_is_there(site: With::no_workers()) {
        let world = site.world().await;
        let path = format!("/v1/accounts/{}/resume", world.tenant.id);
        site.post(&path).key(&world.reseller.key).send().await.is(200);
        site.post(&path).key(&world.reseller.key).json(json!({})).send().await.is(200);
        for wrong in ["null", "[]", "\"payment\"", "0"] {
            let call = site.post(&path).key(&world.reseller.key).body("application/json", wrong);
            call.send().await.refused(422, "validation_failed");
        }
    }

    /// ERR-5
    async fn every_fault_of_a_body_is_told_at_once_and_at_its_place(site: With::no_workers()) {
        let world = site.world().await;
        let before = all_told(site, &site.operator_key).await;
        let key = &world.reseller.key;
        let send = |path: &str, body: Value| site.post(path).key(key).json(body).send();
        let cases = [
            ("/v1/accounts", json!({"type": "pirate", "country": "Germany", "colour": "red", "metadata": {"a": 1}}),
                places([("/colour", "unknown_field"), ("/country", "invalid"), ("/metadata/a", "wrong_type"), ("/name", "required"), ("/type", "not_allowed")])),
            ("/v1/accounts", json!({"type": "tenant", "name": "   ", "contact_email": "nobody", "time_zone": "Mars/Base"}),
                places([("/contact_email", "email"), ("/name", "name"), ("/time_zone", "time_zone")])),
            ("/v1/accounts", json!([]), places([("", "wrong_type")])),
            ("/v1/accounts", json!({"type": "tenant", "name": 7}), places([("/name", "wrong_type")])),
            ("/v1/accounts", json!({"type": "tenant", "name": "x".repeat(129)}), places([("/name", "invalid")])),
            ("/v1/orders", json!({"items": [{"action": "add", "plan": "hosted-mail", "quantity": 0}]}), places([("/items/0/quantity", "invalid")])),
            ("/v1/orders", json!({"items": [{"action": "add", "plan": "hosted-mail", "quantity": "3"}]}), places([("/items/0/quantity", "wrong_type")])),
            ("/v1/orders", add("hosted-mail", 1, json!([{"type": "domain", "spec": {"name": "acme"}}, {"type": "zone", "spec": {"name": "-.example"}}])),
                places([("/items/0/resources/0/spec/name", "domain"), ("/items/0/resources/1/spec/name", "domain")])),
            ("/v1/orders", add("hosted-mail", 1, json!([{"type": "domain", "spec": {"name": "acme.example"}, "password": "long enough"}])),
                places([("/items/0/resources/0/password", "unknown_field")])),
            ("/v1/keys", json!({"name": "k", "scopes": ["orders:read", "all"]}), places([("/scopes/1", "not_allowed")])),
        ];
        for (path, body, expected) in cases {
            let refused = send(path, body.clone()).await.refused(422, "validation_failed");
            assert_eq!(refused.faults(), expected, "{body}: {}", refused.text);
        }
        assert_eq!(all_told(site, &site.operator_key).await, before, "nothing was changed");
    }

    /// VAL-2
    async fn a_field_that_is_not_known_is_refused_on_every_level(site: With::no_workers()) {
        let world = site.world().await;
        let key = &world.tenant.key;
        let mut order = add("hosted-mail", 1, json!([{"type": "domain", "spec": {"name": "acme.example"}}]));
        for (pointer, place) in [("", "/color"), ("/items/0", "/items/0/color"), ("/items/0/resources/0", "/items/0/resources/0/color"), ("/items/0/resources/0/spec", "/items/0/resources/0/spec/color")] {
            let mut wrong = order.clone();
            wrong.pointer_mut(pointer).unwrap().as_object_mut().unwrap().insert("color".into(), json!("red"));
            let refused = site.post("/v1/orders?dry_run=true").key(key).json(wrong).send().await;
            assert_eq!(refused.status, 422, "{place}: {}", refused.text);
            assert!(refused.faults().iter().any(|(told, _)| told.starts_with(pointer) && !told.is_empty()), "{place}: {}", refused.text);
        }
        order["account_id"] = json!("acc_nonsense");
        let refused = site.post("/v1/orders").key(key).json(order).send().await.refused(422, "validation_failed");
        assert_eq!(refused.faults()[0].0, "/account_id");
    }

    /// VAL-1, VAL-2
    async fn a_body_that_is_no_json_too_large_or_of_another_type_is_refused(site: With::no_workers()) {
        let world = site.world().await;
        let send = |kind: &str, body: String| site.post("/v1/accounts").key(&world.reseller.key).body(kind, body).send();
        let json = "application/json";
        for malformed in ["{", "{\"type\":\"tenant\",}", "nonsense", "{\"type\":\"tenant\"} {}", "{'type':'tenant'}"] {
            send(json, malformed.into()).await.refused(400, "malformed_json");
        }
        let twice = "{\"type\":\"tenant\",\"name\":\"A\",\"name\":\"B\"}";
        let twice = send(json, twice.into()).await;
        assert!([400, 422].contains(&twice.status), "{}", twice.text);
        assert_eq!(twice.faults().len(), 1, "{}", twice.text);
        assert_eq!(twice.faults()[0].0, "/name", "{}", twice.text);
        let deep = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
        let deep = send(json, deep).await;
        assert!([400, 422].contains(&deep.status), "{}", deep.text);
        let large = format!("{{\"name\":\"{}\"}}", "x".repeat(300 * 1024));
        send(json, large).await.refused(413, "body_too_large");
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
            send(kind, "{\"type\":\"tenant\",\"name\":\"A\"}".into()).await.refused(415, "unsupported_media_type");
        }
        send("application/json; charset=utf-8", "{\"type\":\"tenant\",\"name\":\"A\"}".into()).await.is(201);
        let empty = site.post("/v1/accounts").key(&world.reseller.key).send().await;
        assert!([400, 422].contains(&empty.status), "{}", empty.text);
    }

    async fn a_secret_that_was_sent_is_never_told_back(site: With::workers()) {
        let world = site.world().await;
        let ordered = site.ordered(&world.tenant, "acme.example", 1).await;
        let key = &world.tenant.key;
        let place = format!("/v1/services/{}/resources", ordered.mail);
        let new = |password: Value| json!({"type": "mailbox", "spec": {"address": "a@acme.example"}, "password": password});
        for wrong in [json!("hunter2"), json!(12_345_678_901_i64), json!(["hunter2 hunter2"]), json!("hunter2-".repeat(20)), json!("hunter2ü".repeat(9))] {
            let refused = site.post(&place).key(key).json(new(wrong)).send().await.refused(422, "validation_failed");
            assert!(refused.faults().iter().all(|(place, _)| place == "/password"), "{}", refused.text);
            assert!(!refused.text.contains("hunter2") && !refused.text.contains("12345678901"), "{}", refused.text);
        }
        let made = site.post(&place).key(key).wait(20).json(new(json!("correct horse"))).send().await.is(201);
        assert_eq!(made.body["has_password"], true);
        let path = format!("/v1/resources/{}", made.id());
        site.post(&format!("{path}/set_password")).key(key).wait(20).json(json!({"password": "battery staple"})).send().await.is(200);
        for path in [path.as_str(), place.as_str(), "/v1/operations?limit=200", "/v1/events?limit=200"] {
            let told = site.get(path).key(key).send().await.is(200);
            for secret in ["correct horse", "battery staple", "BLF-CRYPT", "$2y$", "password_hash"] {
                assert!(!told.text.contains(secret), "{path}: {}", told.text);
            }
        }
        let server = json!({"name": "files-2", "connector": "files", "settings": {"root": "/tmp/none"}, "credentials": "server-secret"});
        let server = site.post("/v1/servers").key(&site.operator_key).json(server).send().await.is(201);
        assert_eq!((server.body["credentials"]["set"].clone(), server.text.contains("server-secret")), (json!(true), false));
    }

    /// PAGE-1, PAGE-2, ISO-4, ISO-5
    async fn lists_walk_all_rows_once_and_take_only_their_own_cursors(site: With::no_workers()) {
        let world = site.world().await;
        let key = &world.reseller.key;
        for n in 0..12 {
            site.post("/v1/accounts").key(key).json(json!({"type": "tenant", "name": format!("T{n}")})).send().await.is(201);
        }
        let ids = async |limit: usize| -> Vec<Value> { site.all(key, "/v1/accounts", limit).await.iter().map(|row| row["id"].clone()).collect() };
        let whole = ids(200).await;
        assert_eq!(whole.len(), 14);
        for limit in [1, 5, 7, 13, 14] {
            assert_eq!(ids(limit).await, whole, "in pages of {limit}");
        }
        for limit in ["0", "201", "abc", "-1", "1.5", ""] {
            let refused = site.get(&format!("/v1/accounts?limit={limit}")).key(key).send().await.refused(422, "validation_failed");
            assert_eq!(refused.faults(), places([("limit", "invalid")]));
        }
        let page = site.get("/v1/accounts?limit=2").key(key).send().await.is(200);
        let cursor = page.text_at("next_cursor");
        let refuse = async |key: &str, path: &str, cursor: &str| {
            site.get(&format!("{path}?cursor={cursor}")).key(key).send().await.refused(400, "invalid_cursor");
        };
        site.get(&format!("/v1/accounts?cursor={cursor}")).key(key).send().await.is(200);
        refuse(&site.operator_key, "/v1/accounts", &cursor).await;
        refuse(key, "/v1/orders", &cursor).await;
        refuse(key, &format!("/v1/accounts/{}/children", world.reseller.id), &cursor).await;
        let mut altered = cursor.clone().into_bytes();
        altered[8] = if altered[8] == b'A' { b'B' } else { b'A' };
        refuse(key, "/v1/accounts", std::str::from_utf8(&altered).unwrap()).await;
        refuse(key, "/v1/accounts", "nonsense").await;
        refuse(key, "/v1/accounts", "").await;
        site.get(&format!("/v1/accounts?cursor={cursor}")).key(key).acting_for(&world.tenant.id).send().await.refused(400, "invalid_cursor");
    }

    /// PAGE-4
    async fn parameters_that_are_not_known_or_sent_twice_are_refused(site: With::no_workers()) {
        let key = &site.operator_key;
        let refused = site.get("/v1/accounts?limt=5&page=2").key(key).send().await.refused(400, "unknown_parameter");
        assert_eq!(refused.faults(), places([("limt", "unknown_parameter"), ("page", "unknown_parameter")]));
        let twice = site.get("/v1/accounts?limit=5&limit=6").key(key).send().await.refused(400, "unknown_parameter");
        assert_eq!(twice.faults(), places([("limit", "repeated")]));
        site.get("/v1/me?wait=3").key(key).send().await.refused(400, "unknown_parameter");
        site.post("/v1/accounts?force=true").key(key).json(json!({"type": "tenant", "name": "A"})).send().await.refused(400, "unknown_parameter");
    }

    /// ERR-1, CFG-7
    async fn what_is_not_there_says_so_in_the_same_form(site: With::no_workers()) {
        let key = &site.operator_key;
        for path in ["/", "/v2/accounts", "/v1", "/v1/nothing", "/v1/accounts/", "/v1/accounts/x/y/z"] {
            site.get(path).key(key).send().await.refused(404, "route_not_found");
        }
        for (method, path, allow) in [
            (reqwest::Method::PUT, "/v1/accounts", ["GET", "POST"]),
            (reqwest::Method::DELETE, "/v1/orders", ["GET", "POST"]),
            (reqwest::Method::POST, "/v1/accounts/acc_01jq3v8z0kf5n9d2t7x4m6c1ab", ["GET", "PATCH"]),
        ] {
            let refused = site.call(method, path).key(key).send().await.refused(405, "method_not_allowed");
            let told = refused.header("allow").unwrap();
            assert!(allow.iter().all(|method| told.contains(method)), "{path}: {told}");
        }
        for path in [
            "/v1/accounts/nonsense", "/v1/orders/acc_01jq3v8z0kf5n9d2t7x4m6c1ab", "/v1/services/svc_", "/v1/resources/%00",
            "/v1/keys/key_01JQ3V8Z0KF5N9D2T7X4M6C1AB", "/v1/operations/op_01jq3v8z0kf5n9d2t7x4m6c1abc", "/v1/plans/hosted-mail",
        ] {
            let refused = site.get(path).key(key).send().await;
            assert_eq!(refused.status, 404, "{path}: {}", refused.text);
            assert!(refused.header("x-request-id").is_some());
        }
    }

    /// CFG-6
    async fn every_answer_names_its_request_and_is_kept_by_nobody(site: With::no_workers()) {
        let (a, b) = (site.get("/v1/me").key(&site.operator_key).send().await, site.get("/v1/me").send().await);
        for answer in [&a, &b] {
            assert!(answer.header("x-request-id").unwrap().starts_with("req_"));
            assert_eq!((answer.header("cache-control"), answer.header("x-content-type-options")), (Some("no-store"), Some("nosniff")));
        }
        assert_ne!(a.header("x-request-id"), b.header("x-request-id"));
        let page = site.get("/docs").send().await.is(200);
        assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
        assert!(!page.text.contains("https://cdn") && !page.text.contains("http://"), "the docs need no network");
        let served = site.get("/v1/openapi.json").send().await.is(200);
        assert_eq!(served.body, tenantry::api::document());
        for code in ["quota_exceeded", "unknown_parameter"] {
            site.get(&format!("/docs/errors/{code}")).send().await.is(200);
        }
    }
}
