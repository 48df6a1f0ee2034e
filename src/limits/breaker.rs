//! When Redis is asked, and when it is left alone.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So many errors in so long a time, and nobody asks any more.
const ERRORS: usize = 5;
const SPAN: Duration = Duration::from_secs(1);

/// Opens when errors come close together; closes when it is told that all is well again.
#[derive(Debug)]
pub struct Breaker(Mutex<State>);

#[derive(Debug)]
struct State {
    open: bool,
    /// Whether it is open for the first time, from the start.
    new: bool,
    closed_at: Option<Instant>,
    errors: VecDeque<Instant>,
}

impl Breaker {
    /// An open one.
    pub fn new() -> Self {
        Self(Mutex::new(State { open: true, new: true, closed_at: None, errors: VecDeque::new() }))
    }

    pub fn is_open(&self) -> bool {
        self.state().open
    }

    /// Counts an error; says whether it was the one that opened it.
    pub fn fail(&self, now: Instant) -> bool {
        let mut state = self.state();
        state.errors.push_back(now);
        state.errors.retain(|at| now.saturating_duration_since(*at) < SPAN);
        let opens = !state.open && state.errors.len() >= ERRORS;
        state.open |= opens;
        opens
    }

    /// Opens it; says whether it was closed.
    pub fn open(&self) -> bool {
        !std::mem::replace(&mut self.state().open, true)
    }

    pub fn close(&self, now: Instant) {
        let mut state = self.state();
        if state.open {
            let closed_at = Some(now).filter(|_| !state.new);
            *state = State { open: false, new: false, closed_at, errors: VecDeque::new() };
        }
    }

    /// Whether it was closed again within that time, after it had opened.
    pub fn closed_within(&self, span: Duration, now: Instant) -> bool {
        self.state().closed_at.is_some_and(|at| now.saturating_duration_since(at) < span)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RL-7
    #[test]
    fn five_errors_in_a_second_open_it_and_fewer_do_not() {
        let (breaker, start) = (Breaker::new(), Instant::now());
        breaker.close(start);
        assert!(!breaker.closed_within(Duration::from_secs(1), start), "it had not opened before");
        let at = |millis| start + Duration::from_millis(millis);
        for millis in [0, 100, 200, 300, 1000, 1100] {
            assert!(!breaker.fail(at(millis)), "{millis}");
        }
        assert!(!breaker.is_open());
        assert!(breaker.fail(at(1150)));
        assert!(breaker.is_open() && !breaker.fail(at(1160)), "it opens once");
        breaker.close(at(1200));
        assert!(!breaker.is_open() && !breaker.fail(at(1200)), "what was is forgotten");
        assert!(breaker.closed_within(Duration::from_secs(1), at(2100)));
        assert!(!breaker.closed_within(Duration::from_secs(1), at(2300)));
    }
}
