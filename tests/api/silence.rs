//! What goes wrong inside stays inside; and what callers send is text and nothing else to what reads it.

use std::path::Path;

use reqwest::Method;
use tenantry::api::Code;

use super::raw::Raw;
use super::*;

/// Words that tell of the inside: of SQL, files, types and hosts.
const INSIDE: [&str; 21] = [
    "SELECT ",
    "INSERT INTO",
    "UPDATE ",
    "DELETE FROM",
    "ALTER ",
    "no such table",
    "relation \"",
    "column \"",
    "SQLITE",
    "sqlite",
    "postgres",
    "sqlx",
    "rusqlite",
    "tenantry::",
    "std::",
    "core::",
    ".rs:",
    "panicked",
    "hidden_marker",
    "os error",
    "tenantry.db",
];

#[track_caller]
fn tells_nothing(site: &Site, asked: &str, text: &str) {
    let folder = site.folder.display().to_string();
    for inside in INSIDE.iter().copied().chain([folder.as_str()]) {
        assert!(!text.contains(inside), "{asked} tells {inside:?}: {text}");
    }
}

on_both_servers! {
    /// ERR-3, TOK-3, ERR-1: whatever a caller does wrong, inside the API and beside it.
    async fn a_refusal_tells_nothing_of_the_inside(site: With::no_workers()) {
        let world = site.world().await;
        let key = world.tenant.key.as_str();
        let hostile = "'); SELECT * FROM accounts; --";
        let token = "eyJhbGciOiJub25lIn0.e30.";
        for (method, path, credential, body) in [
            (Method::GET, "/v1/orders/ord_'", key, ""), (Method::GET, "/v1/orders?cursor=%27", key, ""), (Method::GET, "/v1/orders?%27=1", key, ""),
            (Method::POST, "/v1/orders", key, "{"), (Method::POST, "/v1/orders", key, "[]"), (Method::POST, "/v1/orders", key, "{\"items\":[{\"action\":1e400}]}"),
            (Method::POST, "/v1/orders", key, "{\"items\":[{\"action\":\"add\",\"plan\":\"\\u0000\"}]}"), (Method::POST, "/v1/keys", key, "{\"name\":\"k\",\"expires_at\":\"soon\"}"),
            (Method::GET, "/v1/me", token, ""), (Method::GET, "/v1/me", hostile, ""), (Method::GET, "/v1/servers", key, ""), (Method::POST, "/v1/me", key, ""),
            (Method::GET, "/v1/../etc/passwd", key, ""), (Method::GET, "/docs/errors/..%2f..", "", ""), (Method::GET, "/nowhere", "", ""), (Method::GET, "/v1/%ff", key, ""),
            (Method::PUT, "/oauth/token", "", ""), (Method::GET, "/.well-known/nothing", "", ""),
            (Method::POST, "/v1/webhook_endpoints", key, "{\"url\":\"https://127.0.0.1/x\"}"), (Method::POST, "/v1/webhook_endpoints", key, "{\"url\":\"http://hooks.example/x\"}"),
        ] {
            let call = site.call(method.clone(), path).header("X-Api", "1");
            let call = if credential.is_empty() { call } else { call.key(credential) };
            let call = if body.is_empty() { call } else { call.body("application/json", body) };
            let asked = format!("{method} {path} {body}");
            let answer = call.send().await;
            assert!((400..500).contains(&answer.status), "{asked}: {}", answer.text);
            let code = answer.code().to_owned();
            if !path.starts_with("/oauth/") || answer.status == 405 {
                tells_nothing(site, &asked, &answer.text);
                answer.refused(Code::ALL.iter().find(|known| known.as_str() == code).expect("a code of the catalogue").status(), &code);
            }
        }
        for form in [vec![("grant_type", hostile)], vec![("grant_type", "client_credentials"), ("client_id", hostile), ("client_secret", hostile)]] {
            let refused = site.post("/oauth/token").form(&form).send().await;
            assert!(refused.body["error"].is_string(), "{}", refused.text);
            tells_nothing(site, "/oauth/token", &refused.text);
        }
        let mut raw = Raw::open(site).await;
        raw.send("GET\0 / nonsense\r\n\r\n").await;
        tells_nothing(site, "nonsense", &raw.until_closed().await);
    }

    /// ERR-3: what the database says when it fails is in the log only.
    async fn a_database_that_fails_is_not_quoted(site: With::no_workers()) {
        let world = site.world().await;
        let key = &world.tenant.key;
        let calls = [
            ("orders", Method::GET, "/v1/orders", json!(null)),
            ("orders", Method::POST, "/v1/orders", add("hosted-mail", 1, json!([]))),
            ("resources", Method::GET, "/v1/resources", json!(null)),
            ("events", Method::POST, "/v1/keys", json!({"name": "k", "scopes": ["orders:read"], "hold_classes": []})),
            ("webhook_endpoints", Method::POST, "/v1/webhook_endpoints", json!({"url": "https://hooks.example/in"})),
            ("requests", Method::GET, "/v1/requests", json!(null)),
        ];
        for (table, method, path, body) in calls {
            site.fresh.tamper(&format!("ALTER TABLE {table} RENAME TO hidden_marker")).await;
            let call = site.call(method, path).key(key);
            let answer = if body.is_null() { call.send().await } else { call.json(body).send().await };
            assert!(answer.status >= 500, "{table}: {}", answer.text);
            tells_nothing(site, table, &answer.text);
            site.fresh.tamper(&format!("ALTER TABLE hidden_marker RENAME TO {table}")).await;
        }
    }

    /// ERR-3: nor is an outside system that fails, to those who rent from it.
    async fn a_server_that_fails_is_not_quoted_to_its_tenants(site: With::workers()) {
        let world = site.world().await;
        let ordered = site.ordered(&world.tenant, "acme.example", 2).await;
        let root = site.folder.join("served");
        std::fs::rename(&root, site.folder.join("away")).unwrap();
        std::fs::write(&root, "hidden_marker").unwrap();
        let place = format!("/v1/services/{}/resources", ordered.mail);
        let key = &world.tenant.key;
        let made = site.post(&place).key(key).wait(2).json(mailbox("a@acme.example")).send().await;
        assert!([200, 201, 202].contains(&made.status), "{}", made.text);
        tells_nothing(site, "the resource", &made.text);
        for path in ["/v1/operations", "/v1/resources", "/v1/events"] {
            tells_nothing(site, path, &site.get(path).key(key).send().await.is(200).text);
        }
    }

    /// VAL-7: there are no CSV exports; what connectors write has each value in its place, whatever is in it.
    async fn what_callers_send_is_one_value_to_what_reads_it(site: With::workers()) {
        let world = site.world().await;
        let ordered = site.ordered(&world.tenant, "acme.example", 40).await;
        let key = &world.tenant.key;
        let place = format!("/v1/services/{}/resources", ordered.mail);
        let hostile = [
            "a:b", "a b", "a\tb", "$(touch hit)", "`touch hit`", "a;touch hit", "a|touch hit", "a&touch", "../../hit", "..", "a/b", "a\\b", "'; DROP TABLE users; --",
            "a\"b", "a*", "a)(uid=*", "a,dc=x", "=cmd|'/c'!A1", "+1", "-rf", "%s", "${x}", "{plain}", "#a", "a\nroot:x", "a\0b", "a@b", "%u", "~root", "@x",
        ];
        let mut taken = 0;
        for text in hostile {
            let spec = json!({"type": "mailbox", "spec": {"address": format!("{text}@acme.example")}});
            let answer = site.post(&place).key(key).wait(20).json(spec).send().await;
            assert!([201, 422].contains(&answer.status), "{text:?}: {}", answer.text);
            taken += usize::from(answer.status == 201);
        }
        let named: Vec<_> = hostile.iter().filter(|text| !text.contains(['\n', '\0', '\t'])).collect();
        for (n, text) in named.iter().enumerate().take(8) {
            let spec = json!({"type": "mailbox", "spec": {"address": format!("n{n}@acme.example"), "display_name": text}});
            site.post(&place).key(key).wait(20).json(spec).send().await.is(201);
            taken += 1;
        }
        let records: Vec<_> = hostile.iter().map(|text| json!({"name": "@", "type": "TXT", "data": text})).collect();
        let zone = format!("/v1/services/{}/resources", ordered.dns);
        let mut texts = 0;
        for (n, record) in records.iter().enumerate() {
            let spec = json!({"type": "zone", "spec": {"name": "records.example", "records": [record]}});
            let dry = site.post(&format!("{zone}?dry_run=true")).key(key).json(spec).send().await;
            assert!([201, 202, 409, 422].contains(&dry.status), "{n}: {}", dry.text);
            texts += usize::from(dry.status != 422);
        }
        assert!(taken > 8 && texts > 8, "{taken} {texts}");
        let mut users = 0;
        let mut files = Vec::new();
        walk(&site.folder.join("served"), &mut files);
        for file in &files {
            assert!(!file.ends_with("hit"), "{}", file.display());
            let text = std::fs::read_to_string(file).unwrap_or_default();
            if file.ends_with("mail/users/acme.example") {
                users += text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
            }
            assert!(!text.lines().any(|line| line.starts_with("root:")), "{}", file.display());
        }
        assert_eq!(users, taken, "{users} lines for {taken} mailboxes: {files:?}");
        assert!(!Path::new("hit").exists());
    }
}

fn walk(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => walk(&path, found),
            false => found.push(path),
        }
    }
}
