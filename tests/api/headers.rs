//! What every answer has, whatever it is an answer to.

use super::raw::Raw;
use super::*;

/// The headers of an answer, each with its value.
fn headers(answer: &str) -> Vec<(String, String)> {
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    let pair =
        |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    head.lines().skip(1).filter_map(pair).collect()
}

on_both_servers! {
    /// CFG-6, CFG-7, ERR-1: also what is no request, and what nobody may ask.
    async fn every_answer_has_the_headers_that_all_have(site: With::no_workers()) {
        let key = format!("Authorization: Bearer {}\r\n", site.operator_key);
        let problem = "application/problem+json";
        let json = "application/json";
        let cases = [
            ("GET /v1/me", key.as_str(), 200, json),
            ("HEAD /v1/me", &key, 405, problem),
            ("GET /v1/me", "", 401, problem),
            ("GET /v1/nowhere", &key, 404, problem),
            ("GET /elsewhere", "", 404, problem),
            ("POST /v1/me", &key, 405, problem),
            ("DELETE /v1/openapi.json", "", 405, problem),
            ("OPTIONS /v1/me", "", 405, problem),
            ("TRACE /v1/me", &key, 405, problem),
            ("TRACE /elsewhere", "", 405, problem),
            ("CONNECT inside.example:443", "", 405, problem),
            ("CONNECT /v1/me", &key, 405, problem),
            ("BREW /v1/me", &key, 405, problem),
            ("GET /v1/orders?nonsense=1", &key, 400, problem),
            ("GET /v1/me", "X: a\0b\r\n", 400, problem),
            ("GET /v1/me", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400, problem),
            ("GET /docs", "", 200, "text/html; charset=utf-8"),
            ("GET /docs/scalar.js", "", 200, "text/javascript; charset=utf-8"),
            ("GET /v1/openapi.json", "", 200, json),
            ("GET /.well-known/oauth-authorization-server", "", 200, json),
            ("POST /oauth/token", "Content-Length: 0\r\n", 400, json),
        ];
        for (line, more, status, kind) in cases {
            let mut raw = Raw::open(site).await;
            raw.send(format!("{line} HTTP/1.1\r\nHost: here\r\nX-Request-Id: crm-1\r\nConnection: close\r\n{more}\r\n")).await;
            let told = raw.until_closed().await;
            let headers = headers(&told);
            let values = |name: &str| headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>();
            assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {told}");
            assert_eq!(values("content-type"), [kind], "{line}: {told}");
            assert_eq!(values("x-content-type-options"), ["nosniff"], "{line}: {told}");
            assert!(values("x-request-id").len() == 1 && values("x-request-id")[0].starts_with("req_"), "{line}: {told}");
            let kept = if line.ends_with("scalar.js") { "public, max-age=3600" } else { "no-store" };
            assert_eq!(values("cache-control"), [kept], "{line}: {told}");
            for none in ["server", "x-powered-by", "via", "strict-transport-security"] {
                assert_eq!(values(none), [""; 0], "{line}: {told}");
            }
            assert_eq!(values("allow").len(), usize::from(status == 405), "{line}: {told}");
            assert!(!line.starts_with("TRACE") || !told.contains(&site.operator_key), "a TRACE tells nothing back");
            if line.starts_with("HEAD") {
                assert_eq!(told.split_once("\r\n\r\n").unwrap().1, "", "{line}: {told}");
            }
        }
    }

    /// CFG-6: what a caller calls a request is kept beside our name for it, if it is short and visible.
    async fn a_callers_name_for_a_request_is_kept_beside_ours(site: With::no_workers()) {
        let world = site.world().await;
        let long = "x".repeat(128);
        for (sent, kept) in [("crm/4711-a", json!("crm/4711-a")), (&long, json!(long)), (&"x".repeat(129), Value::Null), ("two words", Value::Null), ("tab\tbed", Value::Null)] {
            let call = site.post("/v1/orders").key(&world.tenant.key).header("X-Request-Id", sent).json(json!({}));
            let id = call.send().await.refused(422, "validation_failed").text_at("request_id");
            assert!(id.starts_with("req_") && id != sent);
            let path = format!("/v1/requests/{id}");
            until("the request is in the log", async || site.get(&path).key(&site.operator_key).send().await.status == 200).await;
            let told = site.get(&path).key(&world.tenant.key).send().await.is(200);
            assert_eq!(told.body["client_request_id"], kept, "{sent}: {}", told.text);
        }
    }

    /// CFG-6: behind a proxy that ends TLS callers are told to come through TLS only.
    async fn who_comes_through_tls_is_told_to_do_so_always(site: With { settings: &[("TENANTRY_SERVER__PUBLIC_URL", "https://api.example.com")], ..With::no_workers() }) {
        for path in ["/v1/me", "/docs"] {
            let told = site.get(path).send().await;
            assert_eq!(told.header("strict-transport-security"), Some("max-age=31536000"));
        }
        let mut raw = Raw::open(site).await;
        raw.send("nonsense\r\n\r\n").await;
        assert!(raw.until_closed().await.contains("strict-transport-security: max-age=31536000"));
    }

    /// CFG-9: what is for the operator is not on the port that is for callers, and the document does not tell of it.
    async fn health_and_numbers_are_not_on_the_public_port(site: With::no_workers()) {
        for path in ["/metrics", "/healthz", "/readyz", "/v1/metrics", "/admin", "/debug"] {
            for call in [site.get(path), site.get(path).key(&site.operator_key)] {
                call.send().await.refused(404, "route_not_found");
            }
        }
        let document = site.get("/v1/openapi.json").send().await.is(200).body;
        for path in document["paths"].as_object().unwrap().keys() {
            let known = ["/v1/", "/oauth/", "/.well-known/"].iter().any(|start| path.starts_with(start));
            let inside = ["metrics", "health", "ready", "internal", "admin", "debug"];
            assert!(known && !inside.iter().any(|word| path.split('/').any(|part| part.starts_with(word))), "{path}");
        }
    }

    /// CFG-5: who is no proxy of ours can say what he likes about where he comes from.
    async fn forwarding_headers_of_strangers_change_nothing(site: With { settings: &[("TENANTRY_LIMITS__ADDRESS_PER_MINUTE", "3")], workers: false, ..With::clock() }) {
        let world = site.world().await;
        let asked = json!({"name": "k", "scopes": ["orders:read"], "hold_classes": [], "allowed_addresses": ["203.0.113.7/32"]});
        let bound = site.post("/v1/keys").key(&world.tenant.key).json(asked).send().await.is(201).text_at("secret");
        let lies = [("X-Forwarded-For", "203.0.113.7"), ("Forwarded", "for=203.0.113.7"), ("X-Real-IP", "203.0.113.7")];
        let refused = site.get("/v1/orders").key(&bound).header(lies[0].0, lies[0].1).header(lies[1].0, lies[1].1).header(lies[2].0, lies[2].1);
        let refused = refused.send().await.refused(403, "ip_not_allowed");
        let path = format!("/v1/requests/{}", refused.text_at("request_id"));
        until("the request is in the log", async || site.get(&path).key(&site.operator_key).send().await.status == 200).await;
        assert_eq!(site.get(&path).key(&site.operator_key).send().await.is(200).body["address"], "127.0.0.1");
        let mut refused = 0;
        for n in 0..6 {
            let call = site.get("/v1/me").header("X-Forwarded-For", &format!("203.0.113.{n}"));
            refused += usize::from(call.send().await.status == 429);
        }
        assert!(refused >= 3, "each of his addresses would have a bucket of its own");
    }
}
