//! The time of day: the system's, or one that a test sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use crate::model::Time;

/// Tells the time. A clone shows the same time as the clock it was taken from.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    /// Microseconds since 1970.
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `time` until it is set or advanced.
    pub fn fixed(time: Time) -> Self {
        Self(Source::Set(Arc::new(AtomicI64::new(time.as_micros()))))
    }

    /// The time now, in whole microseconds.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    pub fn now(&self) -> Time {
        match &self.0 {
            Source::System => Timestamp::now().into(),
            Source::Set(micros) => Time::from_micros(micros.load(Ordering::SeqCst))
                .expect("only times that were a Time before are put in"),
        }
    }

    /// Puts a fixed clock to `time`, for every clone of it.
    ///
    /// # Panics
    /// If this is the system's clock.
    pub fn set(&self, time: Time) {
        match &self.0 {
            Source::System => panic!("the system's clock cannot be set"),
            Source::Set(micros) => micros.store(time.as_micros(), Ordering::SeqCst),
        }
    }

    /// Puts a fixed clock forward, for every clone of it.
    ///
    /// # Panics
    /// If this is the system's clock.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_stands_until_it_is_moved_and_its_clones_move_with_it() {
        let clock = Clock::fixed(Time::EPOCH);
        let clone = clock.clone();
        assert_eq!(clone.now(), Time::EPOCH);
        clock.advance(Duration::from_secs(90));
        assert_eq!(clone.now(), Time::from_seconds(90).unwrap());
        clone.set(Time::from_seconds(7).unwrap());
        assert_eq!(clock.now(), Time::from_seconds(7).unwrap());
    }

    #[test]
    fn the_systems_clock_goes_forward() {
        let clock = Clock::system();
        let before = clock.now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(clock.now() > before && before > "2026-01-01T00:00:00Z".parse().unwrap());
    }

    #[test]
    #[should_panic(expected = "cannot be set")]
    fn the_systems_clock_is_not_ours_to_set() {
        Clock::system().set(Time::EPOCH);
    }
}
