//! When a delivery that failed is tried again.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;

use crate::access::random;
use crate::model::Time;

/// Seconds from each attempt to the next: 75.6 hours in all.
const INTERVALS: [u32; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// How far from its interval an attempt may be, so that what failed together does not come back together.
const JITTER: f64 = 0.2;
const LONGEST_WISH: Duration = Duration::from_secs(3_600);

/// Seconds to the next attempt after so many; none after the last. The endpoint's wish to be left alone for
/// longer is honoured up to an hour.
pub fn again_in(attempts: usize, wish: Option<Duration>) -> Option<f64> {
    let interval = f64::from(*INTERVALS.get(attempts.checked_sub(1)?)?);
    let drawn = f64::from(u32::from_le_bytes(random::bytes())) / f64::from(u32::MAX);
    let wish = wish.unwrap_or_default().min(LONGEST_WISH).as_secs_f64();
    Some((interval * (1.0 - JITTER + 2.0 * JITTER * drawn)).max(wish))
}

/// What `Retry-After` asks for, be it seconds or a date.
pub fn retry_after(header: &str, now: Time) -> Option<Duration> {
    if let Ok(seconds) = header.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTimeParser::new().parse_timestamp(header.trim()).ok()?;
    Some(Time::from(date).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_attempts_are_spread_over_three_days_with_a_fifth_of_play() {
        for (attempts, interval) in (1..).zip(INTERVALS.map(f64::from)) {
            let drawn: Vec<f64> = (0..200).map(|_| again_in(attempts, None).unwrap()).collect();
            assert!(drawn.iter().all(|&after| (interval * 0.8..=interval * 1.2).contains(&after)));
            assert!(drawn.iter().any(|&after| after < interval * 0.95));
            assert!(drawn.iter().any(|&after| after > interval * 1.05));
        }
        assert_eq!(INTERVALS.iter().sum::<u32>(), 272_105);
        for none in [0, 10, 11, 100] {
            assert_eq!(again_in(none, Some(Duration::from_secs(1))), None);
        }
    }

    #[test]
    fn an_endpoint_can_ask_for_a_longer_pause_of_an_hour_at_most_and_never_for_a_shorter_one() {
        let wish = |seconds| again_in(1, Some(Duration::from_secs(seconds))).unwrap();
        assert_eq!(wish(120), 120.0);
        assert_eq!(wish(86_400), 3_600.0);
        assert!(wish(0) >= 4.0);
        assert!(again_in(9, Some(Duration::from_secs(86_400))).unwrap() >= 69_120.0);
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now: Time = "1994-11-06T08:49:00Z".parse().unwrap();
        let seconds = |header: &str| retry_after(header, now).map(|wish| wish.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(37));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        for wrong in ["", "soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
