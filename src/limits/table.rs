//! The buckets of one process: GCRA over several layers, decided in one step.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::Time;

const SHARDS: usize = 64;

/// So many units in so many seconds. A bucket holds `quota` units and fills evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub quota: u64,
    /// Seconds.
    pub window: u64,
}

impl Policy {
    pub(super) fn window_nanos(self) -> i64 {
        self.window as i64 * 1_000_000_000
    }

    /// How long a bucket takes to fill by so many units, in nanoseconds.
    pub(super) fn cost(self, units: u64) -> i64 {
        let nanos = i128::from(self.window_nanos()) * i128::from(units) / i128::from(self.quota.max(1));
        i64::try_from(nanos).unwrap_or(i64::MAX / 4)
    }

    /// One of so many equal parts of it, in which what is asked has room.
    pub(super) fn part(self, of: u64, units: u64) -> Self {
        Self { quota: (self.quota / of.max(1)).max(units), ..self }
    }
}

/// One bucket that a request draws from.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    pub bucket: u64,
    pub policy: Policy,
    pub units: u64,
}

impl Draw {
    /// For how long it has to wait for a bucket that is full again so many nanoseconds later.
    pub(super) fn wait(&self, debt: i64) -> i64 {
        (debt + self.policy.cost(self.units) - self.policy.window_nanos()).max(0)
    }

    /// How a bucket stands that is full again so many nanoseconds later.
    pub(super) fn level(&self, debt: i64, wait: i64) -> Level {
        let left = (self.policy.window_nanos() - debt).max(0);
        let units = i128::from(left) * i128::from(self.policy.quota) / i128::from(self.policy.window_nanos());
        Level { remaining: u64::try_from(units).unwrap_or_default(), wait }
    }
}

/// How a bucket stands after a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    pub remaining: u64,
    /// Nanoseconds until this request could be taken; nothing if the bucket admits it.
    pub wait: i64,
}

/// When each bucket will be full again, in nanoseconds since 1970 (GCRA's theoretical arrival time). A bucket
/// that is not here is full.
pub struct Table {
    shards: Vec<Mutex<HashMap<u64, i64>>>,
    capacity_per_shard: usize,
}

impl Table {
    /// A table that holds about `capacity` buckets at most.
    pub fn new(capacity: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, capacity_per_shard: capacity.div_ceil(SHARDS).max(8) }
    }

    /// Draws from all buckets or, if one of them has not enough, from none. `levels` has one place for each
    /// draw. Draws are from different buckets.
    pub fn take(&self, draws: &[Draw], now: Time, levels: &mut [Level]) -> bool {
        let now = nanos(now);
        let mut locks = self.lock(draws);
        let mut admitted = true;
        for (draw, level) in draws.iter().zip(&mut *levels) {
            let wait = draw.wait(debt(&locks, draw.bucket, now));
            admitted &= wait == 0;
            *level = Level { remaining: 0, wait };
        }
        for (draw, level) in draws.iter().zip(levels) {
            let mut debt = debt(&locks, draw.bucket, now);
            if admitted {
                debt += draw.policy.cost(draw.units);
                self.put(&mut locks, draw.bucket, debt, now);
            }
            *level = draw.level(debt, level.wait);
        }
        admitted
    }

    /// In how many nanoseconds the bucket of each draw is full.
    pub fn debts(&self, draws: &[Draw], now: Time) -> Vec<i64> {
        let (now, locks) = (nanos(now), self.lock(draws));
        draws.iter().map(|draw| debt(&locks, draw.bucket, now)).collect()
    }

    /// Has the bucket of each draw be full in so many nanoseconds, as it was decided elsewhere.
    pub fn follow(&self, draws: &[Draw], debts: &[i64], now: Time) {
        let (now, mut locks) = (nanos(now), self.lock(draws));
        for (draw, debt) in draws.iter().zip(debts) {
            self.put(&mut locks, draw.bucket, *debt, now);
        }
    }

    /// Everybody locks in the same order, so nobody waits for each other in a circle.
    fn lock(&self, draws: &[Draw]) -> Locks<'_> {
        let mut locks: Locks<'_> = [const { None }; SHARDS];
        let wanted = draws.iter().fold(0_u64, |wanted, draw| wanted | 1 << shard(draw.bucket));
        for at in (0..SHARDS).filter(|at| wanted >> at & 1 == 1) {
            locks[at] = Some(self.shards[at].lock().unwrap_or_else(PoisonError::into_inner));
        }
        locks
    }

    fn put(&self, locks: &mut Locks<'_>, bucket: u64, debt: i64, now: i64) {
        let held = locks[shard(bucket)].as_mut().expect("its shard is locked");
        if held.len() >= self.capacity_per_shard && !held.contains_key(&bucket) {
            make_room(held, now);
        }
        held.insert(bucket, now + debt);
    }

    /// How many buckets are held.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn shard(bucket: u64) -> usize {
    bucket as usize % SHARDS
}

type Locks<'a> = [Option<MutexGuard<'a, HashMap<u64, i64>>>; SHARDS];

fn nanos(time: Time) -> i64 {
    time.as_micros().saturating_mul(1000)
}

/// In how many nanoseconds the bucket is full.
fn debt(locks: &Locks<'_>, bucket: u64, now: i64) -> i64 {
    let held = locks[shard(bucket)].as_ref().expect("its shard is locked");
    held.get(&bucket).map_or(0, |full_at| (*full_at - now).max(0))
}

/// Forgets the buckets that are full, which changes nothing; if those are few, also the ones that are next to
/// be full, a quarter in all, so that room is not made for every newcomer.
fn make_room(held: &mut HashMap<u64, i64>, now: i64) {
    let mut times: Vec<i64> = held.values().copied().collect();
    let quarter = times.len() / 4;
    let (_, fullest, _) = times.select_nth_unstable(quarter);
    let limit = (*fullest).max(now);
    held.retain(|_, full_at| *full_at > limit);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const FULL: Level = Level { remaining: 0, wait: 0 };
    const SIXTY: Policy = Policy { quota: 60, window: 60 };

    fn draw(bucket: u64, quota: u64, units: u64) -> Draw {
        Draw { bucket, policy: Policy { quota, window: 60 }, units }
    }

    fn take(table: &Table, draws: &[Draw], now: Time) -> (bool, Vec<Level>) {
        let mut levels = vec![FULL; draws.len()];
        (table.take(draws, now, &mut levels), levels)
    }

    #[test]
    fn a_bucket_gives_what_it_holds_and_fills_evenly() {
        let (table, start) = (Table::new(1000), Time::EPOCH);
        let one = [Draw { bucket: 7, policy: SIXTY, units: 1 }];
        assert_eq!((0..100).filter(|_| take(&table, &one, start).0).count(), 60);
        let (_, denied) = take(&table, &one, start);
        assert_eq!(denied[0], Level { remaining: 0, wait: 1_000_000_000 });
        let almost = start.plus(Duration::from_micros(999_999));
        assert!(!take(&table, &one, almost).0);
        let later = start.plus(Duration::from_secs(1));
        assert!(take(&table, &one, later).0 && !take(&table, &one, later).0);
    }

    /// RL-2
    #[test]
    fn a_denied_draw_leaves_every_bucket_as_it_was() {
        let (table, now) = (Table::new(1000), Time::EPOCH);
        assert!(take(&table, &[draw(4, 5, 5)], now).0);
        let (admitted, levels) = take(&table, &[draw(2, 100, 1), draw(3, 100, 1), draw(4, 5, 1)], now);
        assert!(!admitted && levels[2].wait > 0);
        assert_eq!([levels[0].remaining, levels[1].remaining], [100, 100]);
        let (_, levels) = take(&table, &[draw(2, 100, 1), draw(3, 100, 1)], now);
        assert_eq!([levels[0].remaining, levels[1].remaining], [99, 99]);
    }

    #[test]
    fn what_is_dearer_than_the_whole_bucket_is_never_taken() {
        assert!(!take(&Table::new(1000), &[draw(1, 4, 5)], Time::EPOCH).0);
    }

    #[test]
    fn a_clock_that_is_put_back_gives_nothing_away() {
        let (table, now) = (Table::new(1000), Time::from_seconds(1000).unwrap());
        assert!(take(&table, &[draw(1, 5, 5)], now).0);
        assert!(!take(&table, &[draw(1, 5, 1)], Time::from_seconds(900).unwrap()).0);
    }

    #[test]
    fn buckets_that_come_in_masses_do_not_take_more_than_their_room_and_the_emptiest_stay() {
        let (table, now) = (Table::new(6400), Time::EPOCH);
        assert!(take(&table, &[draw(u64::MAX, 60, 60)], now).0);
        for bucket in 0..200_000 {
            take(&table, &[draw(bucket, 60, 1)], now);
        }
        assert!(table.len() <= 6400, "{}", table.len());
        assert!(!take(&table, &[draw(u64::MAX, 60, 1)], now).0);
    }

    #[test]
    fn parallel_draws_take_no_more_than_there_is() {
        let table = Table::new(1000);
        let admitted: usize = std::thread::scope(|scope| {
            let tasks: Vec<_> = (0..8_u64)
                .map(|task| {
                    let table = &table;
                    let draws = [draw(task % 2 + 1, 4_000, 1), draw(9, 5_000, 1)];
                    scope.spawn(move || (0..2_000).filter(|_| take(table, &draws, Time::EPOCH).0).count())
                })
                .collect();
            tasks.into_iter().map(|task| task.join().unwrap()).sum()
        });
        assert_eq!(admitted, 5_000);
    }
}
