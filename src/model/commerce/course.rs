//! The course of a subscription: its periods, and what the clock comes to do with it.

use std::time::Duration;

use super::subscriptions::{Subscription, SubscriptionStatus};
use crate::model::Time;
use crate::model::catalog::plans::PlanTerms;
use crate::model::interval::Period;
use crate::stored_as_text;

/// How long before a trial or a lease ends it is told that it will.
const NOTICE: Duration = Duration::from_secs(3 * 24 * 60 * 60);

stored_as_text! {
    /// Why a subscription ends.
    pub enum Ending {
        Cancelled = "cancelled",
        TrialOver = "trial_over",
        LeaseOver = "lease_over",
    }
}

impl Ending {
    /// What it leaves the subscription in.
    pub const fn status(self) -> SubscriptionStatus {
        match self {
            Ending::Cancelled => SubscriptionStatus::Cancelled,
            Ending::TrialOver | Ending::LeaseOver => SubscriptionStatus::Expired,
        }
    }
}

impl Subscription {
    pub fn runs(&self) -> bool {
        use SubscriptionStatus::*;
        matches!(self.status, Active | Trialing | PastDue)
    }

    pub fn has_ended(&self) -> bool {
        matches!(self.status, SubscriptionStatus::Cancelled | SubscriptionStatus::Expired)
    }

    /// The billing period that a time is in; none while nothing is charged.
    pub fn period(&self, now: Time) -> Option<Period> {
        let running = self.runs() && self.status != SubscriptionStatus::Trialing;
        self.anchored_at.filter(|_| running).map(|anchored| self.billing_period.around(anchored, now))
    }

    /// How it ends, and when, if nothing is done about it; by what comes first.
    pub fn ending(&self) -> Option<(Time, Ending)> {
        let trial = self.trial_ends_at.filter(|_| self.status == SubscriptionStatus::Trialing);
        let ends = [
            (self.cancel_at, Ending::Cancelled),
            (trial, Ending::TrialOver),
            (self.expires_at, Ending::LeaseOver),
        ];
        let ends = ends.into_iter().filter_map(|(at, ending)| Some((at?, ending)));
        ends.filter(|_| self.runs()).min_by_key(|(at, _)| *at)
    }

    /// When the clock has something to do with it next: to tell that it will end, or to end it.
    pub fn due_at(&self, now: Time) -> Option<Time> {
        let (at, ending) = self.ending()?;
        let notice = Some(at.minus(NOTICE)).filter(|notice| ending != Ending::Cancelled && *notice > now);
        Some(notice.unwrap_or(at))
    }

    /// All that was ordered is there: it is tried first, if the account may, or runs.
    #[must_use]
    pub fn begun(self, terms: &PlanTerms, may_try: bool, now: Time) -> Self {
        let billing_period = crate::model::Json(terms.billing_period);
        match terms.trial.filter(|_| may_try) {
            Some(trial) => Self {
                status: SubscriptionStatus::Trialing,
                billing_period,
                trial_ends_at: Some(trial.after(now, 1)),
                ..self
            },
            None => Self { billing_period, ..self }.paid_for(terms, now),
        }
    }

    /// It runs from now on, and is charged for.
    #[must_use]
    pub fn paid_for(self, terms: &PlanTerms, now: Time) -> Self {
        Self {
            status: SubscriptionStatus::Active,
            anchored_at: Some(now),
            expires_at: terms.lease.map(|lease| lease.after(now, 1)),
            cancel_at: None,
            cancelled_above: None,
            ended_at: None,
            ..self
        }
    }

    /// It has come to its end.
    #[must_use]
    pub fn over(self, ending: Ending, now: Time) -> Self {
        Self { status: ending.status(), cancel_at: None, ended_at: Some(now), ..self }
    }
}
