//! Keyed orders, placed over and over while the server is killed under them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::hosting::{self, Hosting};
use super::*;

const CLIENTS: usize = 8;

/// How often the server is killed.
fn rounds() -> u64 {
    times(30, 1000)
}

async fn survive(installation: Installation) {
    let key = installation.key();
    let served = installation.serve().await;
    let hosting = Arc::new(Hosting::new(&installation, &key).await);
    let (over, address) = (Arc::new(AtomicBool::new(false)), installation.listen);
    let answers = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (hosting, over, answers) = (hosting.clone(), over.clone(), answers.clone());
            tokio::spawn(async move {
                let (mut acknowledged, mut retries) = (Vec::new(), 0);
                for n in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let key = hosting::key(client == 0 && n % 3 == 0, format!("{client}-{n}"));
                    let (attempts, id) = hosting.place(&[address], &key).await;
                    retries += attempts - 1;
                    answers.fetch_add(1, Ordering::Relaxed);
                    // Some never saw the answer and ask again.
                    if n % 5 == 0 {
                        assert_eq!(hosting.place(&[address], &key).await.1, id);
                    }
                    acknowledged.push((key, id));
                    tokio::time::sleep(Duration::from_millis(40)).await;
                }
                (acknowledged, retries)
            })
        })
        .collect();
    let mut running = Some(served);
    for round in 0..rounds() {
        // Some time after some answers, so that a slow machine gets on as well.
        let enough = answers.load(Ordering::Relaxed) + 1 + round % 5;
        let begun = Instant::now();
        while answers.load(Ordering::Relaxed) < enough {
            assert!(begun.elapsed() < Duration::from_secs(30), "no answer for a long time");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Now and then there is time for what takes long, such as a password's hash.
        let calm = if round % 5 == 4 { 1_000_000 } else { 0 };
        tokio::time::sleep(Duration::from_micros((round * 7_919_123) % 90_000 + calm)).await;
        running.take().unwrap().kill();
        running = Some(installation.serve().await);
    }
    over.store(true, Ordering::Relaxed);
    let (mut acknowledged, mut retried) = (Vec::new(), 0);
    for client in clients {
        let (keys, retries) = client.await.unwrap();
        acknowledged.extend(keys);
        retried += retries;
    }
    let orders = hosting.completed().await;
    println!("{} orders acknowledged, {retried} attempts repeated, {} kills", acknowledged.len(), rounds());
    assert_eq!(orders.len(), acknowledged.len());
    for (key, id) in &acknowledged {
        assert_eq!(orders[key]["id"].as_str(), Some(id.as_str()), "{key}");
    }
    hosting.agrees(&orders).await;
    assert!(retried > 0 && acknowledged.len() as u64 > rounds(), "the kills hit nothing");
    running.take().unwrap().kill();
    installation.remove();
}

/// SHUT-5, JOB-13, IDEM-9, IDEM-12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_keyed_order_is_lost_or_doubled_when_the_server_is_killed_on_sqlite() {
    survive(Installation::new()).await;
}

/// SHUT-5, JOB-13, IDEM-9, IDEM-12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_keyed_order_is_lost_or_doubled_when_the_server_is_killed_on_postgres() {
    let fresh = Fresh::postgres().await;
    survive(Installation::on(&fresh.url)).await;
    fresh.remove().await;
}
