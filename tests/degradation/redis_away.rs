//! Redis away, slow, and empty when it comes back, under load.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::redis_server::Redis;
use super::*;

/// How many reads are allowed in a second.
fn allowed_per_second() -> u64 {
    times(10, 50)
}

/// Two servers on one PostgreSQL and one Redis, both over their limit for a while; how many requests each status got.
struct Overload {
    one: Installation,
    two: Installation,
    key: String,
    _processes: [process::Process; 2],
    fresh: Fresh,
}

impl Overload {
    /// With so many units in a minute for a key, all of which have been used up.
    async fn begin(redis: &Redis, per_minute: u64) -> Self {
        let fresh = Fresh::postgres().await;
        let one = Installation::on(&fresh.url)
            .with("REDIS__URL", redis.url())
            .with("LIMITS__KEY_PER_MINUTE", per_minute.to_string());
        let two = one.beside();
        let key = one.key();
        let processes = [one.serve().await, two.serve().await];
        let overload = Self { one, two, key, _processes: processes, fresh };
        until("both know of each other", async || {
            tokio::time::sleep(Duration::from_millis(1100)).await;
            true
        })
        .await;
        until("all is used up", async || {
            let told = overload.load(Duration::from_secs(1), 100_000).await;
            told.get(&429).is_some_and(|refused| *refused > 3)
        })
        .await;
        overload
    }

    /// Asks both so often in each second, for so long.
    async fn load(&self, span: Duration, rate: u64) -> BTreeMap<u16, u64> {
        let callers = 8;
        let pause = Duration::from_micros((1_000_000 * callers / rate).max(1));
        let tasks = (0..callers).map(|at| {
            let address = if at % 2 == 0 { self.one.listen } else { self.two.listen };
            let caller = Outsider::new(address, &self.key);
            tokio::spawn(async move {
                let (mut told, begun) = (BTreeMap::<u16, u64>::new(), Instant::now());
                let mut tick = tokio::time::interval(pause);
                while begun.elapsed() < span {
                    tick.tick().await;
                    let status = caller.call(Method::GET, "/orders?limit=1").send().await.unwrap().status();
                    *told.entry(status.as_u16()).or_default() += 1;
                }
                told
            })
        });
        let mut all = BTreeMap::<u16, u64>::new();
        for told in join_all(tasks).await {
            for (status, count) in told.unwrap() {
                *all.entry(status).or_default() += count;
            }
        }
        all
    }

    async fn end(self) {
        drop(self._processes);
        self.one.remove();
        self.fresh.remove().await;
    }
}

/// RL-3: for ten seconds five times of what is allowed is asked of two servers, and as much as is allowed is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_over_one_redis_answer_what_is_allowed_to_within_a_hundredth() {
    let redis = Redis::start().await;
    let overload = Overload::begin(&redis, 60 * allowed_per_second()).await;
    let (span, begun) = (Duration::from_secs(10), Instant::now());
    let told = overload.load(span, 5 * allowed_per_second()).await;
    let allowed = begun.elapsed().as_secs_f64() * allowed_per_second() as f64;
    let admitted = told.get(&200).copied().unwrap_or_default() as f64;
    println!("{told:?} in {:?}: {admitted} of {allowed:.1} allowed", begun.elapsed());
    assert!(told.keys().all(|status| [200, 429].contains(status)), "{told:?}");
    // What came back before the first request, and what was asked for too late to count.
    let slack = 3.0 + allowed / 100.0;
    assert!((admitted - allowed).abs() <= slack, "{admitted} of {allowed}");
    overload.end().await;
}

/// Puts five times of what is allowed on two servers for ten seconds while Redis goes away for one or two of them and
/// comes back: nothing fails, it is told, and as much as is allowed is answered.
async fn holds_limits(
    redis: &mut Redis,
    go_away: impl FnOnce(&mut Redis),
    come_back: impl AsyncFnOnce(&mut Redis),
) {
    let overload = Overload::begin(redis, 60 * allowed_per_second()).await;
    let admin = overload.one.admin;
    assert_eq!(metric(admin, "ratelimit_degraded").await, Some(0.0));
    let begun = Instant::now();
    let loading = overload.load(Duration::from_secs(10), 5 * allowed_per_second());
    let failing = async {
        let degraded = async |so: bool| {
            let what = if so { "it is degraded" } else { "it is well again" };
            let after = until(what, async || {
                let ready = probe(admin, "readyz").await;
                assert_eq!(ready.status, 200);
                (ready.body["degraded"] == json!(["redis"])) == so
                    && metric(admin, "ratelimit_degraded").await == Some(f64::from(u8::from(so)))
            })
            .await;
            println!("{what} after {after:?}");
            assert!(after < Duration::from_secs(10));
        };
        go_away(redis);
        degraded(true).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        come_back(redis).await;
        degraded(false).await;
    };
    let (told, ()) = tokio::join!(loading, failing);
    let allowed = begun.elapsed().as_secs_f64() * allowed_per_second() as f64;
    let admitted = told.get(&200).copied().unwrap_or_default() as f64;
    println!("{told:?} in {:?}: {admitted} of {allowed:.1} allowed", begun.elapsed());
    assert!(told.keys().all(|status| [200, 429].contains(status)), "{told:?}");
    // Beside the tenth, what came back before the first request.
    assert!(admitted <= allowed * 1.1 + 3.0 && admitted >= allowed * 0.9 - 3.0, "{admitted} of {allowed}");
    overload.end().await;
}

/// RL-7, DEG (Redis down), DEG-1, DEG-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_dies_and_comes_back_empty_under_load_and_the_limits_hold() {
    let mut redis = Redis::start().await;
    holds_limits(&mut redis, Redis::kill, Redis::start_again).await;
}

/// RL-7, DEG (Redis slow), DEG-1, DEG-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_stands_still_and_goes_on_under_load_and_the_limits_hold() {
    let mut redis = Redis::start().await;
    holds_limits(&mut redis, |redis| redis.send("-STOP"), async |redis| redis.send("-CONT")).await;
}

/// RL-7: a server that starts without Redis serves, and shares its limits once there is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_starts_without_redis_and_finds_it_later() {
    let mut redis = Redis::start().await;
    redis.kill();
    let installation = Installation::new().with("REDIS__URL", redis.url());
    let key = installation.key();
    let process = installation.serve().await;
    let caller = Outsider::new(installation.listen, &key);
    assert_eq!(get(&caller, "/orders").await.status, 200);
    assert_eq!(probe(installation.admin, "readyz").await.body["degraded"], json!(["redis"]));
    redis.start_again().await;
    until("Redis is found", async || probe(installation.admin, "readyz").await.body["degraded"] == json!([]))
        .await;
    let mut connection = redis.connection().await.unwrap();
    until("buckets are in Redis", async || {
        assert_eq!(get(&caller, "/orders").await.status, 200);
        redis::cmd("DBSIZE").query_async::<u64>(&mut connection).await.unwrap() >= 3
    })
    .await;
    process.kill();
    installation.remove();
}
