//! Three servers on one PostgreSQL behind a balancer (HAProxy) that obeys `/readyz`, replaced one after the
//! other while callers go on calling.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::future::join_all;

use super::hosting::Hosting;
use super::*;

/// How many requests are sent in a second, if the machine answers so many.
const RATE: u64 = 500;
/// How many callers share them.
const CALLERS: u64 = 40;

/// How often all three are replaced.
fn rounds() -> u64 {
    times(1, 30)
}

/// A balancer that never asks another server when one has failed, so that every failure is seen.
struct Balancer {
    address: SocketAddr,
    stats: SocketAddr,
    process: Child,
}

impl Balancer {
    async fn before(replicas: &[&Installation]) -> Self {
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (address, stats) = (free(), free());
        let servers = replicas.iter().enumerate().map(|(n, replica)| {
            format!("  server s{n} {} check addr 127.0.0.1 port {}\n", replica.listen, replica.admin.port())
        });
        let text = format!(
            "global\n  nbthread 1\n\
             defaults\n  mode http\n  retries 0\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  timeout check 3s\n\
             frontend all\n  bind {address}\n  default_backend replicas\n\
             frontend prometheus\n  bind {stats}\n  http-request return status 200 if {{ nbsrv(replicas) eq {} }}\n  http-request return status 503\n\
             backend replicas\n  balance leastconn\n  option httpchk GET /readyz\n  http-check expect status 200\n\
             \x20 default-server inter 100ms fall 1 rise 1\n{}",
            replicas.len(),
            servers.collect::<String>(),
        );
        let file = replicas[0].folder.join("haproxy.cfg");
        std::fs::write(&file, text).unwrap();
        let log = std::fs::File::create(replicas[0].folder.join("haproxy.log")).unwrap();
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&file).stdin(Stdio::null());
        let process = command.stdout(log.try_clone().unwrap()).stderr(log).spawn();
        let process = process.expect("haproxy is installed; `make setup` does that");
        let balancer = Self { address, stats, process };
        balancer.has_all().await;
        balancer
    }

    /// Waits until it sends requests to all servers.
    async fn has_all(&self) {
        let url = format!("http://{}/", self.stats);
        let all =
            async || process::in_clear().get(&url).send().await.is_ok_and(|answer| answer.status() == 200);
        until("the balancer has all servers", all).await;
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// SHUT-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_three_servers_are_replaced_one_after_the_other() {
    let fresh = Fresh::postgres().await;
    let first = Installation::on(&fresh.url)
        .with("SERVER__DRAIN_DELAY_SECONDS", "2")
        .with("DATABASE__MAX_CONNECTIONS", "16");
    let others = [first.beside(), first.beside()];
    let replicas = [&first, &others[0], &others[1]];
    let key = first.key();
    let mut processes = Vec::new();
    for replica in replicas {
        processes.push(replica.serve().await);
    }
    let hosting = Arc::new(Hosting::new(&first, &key).await);
    let balancer = Balancer::before(&replicas).await;

    let over = Arc::new(AtomicBool::new(false));
    let (answered, wrote) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let begun = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (over, answered, wrote) = (over.clone(), answered.clone(), wrote.clone());
            let outsider = hosting.caller.at(balancer.address);
            let account = format!("/accounts/{}", hosting.tenant);
            let put = format!("/accounts/{}/quotas/mail.domains", hosting.tenant);
            tokio::spawn(async move {
                let mut pace = tokio::time::interval(Duration::from_micros(1_000_000 * CALLERS / RATE));
                pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
                let mut failed = Vec::new();
                for n in 0_u64.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    pace.tick().await;
                    // One in ten writes, and none is sent twice.
                    let writes = n % 10 == caller % 10;
                    let request = match writes {
                        true => outsider
                            .call(Method::PUT, &put)
                            .header("If-Match", "*")
                            .json(&json!({"ceiling": 100_000 + n})),
                        false => outsider.call(Method::GET, &account),
                    };
                    match request.send().await {
                        Ok(answer) if answer.status() == 200 => {
                            answered.fetch_add(1, Ordering::Relaxed);
                            wrote.fetch_add(u64::from(writes), Ordering::Relaxed);
                        }
                        Ok(answer) => failed.push(format!("{:?}: {:?}", begun.elapsed(), told(answer).await)),
                        Err(error) => failed.push(format!("{:?}: {error:?}", begun.elapsed())),
                    }
                }
                failed
            })
        })
        .collect();
    for _ in 0..rounds() {
        for (at, replica) in replicas.iter().enumerate() {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let process = processes.remove(at);
            process.terminate();
            assert_eq!(process.ended().await.code(), Some(0), "{}", replica.said());
            processes.insert(at, replica.serve().await);
            balancer.has_all().await;
        }
    }
    let lasted = begun.elapsed();
    over.store(true, Ordering::Relaxed);
    let failed: Vec<String> =
        join_all(callers).await.into_iter().flat_map(|caller| caller.unwrap()).collect();
    let (answered, wrote) = (answered.load(Ordering::Relaxed), wrote.load(Ordering::Relaxed));
    println!(
        "{answered} requests answered in {lasted:?}, {wrote} of them changes, {} failed; {} a second",
        failed.len(),
        answered * 1000 / lasted.as_millis() as u64
    );
    assert!(failed.is_empty(), "{} failed, the first so: {}", failed.len(), failed[0]);
    assert!(answered > 500 && wrote > 50, "too little was asked for it to mean anything");
    for process in processes {
        process.kill();
    }
    drop(balancer);
    first.remove();
    fresh.remove().await;
}
