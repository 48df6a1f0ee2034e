//! Batches whose server is killed while it sends them.

use reqwest::Method;

use super::*;

/// How many requests are left.
const LEFT: usize = 200;

/// How often the server is killed.
fn rounds() -> u64 {
    times(4, 40)
}

/// The batch, as soon as somebody answers.
async fn seen(outsider: &Outsider, batch: &str) -> Value {
    for _ in 0..2000 {
        if let Ok(answer) = outsider.call(Method::GET, &format!("/batches/{batch}")).send().await
            && let Ok(body) = answer.json::<Value>().await
            && body["items"].is_object()
        {
            return body;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody answers");
}

async fn survive(installation: Installation) {
    let key = installation.key();
    let mut running = Some(installation.serve().await);
    let outsider = Outsider::new(installation.listen, &key);
    let item = |n: usize| {
        let body = json!({"type": "tenant", "name": format!("Made {n:03}")});
        json!({"method": "POST", "path": "/v1/accounts", "body": body})
    };
    let items: Vec<_> = (0..LEFT).map(item).collect();
    let batch = outsider.make("/batches", json!({"items": items})).await["id"].as_str().unwrap().to_owned();
    let done = async || seen(&outsider, &batch).await["items"]["succeeded"].as_u64().unwrap();
    let mut kills = 0;
    for round in 0..rounds() {
        let (before, begun) = (done().await, Instant::now());
        if before == LEFT as u64 {
            break;
        }
        while done().await < (before + 3).min(LEFT as u64) {
            assert!(begun.elapsed() < Duration::from_secs(200), "nobody goes on with it");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_micros((round * 7_919_123) % 20_000)).await;
        running.take().unwrap().kill();
        kills += 1;
        running = Some(installation.serve().await);
    }
    let begun = Instant::now();
    while seen(&outsider, &batch).await["ended_at"].is_null() {
        assert!(begun.elapsed() < Duration::from_secs(200), "nobody ends it");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(kills > 1, "the kills hit nothing");
    assert_eq!(done().await, LEFT as u64);
    let items = outsider.list(&format!("/batches/{batch}/items")).await;
    let accounts = outsider.list("/accounts").await;
    let mut names: Vec<_> = accounts.iter().map(|account| account["name"].as_str().unwrap()).collect();
    names.retain(|name| name.starts_with("Made"));
    names.sort_unstable();
    let once: Vec<_> = (0..LEFT).map(|n| format!("Made {n:03}")).collect();
    assert_eq!(names, once, "each is made once");
    let made = |item: &Value| accounts.iter().any(|account| account["id"] == item["answer"]["resource_id"]);
    assert!(items.iter().all(made), "each request has what was made for it");
    running.take().unwrap().kill();
    installation.remove();
}

/// IDEM-9, SHUT-5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_does_each_of_its_requests_once_though_the_server_is_killed_on_sqlite() {
    survive(Installation::new()).await;
}

/// IDEM-9, SHUT-5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_does_each_of_its_requests_once_though_the_server_is_killed_on_postgres() {
    let fresh = Fresh::postgres().await;
    survive(Installation::on(&fresh.url)).await;
    fresh.remove().await;
}
