//! The course of a subscription: its periods, and what the clock comes to do with it.

use std::time::Duration;

use super::subscriptions::{Subscription, SubscriptionStatus};
use crate::model::catalog::plans::PlanTerms;
use crate::model::interval::Period;
use crate::model::{Json, Time};
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

    /// Where it stands, whatever holds say.
    pub fn standing(&self) -> SubscriptionStatus {
        match self.runs() && self.cancel_at.is_some() {
            true => SubscriptionStatus::Cancelling,
            false => self.status,
        }
    }

    /// Whether it ran and has come to its end; not what never came to run.
    pub fn has_ended(&self) -> bool {
        self.ended_at.is_some()
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
        let billing_period = Json(terms.billing_period);
        match terms.trial.filter(|_| may_try) {
            Some(trial) => Self {
                status: SubscriptionStatus::Trialing,
                billing_period,
                trial_ends_at: Some(trial.after(now, 1)),
                tried_plan_id: Some(self.plan_id),
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
            ..self
        }
    }

    /// It has ended and runs again: on with its trial, lease and, if it was cancelled within one, billing period, where those
    /// are not over, else anew.
    #[must_use]
    pub fn revived(self, terms: &PlanTerms, through: Option<Time>, now: Time) -> Self {
        // What ended with a period ended in it.
        let within = self.ended_at.unwrap_or(now).minus(Duration::from_micros(1));
        let was_cancelled = self.status == SubscriptionStatus::Cancelled;
        let expired = self.expires_at.filter(|expires| *expires > now);
        let runs = Self { cancel_at: None, cancelled_above: None, ended_at: None, ..self };
        if runs.anchored_at.is_none() && runs.trial_ends_at.is_some_and(|ends| ends > now) {
            return Self { status: SubscriptionStatus::Trialing, ..runs };
        }
        let goes_on = |anchored: &Time| runs.billing_period.around(*anchored, within).ends_at > now;
        let paid = runs.anchored_at.filter(|_| was_cancelled).filter(goes_on);
        let until = expired.or(terms.lease.map(|lease| lease.after(now, 1)));
        Self {
            status: SubscriptionStatus::Active,
            anchored_at: paid.or(Some(now)),
            expires_at: terms.lease.and(through.max(expired).or(until)),
            ..runs
        }
    }

    /// When it expires once its plan's lease is another: no earlier than was paid for already.
    pub fn expires_with(&self, before: &PlanTerms, after: &PlanTerms, now: Time) -> Option<Time> {
        match after.lease {
            _ if after.lease == before.lease || self.status == SubscriptionStatus::Trialing => {
                self.expires_at
            }
            None => None,
            Some(lease) => Some(lease.after(now, 1)).max(self.expires_at),
        }
    }

    /// It has come to its end at a time.
    #[must_use]
    pub fn over(self, ending: Ending, at: Time) -> Self {
        Self { status: ending.status(), cancel_at: None, ended_at: Some(at), ..self }
    }
}
