//! How long to wait before the same is tried again, and when to give up.

use std::time::Duration;

use crate::access::random;
use crate::model::Time;
use crate::model::services::operations::{Action, Step};

/// How often a step is tried.
pub const ATTEMPTS: u32 = 12;
/// For how long a step is tried.
pub const AGE: Duration = Duration::from_secs(24 * 3600);

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// A server cannot ask for more patience than this.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The most that is waited after the attempt of that number: twice as long each time, up to five minutes.
fn ceiling(attempt: u32) -> Duration {
    FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(LONGEST)
}

/// A time anywhere up to the ceiling, so that those who failed together do not come back together; not
/// before the server asked to be left alone.
pub fn pause(attempt: u32, retry_after: Option<Duration>) -> Duration {
    ceiling(attempt).mul_f64(share()).max(retry_after.unwrap_or_default().min(PATIENCE))
}

/// Anything from 0 up to 1, each as likely as any other.
pub fn share() -> f64 {
    f64::from(u32::from_be_bytes(random::bytes())) / (f64::from(u32::MAX) + 1.0)
}

/// Whether a step that failed for the time being is not to be tried again. Access is tried for the whole of
/// the time: a service that should be closed must not stay open because its server was away for an hour.
pub fn exhausted(step: &Step, now: Time) -> bool {
    let tried = step.attempts >= ATTEMPTS && step.action != Action::SetAccess;
    tried || step.started_at.is_some_and(|first| now.since(first) >= AGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_a_second_to_five_minutes_and_is_spread_over_all_of_it() {
        assert_eq!(ceiling(1), Duration::from_secs(1));
        assert_eq!(ceiling(4), Duration::from_secs(8));
        assert_eq!(ceiling(12), LONGEST);
        assert_eq!(ceiling(u32::MAX), LONGEST);
        let pauses: Vec<_> = (0..200).map(|_| pause(4, None)).collect();
        assert!(pauses.iter().all(|pause| *pause < Duration::from_secs(8)));
        assert!(pauses.iter().any(|pause| *pause < Duration::from_secs(2)));
        assert!(pauses.iter().any(|pause| *pause > Duration::from_secs(6)));
    }

    #[test]
    fn a_server_that_asks_to_be_left_alone_is_left_alone() {
        assert_eq!(pause(1, Some(Duration::from_secs(70))), Duration::from_secs(70));
        assert_eq!(pause(1, Some(Duration::from_secs(1_000_000))), PATIENCE);
    }

    #[test]
    fn a_step_is_given_up_after_twelve_attempts_or_a_day_but_access_only_after_a_day() {
        let now = Time::EPOCH.plus(AGE);
        let step = |action, attempts, started_at| Step { attempts, started_at, ..Step::new(action, "x") };
        assert!(!exhausted(&step(Action::EnsureResource, 11, Some(now)), now));
        assert!(exhausted(&step(Action::EnsureResource, 12, Some(now)), now));
        assert!(!exhausted(&step(Action::SetAccess, 500, Some(now)), now));
        assert!(exhausted(&step(Action::SetAccess, 1, Some(Time::EPOCH)), now));
    }
}
