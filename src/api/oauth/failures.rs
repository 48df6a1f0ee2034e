//! Clients that fail to authenticate again and again are put off, each where it calls from, so that a stranger
//! cannot lock one out.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::sync::Cache;

use crate::model::Time;
use crate::model::ids::KeyId;

/// How many failures in a window are borne.
const BORNE: usize = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// How many pairs of a client and an address are remembered at most.
const CAPACITY: u64 = 50_000;

/// Who failed, from where; no client where the name was none.
type Pair = (Option<KeyId>, Option<IpAddr>);
type Times = Arc<Mutex<VecDeque<Time>>>;

/// When clients failed to authenticate, in this process.
#[derive(Clone)]
pub struct Failures(Cache<Pair, Times>);

impl Failures {
    #[expect(clippy::new_without_default, reason = "it is made once, by name")]
    pub fn new() -> Self {
        Self(Cache::builder().max_capacity(CAPACITY).time_to_idle(WINDOW).build())
    }

    /// For how many seconds nothing more is heard from the client at that address, if it is put off.
    pub fn wait(&self, client: Option<KeyId>, address: Option<IpAddr>, now: Time) -> Option<u64> {
        let times = self.0.get(&(client, address))?;
        let times = times.lock().unwrap_or_else(PoisonError::into_inner);
        let free = times.front()?.plus(WINDOW);
        (times.len() == BORNE && free > now).then(|| free.since(now).as_millis().div_ceil(1000) as u64)
    }

    /// Notes that the client failed.
    pub fn note(&self, client: Option<KeyId>, address: Option<IpAddr>, now: Time) {
        let times = self.0.get_with((client, address), Times::default);
        let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
        if times.len() == BORNE {
            times.pop_front();
        }
        times.push_back(now);
    }
}
