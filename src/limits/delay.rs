//! How long those who queue have to wait, and whether that has been too long for some time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For how long it is looked back, in how many steps.
const SPAN: Duration = Duration::from_secs(1);
const STEPS: usize = 10;
/// With fewer waits in that time nothing is said of them.
const ENOUGH: u32 = 5;

/// Watches one queue. It is tight from when half of those of the last second waited too long until hardly any of them
/// waited half so long: with one bound for both, all would be let in as soon as keeping them out has helped.
#[derive(Debug)]
pub struct Gauge {
    longest: Duration,
    waits: Mutex<Waits>,
    tight: AtomicBool,
    /// The last wait, in microseconds.
    last: AtomicU64,
}

#[derive(Debug)]
struct Waits {
    step: u64,
    seen: [Seen; STEPS],
    begun: Instant,
}

/// How many waited, how many of them too long, and how many half so long.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    all: u32,
    slow: u32,
    slowish: u32,
}

impl Gauge {
    /// Of a queue in which half of those who come should not wait for longer than this.
    pub fn new(longest: Duration, now: Instant) -> Self {
        let waits = Waits { step: 0, seen: [Seen::default(); STEPS], begun: now };
        Self { longest, waits: Mutex::new(waits), tight: AtomicBool::new(false), last: AtomicU64::new(0) }
    }

    /// Notes how long somebody waited.
    pub fn waited(&self, wait: Duration, now: Instant) {
        self.last.store(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let mut waits = self.waits();
        self.step(&mut waits, now);
        let at = (waits.step % STEPS as u64) as usize;
        let seen = &mut waits.seen[at];
        seen.all += 1;
        seen.slow += u32::from(wait > self.longest);
        seen.slowish += u32::from(wait > self.longest / 2);
    }

    /// Whether waits have been too long for some time.
    pub fn is_tight(&self, now: Instant) -> bool {
        if self.tight.load(Ordering::Relaxed) {
            self.step(&mut self.waits(), now);
        }
        self.tight.load(Ordering::Relaxed)
    }

    /// How long the last one waited.
    pub fn last(&self) -> Duration {
        Duration::from_micros(self.last.load(Ordering::Relaxed))
    }

    /// How long those who wait now will have to, so many as they are, if the queue goes on as in the last second.
    pub fn ahead(&self, waiting: usize) -> Duration {
        let all = self.waits().sum().all;
        SPAN.saturating_mul(u32::try_from(waiting).unwrap_or(u32::MAX)) / all.max(1)
    }

    /// Looks back at the end of each step.
    fn step(&self, waits: &mut Waits, now: Instant) {
        let length = SPAN.as_millis() as u64 / STEPS as u64;
        let step = now.saturating_duration_since(waits.begun).as_millis() as u64 / length;
        let behind = step.saturating_sub(waits.step);
        if behind == 0 {
            return;
        }
        let Seen { all, slow, slowish } = waits.sum();
        let was = self.tight.load(Ordering::Relaxed);
        let is = all >= ENOUGH && if was { slowish * 10 > all } else { slow * 2 > all };
        for _ in 0..behind.min(STEPS as u64) {
            waits.step += 1;
            waits.seen[(waits.step % STEPS as u64) as usize] = Seen::default();
        }
        waits.step = step;
        // Where nothing is left of what was looked back on, nobody waits.
        self.tight.store(is && behind < STEPS as u64, Ordering::Relaxed);
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waits {
    fn sum(&self) -> Seen {
        self.seen.iter().fold(Seen::default(), |sum, seen| Seen {
            all: sum.all + seen.all,
            slow: sum.slow + seen.slow,
            slowish: sum.slowish + seen.slowish,
        })
    }
}
