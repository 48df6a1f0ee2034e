//! What the program promises while something it depends on is away, slow, full or wrong, and when it ends.

#[path = "../common/mod.rs"]
mod common;
#[path = "../kills/hosting.rs"]
mod hosting;
#[path = "../common/process.rs"]
mod process;
#[path = "../common/proxy.rs"]
mod proxy;
#[expect(dead_code, reason = "the tests of delivery use all of it")]
#[path = "../delivery/receiver.rs"]
mod receiver;

mod clocks;
mod disk;
mod ends;
mod postgres;
mod read_only;
mod redis_away;
mod redis_server;
mod rolling;
mod shared_limits;
mod tls;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::Fresh;
use process::{Installation, Outsider, times};
use reqwest::{Method, Response};
use serde_json::{Value, json};

/// How long anything may take before the test has failed.
const LONGEST: Duration = Duration::from_secs(40);

/// An answer, taken apart.
#[derive(Debug)]
struct Told {
    status: u16,
    kind: String,
    retry_after: Option<String>,
    body: Value,
}

async fn told(answer: Response) -> Told {
    let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (kind, retry_after) = (header("content-type").unwrap_or_default(), header("retry-after"));
    Told {
        status: answer.status().as_u16(),
        kind,
        retry_after,
        body: answer.json().await.unwrap_or(Value::Null),
    }
}

impl Told {
    /// A refusal with this code that says when to ask again.
    #[track_caller]
    fn is_refused(&self, code: &str) {
        assert_eq!((self.status, self.body["code"].as_str()), (503, Some(code)), "{self:?}");
        assert_eq!(self.body["retryable"], true, "{self:?}");
        assert!(self.retry_after.as_ref().is_some_and(|after| after.parse::<u64>().is_ok()), "{self:?}");
        assert!(self.kind.starts_with("application/problem+json"), "{self:?}");
    }
}

async fn get(caller: &Outsider, path: &str) -> Told {
    told(caller.call(Method::GET, path).send().await.unwrap()).await
}

async fn probe(admin: SocketAddr, path: &str) -> Told {
    told(process::in_clear().get(format!("http://{admin}/{path}")).send().await.unwrap()).await
}

/// A number that a server tells Prometheus.
async fn metric(admin: SocketAddr, name: &str) -> Option<f64> {
    let text = process::in_clear()
        .get(format!("http://{admin}/metrics"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let line = text.lines().find(|line| line.split([' ', '{']).next() == Some(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Asks for a token with a key of the operator's.
async fn ask_token(address: SocketAddr, key: &str) -> Told {
    let id = format!("key_{}", key.split('_').nth(2).unwrap());
    let form = format!("grant_type=client_credentials&client_id={id}&client_secret={key}");
    let request = process::in_clear()
        .post(format!("http://{address}/oauth/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    told(request.send().await.unwrap()).await
}

/// Waits until what is asked is so; how long that took.
async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !so().await {
        assert!(begun.elapsed() < LONGEST, "not so yet: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begun.elapsed()
}

/// Orders a mail domain once, without asking again.
async fn order(caller: &Outsider, tenant: &str, key: &str) -> reqwest::Result<Told> {
    let resource = json!({"type": "domain", "spec": {"name": format!("{key}.example")}});
    let order = json!({
        "account_id": tenant,
        "items": [{"action": "add", "plan": "mail", "resources": [resource]}],
        "metadata": {"key": key},
    });
    let request = caller.call(Method::POST, "/orders").header("Idempotency-Key", key).json(&order);
    Ok(told(request.send().await?).await)
}
