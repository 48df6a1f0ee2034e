//! Lengths of time by the calendar, and the periods that follow one another in them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::Time;
use crate::stored_as_text;

stored_as_text! {
    pub enum IntervalUnit {
        Day = "day",
        Week = "week",
        Month = "month",
        Year = "year",
    }
}

/// A length of time by the calendar (UTC). What begins on a day that a month does not have goes by that month's last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    pub unit: IntervalUnit,
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 366, default = 1)]
    pub count: i64,
}

fn one() -> i64 {
    1
}

/// A stretch of time: `starts_at` is in it, `ends_at` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Period {
    pub starts_at: Time,
    pub ends_at: Time,
}

impl Interval {
    pub const MONTHLY: Self = Self { unit: IntervalUnit::Month, count: 1 };

    /// So many of them after a time, at most at the end of all time.
    pub fn after(self, start: Time, times: i64) -> Time {
        let count = self.count.saturating_mul(times);
        match self.unit {
            IntervalUnit::Day => start.plus_days(count),
            IntervalUnit::Week => start.plus_days(count.saturating_mul(7)),
            IntervalUnit::Month => start.plus_months(count),
            IntervalUnit::Year => start.plus_months(count.saturating_mul(12)),
        }
    }

    /// Of the periods that follow one another from `start` the one that `now` is in; the first, if that lies ahead. Each is
    /// counted from `start`, so that what began on a 31st ends on the last of February and on the 31st of March.
    pub fn around(self, start: Time, now: Time) -> Period {
        let past = self.past(start, now);
        Period { starts_at: self.after(start, past), ends_at: self.after(start, past + 1) }
    }

    /// How many of them that follow one another from `start` have begun before `end`.
    pub fn begun(self, start: Time, end: Time) -> i64 {
        let past = self.past(start, end);
        past + i64::from(self.after(start, past) < end)
    }

    /// How many of them from `start` on are past.
    fn past(self, start: Time, now: Time) -> i64 {
        const LONGEST_MONTH: i64 = 31;
        let days = match self.unit {
            IntervalUnit::Day => 1,
            IntervalUnit::Week => 7,
            IntervalUnit::Month => LONGEST_MONTH,
            IntervalUnit::Year => 12 * LONGEST_MONTH,
        };
        let past_days = i64::try_from(now.since(start).as_secs() / (24 * 60 * 60)).unwrap_or_default();
        let mut at_least = past_days / (days * self.count).max(1);
        loop {
            match self.after(start, at_least + 1) {
                past if past <= now && past < Time::END => at_least += 1,
                _ => return at_least,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(text: &str) -> Time {
        format!("{text}T12:00:00Z").parse().unwrap()
    }

    fn interval(unit: IntervalUnit, count: i64) -> Interval {
        Interval { unit, count }
    }

    #[test]
    fn a_month_without_the_day_ends_on_its_last_and_the_next_has_the_day_again() {
        let start = time("2027-01-31");
        for (now, starts, ends) in [
            ("2027-01-31", "2027-01-31", "2027-02-28"),
            ("2027-02-27", "2027-01-31", "2027-02-28"),
            ("2027-02-28", "2027-02-28", "2027-03-31"),
            ("2028-02-29", "2028-02-29", "2028-03-31"),
            ("2027-01-01", "2027-01-31", "2027-02-28"),
        ] {
            let told = Interval::MONTHLY.around(start, time(now));
            assert_eq!(told, Period { starts_at: time(starts), ends_at: time(ends) }, "{now}");
        }
        let leap = interval(IntervalUnit::Year, 1);
        assert_eq!(leap.after(time("2028-02-29"), 1), time("2029-02-28"));
        assert_eq!(leap.after(time("2028-02-29"), 4), time("2032-02-29"));
    }

    #[test]
    fn what_has_begun_is_counted_with_what_has_not_ended() {
        let start = time("2027-01-31");
        for (end, begun) in
            [("2027-01-31", 0), ("2027-02-01", 1), ("2027-02-28", 1), ("2027-03-01", 2), ("2028-01-31", 12)]
        {
            assert_eq!(Interval::MONTHLY.begun(start, time(end)), begun, "{end}");
        }
    }

    #[test]
    fn what_would_go_beyond_all_time_ends_with_it() {
        let long = interval(IntervalUnit::Year, 366);
        assert_eq!(long.after(time("2027-01-01"), i64::MAX), Time::END);
        assert_eq!(long.around(time("2027-01-01"), time("2199-12-31")).ends_at, Time::END);
    }

    proptest! {
        #[test]
        fn each_moment_is_in_one_period(
            unit in proptest::sample::select(IntervalUnit::ALL), count in 1_i64..=366,
            start in 0_i64..2_000_000_000, later in 0_i64..3_000_000_000,
        ) {
            let interval = interval(unit, count);
            let (start, now) = (Time::from_seconds(start).unwrap(), Time::from_seconds(start + later).unwrap());
            let Period { starts_at, ends_at } = interval.around(start, now);
            prop_assert!(starts_at <= now && now < ends_at);
            prop_assert_eq!(interval.around(start, starts_at), Period { starts_at, ends_at });
            let next = interval.around(start, ends_at);
            prop_assert!(next.starts_at == ends_at || ends_at == Time::END);
        }
    }
}
