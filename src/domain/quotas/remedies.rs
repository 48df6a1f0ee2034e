//! What would make room: calls that the caller can send as they are.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::domain::Result;
use crate::domain::catalog::plans::terms_of;
use crate::domain::catalog::pricing::Counter;
use crate::model::catalog::addons::AddonTerms;
use crate::model::catalog::plans::{Plan, PlanTerms};
use crate::model::commerce::subscriptions::{Subscription, SubscriptionStatus};
use crate::model::ids::{AddonId, SubscriptionId};
use crate::model::money::Currency;
use crate::model::quotas::{Quota, QuotaKey, Remedy, Violation};
use crate::model::scopes::Scope;
use crate::model::{Actor, Time};
use crate::store;
use crate::store::Conn;

/// How many add-ons and how many plans are named at most.
const EACH: usize = 3;

/// No order names a larger quantity.
const LARGEST: i64 = 1_000_000;

/// How many on sale are looked at.
const LOOKED_AT: i64 = 100;

/// A subscription that is full.
struct Full {
    subscription: Subscription,
    terms: PlanTerms,
    /// What its ceilings have to be at least.
    needs: Vec<(QuotaKey, i64)>,
    /// By how much those ceilings are too low that do not suffice.
    lacks: Vec<(QuotaKey, i64)>,
}

/// For a subscription that is full, the smallest larger quantity, the add-ons and the plans that would do. Nothing for
/// levels above: they are their owners' to raise. `rows` are its ceilings with all that it is to hold.
pub(super) async fn find(
    conn: &mut Conn,
    actor: &Actor,
    id: SubscriptionId,
    rows: &[Quota],
    violations: &[Violation],
) -> Result<Vec<Remedy>> {
    if !actor.has(Scope::OrdersPlace) {
        return Ok(Vec::new());
    }
    let Some(full) = full(conn, id, rows, violations).await? else { return Ok(Vec::new()) };
    let counter = Counter::of(conn, &full.subscription.path).await?;
    let mut remedies: Vec<_> = quantity(&full).into_iter().collect();
    remedies.extend(addons(conn, &counter, &full, actor.now).await?);
    remedies.extend(plans(conn, &counter, &full, actor.now).await?);
    Ok(remedies)
}

/// What is short, if it is a subscription that can be changed.
async fn full(
    conn: &mut Conn,
    id: SubscriptionId,
    rows: &[Quota],
    violations: &[Violation],
) -> Result<Option<Full>> {
    let found = store::commerce::subscriptions::find(conn, id).await?;
    let changeable =
        |of: &Subscription| matches!(of.status, SubscriptionStatus::Active | SubscriptionStatus::Trialing);
    let Some(subscription) = found.filter(changeable) else { return Ok(None) };
    let holder = id.to_string();
    let own = violations.iter().filter(|violation| violation.holder.as_ref() == Some(&holder));
    let lacks: Vec<_> = own.map(|own| (own.key, own.requested - own.available.unwrap_or_default())).collect();
    if lacks.is_empty() {
        return Ok(None);
    }
    let missing = lacks.iter().filter(|(key, _)| !rows.iter().any(|row| row.key == *key)).copied();
    let needs = rows.iter().map(|row| (row.key, row.used + row.reserved)).chain(missing).collect();
    let terms = terms_of(conn, &subscription).await?;
    Ok(Some(Full { subscription, terms, needs, lacks }))
}

impl Full {
    /// What of its needs the plan has to give, whatever quantity or plan it is: its add-ons stay.
    fn of_plan(&self) -> Vec<(QuotaKey, i64)> {
        let adds = |key: QuotaKey| self.subscription.addons.iter().map(|addon| addon.adds(key)).sum::<i64>();
        self.needs.iter().map(|(key, need)| (*key, need - adds(*key))).collect()
    }

    /// In what its add-ons are charged.
    fn currency_of_addons(&self) -> Option<Currency> {
        self.subscription.addons.iter().find_map(|addon| addon.price.as_ref()).map(|price| price.currency)
    }

    fn currency(&self) -> Option<Currency> {
        let of_plan = self.subscription.price.as_ref().map(|agreed| agreed.price.currency);
        of_plan.or(self.currency_of_addons())
    }

    fn remedy(&self, title: String, change: &Value) -> Remedy {
        let Subscription { id, account_id, .. } = &self.subscription;
        let mut item = json!({"action": "change", "subscription_id": id});
        if let (Some(item), Some(change)) = (item.as_object_mut(), change.as_object()) {
            item.extend(change.clone());
        }
        let body = json!({"account_id": account_id, "items": [item]});
        Remedy { title, method: "POST", path: "/v1/orders".into(), body }
    }
}

fn quantity(full: &Full) -> Option<Remedy> {
    let quantity = quantity_for(&full.terms, &full.of_plan())?;
    let title = format!("Raise the quantity from {} to {quantity}", full.subscription.quantity);
    Some(full.remedy(title, &json!({"quantity": quantity})))
}

/// The smallest quantity of the plan that covers the needs.
fn quantity_for(terms: &PlanTerms, needs: &[(QuotaKey, i64)]) -> Option<i64> {
    let quantity = needs
        .iter()
        .map(|(key, need)| {
            let quota = terms.quotas.iter().find(|quota| quota.key == *key)?;
            let lacking = need - quota.included;
            match quota.per_unit {
                _ if lacking <= 0 => Some(1),
                0 => None,
                per_unit => Some((lacking + per_unit - 1) / per_unit),
            }
        })
        .collect::<Option<Vec<_>>>()?
        .into_iter()
        .max()?;
    let most = terms.max_quantity.unwrap_or(LARGEST).min(LARGEST);
    (quantity <= most).then_some(quantity)
}

/// An add-on that the subscription has or may come to have.
struct Candidate {
    called: String,
    name: String,
    terms: AddonTerms,
    had: i64,
}

/// More of one add-on that it has, or one that it could have.
async fn addons(conn: &mut Conn, counter: &Counter, full: &Full, now: Time) -> Result<Vec<Remedy>> {
    let subscription = &full.subscription;
    let mut on_sale = store::catalog::addons::on_sale(conn, &subscription.path, None, LOOKED_AT).await?;
    let mut known: BTreeSet<_> = on_sale.iter().map(|addon| (addon.code.clone(), addon.id)).collect();
    known.extend(subscription.addons.iter().map(|addon| (addon.code.clone(), addon.addon_id)));
    // By its code, unless others have the same.
    let called = |code: &String, id: AddonId| match known.iter().filter(|(other, _)| other == code).count() {
        1 => code.clone(),
        _ => id.to_string(),
    };
    let had = subscription.addons.iter().map(|addon| Candidate {
        called: called(&addon.code, addon.addon_id),
        name: addon.name.clone(),
        terms: addon.terms.clone(),
        had: addon.quantity,
    });
    let mut candidates: Vec<_> = had.collect();
    on_sale.retain(|addon| {
        let is_had = subscription.addons.iter().any(|had| had.addon_id == addon.id);
        !is_had && addon.terms.misfit(subscription.plan_id, &full.terms).is_none()
    });
    for (addon, price) in counter.sold(conn, on_sale, now).await? {
        let differs = |price: Currency| full.currency().is_some_and(|currency| currency != price);
        if price.is_some_and(|price| differs(price.currency)) {
            continue;
        }
        let called = called(&addon.code, addon.id);
        candidates.push(Candidate { called, name: addon.name, terms: addon.terms.0, had: 0 });
    }
    let remedy = |one: &Candidate| {
        let quantity = one.had + units_for(&one.terms, &full.lacks)?;
        let most = one.terms.max_quantity.unwrap_or(LARGEST).min(LARGEST);
        (quantity <= most).then(|| {
            let title = format!("Have {quantity} of the add-on {}", one.name);
            full.remedy(title, &json!({"addons": [{"addon": one.called, "quantity": quantity}]}))
        })
    };
    Ok(candidates.iter().filter_map(remedy).take(EACH).collect())
}

/// How many units more of an add-on cover all that lacks.
fn units_for(terms: &AddonTerms, lacks: &[(QuotaKey, i64)]) -> Option<i64> {
    let units = lacks.iter().map(|(key, lack)| match terms.adds(*key, 1) {
        0 => None,
        per_unit => Some((lack + per_unit - 1) / per_unit),
    });
    units.collect::<Option<Vec<_>>>()?.into_iter().max()
}

async fn plans(conn: &mut Conn, counter: &Counter, full: &Full, now: Time) -> Result<Vec<Remedy>> {
    let subscription = &full.subscription;
    let needs = full.of_plan();
    let mut plans = store::catalog::plans::on_sale(conn, &subscription.path, None, LOOKED_AT).await?;
    let codes: Vec<_> = plans.iter().map(|plan| plan.code.clone()).collect();
    let called = |plan: &Plan| match codes.iter().filter(|code| **code == plan.code).count() {
        1 => plan.code.clone(),
        _ => plan.id.to_string(),
    };
    plans.retain(|plan| {
        let terms = &plan.terms;
        plan.id != subscription.plan_id
            && (terms.trial.is_some() || subscription.status != SubscriptionStatus::Trialing)
            && terms.service_types() == full.terms.service_types()
            && covers(terms, subscription.quantity, &needs)
            && subscription.addons.iter().all(|addon| addon.terms.misfit(plan.id, terms).is_none())
    });
    let mut sold = counter.sold(conn, plans, now).await?;
    let differs = |price: Currency| full.currency_of_addons().is_some_and(|currency| currency != price);
    sold.retain(|(_, price)| price.as_ref().is_none_or(|price| !differs(price.currency)));
    let remedy =
        |plan: &Plan| full.remedy(format!("Move to the plan {}", plan.name), &json!({"plan": called(plan)}));
    Ok(sold.iter().take(EACH).map(|(plan, _)| remedy(plan)).collect())
}

fn covers(terms: &PlanTerms, quantity: i64, needs: &[(QuotaKey, i64)]) -> bool {
    let gives = |key: QuotaKey| {
        let quota = terms.quotas.iter().find(|quota| quota.key == key);
        quota.map_or(0, |quota| quota.ceiling(quantity))
    };
    terms.max_quantity.is_none_or(|most| quantity <= most)
        && needs.iter().all(|(key, need)| gives(*key) >= *need)
}
