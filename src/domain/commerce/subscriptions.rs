//! The course of subscriptions: trials and leases, cancellations and renewals, and what the clock makes of them.

use serde_json::json;

use super::spending;
use crate::domain::accounts::accounts::open;
use crate::domain::catalog::plans;
use crate::domain::services::endings;
use crate::domain::{Error, Object, Result, Work, check_version};
use crate::model::commerce::charges::Charges;
use crate::model::commerce::course::Ending;
use crate::model::commerce::subscriptions::{Subscription, SubscriptionStatus};
use crate::model::events::events::EventType;
use crate::model::ids::{OperationId, SubscriptionId};
use crate::model::{Actor, Precondition, Time};
use crate::store;
use crate::store::versions::Versioned;

/// A subscription as a call leaves it.
#[derive(Debug, Clone)]
pub struct Turned {
    pub subscription: Subscription,
    /// The work that gives its services the access that they have now.
    pub operation_id: Option<OperationId>,
}

impl Turned {
    pub(super) fn unchanged(subscription: Subscription) -> Self {
        Self { subscription, operation_id: None }
    }
}

/// When a subscription is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Now,
    /// With the billing period that runs, or with the trial.
    PeriodEnd,
    At(Time),
}

/// All that was ordered with the subscription is there: it begins.
pub(super) async fn begin(work: &mut Work, id: SubscriptionId) -> Result<()> {
    let found = look_up(work, id).await?;
    let terms = plans::terms_of(&mut work.tx, &found).await?;
    let may_try =
        terms.trial.is_some() && !store::commerce::subscriptions::has_tried(&mut work.tx, &found).await?;
    let begun = found.begun(&terms, may_try, work.now);
    let begun = written(work, begun).await?;
    recorded(work, EventType::SubscriptionActivated, &begun, None);
    Ok(())
}

/// Ends a subscription, now or at a time ahead. What is in its services stays, but cannot be used. Whoever stands below the
/// one who cancelled it neither puts that off nor takes it back.
pub async fn cancel(
    work: &mut Work,
    actor: &Actor,
    id: SubscriptionId,
    when: When,
    expected: &Precondition,
) -> Result<Turned> {
    let found = named(work, id, expected).await?;
    let mine = levels_above(actor, &found);
    let above = found.cancelled_above.map_or(mine, |before| before.max(mine));
    if !found.runs() && !found.has_ended() {
        return Err(refused(&found, "A cancellation", &[]));
    }
    if found.has_ended() {
        if found.status == SubscriptionStatus::Cancelled && found.cancelled_above == Some(above) {
            return Ok(Turned::unchanged(found));
        }
        let status = SubscriptionStatus::Cancelled;
        let after = Subscription { status, cancelled_above: Some(above), ..found.clone() };
        return turned(work, &found, after, EventType::SubscriptionCancelled).await;
    }
    let at = match when {
        When::Now => None,
        When::At(at) if at <= work.now => {
            return Err(Error::invalid(
                "/at",
                "too_early",
                "must lie ahead; `when` with `now` cancels at once",
            ));
        }
        When::At(at) => Some(at),
        When::PeriodEnd if found.status == SubscriptionStatus::Trialing => found.trial_ends_at,
        When::PeriodEnd => found.period(work.now).map(|period| period.ends_at),
    };
    let Some(at) = at else {
        let after = Subscription { cancelled_above: Some(above), ..found.clone() };
        let end = (work.now, Ending::Cancelled);
        return ended(work, &actor.request_id.to_string(), &found, after, end).await;
    };
    let is_later = found.cancel_at.is_some_and(|before| at > before);
    if is_later && !may_take_back(actor, &found)
        || (found.cancel_at, found.cancelled_above) == (Some(at), Some(above))
    {
        return Ok(Turned::unchanged(found));
    }
    let after = Subscription { cancel_at: Some(at), cancelled_above: Some(above), ..found.clone() };
    turned(work, &found, after, EventType::SubscriptionCancelling).await
}

/// Takes a cancellation back that lies ahead.
pub async fn uncancel(
    work: &mut Work,
    actor: &Actor,
    id: SubscriptionId,
    expected: &Precondition,
) -> Result<Turned> {
    let found = named(work, id, expected).await?;
    if !found.runs() {
        return Err(refused(&found, "Taking a cancellation back", after_its_end(&found)));
    }
    if found.cancel_at.is_none() {
        return Ok(Turned::unchanged(found));
    }
    check_may_take_back(actor, &found, "Taking a cancellation back")?;
    let after = Subscription { cancel_at: None, cancelled_above: None, ..found.clone() };
    turned(work, &found, after, EventType::SubscriptionUncancelled).await
}

/// Ends a trial by having the subscription run and charged for from now on.
pub async fn convert(
    work: &mut Work,
    actor: &Actor,
    id: SubscriptionId,
    expected: &Precondition,
) -> Result<Turned> {
    let found = named(work, id, expected).await?;
    match found.status {
        SubscriptionStatus::Active | SubscriptionStatus::PastDue => return Ok(Turned::unchanged(found)),
        SubscriptionStatus::Trialing if found.cancel_at.is_some() => {
            return Err(refused(&found, "A conversion", &["uncancel"]));
        }
        SubscriptionStatus::Trialing => {}
        _ => return Err(refused(&found, "A conversion", after_its_end(&found))),
    }
    open(work, found.account_id).await?;
    let terms = plans::terms_of(&mut work.tx, &found).await?;
    let after = found.clone().paid_for(&terms, work.now);
    count(work, actor, &found, periods(&found, &after, work.now)).await?;
    turned(work, &found, after, EventType::SubscriptionConverted).await
}

/// Has a subscription run longer: one that has ended runs again from now on, a lease until a time, which those above its
/// account may say, or for its length more. One that runs until it is cancelled is left as it is.
pub async fn renew(
    work: &mut Work,
    actor: &Actor,
    id: SubscriptionId,
    through: Option<Time>,
    expected: &Precondition,
) -> Result<Turned> {
    let found = named(work, id, expected).await?;
    if through.is_some() && levels_above(actor, &found) == 0 && found.path.depth() > 1 {
        let detail = "is for those to say whom the account buys of; leave it out";
        return Err(Error::invalid("/through", "not_applicable", detail));
    }
    if found.has_ended() {
        check_may_take_back(actor, &found, "A renewal")?;
        if through.is_some_and(|through| through <= work.now) {
            return Err(Error::invalid("/through", "too_early", "must lie ahead"));
        }
        open(work, found.account_id).await?;
        let terms = plans::terms_of(&mut work.tx, &found).await?;
        let after = found.clone().revived(&terms, through, work.now);
        count(work, actor, &found, periods(&found, &after, work.now)).await?;
        let (by, request_id) = (actor.key_id.to_string(), actor.request_id.to_string());
        let first = work.place();
        let after = written(work, after).await?;
        let operation_id = endings::lift(work, &request_id, &after, &by).await?;
        let subscription = look_up(work, id).await?;
        recorded(work, EventType::SubscriptionRenewed, &subscription, Some(&found));
        work.tell_at(first);
        return Ok(Turned { subscription, operation_id });
    }
    match found.status {
        SubscriptionStatus::Active | SubscriptionStatus::PastDue => {}
        SubscriptionStatus::Trialing => return Err(refused(&found, "A renewal", &["convert_trial"])),
        _ => return Err(refused(&found, "A renewal", &[])),
    }
    let Some(expires) = found.expires_at else { return Ok(Turned::unchanged(found)) };
    if found.cancel_at.is_some() {
        return Err(refused(&found, "A renewal", &["uncancel"]));
    }
    open(work, found.account_id).await?;
    let terms = plans::terms_of(&mut work.tx, &found).await?;
    let longer = terms.lease.map_or(expires, |lease| lease.after(expires, 1));
    let until = through.unwrap_or(longer);
    if until <= expires {
        return Ok(Turned::unchanged(found));
    }
    let after = Subscription { expires_at: Some(until), ..found.clone() };
    count(work, actor, &found, periods(&found, &after, work.now)).await?;
    turned(work, &found, after, EventType::SubscriptionRenewed).await
}

/// Ends what has come to its end by the clock, and tells of what is about to; says how many there were.
pub async fn turn_the_clock(work: &mut Work, limit: i64) -> Result<usize> {
    let due = store::commerce::subscriptions::due(&mut work.tx, work.now, limit).await?;
    let mut turned = 0;
    for found in due {
        let id = found.id.to_string();
        let done = match found.ending() {
            Some(end) if end.0 <= work.now => ended(work, &id, &found, found.clone(), end).await.map(drop),
            Some((_, Ending::LeaseOver)) => noticed(work, found, EventType::SubscriptionExpiring).await,
            Some(_) => noticed(work, found, EventType::SubscriptionTrialEnding).await,
            None => written(work, found).await.map(drop),
        };
        match done {
            Ok(()) => turned += 1,
            // Another replica has been here, or a caller.
            Err(Error::Busy) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(turned)
}

async fn noticed(work: &mut Work, found: Subscription, event: EventType) -> Result<()> {
    let told = written(work, found).await?;
    recorded(work, event, &told, None);
    Ok(())
}

/// Brings a subscription to its end and holds what is in it.
async fn ended(
    work: &mut Work,
    request_id: &str,
    before: &Subscription,
    after: Subscription,
    (at, ending): (Time, Ending),
) -> Result<Turned> {
    let first = work.place();
    let after = written(work, after.over(ending, at)).await?;
    let operation_id = Some(endings::hold(work, request_id, &after, ending).await?);
    let subscription = look_up(work, after.id).await?;
    let event = match ending {
        Ending::Cancelled => EventType::SubscriptionCancelled,
        Ending::TrialOver | Ending::LeaseOver => EventType::SubscriptionExpired,
    };
    recorded(work, event, &subscription, Some(before));
    work.tell_at(first);
    Ok(Turned { subscription, operation_id })
}

async fn turned(
    work: &mut Work,
    before: &Subscription,
    after: Subscription,
    event: EventType,
) -> Result<Turned> {
    let subscription = written(work, after).await?;
    recorded(work, event, &subscription, Some(before));
    Ok(Turned::unchanged(subscription))
}

async fn written(work: &mut Work, after: Subscription) -> Result<Subscription> {
    if !store::commerce::subscriptions::change(&mut work.tx, &after, work.now).await? {
        return Err(Error::Busy);
    }
    Ok(Subscription { version: after.version + 1, updated_at: work.now, ..after })
}

pub(super) fn recorded(work: &mut Work, event: EventType, of: &Subscription, before: Option<&Subscription>) {
    let view = of.clone().seen_at(work.now);
    let object = Object::new(of.id, of.version, &view);
    let object = match before {
        Some(before) => object.instead_of(json!(before.clone().seen_at(work.now))),
        None => object,
    };
    work.event(event, (of.account_id, &of.path), "subscription", object);
}

pub(super) async fn look_up(work: &mut Work, id: SubscriptionId) -> Result<Subscription> {
    let found = store::commerce::subscriptions::find(&mut work.tx, id).await?;
    found.ok_or(Error::NotFound("subscription"))
}

pub(super) async fn named(
    work: &mut Work,
    id: SubscriptionId,
    expected: &Precondition,
) -> Result<Subscription> {
    let found = look_up(work, id).await?;
    check_version(work, Versioned::Subscription, id, found.version, expected).await?;
    Ok(found)
}

/// How many billing periods more a renewal or conversion is for, at least: those that begin until a lease ends, or else the first.
fn periods(before: &Subscription, after: &Subscription, now: Time) -> i64 {
    let paid = match after.anchored_at == before.anchored_at {
        true => before.expires_at.or_else(|| after.period(now).map(|period| period.ends_at)).unwrap_or(now),
        false => now,
    };
    match after.expires_at {
        Some(until) => after.billing_period.begun(paid.max(now), until),
        None => i64::from(paid <= now && after.status != SubscriptionStatus::Trialing),
    }
}

/// Counts so many billing periods against the cap of the key.
async fn count(work: &mut Work, actor: &Actor, found: &Subscription, periods: i64) -> Result<()> {
    let costs = found
        .charges()
        .map(|Charges { recurring, .. }| recurring.currency.money(recurring.amount.saturating_mul(periods)));
    let agreed = found.price.as_ref().map(|agreed| &agreed.0);
    let costs = costs.filter(|_| spending::is_priced(agreed, &found.addons));
    spending::count(work, actor, &[costs]).await
}

fn after_its_end(found: &Subscription) -> &'static [&'static str] {
    if found.has_ended() { &["renew"] } else { &[] }
}

fn levels_above(actor: &Actor, of: &Subscription) -> i64 {
    let levels = of.path.depth().saturating_sub(actor.principal_path.depth());
    i64::try_from(levels).unwrap_or(i64::MAX)
}

/// Whether the caller stands where the subscription was cancelled from, or above.
fn may_take_back(actor: &Actor, of: &Subscription) -> bool {
    of.cancelled_above.is_none_or(|above| levels_above(actor, of) >= above)
}

fn check_may_take_back(actor: &Actor, of: &Subscription, action: &'static str) -> Result<()> {
    match may_take_back(actor, of) {
        true => Ok(()),
        false => {
            let current = "cancelled by an account above".into();
            Err(Error::State { current, action, allowed: Vec::new() })
        }
    }
}

pub(super) fn refused(found: &Subscription, action: &'static str, allowed: &[&'static str]) -> Error {
    Error::State { current: found.standing().to_string(), action, allowed: allowed.to_vec() }
}
