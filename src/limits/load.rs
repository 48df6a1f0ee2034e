//! How much one process takes on at once, and what it turns away when that is too much.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::delay::Gauge;
use crate::model::ids::AccountId;

/// What is turned away first, and what last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Lists and exports, which can wait.
    Bulk,
    Usual,
    /// Tokens, suspending and resuming: without them nothing else helps.
    Vital,
}

/// Who takes up a part of what is worked on at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    Account(AccountId),
    /// A network address, of those who have no credential.
    Address(Option<u128>),
}

/// Of how many hundredths of the capacity the last request of a class may be.
const fn ceiling(class: Class) -> usize {
    match class {
        Class::Bulk => 70,
        Class::Usual => 90,
        Class::Vital => 100,
    }
}

/// The part of the capacity that one holder can take up, in hundredths.
const SHARE: usize = 25;
/// The wait of one request in so many is looked at.
const SAMPLE: u64 = 8;

/// What the process has taken on.
pub struct Load {
    capacity: usize,
    under_way: AtomicUsize,
    held: Mutex<HashMap<Holder, usize>>,
    arrivals: AtomicU64,
    longest_wait: Duration,
    /// Of what is ready to be worked on.
    ready: Gauge,
    /// Of what is about to write, and how many that are. There may be one writer only, or few connections, while reads
    /// come through at once.
    writes: Gauge,
    to_write: AtomicUsize,
}

impl Load {
    /// Takes on so many requests at once, half of which should not have to wait for longer than this.
    pub fn new(capacity: usize, longest_wait: Duration, now: Instant) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            under_way: AtomicUsize::new(0),
            held: Mutex::default(),
            arrivals: AtomicU64::new(0),
            longest_wait,
            ready: Gauge::new(longest_wait, now),
            writes: Gauge::new(longest_wait, now),
            to_write: AtomicUsize::new(0),
        })
    }

    /// How many requests one holder can have under way.
    pub fn share(&self) -> usize {
        (self.capacity * SHARE / 100).max(1)
    }

    /// Takes a request on, or says that there is no room for one of its class, which is asked only where it
    /// matters.
    pub fn enter(
        self: &Arc<Self>,
        class: impl FnOnce() -> Class,
        writes: bool,
        now: Instant,
    ) -> Option<Arc<Turn>> {
        self.arrivals.fetch_add(1, Ordering::Relaxed);
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        let turn = Turn { load: self.clone(), holder: OnceLock::new(), over: AtomicBool::new(false) };
        let wait = if self.ready.is_tight(now) { self.ready.last() } else { Duration::ZERO };
        let stands = writes && self.writes.is_tight(now) && {
            self.writes.ahead(self.to_write.load(Ordering::Relaxed)) > self.longest_wait
        };
        if before * 100 < self.capacity * ceiling(Class::Bulk) && wait <= self.longest_wait && !stands {
            return Some(Arc::new(turn));
        }
        let class = class();
        let waits = match class {
            Class::Bulk => stands || wait > self.longest_wait,
            Class::Usual => stands || wait > 2 * self.longest_wait,
            Class::Vital => false,
        };
        let fits = before * 100 < self.capacity * ceiling(class);
        (fits && !waits).then(|| Arc::new(turn))
    }

    /// Whether it should be looked at how long the next request would have to wait.
    pub fn is_sampled(&self) -> bool {
        self.arrivals.load(Ordering::Relaxed).is_multiple_of(SAMPLE)
    }

    /// Notes for how long a task that was ready had to wait.
    pub fn waited(&self, wait: Duration, now: Instant) {
        self.ready.waited(wait, now);
    }

    /// Waits until a request can write.
    pub async fn until_writable<T>(&self, turn: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let _waiting = Waiting::among(&self.to_write);
        let writer = turn.await;
        self.writes.waited(begun.elapsed(), Instant::now());
        writer
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Holder, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of those who wait.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn among(all: &'a AtomicUsize) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(all)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request's place among those that are worked on. It is given back when the request is over, or rests.
pub struct Turn {
    load: Arc<Load>,
    holder: OnceLock<Holder>,
    over: AtomicBool,
}

impl Turn {
    /// Says whose request it is; or that the holder has as many under way as it can.
    pub fn belongs_to(&self, holder: Holder) -> bool {
        if self.holder.get().is_some() {
            return true;
        }
        let mut held = self.load.held();
        let count = held.entry(holder).or_insert(0);
        if *count >= self.load.share() {
            return false;
        }
        *count += 1;
        let _ = self.holder.set(holder);
        true
    }

    /// Gives the place back early: what is left of the request is waiting.
    pub fn rest(&self) {
        if self.over.swap(true, Ordering::Relaxed) {
            return;
        }
        self.load.under_way.fetch_sub(1, Ordering::Relaxed);
        if let Some(holder) = self.holder.get() {
            let mut held = self.load.held();
            if let Some(count) = held.get_mut(holder) {
                *count -= 1;
                if *count == 0 {
                    held.remove(holder);
                }
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.rest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(100);

    fn filled(load: &Arc<Load>, class: Class, most: usize) -> Vec<Arc<Turn>> {
        (0..most).map_while(|_| load.enter(|| class, true, Instant::now())).collect()
    }

    /// RL-9, by what is under way.
    #[test]
    fn the_bulk_is_turned_away_first_and_what_is_vital_last() {
        let load = Load::new(100, LONGEST, Instant::now());
        let mut turns = filled(&load, Class::Bulk, 1000);
        assert_eq!(turns.len(), 70);
        turns.extend(filled(&load, Class::Usual, 1000));
        assert_eq!(turns.len(), 90);
        turns.extend(filled(&load, Class::Vital, 1000));
        assert_eq!(turns.len(), 100);
        turns.truncate(60);
        turns[0].rest();
        turns[0].rest();
        assert_eq!(filled(&load, Class::Bulk, 1000).len(), 11, "a place is given back once");
        drop(turns);
        assert_eq!(load.under_way.load(Ordering::Relaxed), 0);
    }

    /// ISO-7
    #[test]
    fn one_holder_takes_up_a_quarter_and_leaves_nothing_behind() {
        let load = Load::new(100, LONGEST, Instant::now());
        let (one, two) = (Holder::Account(AccountId::new()), Holder::Address(Some(7)));
        let turns = filled(&load, Class::Usual, 40);
        let taken = turns.iter().filter(|turn| turn.belongs_to(one)).count();
        assert_eq!(taken, 25);
        assert!(turns[30].belongs_to(two));
        assert!(turns[0].belongs_to(one), "it is asked once");
        drop(turns);
        assert!(load.held().is_empty());
    }

    /// What is noted every ten milliseconds from one time to another, and who is let in then.
    struct Course {
        load: Arc<Load>,
        start: Instant,
        noted: fn(&Load, Duration, Instant),
    }

    impl Course {
        fn new(noted: fn(&Load, Duration, Instant)) -> Self {
            let start = Instant::now();
            Self { load: Load::new(1000, LONGEST, start), start, noted }
        }

        fn run(&self, from: u64, to: u64, wait: u64) {
            for millis in (from..to).step_by(10) {
                let now = self.start + Duration::from_millis(millis);
                (self.noted)(&self.load, Duration::from_millis(wait), now);
            }
        }

        /// Whether one of the bulk, a usual one and a vital one are.
        fn lets_in(&self, writes: bool, millis: u64) -> [bool; 3] {
            let now = self.start + Duration::from_millis(millis);
            [Class::Bulk, Class::Usual, Class::Vital]
                .map(|class| self.load.enter(|| class, writes, now).is_some())
        }
    }

    /// RL-9, RL-10: by how long what is ready has to wait.
    #[test]
    fn once_tasks_have_waited_too_long_for_a_while_none_is_let_in_that_would_wait_so_long_until_none_does() {
        let course = Course::new(Load::waited);
        course.run(0, 1000, 90);
        assert_eq!(course.lets_in(false, 1000), [true; 3], "it is not too long");
        course.run(1000, 1400, 150);
        assert_eq!(course.lets_in(false, 1400), [true; 3], "not for half of a second yet");
        course.run(1400, 2000, 150);
        assert_eq!(course.lets_in(false, 2000), [false, true, true]);
        course.run(2000, 2500, 250);
        assert_eq!(course.lets_in(false, 2500), [false, false, true]);
        course.run(2500, 2600, 60);
        assert_eq!(course.lets_in(false, 2600), [true; 3], "the wait is short just now");
        course.run(2600, 2700, 150);
        assert_eq!(course.lets_in(false, 2700), [false, true, true], "and at once too long again");
        course.run(2700, 3900, 10);
        course.run(3900, 4000, 250);
        assert_eq!(
            course.lets_in(false, 4000),
            [true; 3],
            "it was over, and is not for half of a second yet"
        );
        course.run(4000, 5000, 250);
        assert_eq!(course.lets_in(false, 5000), [false, false, true]);
        assert_eq!(course.lets_in(false, 7000), [true; 3], "with nobody there it is over as well");
    }

    /// RL-9, RL-10: where requests queue for a writer.
    #[test]
    fn once_writes_have_waited_too_long_for_a_while_no_more_are_let_in_than_can_be_made_in_time() {
        let course = Course::new(|load, wait, now| load.writes.waited(wait, now));
        course.run(0, 1000, 150);
        let waiting = |count: usize| course.load.to_write.store(count, Ordering::Relaxed);
        // A hundred in a second: about ten in the time that one may wait.
        waiting(8);
        assert_eq!(course.lets_in(true, 1000), [true; 3]);
        waiting(12);
        assert_eq!(course.lets_in(true, 1000), [false, false, true]);
        assert_eq!(course.lets_in(false, 1000), [true; 3], "reads do not stand there");
        course.run(1000, 2100, 10);
        assert_eq!(course.lets_in(true, 2100), [true; 3], "a burst may wait");
    }
}
