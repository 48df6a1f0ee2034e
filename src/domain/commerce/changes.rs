//! Moving a subscription to another quantity or plan.

use serde_json::json;

use super::offers::{self, Bought};
use super::orders::{allocated, grants};
use super::quotes;
use crate::domain::{Error, Object, Result, Work, quotas};
use crate::model::accounts::accounts::Account;
use crate::model::catalog::plans::PlanTerms;
use crate::model::commerce::orders::{Item, ItemRequest, ItemStatus};
use crate::model::commerce::quotes::Quoted;
use crate::model::commerce::subscriptions::{Subscription, SubscriptionStatus};
use crate::model::events::events::EventType;
use crate::model::ids::SubscriptionId;
use crate::model::money::Money;
use crate::model::quotas::{Mode, Quota, QuotaKey};
use crate::model::{Json, Subtree};
use crate::store;
use crate::store::quotas::quotas::Holder;

/// Changes a subscription's quantity, plan or both, its ceilings, and what it draws from the accounts above.
/// Less than is used is refused: nothing is ever taken from a customer by a smaller number. Tells what each billing period
/// costs more from now on.
pub(super) async fn apply(
    work: &mut Work,
    account: &Account,
    at: usize,
    id: SubscriptionId,
    quantity: Option<i64>,
    plan: Option<String>,
    quoted: Option<&Quoted>,
) -> Result<(Item, Option<Money>)> {
    let subscription = find(work, account, at, id).await?;
    if !matches!(subscription.status, SubscriptionStatus::Active | SubscriptionStatus::Trialing) {
        return Err(Error::State {
            current: subscription.standing().to_string(),
            action: "A change of the subscription",
            allowed: Vec::new(),
        });
    }
    let to = (quantity, plan.as_deref());
    let bought = offers::changed(work, account, at, &subscription, to, quoted).await?;
    let Bought { plan_id, plan_version, code, terms, quantity: new_quantity, agreed, charges, proration } =
        bought;
    let is_other = |quoted: &Quoted| {
        (quoted.plan_id, quoted.plan_version, quoted.quantity) != (plan_id, plan_version, new_quantity)
            || quoted.charges != charges
    };
    if quoted.is_some_and(is_other) {
        return Err(quotes::differs(at));
    }
    let before = subscription.price.as_ref().and_then(|agreed| agreed.charges(subscription.quantity));
    let more = charges.as_ref().map(|charges| charges.above(before.as_ref()));
    let mut expires_at = subscription.expires_at;
    if plan.is_some() {
        let former = self::terms(work, &subscription).await?;
        check_same_services(at, &former, &terms)?;
        check_tried(&subscription, &terms)?;
        expires_at = subscription.expires_with(&former, &terms, work.now);
    }
    move_ceilings(work, at, &subscription, &terms, new_quantity).await?;

    let price = agreed.map(Json);
    let billing_period = Json(terms.billing_period);
    // Periods of another length begin anew.
    let goes_on = subscription.billing_period == billing_period;
    let anchored_at = subscription.anchored_at.map(|anchored| if goes_on { anchored } else { work.now });
    let changed = Subscription {
        plan_id,
        plan_code: code.clone(),
        plan_version,
        quantity: new_quantity,
        price,
        billing_period,
        anchored_at,
        expires_at,
        ..subscription.clone()
    };
    if !store::commerce::subscriptions::change(&mut work.tx, &changed, work.now).await? {
        return Err(Error::Busy);
    }
    recorded(work, &subscription, changed);
    let item = Item {
        request: ItemRequest::Change { subscription_id: id, quantity, plan: plan.map(|_| code) },
        status: ItemStatus::Done,
        subscription_id: id,
        service_ids: Vec::new(),
        resource_ids: Vec::new(),
        charges,
        proration,
    };
    Ok((item, more))
}

/// The account's subscription that an item is about.
pub(super) async fn find(
    work: &mut Work,
    account: &Account,
    at: usize,
    id: SubscriptionId,
) -> Result<Subscription> {
    let found = store::commerce::subscriptions::find(&mut work.tx, id).await?;
    found.filter(|found| found.account_id == account.id).ok_or_else(|| {
        let detail = "the account has no such subscription";
        Error::invalid(format!("/items/{at}/subscription_id"), "not_found", detail)
    })
}

/// The terms that a subscription runs on. After a move they can be those of a plan that its account does not reach any more.
pub(super) async fn terms(work: &mut Work, subscription: &Subscription) -> Result<PlanTerms> {
    let own = work.tx.turn(Subtree::everything()).await?;
    let (plan, version) = (subscription.plan_id, subscription.plan_version);
    let terms = store::catalog::plans::terms(&mut work.tx, plan, version).await?;
    work.tx.turn(own).await?;
    terms.ok_or(Error::NotFound("plan"))
}

/// A trial is of its plan: another one is tried in its place only if it can be.
fn check_tried(subscription: &Subscription, terms: &PlanTerms) -> Result<()> {
    match subscription.status == SubscriptionStatus::Trialing && terms.trial.is_none() {
        true => Err(Error::State {
            current: subscription.status.to_string(),
            action: "A move to a plan without a trial",
            allowed: vec!["convert_trial"],
        }),
        false => Ok(()),
    }
}

fn check_same_services(at: usize, now: &PlanTerms, terms: &PlanTerms) -> Result<()> {
    let types = |terms: &PlanTerms| {
        let mut types: Vec<_> = terms.services.iter().map(|service| service.service_type).collect();
        types.sort();
        types
    };
    if types(now) == types(terms) {
        return Ok(());
    }
    let detail = "the plan gives other services than the subscription has; order it anew";
    Err(Error::invalid(format!("/items/{at}/plan"), "plan_not_applicable", detail))
}

async fn move_ceilings(
    work: &mut Work,
    at: usize,
    subscription: &Subscription,
    terms: &PlanTerms,
    quantity: i64,
) -> Result<()> {
    let holder = subscription.id.to_string();
    let rows = store::quotas::quotas::of_holder(&mut work.tx, &holder).await?;
    let grants = grants(terms, quantity);
    let too_small: Vec<_> = rows
        .iter()
        .filter(|row| {
            let ceiling = grants.iter().find(|grant| grant.key == row.key).map_or(0, |grant| grant.ceiling);
            row.used + row.reserved > ceiling
        })
        .map(|row| {
            let detail = format!("{} has {} in use", row.key, row.used + row.reserved);
            crate::domain::Fault::at(format!("/items/{at}"), "quota_in_use", detail)
        })
        .collect();
    if !too_small.is_empty() {
        return Err(Error::Invalid(too_small));
    }
    let Drawn { more, less } = drawn(&rows, &allocated(&grants));
    for row in rows.iter().filter(|row| !grants.iter().any(|grant| grant.key == row.key)) {
        store::quotas::quotas::remove(&mut work.tx, &holder, row.key).await?;
    }
    let to =
        Holder { subscription: subscription.id, account: subscription.account_id, path: &subscription.path };
    store::quotas::quotas::regrant(&mut work.tx, to, &grants, work.now).await?;
    quotas::granted(work, &subscription.path, &more, subscription.id, true).await?;
    quotas::give_back(work, &subscription.path, &less).await
}

/// How a subscription's draw on the accounts above changes.
#[derive(Default)]
struct Drawn {
    more: Vec<(QuotaKey, i64)>,
    less: Vec<(QuotaKey, i64)>,
}

fn drawn(rows: &[Quota], wanted: &[(QuotaKey, i64)]) -> Drawn {
    let held = |key: QuotaKey| {
        let row = rows.iter().find(|row| row.key == key && row.mode == Mode::Allocated);
        row.map_or(0, |row| row.ceiling)
    };
    let mut keys: Vec<_> = wanted.iter().map(|(key, _)| *key).chain(rows.iter().map(|row| row.key)).collect();
    keys.sort();
    keys.dedup();
    let mut drawn = Drawn::default();
    for key in keys {
        let wanted = wanted.iter().find(|(wanted, _)| *wanted == key).map_or(0, |(_, amount)| *amount);
        match wanted - held(key) {
            0 => {}
            grown @ 1.. => drawn.more.push((key, grown)),
            shrunk => drawn.less.push((key, -shrunk)),
        }
    }
    drawn
}

fn recorded(work: &mut Work, before: &Subscription, changed: Subscription) {
    let changed = Subscription { version: before.version + 1, updated_at: work.now, ..changed };
    let moved = (before.plan_id, before.plan_version) != (changed.plan_id, changed.plan_version);
    let event =
        if moved { EventType::SubscriptionPlanChanged } else { EventType::SubscriptionQuantityChanged };
    let previous =
        json!({"plan": before.plan_code, "plan_version": before.plan_version, "quantity": before.quantity});
    let (id, version, of) = (changed.id, changed.version, (changed.account_id, changed.path.clone()));
    let view = changed.seen_at(work.now);
    let object = Object::new(id, version, &view).instead_of(previous);
    work.event(event, (of.0, &of.1), "subscription", object);
}
