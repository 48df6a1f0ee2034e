//! The same input on both databases.

use reqwest::Method;

use super::*;

/// What a site says to each input: the status, the code and the places of the faults.
async fn said(site: &Site) -> Vec<String> {
    let world = site.world().await;
    let (tenant, reseller, operator) = (&world.tenant.key, &world.reseller.key, &site.operator_key);
    let ordered_path = "/v1/orders";
    let account = |more: Value| {
        let mut body = json!({"type": "tenant", "name": "A"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body.to_string()
    };
    let order = |quantity: &str, domain: &str| {
        format!(
            r#"{{"items":[{{"action":"add","plan":"hosted-mail","quantity":{quantity},"resources":[{{"type":"domain","spec":{{"name":{domain}}}}}]}}]}}"#
        )
    };
    let quotas = format!("/v1/accounts/{}/quotas/mail.mailboxes", world.tenant.id);
    let renamed = format!("/v1/accounts/{}", world.tenant.id);
    let texts = [
        "\\u0000",
        "a\\u0000b",
        "\\ud800",
        "\\udfff\\ud800",
        "\\u202e",
        "\\u0007",
        "\u{feff}A",
        "  ",
        "",
        "Å",
        "A\\u030a",
        "ß",
        "İ",
        "😀",
        "\\ud83d\\ude00",
        "'; DROP TABLE accounts; --",
        "%",
        "_",
        "\\\\",
        "\\\"",
        "null",
        "a\\tb",
        "a\\nb",
        "ﬁ",
        "\\u0378",
        "ＦＵＬＬ",
    ];
    let mut inputs: Vec<(Method, String, &str, String)> = Vec::new();
    for text in texts {
        let quoted = format!("\"{text}\"");
        inputs.push((
            Method::POST,
            "/v1/accounts".into(),
            reseller,
            format!(r#"{{"type":"tenant","name":{quoted}}}"#),
        ));
        inputs.push((
            Method::POST,
            "/v1/accounts".into(),
            reseller,
            format!(r#"{{"type":"tenant","name":"A","external_id":{quoted}}}"#),
        ));
        inputs.push((
            Method::POST,
            "/v1/accounts".into(),
            reseller,
            format!(r#"{{"type":"tenant","name":"A","metadata":{{"k":{quoted},"m{text}":"v"}}}}"#),
        ));
        inputs.push((
            Method::POST,
            "/v1/keys".into(),
            tenant,
            format!(r#"{{"name":{quoted},"scopes":["orders:read"],"hold_classes":[]}}"#),
        ));
        inputs.push((Method::POST, ordered_path.into(), tenant, order("1", &format!("\"{text}.example\""))));
    }
    for number in [
        "0",
        "1",
        "-1",
        "1.0",
        "1.5",
        "1e2",
        "1e400",
        "-0",
        "2147483647",
        "2147483648",
        "9223372036854775807",
        "9223372036854775808",
        "1e18",
        "true",
        "null",
        "\"1\"",
        "NaN",
        "01",
        "+1",
    ] {
        inputs.push((Method::POST, ordered_path.into(), tenant, order(number, "\"n.example\"")));
        inputs.push((Method::PUT, format!("{quotas}#*"), reseller, format!(r#"{{"ceiling":{number}}}"#)));
    }
    for time in [
        "2030-01-01T00:00:00Z",
        "2030-01-01T00:00:00.123456789Z",
        "2030-06-30T23:59:60Z",
        "1969-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "2030-02-29T00:00:00Z",
        "2030-01-01T00:00:00+25:00",
        "2030-01-01",
    ] {
        inputs.push((
            Method::POST,
            "/v1/keys".into(),
            tenant,
            json!({"name": "k", "scopes": ["orders:read"], "hold_classes": [], "expires_at": time})
                .to_string(),
        ));
    }
    for (code, version) in [("hosted-mail", "hosted-mail"), ("HOSTED-MAIL", "x"), ("new-plan", "x")] {
        let plan = json!({"code": code, "name": version, "terms": {"virtual_server_id": world.virtual_server, "services": [{"type": "mail"}], "quotas": mail_quotas(1)}});
        inputs.push((Method::POST, "/v1/plans".into(), operator, plan.to_string()));
    }
    for email in ["a@b.example", "a@localhost", "ä@b.example", "a b@c.example", "\u{212a}@b.example"] {
        inputs.push((
            Method::POST,
            "/v1/accounts".into(),
            reseller,
            account(json!({"contact_email": email})),
        ));
    }
    for query in [
        "?limit=1",
        "?limit=0",
        "?limit=201",
        "?limit=abc",
        "?limit=1&limit=1",
        "?cursor=%00",
        "?cursor=AAAA",
        "?x=1",
        "?limit=%31",
        "?limit=+1",
        "?%6cimit=1",
        "?limit=1%00",
    ] {
        inputs.push((Method::GET, format!("/v1/accounts{query}"), reseller, String::new()));
        inputs.push((Method::GET, format!("/v1/orders{query}"), tenant, String::new()));
    }
    for id in [
        "acc_",
        "acc_%00",
        "acc_01jq3v8z0kf5n9d2t7x4m6c1ab",
        "ACC_01JQ3V8Z0KF5N9D2T7X4M6C1AB",
        "%27",
        "..",
        "%2e%2e",
        "%2f",
    ] {
        inputs.push((Method::GET, format!("/v1/accounts/{id}"), reseller, String::new()));
    }
    for tag in
        ["\"v1\"", "\"v1.x\"", "*", "W/\"v1\"", "\"v99999999999999999999\"", "\"v-1\"", "v1", "\"a\", \"v1\""]
    {
        inputs.push((Method::PATCH, format!("{renamed}#{tag}"), reseller, json!({"name": "B"}).to_string()));
    }
    let mut told = Vec::new();
    for (at, (method, path, key, body)) in inputs.into_iter().enumerate() {
        let (path, tag) = path.split_once('#').map_or((path.as_str(), None), |(path, tag)| (path, Some(tag)));
        let mut call = site.call(method.clone(), path).key(key);
        if let Some(tag) = tag {
            call = call.header("If-Match", tag);
        }
        if !body.is_empty() {
            call = call.body("application/json", body.clone());
        }
        let answer = call.send().await;
        assert!(answer.status < 500, "{method} {path} {body}: {}", answer.text);
        let path = path.replace(&world.tenant.id, "TENANT");
        told.push(format!("{at} {method} {path} {} {} {:?}", answer.status, answer.code(), answer.faults()));
    }
    told
}

/// VAL-6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_input_is_answered_alike_on_both_databases() {
    let sqlite = Site::open(common::Fresh::sqlite().await, With::no_workers()).await;
    let postgres = Site::open(common::Fresh::postgres().await, With::no_workers()).await;
    let (one, other) = futures_util::join!(said(&sqlite), said(&postgres));
    assert!(one.len() > 200, "{}", one.len());
    for (one, other) in one.iter().zip(&other) {
        assert_eq!(one, other);
    }
    assert!(one.iter().any(|line| line.contains(" 201 ")) && one.iter().any(|line| line.contains(" 422 ")));
    sqlite.close().await;
    postgres.close().await;
}
