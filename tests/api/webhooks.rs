//! Webhook endpoints: what they can be, and what is told of their secrets.

use super::*;

const PATH: &str = "/v1/webhook_endpoints";

async fn made(site: &Site, key: &str, more: Value) -> Answer {
    let mut asked = json!({"url": "https://hooks.example/in"});
    asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    site.post(PATH).key(key).json(asked).send().await
}

on_both_servers! {
    /// WH-3
    async fn a_secret_is_told_when_it_is_made_and_when_it_is_rotated_and_never_else(site: With::no_workers()) {
        let world = site.world().await;
        let key = &world.reseller.key;
        let endpoint = made(site, key, json!({"asymmetric": true})).await.is(201);
        let (first, path) = (endpoint.text_at("secret"), format!("{PATH}/{}", endpoint.id()));
        assert!(endpoint.text_at("public_key").starts_with("whpk_"));
        let rotate = |idem: &str, body: Value| site.post(&format!("{path}/rotate_secret")).key(key).idem(idem).json(body).send();
        for wrong in [json!({"overlap_hours": 169}), json!({"overlap_hours": -1}), json!({"overlap_hours": 1.5}), json!({"overlap": 1})] {
            rotate("wrong", wrong).await.refused(422, "validation_failed");
        }
        let rotated = rotate("once", json!({"overlap_hours": 168})).await.is(200);
        let second = rotated.text_at("secret");
        assert!(second.starts_with("whsec_") && second != first);
        assert_ne!(rotated.body["public_key"], endpoint.body["public_key"]);
        let again = rotate("once", json!({"overlap_hours": 168})).await.is(200);
        assert_eq!(again.text_at("secret"), second);
        let third = site.post(&format!("{path}/rotate_secret")).key(key).send().await.is(200);
        assert!(!third.body["old_secrets_until"].is_null());
        let shown = site.get(&path).key(key).send().await.is(200);
        let list = site.get(PATH).key(key).send().await.is(200);
        let deliveries = site.get(&format!("{path}/deliveries")).key(key).send().await.is(200);
        let feed = told(site, key, "webhook_endpoint.secret_rotated").await;
        assert_eq!(feed.len(), 2);
        for text in [&shown.text, &list.text, &deliveries.text, &json!(feed).to_string()] {
            assert!(!text.contains("whsec_") && ![&first, &second].iter().any(|secret| text.contains(secret.as_str())));
        }
        assert_eq!(shown.body["public_key"], third.body["public_key"]);
        for _ in 0..3 {
            site.post(&format!("{path}/rotate_secret")).key(key).send().await.is(200);
        }
        site.post(&format!("{path}/rotate_secret")).key(key).send().await.refused(409, "state_conflict");
        let last = site.post(&format!("{path}/rotate_secret")).key(key).json(json!({"overlap_hours": 0})).send().await.is(200);
        assert!(last.body["old_secrets_until"].is_null());
        let stale = site.post(&format!("{path}/rotate_secret")).key(key).header("If-Match", shown.header("etag").unwrap());
        stale.send().await.refused(412, "precondition_failed");
        site.post(&format!("{path}/rotate_secret")).key(&world.tenant.key).send().await.refused(404, "not_found");
    }

    /// WH-8
    async fn an_endpoint_sets_its_own_headers_and_nobody_elses(site: With::no_workers()) {
        let world = site.world().await;
        let key = &world.reseller.key;
        for name in ["Host", "Content-Length", "Transfer-Encoding", "webhook-id", "Webhook-Signature", "Authorization", "Cookie", "X-Forwarded-For"] {
            let refused = made(site, key, json!({"headers": {name: "a"}})).await.refused(422, "validation_failed");
            assert_eq!(refused.faults(), [(format!("/headers/{name}"), "header".into())]);
            if name != "Authorization" {
                made(site, key, json!({"secret_headers": {name: "a"}})).await.refused(422, "validation_failed");
            }
        }
        for value in ["", " a", "a\nb", "\u{e4}"] {
            made(site, key, json!({"headers": {"X-A": value}})).await.refused(422, "validation_failed");
        }
        let many: serde_json::Map<_, _> = (0..21).map(|n| (format!("x-{n}a"), json!("a"))).collect();
        made(site, key, json!({"headers": many})).await.refused(422, "validation_failed");
        made(site, key, json!({"headers": {"X-A": "a", "x-a": "b"}})).await.refused(422, "validation_failed");
        made(site, key, json!({"headers": {"X-A": "a"}, "secret_headers": {"x-a": "b"}})).await.refused(422, "validation_failed");
        let headers = json!({"headers": {"X-Tenant": "acme"}, "secret_headers": {"Authorization": "Bearer sesame"}});
        let endpoint = made(site, key, headers).await.is(201);
        let path = format!("{PATH}/{}", endpoint.id());
        let shown = site.get(&path).key(key).send().await.is(200);
        assert_eq!(shown.body["headers"], json!({"x-tenant": "acme"}));
        assert_eq!(shown.body["secret_headers"]["authorization"]["set"], true);
        assert!(!endpoint.text.contains("sesame") && !shown.text.contains("sesame"));
        let twice = json!({"headers": {"authorization": "a"}});
        site.patch(&path).key(key).json(twice).send().await.refused(422, "validation_failed");
        let cleared = site.patch(&path).key(key).json(json!({"secret_headers": {}, "headers": {}})).send().await.is(200);
        assert_eq!((&cleared.body["headers"], &cleared.body["secret_headers"]), (&json!({}), &json!({})));
    }

    /// WH-7
    async fn no_address_of_a_blocked_range_is_taken_as_an_endpoint(site: With::no_workers()) {
        let world = site.world().await;
        for (first, last) in [
            ("0.0.0.0", "0.255.255.255"), ("10.0.0.0", "10.255.255.255"), ("100.64.0.0", "100.127.255.255"),
            ("127.0.0.0", "127.255.255.255"), ("169.254.0.0", "169.254.255.255"), ("172.16.0.0", "172.31.255.255"),
            ("192.0.0.0", "192.0.0.255"), ("192.0.2.0", "192.0.2.255"), ("192.88.99.0", "192.88.99.255"),
            ("192.168.0.0", "192.168.255.255"), ("198.18.0.0", "198.19.255.255"), ("198.51.100.0", "198.51.100.255"),
            ("203.0.113.0", "203.0.113.255"), ("224.0.0.0", "239.255.255.255"), ("240.0.0.0", "255.255.255.255"),
            ("[::]", "[::1]"), ("[::7f00:1]", "[::a00:1]"), ("[::ffff:0:0]", "[::ffff:ffff:ffff]"),
            ("[64:ff9b::]", "[64:ff9b::ffff:ffff]"), ("[64:ff9b:1::]", "[64:ff9b:1:ffff:ffff:ffff:ffff:ffff]"),
            ("[100::]", "[100::ffff:ffff:ffff:ffff]"), ("[2001::]", "[2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff]"),
            ("[2001:db8::]", "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]"), ("[2002::]", "[2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff]"),
            ("[3fff::]", "[3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff]"), ("[5f00::]", "[5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff]"),
            ("[fc00::]", "[fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]"), ("[fe80::]", "[febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff]"),
            ("[fec0::]", "[feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]"), ("[ff00::]", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]"),
        ] {
            for address in [first, last] {
                let url = format!("https://{address}/in");
                let refused = made(site, &world.reseller.key, json!({"url": url})).await.refused(422, "webhook_url_rejected");
                assert_eq!(refused.faults(), [("/url".into(), "rejected".into())], "{address}");
            }
        }
    }

    /// WH-11, WH-12
    async fn endpoints_are_tested_recovered_and_verified(site: With::no_workers()) {
        let world = site.world().await;
        let key = &world.reseller.key;
        let endpoint = made(site, key, json!({"payload": "thin"})).await.is(201);
        assert_eq!((&endpoint.body["payload"], &endpoint.body["status"], &endpoint.body["verify"]), (&json!("thin"), &json!("enabled"), &json!(false)));
        let path = format!("{PATH}/{}", endpoint.id());
        let test = site.post(&format!("{path}/test")).key(key).idem("t").send().await.is(200);
        assert_eq!((&test.body["status"], &test.body["event_type"]), (&json!("pending"), &json!("webhook_endpoint.test")));
        assert_eq!(site.post(&format!("{path}/test")).key(key).idem("t").send().await.is(200).id(), test.id());
        let log = site.get(&format!("{path}/deliveries")).key(key).send().await.is(200);
        assert_eq!(log.ids(), [test.id()]);
        let recover = |body: Value| site.post(&format!("{path}/recover")).key(key).json(body).send();
        assert_eq!(recover(json!({"since": "2026-01-01T00:00:00Z"})).await.is(200).body, json!({"queued": 0, "more": false}));
        let wrong = json!({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"});
        assert_eq!(recover(wrong).await.refused(422, "validation_failed").faults(), [("/since".into(), "after_the_end".into())]);
        recover(json!({})).await.refused(422, "validation_failed");
        site.post(&format!("{path}/verify")).key(key).send().await.refused(409, "state_conflict");

        let endpoint = made(site, key, json!({"verify": true})).await.is(201);
        assert_eq!((&endpoint.body["status"], &endpoint.body["verify"]), (&json!("pending"), &json!(true)));
        let path = format!("{PATH}/{}", endpoint.id());
        for (action, body) in [("test", Value::Null), ("recover", json!({"since": "2026-01-01T00:00:00Z"}))] {
            let call = site.post(&format!("{path}/{action}")).key(key);
            let call = if body.is_null() { call } else { call.json(body) };
            let refused = call.send().await.refused(409, "state_conflict");
            assert_eq!((&refused.body["current_state"], &refused.body["allowed_actions"]), (&json!("pending"), &json!(["verify"])));
        }
        let asked = site.post(&format!("{path}/verify")).key(key).send().await.is(200);
        assert_eq!(asked.body["status"], "pending");
        // The challenge itself is told to the endpoint alone, and the first one was given up.
        let log = site.get(&format!("{path}/deliveries")).key(key).send().await.is(200);
        let told: Vec<_> = log.body["data"].as_array().unwrap().iter().map(|it| (&it["event_type"], &it["status"])).collect();
        let verify = json!("webhook_endpoint.verify");
        assert_eq!(told, [(&verify, &json!("pending")), (&verify, &json!("failed"))]);
        site.post(&format!("/v1/deliveries/{}/resend", log.ids()[0])).key(key).send().await.refused(409, "state_conflict");
        site.patch(&path).key(key).json(json!({"status": "pending"})).send().await.refused(422, "validation_failed");
    }
}
