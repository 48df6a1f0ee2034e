//! Two servers on one PostgreSQL.

use super::hosting::{self, Hosting};
use super::*;

const ORDERS: usize = 60;

/// How many orders a server has brought to their end, by its own metrics.
async fn finished(installation: &Installation) -> u64 {
    let url = format!("http://{}/metrics", installation.admin);
    let text = process::in_clear().get(url).send().await.unwrap().text().await.unwrap();
    text.lines()
        .filter(|line| line.starts_with("operations_total{"))
        .filter(|line| line.contains("status=\"succeeded\""))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
        .sum()
}

/// DEG (one replica killed), SHUT-5, JOB-13, IDEM-9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_share_the_work_and_one_that_is_killed_leaves_no_order_behind() {
    let fresh = Fresh::postgres().await;
    let one = Installation::on(&fresh.url).with("WORKER__SLOTS", "2");
    let two = one.beside();
    let key = one.key();
    let (first, second) = (one.serve().await, two.serve().await);
    let hosting = std::sync::Arc::new(Hosting::new(&one, &key).await);
    let addresses = [one.listen, two.listen];
    let placing = |from: usize, to: usize| {
        let tasks = (from..to).map(|n| {
            let hosting = hosting.clone();
            let order = [addresses[n % 2], addresses[(n + 1) % 2]];
            tokio::spawn(
                async move { hosting.place(&order, &hosting::key(n % 6 == 0, n.to_string())).await.1 },
            )
        });
        tasks.collect::<Vec<_>>()
    };
    let mut placed = Vec::new();
    for task in placing(0, ORDERS / 2) {
        placed.push(task.await.unwrap());
    }
    let begun = Instant::now();
    let by_second = loop {
        let (by_first, by_second) = (finished(&one).await, finished(&two).await);
        if by_first > 0 && by_second > 0 {
            break by_second;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{by_first} and {by_second}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let rest = placing(ORDERS / 2, ORDERS);
    // Of three that run, the second has one in its hands at least: neither works on more than two.
    let (mut killed, begun) = (Some(second), Instant::now());
    while killed.is_some() {
        let operations = hosting.caller.list("/operations").await;
        if operations.iter().filter(|operation| operation["status"] == "running").count() > 2 {
            killed.take().unwrap().kill();
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "too little runs at once");
    }
    for task in rest {
        placed.push(task.await.unwrap());
    }
    let orders = hosting.completed().await;
    assert_eq!(orders.len(), ORDERS);
    let mut ids: Vec<&str> = orders.values().map(|order| order["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    placed.sort_unstable();
    assert_eq!(ids, placed);
    hosting.agrees(&orders).await;
    let by_first = finished(&one).await;
    println!("{by_first} operations by the first, {by_second} and more by the second");
    assert!(by_first + by_second <= ORDERS as u64, "some order was done twice");
    first.kill();
    one.remove();
    fresh.remove().await;
}
