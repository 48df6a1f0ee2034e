//! Every kind of secret is issued, and then looked for in all that the program leaves behind.

use std::fs;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::*;

/// A secret, and the name by which a test tells of it.
struct Secret {
    what: &'static str,
    bytes: Vec<u8>,
}

impl Secret {
    fn of(what: &'static str, text: &str) -> Self {
        assert!(text.len() >= 12, "{what} is too short to be looked for");
        Self { what, bytes: text.as_bytes().to_vec() }
    }

    /// The forms in which it might lie somewhere.
    fn forms(&self) -> Vec<Vec<u8>> {
        let mut forms = vec![self.bytes.clone(), hex(&self.bytes).into_bytes()];
        forms.push(hex(&self.bytes).to_uppercase().into_bytes());
        // In base64, a text shows in one of three ways, by where it begins; its ends depend on what is around it.
        for shift in 0..3 {
            let shifted = [&vec![0; shift][..], &self.bytes].concat();
            for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                let text = engine.encode(&shifted);
                forms.push(text.as_bytes()[shift + 1..text.len() - 2].to_vec());
            }
        }
        forms
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    let first = wanted[0];
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|byte| *byte == first) {
        from += at;
        if text[from..].starts_with(wanted) {
            return true;
        }
        from += 1;
    }
    false
}

/// All files below a folder but the key-encryption key's own.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false if path.ends_with("data/kek") => {}
            false => found.push(path),
        }
    }
}

/// What `pg_dump` writes of the database that the URL names, if it is PostgreSQL's, row-level security and all.
fn dump(url: &str) -> Option<Vec<u8>> {
    if !url.starts_with("postgres") {
        return None;
    }
    let owner = common::database::owner_of(url);
    let output = std::process::Command::new("pg_dump")
        .args(["--enable-row-security", "--inserts", &owner])
        .env("PGOPTIONS", "-c app.subtree=/")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

/// The answers to requests, and those among them that tell a secret by right.
#[derive(Default)]
struct Answers {
    all: Vec<(String, Vec<u8>)>,
}

impl Answers {
    async fn told(&mut self, what: &str, request: reqwest::RequestBuilder) -> (u16, Value) {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), format!("{:?}", answer.headers()));
        let text = answer.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status >= 300 || body["secret"].is_null() && body["access_token"].is_null() {
            self.all.push((format!("the answer {status} to {what}"), (headers + &text).into_bytes()));
        }
        (status, body)
    }

    /// Asks for something that must be made, with an `Idempotency-Key`, and asks again.
    async fn made(&mut self, caller: &Outsider, path: &str, body: &Value) -> Value {
        let key = format!("once-{}", path.replace('/', "-"));
        let call = || caller.call(Method::POST, path).header("Idempotency-Key", &key).json(body);
        let (status, first) = self.told(path, call()).await;
        assert!(status < 300, "{path}: {status} {first}");
        let (_, again) = self.told(path, call()).await;
        assert_eq!(first, again, "the replay of {path}");
        first
    }
}

fn text<'a>(body: &'a Value, pointer: &str) -> &'a str {
    body.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {body}"))
}

on_both_installations! {
    /// SEC-1, SEC-3
    async fn no_secret_that_was_ever_issued_lies_anywhere(installation: Installation, url: String) {
        let temporary = installation.folder.join("tmp");
        fs::create_dir_all(&temporary).unwrap();
        let installation = installation.with("LOG__FILTER", "trace");
        let operator = installation.key();
        let mut command = installation.command(&["serve"]);
        let log = fs::File::create(installation.folder.join("trace.log")).unwrap();
        command.env("TMPDIR", &temporary).env("RUST_BACKTRACE", "full");
        let mut served = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        common::until("it serves", async || is_ready(&installation).await).await;
        let caller = Outsider::new(installation.listen, &operator);
        let mut answers = Answers::default();
        let tail = |key: &str| key.rsplit('_').next().unwrap().to_owned();
        let mut secrets = vec![Secret::of("the first key", &tail(&operator))];

        let made = answers.made(&caller, "/keys", &json!({"name": "shop", "scopes": ["orders:read"]})).await;
        let (key_id, key) = (text(&made, "/id").to_owned(), text(&made, "/secret").to_owned());
        secrets.push(Secret::of("a key", &tail(&key)));
        let rotated = answers.made(&caller, &format!("/keys/{key_id}/rotate"), &json!({"overlap_seconds": 600})).await;
        let second = text(&rotated, "/secret").to_owned();
        secrets.push(Secret::of("a rotated key", &tail(&second)));
        let header = "Bearer of-a-secret-header-2d90fe";
        let hook = json!({
            "url": "https://hooks.example/in", "event_types": ["account.created"], "asymmetric": true,
            "secret_headers": {"authorization": header},
        });
        let hook = answers.made(&caller, "/webhook_endpoints", &hook).await;
        let signing = text(&hook, "/secret").trim_start_matches("whsec_").to_owned();
        secrets.push(Secret { what: "a webhook's secret, decoded", bytes: STANDARD.decode(&signing).unwrap() });
        secrets.push(Secret::of("a webhook's secret", &signing));
        secrets.push(Secret::of("a webhook's secret header", header));
        let rotate = format!("/webhook_endpoints/{}/rotate_secret", text(&hook, "/id"));
        let rotated = answers.made(&caller, &rotate, &json!({"overlap_hours": 24})).await;
        let later = text(&rotated, "/secret").trim_start_matches("whsec_").to_owned();
        secrets.push(Secret { what: "a webhook's later secret, decoded", bytes: STANDARD.decode(&later).unwrap() });
        secrets.push(Secret::of("a webhook's later secret", &later));
        let (doveadm, password) = ("doveadm-api-key-71b0e9c4d2", "database-password-5f83aa17");
        let credentials = json!({"doveadm_api_key": doveadm, "database_user": "mail", "database_password": password});
        let server = json!({
            "name": "mail-1", "connector": "mail", "credentials": credentials.to_string(),
            "settings": {"database": "postgres://127.0.0.1:1/mail", "doveadm_url": "http://127.0.0.1:1/doveadm/v1"},
        });
        let server = answers.made(&caller, "/servers", &server).await;
        let server = text(&server, "/id").to_owned();
        secrets.extend([Secret::of("a server's API key", doveadm), Secret::of("a server's password", password)]);
        let next = "database-password-of-later-90cd";
        let later = json!({"doveadm_api_key": doveadm, "database_password": next}).to_string();
        let patch = caller.call(Method::PATCH, &format!("/servers/{server}")).header("If-Match", "*");
        answers.told("a change of credentials", patch.json(&json!({"credentials": later}))).await;
        secrets.push(Secret::of("a server's later password", next));
        answers.told("a test", caller.call(Method::POST, &format!("/servers/{server}/test"))).await;

        let token_url = format!("http://{}/oauth/token", installation.listen);
        let http = process::in_clear();
        let grant = |secret: &str| {
            let form = "grant_type=client_credentials&scope=orders:read";
            let form = http.post(&token_url).basic_auth(&key_id, Some(secret)).body(form);
            form.header("Content-Type", "application/x-www-form-urlencoded")
        };
        let (status, token) = answers.told("a token", grant(&second)).await;
        assert_eq!(status, 200, "{token}");
        let token = text(&token, "/access_token").to_owned();
        secrets.push(Secret::of("a token's signature", token.rsplit('.').next().unwrap()));
        assert_eq!(Outsider::new(installation.listen, &token).get("/orders").await["data"], json!([]));

        // Secrets where they do not belong: they must not come back in the refusal, nor be logged.
        let wrong = &tail(&second)[..20];
        answers.told("a wrong client secret", grant(&format!("{second}x"))).await;
        answers.told("a key in a URL", caller.call(Method::GET, &format!("/orders?key={second}"))).await;
        answers.told("a key in a path", caller.call(Method::GET, &format!("/orders/{second}"))).await;
        answers.told("a key as a key's name", caller.call(Method::POST, "/keys").json(&json!({"name": {"x": second}}))).await;
        answers.told("a key in bad JSON", caller.call(Method::POST, "/keys").body(format!("{{\"{second}"))).await;
        answers.told("a leak", http.post(format!("http://{}/v1/keys/report_leaked", installation.listen)).json(&json!({"key": key}))).await;
        let half = Outsider::new(installation.listen, &format!("{second}0"));
        answers.told("a key with a wrong end", half.call(Method::GET, "/orders")).await;
        let forged = Outsider::new(installation.listen, &format!("{token}0"));
        answers.told("a token with a wrong end", forged.call(Method::GET, "/orders")).await;
        for path in ["/keys", "/webhook_endpoints", "/servers", "/audit", "/events"] {
            answers.told(path, caller.call(Method::GET, path)).await;
        }
        secrets.push(Secret::of("a beginning of a key", wrong));
        let kek = fs::read_to_string(installation.folder.join("data/kek")).unwrap();
        secrets.push(Secret { what: "the key-encryption key", bytes: STANDARD.decode(kek.trim()).unwrap() });
        secrets.push(Secret::of("the key-encryption key's text", kek.trim()));

        // What lies on the disk while it serves, and after it was killed.
        let mut places = answers.all;
        let look = |places: &mut Vec<(String, Vec<u8>)>| {
            let mut found = Vec::new();
            files(&installation.folder, &mut found);
            assert!(found.iter().any(|path| path.ends_with("trace.log")));
            places.extend(found.into_iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())));
        };
        look(&mut places);
        served.kill().unwrap();
        served.wait().unwrap();
        look(&mut places);
        match dump(&url) {
            Some(dump) => places.push(("the dump".into(), dump)),
            None => assert!(places.iter().any(|(name, _)| name.ends_with("tenantry.db-wal")), "there is no WAL"),
        }
        places.push(("doctor".into(), installation.run(&["doctor"]).stdout));
        places.push(("config check".into(), installation.run(&["config", "check"]).stdout));

        let holds = |wanted: &str| places.iter().any(|(_, text)| contains(text, wanted.as_bytes()));
        assert!(holds(&key_id) && holds(&server) && holds("\"level\":\"TRACE\""), "nothing would be found");
        let mut hits = Vec::new();
        for secret in &secrets {
            for form in secret.forms() {
                let found = places.iter().filter(|(_, text)| contains(text, &form));
                hits.extend(found.map(|(name, _)| format!("{}: {}", name, secret.what)));
            }
        }
        hits.sort();
        hits.dedup();
        assert!(hits.is_empty(), "{} places, {} secrets: {hits:#?}", places.len(), secrets.len());
        installation.remove();
    }
}
