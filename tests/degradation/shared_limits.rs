//! What the limiters of several replicas may admit over one Redis, together.

use std::sync::Arc;

use futures_util::future::join_all;
use redis::AsyncCommands;
use tenantry::access::random;
use tenantry::limits::{Asker, Denied, Limiter, PATIENCE, Quotas, Shared, Standing};
use tenantry::model::ids::{AccountId, KeyId};
use tenantry::model::{Path, Time};
use zeroize::Zeroizing;

use super::redis_server::Redis;
use super::*;

const PLENTY: u64 = 1_000_000_000;

fn quotas(key: u64, subtree: u64) -> Quotas {
    let key = vec![("standard".to_owned(), key)];
    Quotas { key, account: PLENTY, subtree, address: 5, address_posts: 3, posts: 5 }
}

/// Who asks, in a place below the root.
struct Who {
    key: KeyId,
    account: AccountId,
    path: Path,
}

impl Who {
    fn new() -> Self {
        Self::below(&Path::root(AccountId::new()))
    }

    fn below(path: &Path) -> Self {
        let account = AccountId::new();
        Self { key: KeyId::new(), account, path: path.child(account) }
    }

    async fn asks(&self, limiter: &Limiter, units: u64) -> Result<Standing, Denied> {
        let asker = Asker { key: self.key, class: "standard", account: self.account, path: &self.path };
        limiter.request(asker, units, now()).await
    }
}

fn now() -> Time {
    tenantry::clock::Clock::system().now()
}

/// More patience than a server has: what is tested is not how fast this machine is.
const CALM: Duration = Duration::from_secs(20);

/// The limiters of so many replicas of one installation.
async fn replicas(
    redis: &Redis,
    (key, patience): (u8, Duration),
    count: usize,
    quotas: Quotas,
) -> Vec<(Limiter, Arc<Shared>)> {
    let mut made = Vec::new();
    for _ in 0..count {
        let shared =
            Shared::new(&redis.url(), Zeroizing::new([key; 32]), random::base62(8), patience).unwrap();
        let shared = Arc::new(shared);
        until("Redis is reached", async || {
            shared.look().await;
            !shared.is_degraded()
        })
        .await;
        made.push((Limiter::new(quotas.clone(), Some(shared.clone())), shared));
    }
    for (_, shared) in &made {
        shared.look().await;
    }
    made
}

/// RL-3: whatever way requests are spread over the replicas, no more is admitted than there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_admit_together_what_one_would() {
    let redis = Redis::start().await;
    let made = Arc::new(replicas(&redis, (1, CALM), 2, quotas(600, PLENTY)).await);
    assert_eq!(made[0].1.replicas(), 2);
    for share in [1, 2, 10] {
        let (who, begun) = (Arc::new(Who::new()), Instant::now());
        let tasks = (0..20).map(|task: usize| {
            let (made, who) = (made.clone(), who.clone());
            tokio::spawn(async move {
                let limiter = &made[usize::from(task.is_multiple_of(share))].0;
                let mut admitted = 0;
                for _ in 0..50 {
                    admitted += u64::from(who.asks(limiter, 1).await.is_ok());
                }
                admitted
            })
        });
        let admitted: u64 = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
        // Ten come back in each second.
        let most = 600 + begun.elapsed().as_millis() as u64 / 100 + 1;
        assert!(!made[0].1.is_degraded() && (600..=most).contains(&admitted), "{admitted} of {most}");
    }
}

/// RL-2, RL-4, RL-5, RL-11: over Redis everything is as it is in one process: what is left, what is told, and that a refusal
/// takes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_redis_the_figures_are_those_of_one_process() {
    let redis = Redis::start().await;
    let made = replicas(&redis, (1, CALM), 2, quotas(60, 40)).await;
    let alone = Limiter::new(quotas(60, 40), None);
    let root = Path::root(AccountId::new());
    let who = Who::below(&root);
    for at in 0..25 {
        let (shared, alone_told) = (who.asks(&made[at % 2].0, 2).await, who.asks(&alone, 2).await);
        let told = |decided: &Result<Standing, Denied>, limiter: &Limiter| {
            let standing =
                decided.as_ref().map_or_else(|denied| denied.standing.unwrap(), |standing| *standing);
            let violated = decided.as_ref().err().map(|denied| (denied.violated.clone(), denied.wait));
            (limiter.standing_header(&standing), violated)
        };
        assert_eq!(told(&shared, &made[at % 2].0), told(&alone_told, &alone), "{at}");
        assert_eq!(shared.is_ok(), at < 20);
    }
    let neighbour = Who::below(&root);
    let refused = neighbour.asks(&made[0].0, 2).await.unwrap_err();
    assert_eq!(refused.violated, ["subtree"]);
    let told = made[0].0.standing_header(&refused.standing.unwrap());
    assert!(told.contains("\"key\";r=60;"), "a refused request takes nothing of its key: {told}");

    let from = |last: u8| Some(std::net::IpAddr::from([203, 0, 113, last]));
    let posts = async |last| made[usize::from(last % 2)].0.post(from(last), now()).await;
    for _ in 0..3 {
        posts(1).await.unwrap();
    }
    assert_eq!(posts(1).await.unwrap_err().violated, ["addr-post"]);
    posts(2).await.unwrap();
    posts(2).await.unwrap();
    assert_eq!(posts(3).await.unwrap_err().violated, ["post"]);
}

/// RL-8, ISO-5: the time is Redis's; what is kept there ends by itself and says nobody's name; installations do
/// not meet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_go_by_the_clock_of_redis_and_tell_nothing() {
    let redis = Redis::start().await;
    let made = replicas(&redis, (1, CALM), 1, quotas(60, PLENTY)).await;
    let (limiter, who) = (&made[0].0, Who::new());
    let asks = async |limiter: &Limiter, ahead: i64| {
        let time = Time::from_micros(now().as_micros() + ahead * 60_000_000).unwrap();
        let asker = Asker { key: who.key, class: "standard", account: who.account, path: &who.path };
        limiter.request(asker, 5, time).await.is_ok()
    };
    for at in 0..12 {
        assert!(asks(limiter, [0, 10, -10][at % 3]).await, "{at}");
    }
    for ahead in [0, 10, -10] {
        assert!(!asks(limiter, ahead).await, "a clock that is wrong gives nothing");
    }
    let other = replicas(&redis, (2, CALM), 1, quotas(60, PLENTY)).await;
    assert!(asks(&other[0].0, 0).await, "another installation has buckets of its own");
    limiter.stranger(Some([203, 0, 113, 77].into()), now()).await.unwrap();

    let mut connection = redis.connection().await.unwrap();
    let names: Vec<String> = connection.keys("*").await.unwrap();
    // Both installations' replicas and keys; buckets that hold plenty are full again, and gone, within a moment.
    assert!(names.len() >= 4, "{names:?}");
    for name in names {
        assert!(name.starts_with("tenantry:{"), "{name}");
        let (left, all) = (connection.pttl::<_, i64>(&name).await.unwrap(), who.key.to_string());
        let forever = -1;
        assert!(left != forever && left <= 60_000, "{name} stays for {left} ms");
        let whose = [&all[4..], &who.account.to_string()[4..], "203.0.113"];
        assert!(!whose.iter().any(|whose| name.contains(whose)), "{name}");
    }
}

/// RL-7: nobody waits longer for Redis than 60 ms, and after five errors nobody at all; limits hold meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stands_still_is_waited_for_five_times_and_then_left_alone() {
    let redis = Redis::start().await;
    let made = replicas(&redis, (1, PATIENCE), 2, quotas(60, PLENTY)).await;
    let (one, two) = (&made[0], &made[1]);
    let who = Who::new();
    for _ in 0..20 {
        who.asks(&one.0, 1).await.unwrap();
        who.asks(&two.0, 1).await.unwrap();
    }
    redis.send("-STOP");
    let mut waits = Vec::new();
    let mut admitted = 0;
    for _ in 0..100 {
        let begun = Instant::now();
        admitted += u64::from(who.asks(&one.0, 1).await.is_ok());
        waits.push(begun.elapsed());
    }
    assert!(one.1.is_degraded() && !two.1.is_degraded(), "each replica finds out for itself");
    let slow = waits.iter().filter(|wait| **wait > Duration::from_millis(25)).count();
    println!("the first six waited {:?}, the longest of all {:?}", &waits[..6], waits.iter().max().unwrap());
    // A machine that is busy makes one or another wait that Redis had no part in.
    assert!((5..=9).contains(&slow), "{waits:?}");
    // Of the twenty that are left, the half is this replica's, and one or two have come back.
    assert!((9..=12).contains(&admitted), "{admitted}");
    redis.send("-CONT");
    until("Redis is asked again", async || {
        one.1.look().await;
        !one.1.is_degraded()
    })
    .await;
}
