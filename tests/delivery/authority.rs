use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::json;
use tenantry::model::events::events::EventType;

use crate::on_both_engines;
use crate::process::Installation;
use crate::receiver::{Answer, Receiver, status};
use crate::world::{World, until_true};

/// What every delivery carries and nothing else does.
const OWN: [&str; 8] = [
    "accept",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

on_both_engines! {
    /// WH-8
    async fn a_delivery_has_its_own_headers_alone_and_a_cookie_does_not_come_back(world: &World) {
        let baked = "HTTP/1.1 200 X\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n";
        let receiver = Receiver::start(move |_, _| Answer::Now(baked.to_owned())).await;
        world.endpoint(&world.tenant, receiver.url("/")).await;
        let running = world.deliver(&[&receiver]);
        for count in 1..=3 {
            world.happen(&world.tenant, 1).await;
            until_true(async || receiver.count() == count).await;
        }
        running.stop().await;
        for request in receiver.received() {
            let names: BTreeSet<_> = request.headers.keys().map(String::as_str).collect();
            assert_eq!(names, BTreeSet::from(OWN));
        }
    }

    /// WH-8
    async fn a_header_that_is_not_to_be_sent_fails_the_attempt_even_if_it_was_admitted_once(world: &World) {
        let receiver = Receiver::start(|_, _| status(200)).await;
        let mut endpoints = Vec::new();
        for name in ["host", "content-length", "webhook-id", "authorization", "cookie"] {
            let (mut new, _) = world.registration(&world.tenant, receiver.url("/"), vec![EventType::ResourceCreated]);
            new.headers.insert(name.to_owned(), "elsewhere.example".to_owned());
            endpoints.push(world.register(&world.tenant, new).await);
        }
        world.happen(&world.tenant, 1).await;
        let running = world.deliver(&[&receiver]);
        for endpoint in &endpoints {
            let row = world.tried(endpoint, 1).await;
            assert_eq!(row.attempts[0].error.as_deref(), Some("blocked_header"));
        }
        running.stop().await;
        assert_eq!(receiver.count(), 0);
    }
}

/// WH-8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_in_the_environment_is_passed_by() {
    let receiver = Receiver::start(|_, _| status(200)).await;
    let proxy = Receiver::start(|_, _| status(200)).await;
    let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
        .map(|name| format!("{name}=http://127.0.0.1:{}", proxy.port));
    let words: Vec<&str> = ["env", "-u", "NO_PROXY", "-u", "no_proxy"]
        .into_iter()
        .chain(proxies.iter().map(String::as_str))
        .collect();
    let installation = Installation::new()
        .with("WEBHOOKS__ALLOW_HTTP", "true")
        .with("WEBHOOKS__ALLOW_HOSTS", format!("127.0.0.1:{}", receiver.port));
    let key = installation.key();
    let installation = installation.under(&words);
    let process = installation.serve().await;
    let caller = crate::process::Outsider::new(installation.listen, &key);
    let endpoint = json!({"url": receiver.url("/"), "event_types": ["account.created"]});
    caller.make("/webhook_endpoints", endpoint).await;
    caller.make("/accounts", json!({"type": "tenant", "name": "Acme"})).await;
    until_true(async || receiver.count() == 1).await;
    assert_eq!(proxy.count(), 0);
    process.kill();
    installation.remove();
}

/// WH-7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_the_operator_has_closed_is_not_sent_to_by_whatever_name() {
    let receiver = Receiver::start(|_, _| status(200)).await;
    let installation = Installation::new()
        .with("WEBHOOKS__ALLOW_HTTP", "true")
        .with("WEBHOOKS__ALLOW_HOSTS", format!("localhost:{0},127.0.0.1:{0}", receiver.port))
        .with("WEBHOOKS__BLOCK_NETWORKS", "127.0.0.0/8,::1");
    let key = installation.key();
    let process = installation.serve().await;
    let caller = crate::process::Outsider::new(installation.listen, &key);
    let by_address = json!({"url": receiver.url("/")});
    let refused = caller.call(Method::POST, "/webhook_endpoints").json(&by_address).send().await.unwrap();
    assert_eq!(refused.status(), 422);
    assert!(refused.text().await.unwrap().contains("webhook_url_rejected"));
    let endpoint = json!({"url": format!("http://localhost:{}/", receiver.port)});
    let endpoint = caller.make("/webhook_endpoints", endpoint).await;
    let path = format!("/webhook_endpoints/{}", endpoint["id"].as_str().unwrap());
    caller.make(&format!("{path}/test"), json!({})).await;
    let deliveries = format!("{path}/deliveries");
    until_true(async || {
        let log = caller.call(Method::GET, &deliveries).send().await.unwrap().text().await.unwrap();
        log.contains("blocked_address")
    })
    .await;
    assert_eq!(receiver.count(), 0);
    process.kill();
    installation.remove();
}
