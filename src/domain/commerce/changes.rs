//! Moving a subscription to another quantity, plan or number of add-ons.

use serde_json::json;

use super::addons::by_code;
use super::approvals::Demand;
use super::ceilings::{self, grants};
use super::offers::{self, Bought};
use super::{quotes, spending};
use crate::domain::catalog::plans;
use crate::domain::{Error, Object, Result, Work};
use crate::model::Json;
use crate::model::accounts::accounts::Account;
use crate::model::catalog::plans::PlanTerms;
use crate::model::commerce::addons::SubscriptionAddon;
use crate::model::commerce::orders::{Item, ItemRequest, ItemStatus, SubscriptionChange};
use crate::model::commerce::quotes::Quoted;
use crate::model::commerce::subscriptions::{Subscription, SubscriptionStatus};
use crate::model::events::events::EventType;
use crate::model::ids::SubscriptionId;
use crate::model::money::Money;
use crate::store;

/// Changes what a subscription is asked to be, its ceilings, and what it draws from the accounts above.
/// Less than is used is refused: nothing is ever taken from a customer by a smaller number. Tells what each billing period
/// costs more from now on.
pub(super) async fn apply(
    work: &mut Work,
    account: &Account,
    at: usize,
    change: SubscriptionChange,
    quoted: Option<&Quoted>,
    demands: &mut Vec<Demand>,
) -> Result<(Item, Option<Money>)> {
    let id = change.subscription_id;
    let subscription = find(work, account, at, id).await?;
    if !matches!(subscription.status, SubscriptionStatus::Active | SubscriptionStatus::Trialing) {
        return Err(Error::State {
            current: subscription.standing().to_string(),
            action: "A change of the subscription",
            allowed: Vec::new(),
        });
    }
    let bought = offers::changed(work, account, at, &subscription, &change, quoted).await?;
    let Bought { plan_id, plan_version, code, terms, quantity, agreed, addons, charges, proration, demand } =
        bought;
    demands.extend(demand);
    let is_other = |quoted: &Quoted| {
        (quoted.plan_id, quoted.plan_version, quoted.quantity) != (plan_id, plan_version, quantity)
            || (&quoted.addons, &quoted.charges) != (&addons, &charges)
    };
    if quoted.is_some_and(is_other) {
        return Err(quotes::differs(at));
    }
    let before = subscription.charges();
    let more = charges.as_ref().map(|charges| charges.above(before.as_ref()));
    let more = more.filter(|_| spending::is_priced(agreed.as_ref(), &addons));
    let mut expires_at = subscription.expires_at;
    if change.plan.is_some() {
        let former = plans::terms_of(&mut work.tx, &subscription).await?;
        check_same_services(at, &former, &terms)?;
        check_tried(&subscription, &terms)?;
        expires_at = subscription.expires_with(&former, &terms, work.now);
    }
    let price = agreed.map(Json);
    let billing_period = Json(terms.billing_period);
    // Periods of another length begin anew.
    let goes_on = subscription.billing_period == billing_period;
    let anchored_at = subscription.anchored_at.map(|anchored| if goes_on { anchored } else { work.now });
    let changed = Subscription {
        plan_id,
        plan_code: code.clone(),
        plan_version,
        quantity,
        price,
        addons: Json(addons.clone()),
        billing_period,
        anchored_at,
        expires_at,
        ..subscription.clone()
    };
    // What changes nothing writes nothing: the version that is written is what keeps two who change it at once apart.
    if changed != subscription {
        ceilings::change(work, at, &subscription, &grants(&terms, quantity, &addons)).await?;
        if !store::commerce::subscriptions::change(&mut work.tx, &changed, work.now).await? {
            return Err(Error::Busy);
        }
        recorded(work, &subscription, changed);
    }
    let had_and_has = [subscription.addons.as_slice(), &addons].concat();
    let addons = by_code(change.addons, &had_and_has);
    let asked = SubscriptionChange { plan: change.plan.map(|_| code), addons, ..change };
    let item = Item {
        request: ItemRequest::Change(asked),
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
    if now.service_types() == terms.service_types() {
        return Ok(());
    }
    let detail = "the plan gives other services than the subscription has; order it anew";
    Err(Error::invalid(format!("/items/{at}/plan"), "plan_not_applicable", detail))
}

fn recorded(work: &mut Work, before: &Subscription, changed: Subscription) {
    let changed = Subscription { version: before.version + 1, updated_at: work.now, ..changed };
    let plan = |of: &Subscription| (of.plan_id, of.plan_version);
    let moved = plan(before) != plan(&changed);
    let changes = [
        (moved, EventType::SubscriptionPlanChanged),
        (!moved && before.quantity != changed.quantity, EventType::SubscriptionQuantityChanged),
        (!moved && before.addons != changed.addons, EventType::SubscriptionAddonsChanged),
    ];
    let addons: Vec<_> = before.addons.iter().cloned().map(SubscriptionAddon::from).collect();
    let previous = json!({
        "plan": before.plan_code,
        "plan_version": before.plan_version,
        "quantity": before.quantity,
        "addons": addons,
    });
    let (id, version, of) = (changed.id, changed.version, (changed.account_id, changed.path.clone()));
    let view = changed.seen_at(work.now);
    for (_, event) in changes.into_iter().filter(|(is_one, _)| *is_one) {
        let object = Object::new(id, version, &view).instead_of(previous.clone());
        work.event(event, (of.0, &of.1), "subscription", object);
    }
}
