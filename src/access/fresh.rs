//! What is remembered for a few seconds, by the program's own clock, and never past a change that it made itself.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::future::Cache;

use crate::model::Time;
use crate::store::Result;

/// For how long a change may go unnoticed on a replica that did not make it.
pub const MEMORY: Duration = Duration::from_secs(4);

/// How often something was changed through this replica.
#[derive(Clone, Default)]
pub struct Changes(Arc<AtomicU64>);

/// A moment, before something is asked of the database.
#[derive(Clone, Copy)]
pub struct Moment {
    time: Time,
    changes: u64,
}

impl Changes {
    /// Says that something was changed: what was asked before is good no longer, also what is answered later.
    pub fn note(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    pub fn moment(&self, now: Time) -> Moment {
        Moment { time: now, changes: self.0.load(Ordering::Acquire) }
    }

    /// Whether what was asked then is as good as what would be asked now. A clock that was set back makes it not so.
    pub fn since(&self, then: Moment, now: Time) -> bool {
        let young = then.time <= now && now < then.time.plus(MEMORY);
        young && then.changes == self.0.load(Ordering::Acquire)
    }
}

/// What rows of the database say, each by its own key.
#[derive(Clone)]
pub struct Remembered<K, V> {
    seen: Cache<K, (Moment, V)>,
    changes: Changes,
}

impl<K, V> Remembered<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// So many are remembered at most.
    pub fn new(capacity: u64) -> Self {
        let seen = Cache::builder().max_capacity(capacity).time_to_live(MEMORY).build();
        Self { seen, changes: Changes::default() }
    }

    /// What is remembered of the key or, if that is not good any more, what `load` gives; many who ask at once load it once.
    pub async fn find(&self, key: K, now: Time, load: impl AsyncFnOnce() -> Result<V>) -> Result<V> {
        if let Some((then, known)) = self.seen.get(&key).await {
            if self.changes.since(then, now) {
                return Ok(known);
            }
            self.seen.invalidate(&key).await;
        }
        // Apart, so that what is remembered is found without the room that loading it takes.
        Box::pin(self.loaded(key, now, load)).await
    }

    async fn loaded(&self, key: K, now: Time, load: impl AsyncFnOnce() -> Result<V>) -> Result<V> {
        let moment = self.changes.moment(now);
        let load = async { load().await.map(|found| (moment, found)) };
        let loaded = self.seen.try_get_with(key, load).await.map(|(_, known)| known);
        loaded.map_err(|error| {
            Arc::try_unwrap(error).unwrap_or_else(|shared| match *shared {
                sqlx::Error::PoolTimedOut => sqlx::Error::PoolTimedOut,
                _ => sqlx::Error::Protocol(shared.to_string()),
            })
        })
    }

    /// Forgets all: something was changed through this replica.
    pub fn forget(&self) {
        self.changes.note();
        self.seen.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// KEY-7
    #[tokio::test]
    async fn what_was_asked_before_a_change_and_answered_after_it_is_asked_again() {
        let (remembered, now) = (Remembered::<u8, &str>::new(10), Time::from_seconds(1_000_000).unwrap());
        let late = async || {
            remembered.forget();
            Ok("before")
        };
        assert_eq!(remembered.find(1, now, late).await.unwrap(), "before");
        assert_eq!(remembered.find(1, now, async || Ok("after")).await.unwrap(), "after");
        assert_eq!(remembered.find(1, now, async || panic!("it is known")).await.unwrap(), "after");
        let later = now.plus(MEMORY);
        assert_eq!(remembered.find(1, later, async || Ok("later")).await.unwrap(), "later");
    }

    /// KEY-7
    #[test]
    fn nothing_is_remembered_past_its_time_a_change_or_a_clock_that_went_back() {
        let (changes, now) = (Changes::default(), Time::from_seconds(1_000_000).unwrap());
        let then = changes.moment(now);
        assert!(changes.since(then, now) && changes.since(then, now.plus(Duration::from_millis(3999))));
        assert!(!changes.since(then, now.plus(MEMORY)));
        assert!(!changes.since(then, Time::from_seconds(999_999).unwrap()));
        changes.note();
        assert!(!changes.since(then, now) && changes.since(changes.moment(now), now));
    }
}
