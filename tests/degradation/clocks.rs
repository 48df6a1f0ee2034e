//! Two servers on one PostgreSQL, of which one's clock is ten minutes off.

use std::sync::Arc;

use futures_util::future::join_all;

use super::hosting::{self, Hosting};
use super::*;

/// What a server is started by whose clock is off, by `libfaketime` (the Debian package `faketime`).
fn off(by: &str) -> [String; 4] {
    let libraries = std::fs::read_dir("/usr/lib").unwrap().filter_map(|entry| {
        let library = entry.unwrap().path().join("faketime/libfaketimeMT.so.1");
        library.exists().then_some(library)
    });
    let library = libraries.last().expect("libfaketime is installed; `make setup` does that");
    let library = format!("LD_PRELOAD={}", library.display());
    ["env".into(), library, format!("FAKETIME={by}"), "FAKETIME_DONT_FAKE_MONOTONIC=1".into()]
}

async fn ten_minutes(by: &str, seconds: f64) {
    let fresh = Fresh::postgres().await;
    let right = Installation::on(&fresh.url)
        .with("TOKENS__LIFETIME_SECONDS", "300")
        .with("WORKER__LEASE_SECONDS", "60");
    let words = off(by);
    let wrong = right.beside().under(&words.each_ref().map(String::as_str));
    // Tokens are for the installation, whichever of its servers is asked.
    let issuer = format!("http://{}", right.listen);
    let (right, wrong) =
        (right.with("SERVER__PUBLIC_URL", &issuer), wrong.with("SERVER__PUBLIC_URL", &issuer));
    let key = right.key();
    let (first, second) = (right.serve().await, wrong.serve().await);

    // What either says of its own clock.
    let skew = async |of: &Installation| {
        until("clocks were compared", async || metric(of.admin, "clock_skew_seconds").await.is_some()).await;
        metric(of.admin, "clock_skew_seconds").await.unwrap()
    };
    let (by_right, by_wrong) = (skew(&right).await, skew(&wrong).await);
    println!("{by_right} and {by_wrong} seconds ahead of the database");
    assert!(by_right.abs() < 5.0 && (by_wrong - seconds).abs() < 5.0, "{by_right} {by_wrong}");
    let ready = probe(right.admin, "readyz").await;
    assert_eq!((ready.status, &ready.body["degraded"]), (200, &json!([])));
    let ready = probe(wrong.admin, "readyz").await;
    assert_eq!((ready.status, &ready.body["degraded"]), (200, &json!(["clock"])));

    // A token is refused there and nowhere else; a key is taken everywhere.
    let token = ask_token(right.listen, &key).await.body["access_token"].as_str().unwrap().to_owned();
    let by_token = Outsider::new(right.listen, &token);
    assert_eq!(get(&by_token, "/orders").await.status, 200);
    let refused = get(&by_token.at(wrong.listen), "/orders").await;
    assert_eq!((refused.status, refused.body["code"].as_str()), (401, Some("invalid_token")));
    let hosting = Arc::new(Hosting::new(&right, &key).await);
    assert_eq!(get(&hosting.caller.at(wrong.listen), "/orders").await.status, 200);

    // Both work, and neither takes from the other what it holds: leases go by the database's time.
    let placing = (0..ORDERS).map(|n| {
        let hosting = hosting.clone();
        let address = if n % 2 == 0 { right.listen } else { wrong.listen };
        tokio::spawn(
            async move { hosting.place(&[address], &hosting::key(n % 6 == 0, n.to_string())).await.1 },
        )
    });
    let placing: Vec<_> = placing.collect();
    let held = "SELECT due_at BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp() + interval '61 seconds' AS held
         FROM operations WHERE status = 'running'";
    let mut seen = 0;
    while seen < 10 {
        let mut conn = fresh.db.read(tenantry::model::Subtree::everything()).await.unwrap();
        let leases: Vec<(bool,)> = conn.query(held).all().await.unwrap();
        assert!(leases.iter().all(|(held,)| *held), "a lease goes by another clock than the database's");
        seen += leases.len();
        if leases.is_empty() && placing.iter().all(tokio::task::JoinHandle::is_finished) {
            break;
        }
    }
    assert!(seen > 0, "nothing was seen in hand");
    for placed in join_all(placing).await {
        placed.unwrap();
    }
    let orders = hosting.completed().await;
    assert_eq!(orders.len(), ORDERS);
    hosting.agrees(&orders).await;
    for process in [first, second] {
        process.terminate();
        assert_eq!(process.ended().await.code(), Some(0));
    }
    right.remove();
    fresh.remove().await;
}

const ORDERS: usize = 24;

/// DEG (clock +10 min on one replica)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_clock_is_ten_minutes_fast_says_so_and_harms_nobody() {
    ten_minutes("+600s", 600.0).await;
}

/// DEG (clock -10 min on one replica)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_clock_is_ten_minutes_slow_says_so_and_harms_nobody() {
    ten_minutes("-600s", -600.0).await;
}
