//! What would make room: calls that the caller can send as they are.

use serde_json::json;

use super::charges::Charge;
use crate::domain::catalog::pricing::Counter;
use crate::domain::{Result, Work};
use crate::model::Actor;
use crate::model::catalog::plans::{Plan, PlanTerms};
use crate::model::commerce::subscriptions::Subscription;
use crate::model::quotas::{Quota, QuotaKey, Remedy};
use crate::model::scopes::Scope;
use crate::store;

/// How many plans are named at most.
const PLANS: usize = 3;

/// For a subscription that is full, the smallest larger quantity and the plans that would do. Nothing for
/// levels above: they are their owners' to raise.
pub(super) async fn find(
    work: &mut Work,
    actor: Option<&Actor>,
    charges: &[Charge],
    rows: &[Quota],
) -> Result<Vec<Remedy>> {
    if !actor.is_some_and(|actor| actor.has(Scope::OrdersPlace)) {
        return Ok(Vec::new());
    }
    let Some(id) = charges.iter().find_map(|charge| charge.subscription) else { return Ok(Vec::new()) };
    let Some(subscription) = store::commerce::subscriptions::find(&mut work.tx, id).await? else {
        return Ok(Vec::new());
    };
    let holder = id.to_string();
    let needs: Vec<_> = rows
        .iter()
        .filter(|row| row.holder == holder)
        .map(|row| (row.key, row.used + row.reserved))
        .collect();
    let short = rows.iter().any(|row| row.holder == holder && row.used + row.reserved > row.ceiling);
    if !short {
        return Ok(Vec::new());
    }
    let mut remedies = Vec::new();
    let current =
        store::catalog::plans::terms(&mut work.tx, subscription.plan_id, subscription.plan_version).await?;
    if let Some(quantity) = current.as_ref().and_then(|terms| quantity_for(terms, &needs)) {
        let title = format!("Raise the quantity from {} to {quantity}", subscription.quantity);
        remedies.push(remedy(title, &subscription, json!({"quantity": quantity})));
    }
    let mut types: Vec<_> =
        current.iter().flat_map(|terms| &terms.services).map(|service| service.service_type).collect();
    types.sort();
    let mut plans = store::catalog::plans::on_sale(&mut work.tx, &subscription.path, None, 100).await?;
    plans.retain(|plan| {
        plan.id != subscription.plan_id
            && same_services(plan, &types)
            && covers(&plan.terms, subscription.quantity, &needs)
    });
    let counter = Counter::of(&mut work.tx, &subscription.path).await?;
    let sold = counter.sold(&mut work.tx, plans, work.now).await?;
    remedies.extend(sold.into_iter().take(PLANS).map(|(plan, _)| {
        let title = format!("Move to the plan {}", plan.name);
        remedy(title, &subscription, json!({"plan": plan.code}))
    }));
    Ok(remedies)
}

fn same_services(plan: &Plan, types: &[crate::model::catalog::service_types::ServiceType]) -> bool {
    let mut own: Vec<_> = plan.terms.services.iter().map(|service| service.service_type).collect();
    own.sort();
    own == types
}

fn covers(terms: &PlanTerms, quantity: i64, needs: &[(QuotaKey, i64)]) -> bool {
    terms.max_quantity.is_none_or(|most| quantity <= most)
        && needs.iter().all(|(key, need)| {
            terms.quotas.iter().any(|quota| quota.key == *key && quota.ceiling(quantity) >= *need)
        })
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
    terms.max_quantity.is_none_or(|most| quantity <= most).then_some(quantity)
}

fn remedy(title: String, subscription: &Subscription, change: serde_json::Value) -> Remedy {
    let mut item = json!({"action": "change", "subscription_id": subscription.id});
    if let (Some(item), Some(change)) = (item.as_object_mut(), change.as_object()) {
        item.extend(change.clone());
    }
    let body = json!({"account_id": subscription.account_id, "items": [item]});
    Remedy { title, method: "POST", path: "/v1/orders".into(), body }
}
