//! The buckets of all replicas of an installation, kept in Redis: decided in one step there, by its clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Script};
use sha2::Sha256;
use tokio::sync::Notify;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::breaker::Breaker;
use super::table::Draw;

/// How long anybody waits for an answer of Redis.
pub const PATIENCE: Duration = Duration::from_millis(50);
/// How long it may take to be connected.
const CONNECT: Duration = Duration::from_millis(900);
/// How often a replica says that it lives, and, while Redis is left alone, looks whether it is back.
const BEAT: Duration = Duration::from_secs(1);
/// After how many seconds a replica that has not been heard of is none.
const FORGET: u64 = 10;

/// How far each bucket of a request was from full, in nanoseconds, and whether the request has drawn from it.
pub struct Decision {
    pub admitted: bool,
    pub debts: Vec<i64>,
}

/// Redis, as the limiters of all replicas of one installation use it.
pub struct Shared {
    client: Client,
    connection: RwLock<Option<MultiplexedConnection>>,
    breaker: Breaker,
    /// How many replicas live, as far as was heard last.
    replicas: AtomicU64,
    /// The name of this one.
    replica: String,
    key: Zeroizing<[u8; 32]>,
    prefix: String,
    take: Script,
    beat: Script,
    look: Notify,
    patience: Duration,
}

impl Shared {
    /// For the Redis at this URL. Names are made with the key, which all replicas of an installation have and
    /// nobody else, so that installations do not meet and no name tells whose it is.
    pub fn new(
        url: &str,
        key: Zeroizing<[u8; 32]>,
        replica: String,
        patience: Duration,
    ) -> Result<Self, RedisError> {
        let client = Client::open(url)?;
        let mut shared = Self {
            client,
            connection: RwLock::new(None),
            breaker: Breaker::new(),
            replicas: AtomicU64::new(1),
            replica,
            key,
            prefix: String::new(),
            take: Script::new(include_str!("take.lua")),
            beat: Script::new(include_str!("beat.lua")),
            look: Notify::new(),
            patience,
        };
        // A cluster keeps what stands in braces in one place.
        shared.prefix = format!("tenantry:{{{}}}:", shared.digest("installation"));
        Ok(shared)
    }

    fn digest(&self, text: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.key).expect("HMAC takes keys of any length");
        mac.update(text.as_bytes());
        URL_SAFE_NO_PAD.encode(&mac.finalize().into_bytes()[..15])
    }

    /// The name of a bucket.
    pub fn name(&self, layer: &str, whose: &str) -> String {
        format!("{}{}", self.prefix, self.digest(&format!("{layer} {whose}")))
    }

    /// Whether Redis is left alone, because it is away or slow.
    pub fn is_degraded(&self) -> bool {
        self.breaker.is_open()
    }

    /// Whether Redis was away not so long ago, and may not know what was drawn then.
    pub fn was_away_within(&self, span: Duration) -> bool {
        self.breaker.closed_within(span, Instant::now())
    }

    /// How many replicas there are, this one among them.
    pub fn replicas(&self) -> u64 {
        self.replicas.load(Ordering::Relaxed).max(1)
    }

    /// Draws from all buckets or from none; nothing if Redis did not decide in time. `floors` says how far from
    /// full each bucket is at least, in nanoseconds.
    pub async fn take(&self, names: &[String], draws: &[Draw], floors: &[i64]) -> Option<Decision> {
        if self.breaker.is_open() {
            return None;
        }
        let mut connection = self.connection.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        let mut call = self.take.prepare_invoke();
        for ((name, draw), floor) in names.iter().zip(draws).zip(floors) {
            call.key(name);
            call.arg(draw.policy.cost(draw.units)).arg(draw.policy.window_nanos()).arg(*floor);
        }
        let answer: Vec<i64> = self.within(call.invoke_async(&mut connection)).await?;
        let (admitted, debts) = answer.split_first()?;
        Some(Decision { admitted: *admitted == 1, debts: debts.to_vec() })
    }

    /// What Redis says in time; an error is counted, and with the last one of several it is left alone.
    async fn within<T>(&self, asked: impl Future<Output = Result<T, RedisError>>) -> Option<T> {
        let (opens, why) = match timeout(self.patience, asked).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) if error.is_unrecoverable_error() => (self.breaker.open(), error.to_string()),
            Ok(Err(error)) => (self.breaker.fail(Instant::now()), error.to_string()),
            Err(_) => (self.breaker.fail(Instant::now()), "no answer in time".to_owned()),
        };
        if opens {
            tracing::warn!(%why, "Redis is left alone; rate limits are counted in this process");
            self.hang_up();
            self.look.notify_one();
        }
        None
    }

    fn hang_up(&self) {
        *self.connection.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Says that this replica lives and, while Redis is left alone, looks whether it answers in time again.
    pub async fn look(&self) {
        let open = self.breaker.is_open();
        let known = self.connection.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut connection = match known.filter(|_| !open) {
            Some(connection) => connection,
            None => match self.connect().await {
                Some(connection) => connection,
                None => return,
            },
        };
        // The first call may have to bring the script.
        if open && self.tell_of_itself(&mut connection, true).await.is_none() {
            return;
        }
        let Some(count) = self.tell_of_itself(&mut connection, true).await else { return };
        self.replicas.store(count, Ordering::Relaxed);
        if open {
            *self.connection.write().unwrap_or_else(PoisonError::into_inner) = Some(connection);
            self.breaker.close(Instant::now());
            tracing::info!(replicas = count, "rate limits are shared over Redis");
        }
    }

    async fn connect(&self) -> Option<MultiplexedConnection> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
        timeout(CONNECT, self.client.get_multiplexed_async_connection_with_config(&config)).await.ok()?.ok()
    }

    async fn tell_of_itself(&self, connection: &mut MultiplexedConnection, lives: bool) -> Option<u64> {
        let mut call = self.beat.key(format!("{}replicas", self.prefix));
        call.arg(&self.replica).arg(u8::from(lives)).arg(FORGET);
        self.within(call.invoke_async(connection)).await
    }

    /// Looks after the connection until `stop` is ready, then signs off. `told` hears each time whether Redis is
    /// left alone.
    pub async fn keep(self: Arc<Self>, told: impl Fn(bool), stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        loop {
            self.look().await;
            told(self.is_degraded());
            tokio::select! {
                () = tokio::time::sleep(BEAT) => {}
                () = self.look.notified() => told(true),
                () = &mut stop => break,
            }
        }
        let known = self.connection.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(mut connection) = known {
            self.tell_of_itself(&mut connection, false).await;
        }
    }
}
