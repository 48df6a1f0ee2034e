//! What a change in the middle of a billing period comes to.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::Time;
use crate::model::interval::Period;
use crate::model::money::{Money, scaled};

/// An amount for a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Prorated {
    pub amount: Money,
    pub period: Period,
}

/// What a change comes to for the billing period that runs, beside what each one costs from then on: by how much of it is
/// left, to the microsecond, each amount rounded once, halves up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Proration {
    /// What is given back: what was charged at the price of before for the rest of the period. None where there was no price.
    pub credit: Option<Prorated>,
    /// What is charged at the new price: for the same rest, or for a whole period if those of the new plan have another
    /// length and begin anew. None where there is no price.
    pub charge: Option<Prorated>,
}

/// Where in the course of a subscription a change falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    pub now: Time,
    pub runs: Period,
    /// When the subscription ends, if that is known.
    pub ends_at: Option<Time>,
}

impl Proration {
    /// Of a change within `left`, which ends with the billing period that runs or with the subscription, from one recurring
    /// amount to another, whose period is the same or a new one that begins with the change; none if neither has a price.
    pub fn of(left: Left, next: Period, before: Option<Money>, after: Option<Money>) -> Option<Self> {
        let Left { now, runs, ends_at } = left;
        let proration = Self {
            credit: before.and_then(|before| rest(now, ends_at, runs, before)),
            charge: after.and_then(|after| rest(now, ends_at, next, after)),
        };
        Some(proration).filter(|proration| proration.credit.is_some() || proration.charge.is_some())
    }
}

/// What of an amount for a whole period falls to what is left of it, or until the end.
fn rest(now: Time, end: Option<Time>, whole: Period, amount: Money) -> Option<Prorated> {
    let micros = |from: Time, to: Time| i128::from(to.as_micros()) - i128::from(from.as_micros());
    let period = Period {
        starts_at: now.max(whole.starts_at),
        ends_at: end.unwrap_or(whole.ends_at).min(whole.ends_at),
    };
    let (left, all) = (micros(period.starts_at, period.ends_at), micros(whole.starts_at, whole.ends_at));
    let share = scaled(amount.amount, left.max(0), all.max(1))?;
    Some(Prorated { amount: amount.currency.money(share), period })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::interval::{Interval, IntervalUnit};
    use crate::model::money::Currency;

    fn day(day: i64) -> Time {
        Time::EPOCH.plus_days(day)
    }

    fn euro(amount: i64) -> Money {
        "EUR".parse::<Currency>().unwrap().money(amount)
    }

    #[test]
    fn half_a_period_is_half_the_price_and_a_new_one_is_whole() {
        let runs = Period { starts_at: day(0), ends_at: day(30) };
        let amounts = |next: Period, before, after| {
            let told = Proration::of(Left { now: day(15), runs, ends_at: None }, next, before, after)?;
            Some((told.credit.map(|part| part.amount.amount), told.charge.map(|part| part.amount.amount)))
        };
        assert_eq!(amounts(runs, Some(euro(1_001)), Some(euro(3_000))), Some((Some(501), Some(1_500))));
        let year = Period { starts_at: day(15), ends_at: day(380) };
        assert_eq!(amounts(year, Some(euro(1_000)), Some(euro(9_900))), Some((Some(500), Some(9_900))));
        assert_eq!(amounts(runs, None, Some(euro(10))), Some((None, Some(5))));
        assert_eq!(amounts(runs, None, None), None);
        let ends = Left { now: day(15), runs, ends_at: Some(day(21)) };
        let told = Proration::of(ends, runs, Some(euro(1_000)), Some(euro(3_000))).unwrap();
        assert_eq!(told.credit.map(|part| (part.amount.amount, part.period.ends_at)), Some((200, day(21))));
        assert_eq!(told.charge.map(|part| part.amount.amount), Some(600), "nothing for after its end");
    }

    proptest! {
        /// Whatever the currency's minor unit is, and however long the period.
        #[test]
        fn what_is_left_and_what_is_past_are_the_whole(
            currency in proptest::sample::select(Currency::all().collect::<Vec<_>>()), amount in 0..=i64::MAX,
            unit in proptest::sample::select(IntervalUnit::ALL), count in 1_i64..=36, at in 0..=1_000_000_i128, more in -1_i64..=1,
        ) {
            let whole = Interval { unit, count }.around(day(20_000), day(20_000));
            let length = whole.ends_at.as_micros() - whole.starts_at.as_micros();
            let past = (i64::try_from(i128::from(length) * at / 1_000_000).unwrap() + more).clamp(0, length);
            let now = Time::from_micros(whole.starts_at.as_micros() + past).unwrap();
            let left = rest(now, None, whole, currency.money(amount)).unwrap();
            let gone = scaled(amount, past.into(), length.into()).unwrap();
            prop_assert!((0..=amount).contains(&left.amount.amount));
            // Each is rounded once, so that together they are at most one minor unit apart from the whole.
            prop_assert!((i128::from(left.amount.amount) + i128::from(gone) - i128::from(amount)).abs() <= 1);
            prop_assert_eq!(left.amount.currency, currency);
            let back = Proration::of(Left { now, runs: whole, ends_at: None }, whole, Some(currency.money(amount)), Some(currency.money(amount))).unwrap();
            prop_assert_eq!(back.credit, back.charge, "a change to the same price costs nothing");
        }
    }
}
