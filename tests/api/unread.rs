//! Secrets that are written and never read back.

use super::*;

const CREDENTIALS: [&str; 2] = ["planted-credential-one", "planted-credential-two"];

on_both_servers! {
    /// SEC-5
    async fn a_secret_is_read_as_whether_it_is_set_its_fingerprint_and_when_it_was_set(site: With::clock()) {
        let key = &site.operator_key;
        let asked = |name: &str, credentials: Value| {
            json!({"name": name, "connector": "files", "settings": {"root": "/nowhere"}, "credentials": credentials})
        };
        let make = async |name: &str, credentials: Value| {
            site.post("/v1/servers").key(key).json(asked(name, credentials)).send().await.is(201)
        };
        let none = make("none", Value::Null).await;
        assert_eq!(none.body["credentials"], json!({"set": false, "fingerprint": null, "updated_at": null}));
        let one = make("one", json!(CREDENTIALS[0])).await;
        let secret = |of: &Answer| of.body["credentials"].clone();
        assert_eq!((&secret(&one)["set"], &secret(&one)["updated_at"]), (&json!(true), &json!(site.clock.now())));
        let fingerprint = secret(&one)["fingerprint"].as_str().unwrap().to_owned();
        let digits = fingerprint.strip_prefix("sha256:").unwrap();
        assert!(digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{fingerprint}");
        let path = format!("/v1/servers/{}", one.id());
        let put = async |credentials: &str| {
            site.patch(&path).key(key).json(json!({"credentials": credentials})).send().await.is(200)
        };
        site.clock.advance(Duration::from_secs(60));
        let same = put(CREDENTIALS[0]).await;
        assert_eq!((&secret(&same)["fingerprint"], &secret(&same)["updated_at"]), (&json!(fingerprint), &json!(site.clock.now())));
        let other = put(CREDENTIALS[1]).await;
        assert_ne!(secret(&other)["fingerprint"], json!(fingerprint));
        site.clock.advance(Duration::from_secs(60));
        let renamed = site.patch(&path).key(key).json(json!({"name": "renamed"})).send().await.is(200);
        assert_eq!(secret(&renamed), secret(&other), "another change does not touch it");
        // Of two servers with the same secret it cannot be told that they have.
        let twin = make("twin", json!(CREDENTIALS[1])).await;
        assert_ne!(secret(&twin)["fingerprint"], secret(&other)["fingerprint"]);
    }

    /// SEC-5
    async fn each_secret_header_of_an_endpoint_is_read_as_a_secret_is(site: With { workers: false, ..With::clock() }) {
        let (key, path) = (&site.operator_key, "/v1/webhook_endpoints");
        let wanted = |value: &str| {
            json!({"url": "https://hooks.example/in", "secret_headers": {"Authorization": value, "X-Twin": value}})
        };
        let one = site.post(path).key(key).json(wanted(CREDENTIALS[0])).send().await.is(201);
        let told = |of: &Answer, name: &str| of.body["secret_headers"][name].clone();
        let first = told(&one, "authorization");
        assert_eq!((&first["set"], &first["updated_at"]), (&json!(true), &json!(site.clock.now())));
        assert!(first["fingerprint"].as_str().unwrap().starts_with("sha256:"));
        assert_ne!(told(&one, "x-twin")["fingerprint"], first["fingerprint"], "that two are the same is not told");
        let path = format!("{path}/{}", one.id());
        let put = async |change: Value| site.patch(&path).key(key).json(change).send().await.is(200);
        site.clock.advance(Duration::from_secs(60));
        let renamed = put(json!({"description": "of the billing system"})).await;
        assert_eq!(told(&renamed, "authorization"), first, "another change does not touch it");
        let same = told(&put(json!({"secret_headers": {"authorization": CREDENTIALS[0]}})).await, "authorization");
        assert_eq!((&same["fingerprint"], &same["updated_at"]), (&first["fingerprint"], &json!(site.clock.now())));
        let other = put(json!({"secret_headers": {"authorization": CREDENTIALS[1]}})).await;
        assert_ne!(told(&other, "authorization")["fingerprint"], first["fingerprint"]);
        assert_eq!(other.body["secret_headers"].as_object().unwrap().len(), 1);
        assert_eq!(site.get(&path).key(key).send().await.is(200).body, other.body);
        // One from before this was kept.
        site.fresh.tamper("UPDATE webhook_endpoints SET secret_header_marks = '{}'").await;
        let old = site.get(&path).key(key).send().await.is(200);
        assert_eq!(told(&old, "authorization"), json!({"set": true, "fingerprint": null, "updated_at": null}));
    }

    /// SEC-5: looked for in all that can be read
    async fn no_read_gives_a_secret_back(site: With::workers()) {
        let world = site.world().await;
        let key = &site.operator_key;
        let server = format!("/v1/servers/{}", world.server);
        for credentials in CREDENTIALS {
            site.patch(&server).key(key).json(json!({"credentials": credentials})).send().await.is(200);
        }
        site.post(&format!("{server}/test")).key(key).wait(20).send().await;
        let endpoint = site.post("/v1/webhook_endpoints").key(key).json(json!({"url": "https://hooks.example/in"})).send().await.is(201);
        let made = json!({"name": "planted", "scopes": ["orders:read"], "hold_classes": []});
        let made = site.post("/v1/keys").key(key).json(made).send().await.is(201);
        let secrets = [CREDENTIALS[0], CREDENTIALS[1], &endpoint.text_at("secret"), &made.text_at("secret"), key].map(str::to_owned);
        let document = site.get("/v1/openapi.json").send().await.is(200);
        let mut read = 0;
        let objects = [server, format!("/v1/webhook_endpoints/{}", endpoint.id()), format!("/v1/keys/{}", made.id())];
        let lists = document.body["paths"].as_object().unwrap().iter();
        let lists = lists.filter(|(path, item)| item.get("get").is_some() && !path.contains('{') && path.starts_with("/v1/"));
        let asked = |path: &String| if path == "/v1/search" { format!("{path}?q=tenant") } else { path.clone() };
        for path in lists.map(|(path, _)| asked(path)).chain(objects) {
            let told = site.get(&path).key(key).send().await.is(200);
            assert!(secrets.iter().all(|secret| !told.text.contains(secret)), "{path}: {}", told.text);
            read += 1;
        }
        assert!(read > 20, "{read}");
    }
}
