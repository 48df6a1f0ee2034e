//! PostgreSQL away, silent, slow, and cut off in the middle of what it is told.

use std::sync::Arc;

use futures_util::future::join_all;

use super::hosting::{self, Hosting};
use super::proxy::Proxy;
use super::receiver::{self, Answer, Receiver};
use super::*;

/// Longer than a refusal takes that nobody waited for, shorter than the time-out of a connection.
const AT_ONCE: Duration = Duration::from_millis(2500);

/// How many orders are under way when the line is cut.
const ORDERS: usize = 24;

/// A hosting company on PostgreSQL with a line to it that can be cut.
struct Site {
    fresh: Fresh,
    proxy: Proxy,
    installation: Installation,
    process: process::Process,
    key: String,
    hosting: Arc<Hosting>,
}

impl Site {
    async fn open() -> Self {
        Self::opened(&["serve"]).await
    }

    async fn opened(arguments: &[&str]) -> Self {
        let fresh = Fresh::postgres().await;
        let (proxy, url) = Proxy::before(&fresh.url).await;
        let installation = Installation::on(&url);
        let key = installation.key();
        let process = installation.serve_with(arguments).await;
        let hosting = Arc::new(Hosting::new(&installation, &key).await);
        Self { fresh, proxy, installation, process, key, hosting }
    }

    async fn close(self) {
        self.process.kill();
        self.installation.remove();
        self.fresh.remove().await;
    }
}

/// What is counted by the database itself, past the line.
async fn count(fresh: &Fresh, sql: &'static str) -> i64 {
    let mut conn = fresh.db.read(tenantry::model::Subtree::everything()).await.unwrap();
    let (count,): (i64,) = conn.query(sql).one().await.unwrap();
    count
}

/// DEG (PostgreSQL down), DEG-1, DEG-2, IDEM-9, IDEM-16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_is_away_all_is_refused_at_once_and_when_it_is_back_all_goes_on() {
    let site = Site::open().await;
    let (caller, admin) = (site.hosting.caller.clone(), site.installation.admin);
    let token = ask_token(site.installation.listen, &site.key).await;
    let token = token.body["access_token"].as_str().unwrap().to_owned();
    let by_token = Outsider::new(site.installation.listen, &token);
    assert_eq!(get(&by_token, "/orders").await.status, 200);
    hosting::Hosting::place(&site.hosting, &[site.installation.listen], "domain-before").await;
    site.hosting.completed().await;
    let orders = count(&site.fresh, "SELECT COUNT(*) FROM orders").await;

    site.proxy.down();
    let begun = Instant::now();
    get(&caller, "/orders").await.is_refused("dependency_unavailable");
    println!("the first read was refused after {:?}", begun.elapsed());
    assert!(begun.elapsed() < AT_ONCE);
    // More than there are connections: none waits for another.
    let begun = Instant::now();
    for answer in join_all((0..60).map(|_| get(&caller, "/orders"))).await {
        answer.is_refused("dependency_unavailable");
    }
    println!("sixty reads at once were refused after {:?}", begun.elapsed());
    assert!(begun.elapsed() < AT_ONCE);
    // What a token says is still believed; what is behind it cannot be read. A false one is still false.
    get(&by_token, "/orders").await.is_refused("dependency_unavailable");
    let altered = Outsider::new(site.installation.listen, &format!("{}AAAA", &token[..token.len() - 4]));
    let answer = get(&altered, "/orders").await;
    assert_eq!((answer.status, answer.body["code"].as_str()), (401, Some("invalid_token")));
    let nobody = Outsider::new(site.installation.listen, "tnk_live_x_y");
    assert_eq!(get(&nobody, "/orders").await.status, 401);
    let refused = ask_token(site.installation.listen, &site.key).await;
    if refused.status != 200 {
        assert_eq!((refused.status, &refused.body["error"]), (503, &json!("temporarily_unavailable")));
    }
    order(&caller, &site.hosting.tenant, "domain-meanwhile")
        .await
        .unwrap()
        .is_refused("dependency_unavailable");
    assert_eq!(probe(admin, "healthz").await.status, 200);
    let ready = probe(admin, "readyz").await;
    assert_eq!((ready.status, &ready.body["faults"]), (503, &json!(["database"])));
    // A key that was remembered is forgotten by now: without the database no token is issued.
    let what = "no token is issued";
    until(what, async || ask_token(site.installation.listen, &site.key).await.status != 200).await;
    let refused = ask_token(site.installation.listen, &site.key).await;
    assert_eq!((refused.status, &refused.body["error"]), (503, &json!("temporarily_unavailable")));
    assert!(refused.kind.starts_with("application/json"), "{refused:?}");
    get(&by_token, "/orders").await.is_refused("dependency_unavailable");
    assert_eq!(count(&site.fresh, "SELECT COUNT(*) FROM orders").await, orders, "nothing is there by halves");
    assert_eq!(count(&site.fresh, "SELECT COUNT(*) FROM replies WHERE key = 'domain-meanwhile'").await, 0);

    site.proxy.mend();
    let after = until("a request succeeds", async || get(&caller, "/orders").await.status == 200).await;
    println!("the first request succeeded {after:?} after its return");
    assert!(after < Duration::from_secs(10));
    assert_eq!(probe(admin, "readyz").await.status, 200);
    let first = order(&caller, &site.hosting.tenant, "domain-meanwhile").await.unwrap();
    let second = order(&caller, &site.hosting.tenant, "domain-meanwhile").await.unwrap();
    assert_eq!((first.status, second.status), (202, 202));
    assert_eq!(first.body["id"], second.body["id"]);
    let orders = site.hosting.completed().await;
    assert_eq!(orders.len(), 2);
    site.hosting.agrees(&orders).await;
    site.close().await;
}

/// DEG (PostgreSQL down: jobs pause, and resume within 10 s), JOB-13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_was_in_hand_when_postgres_went_away_goes_on_long_before_its_lease_is_over() {
    let fresh = Fresh::postgres().await;
    let (proxy, url) = Proxy::before(&fresh.url).await;
    // So long that nobody else could take the work up meanwhile.
    let installation = Installation::on(&url).with("WORKER__LEASE_SECONDS", "600");
    let key = installation.key();
    let process = installation.serve().await;
    let hosting = Arc::new(Hosting::new(&installation, &key).await);
    let placing: Vec<_> = (0..ORDERS)
        .map(|n| {
            let (hosting, address) = (hosting.clone(), installation.listen);
            tokio::spawn(async move { hosting.place(&[address], &hosting::key(false, n.to_string())).await })
        })
        .collect();
    let running = "SELECT COUNT(*) FROM operations WHERE status = 'running'";
    until("some of it is in hand", async || count(&fresh, running).await > 1).await;
    proxy.down();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let held = count(&fresh, running).await;
    assert!(held > 0, "all of it was recorded before the line was cut");
    proxy.mend();
    let begun = Instant::now();
    let what = "a request succeeds";
    until(what, async || get(&hosting.caller, "/orders").await.status == 200).await;
    for order in placing {
        order.await.unwrap();
    }
    let orders = hosting.completed().await;
    println!("{held} in hand; all was done {:?} after its return", begun.elapsed());
    assert_eq!(orders.len(), ORDERS);
    hosting.agrees(&orders).await;
    process.kill();
    installation.remove();
    fresh.remove().await;
}

/// DEG (PostgreSQL down: webhooks pause, and resume within 10 s), WH-4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_was_answered_while_postgres_was_away_is_recorded_and_not_sent_again() {
    let (answer, answering) = tokio::sync::watch::channel(false);
    let receiver = Receiver::start(move |_, _| Answer::When(answering.clone(), receiver::text(200))).await;
    let fresh = Fresh::postgres().await;
    let (proxy, url) = Proxy::before(&fresh.url).await;
    let installation = Installation::on(&url)
        .with("WEBHOOKS__ALLOW_HTTP", "true")
        .with("WEBHOOKS__ALLOW_HOSTS", format!("127.0.0.1:{}", receiver.port));
    let key = installation.key();
    let process = installation.serve().await;
    let caller = Outsider::new(installation.listen, &key);
    let types = json!(["account.created"]);
    caller.make("/webhook_endpoints", json!({"url": receiver.url("/hook"), "event_types": types})).await;
    caller.make("/accounts", json!({"type": "tenant", "name": "Acme"})).await;
    // Perhaps of the operator's own account, too, made a moment ago.
    until("it is being told", async || receiver.count() > 0).await;
    proxy.down();
    answer.send_replace(true);
    // Longer than anybody would try who gave up early.
    tokio::time::sleep(Duration::from_secs(7)).await;
    let delivered = "SELECT COUNT(*) FROM deliveries WHERE status = 'delivered'";
    assert_eq!(count(&fresh, delivered).await, 0);
    proxy.mend();
    let after = until("it is recorded", async || count(&fresh, delivered).await > 0).await;
    println!("recorded {after:?} after its return");
    assert!(after < Duration::from_secs(10));
    let made = caller.make("/accounts", json!({"type": "tenant", "name": "Acme Two"})).await;
    let names =
        |request: &receiver::Request| request.json().to_string().contains(made["id"].as_str().unwrap());
    until("the next one is told", async || receiver.received().iter().any(names)).await;
    let open = "SELECT COUNT(*) FROM deliveries WHERE status <> 'delivered'";
    until("all is recorded", async || count(&fresh, open).await == 0).await;
    assert_eq!(receiver.count(), receiver.ids().len(), "something was told twice");
    process.kill();
    installation.remove();
    fresh.remove().await;
}

/// How often the line is cut.
fn cuts() -> u64 {
    times(12, 300)
}

/// IDEM-9, DEG-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_cut_off_from_postgres_at_any_moment_is_executed_once_when_it_is_sent_again() {
    let site = Site::open().await;
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let address = site.installation.listen;
    let clients: Vec<_> = (0..6)
        .map(|client| {
            let (hosting, over) = (site.hosting.clone(), over.clone());
            tokio::spawn(async move {
                let (mut placed, mut repeated) = (Vec::new(), 0);
                for n in 0.. {
                    if over.load(std::sync::atomic::Ordering::Relaxed) {
                        break;
                    }
                    let key = hosting::key(false, format!("{client}-{n}"));
                    let (attempts, id) = hosting.place(&[address], &key).await;
                    repeated += attempts - 1;
                    placed.push((key, id));
                }
                (placed, repeated)
            })
        })
        .collect();
    for round in 0..cuts() {
        tokio::time::sleep(Duration::from_millis(200 + (round * 7_919) % 150)).await;
        site.proxy.cut().await;
    }
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    let (mut placed, mut repeated) = (Vec::new(), 0);
    for client in clients {
        let (of_client, again) = client.await.unwrap();
        placed.extend(of_client);
        repeated += again;
    }
    println!("{} orders, {repeated} attempts repeated, {} cuts", placed.len(), cuts());
    assert!(repeated > 0, "the cuts hit nothing");
    let orders = site.hosting.completed().await;
    assert_eq!(orders.len(), placed.len());
    for (key, id) in &placed {
        assert_eq!(orders[key]["id"].as_str(), Some(id.as_str()), "{key}");
    }
    site.hosting.agrees(&orders).await;
    site.close().await;
}

/// DEG-2: what is committed is not denied because nobody can see how it goes on
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_an_order_while_postgres_goes_away_is_told_that_it_was_accepted() {
    let site = Site::opened(&["serve", "--no-workers"]).await;
    let (caller, tenant) = (site.hosting.caller.clone(), site.hosting.tenant.clone());
    let waiting = tokio::spawn(async move {
        let order = json!({"account_id": tenant, "items": [{"action": "add", "plan": "mail"}]});
        let order = caller.call(Method::POST, "/orders").header("Prefer", "wait=30").json(&order);
        told(order.send().await.unwrap()).await
    });
    let looks = "SELECT COUNT(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND query LIKE 'SELECT gated%FROM operations%' AND query NOT LIKE '%pg_stat%'
                   AND query_start > (SELECT MAX(created_at) FROM orders)";
    let begun = Instant::now();
    while count(&site.fresh, looks).await == 0 {
        assert!(begun.elapsed() < LONGEST, "nobody waits for the order");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    site.proxy.down();
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status, &answer.body["status"]), (202, &json!("queued")), "{answer:?}");
    site.close().await;
}

/// DEG (PostgreSQL down: a line that went silent), DEG-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_line_is_noticed_and_then_nobody_waits_for_it() {
    let site = Site::open().await;
    let (caller, admin) = (site.hosting.caller.clone(), site.installation.admin);
    assert_eq!(get(&caller, "/orders").await.status, 200);
    site.proxy.silence();
    let begun = Instant::now();
    get(&caller, "/orders").await.is_refused("dependency_unavailable");
    println!("silence was noticed after {:?}", begun.elapsed());
    // Less than a statement would be waited for.
    assert!(begun.elapsed() < Duration::from_secs(15));
    let begun = Instant::now();
    for answer in join_all((0..60).map(|_| get(&caller, "/orders"))).await {
        answer.is_refused("dependency_unavailable");
    }
    println!("sixty reads at once were refused after {:?}", begun.elapsed());
    assert!(begun.elapsed() < AT_ONCE);
    assert_eq!((probe(admin, "healthz").await.status, probe(admin, "readyz").await.status), (200, 503));
    // However many ask, one alone tries to reach it.
    let (taken, begun) = (site.proxy.taken(), Instant::now());
    while begun.elapsed() < Duration::from_secs(2) {
        for answer in join_all((0..20).map(|_| get(&caller, "/orders"))).await {
            answer.is_refused("dependency_unavailable");
        }
    }
    assert!(site.proxy.taken() - taken <= 2, "{} tried to reach it", site.proxy.taken() - taken);
    site.proxy.mend();
    let after = until("a request succeeds", async || get(&caller, "/orders").await.status == 200).await;
    println!("the first request succeeded {after:?} after its return");
    assert!(after < Duration::from_secs(10));
    site.close().await;
}

/// DEG (PostgreSQL slow)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_postgres_is_waited_for_by_as_many_as_there_are_connections_and_the_rest_is_shed() {
    let site = Site::open().await;
    let (caller, admin) = (site.hosting.caller.clone(), site.installation.admin);
    assert_eq!(get(&caller, "/orders").await.status, 200);
    site.proxy.slow(Duration::from_secs(2));
    let asked = tokio::spawn({
        let caller = caller.clone();
        async move { join_all((0..40).map(|_| get(&caller, "/orders"))).await }
    });
    while !asked.is_finished() {
        let begun = Instant::now();
        assert_eq!(probe(admin, "healthz").await.status, 200);
        assert!(begun.elapsed() < Duration::from_secs(1), "healthz waits for the database");
        let ready = probe(admin, "readyz").await;
        assert_eq!(ready.status, 200, "what is slow here is slow everywhere: {ready:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let answers = asked.await.unwrap();
    let answered = answers.iter().filter(|answer| answer.status == 200).count();
    println!("{answered} of {} answered", answers.len());
    assert!((1..30).contains(&answered), "{answered} of {}", answers.len());
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.is_refused("overloaded");
    }
    site.proxy.mend();
    let what = "none is shed";
    until(what, async || {
        join_all((0..6).map(|_| get(&caller, "/orders"))).await.iter().all(|answer| answer.status == 200)
    })
    .await;
    site.close().await;
}

/// JOB-2, DEG (PostgreSQL slow: bounded by `statement_timeout`)
#[tokio::test]
async fn the_server_itself_ends_what_takes_too_long() {
    let fresh = Fresh::postgres().await;
    let mut conn = fresh.db.read(tenantry::model::Subtree::everything()).await.unwrap();
    let set = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),
         current_setting('idle_in_transaction_session_timeout')";
    let told: (String, String, String) = conn.query(set).one().await.unwrap();
    assert_eq!(told, ("15s".into(), "3s".into(), "20s".into()));
    drop(conn);
    fresh.remove().await;
}
