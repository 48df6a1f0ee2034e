//! What an item of an order buys: the plan as it is sold to the account, and at what price.

use super::changes;
use crate::domain::catalog::pricing::Counter;
use crate::domain::{Error, Result, Work};
use crate::model::accounts::accounts::Account;
use crate::model::catalog::plans::Plan;
use crate::model::catalog::price_lists::Passed;
use crate::model::commerce::charges::{Agreed, Charges};
use crate::model::commerce::quotes::{Asked, Quoted};
use crate::store;
use crate::store::catalog::plans::Offer;

/// A plan as it is sold to an account.
pub(super) struct Sold {
    pub offer: Offer,
    /// None where nobody above the account has set a price.
    pub agreed: Option<Agreed>,
}

/// The plan that an item names, for the quantity it asks: in the version and at the price of now, or of the quote.
pub(super) async fn sold(
    work: &mut Work,
    account: &Account,
    at: usize,
    plan: &str,
    quantity: i64,
    quoted: Option<&Quoted>,
) -> Result<Sold> {
    let named = quoted.map_or_else(|| plan.to_owned(), |quoted| quoted.plan_id.to_string());
    let version = quoted.map(|quoted| quoted.plan_version);
    let found = store::catalog::plans::offered(&mut work.tx, &account.path, &named, version).await?;
    let offer = found.ok_or_else(|| not_on_sale(at, plan))?;
    if let Some(most) = offer.plan.terms.max_quantity.filter(|most| quantity > *most) {
        let detail = format!("the plan goes up to {most}");
        return Err(Error::invalid(format!("/items/{at}/quantity"), "too_large", detail));
    }
    let agreed = match quoted {
        Some(quoted) => quoted.agreed.clone(),
        None => agreed(work, account, at, &offer.plan).await?,
    };
    Ok(Sold { offer, agreed })
}

/// The price at which the plan is sold to the account now; a plan that is not is refused.
async fn agreed(work: &mut Work, account: &Account, at: usize, plan: &Plan) -> Result<Option<Agreed>> {
    let Some(counter) = Counter::of(&mut work.tx, &account.path).await? else { return Ok(None) };
    let passed = counter.prices(&mut work.tx, std::slice::from_ref(plan), work.now).await?;
    match passed.into_iter().next() {
        None | Some(Passed::Unpriced) => Ok(None),
        Some(Passed::Priced(price)) => Ok(Some(Agreed {
            components: plan.terms.components.clone(),
            billing_period: plan.terms.billing_period,
            price,
        })),
        Some(Passed::Kept(_)) => Err(not_on_sale(at, &plan.code)),
    }
}

fn not_on_sale(at: usize, plan: &str) -> Error {
    let detail = format!("{plan:?} is not on sale to this account");
    Error::invalid(format!("/items/{at}/plan"), "plan_not_applicable", detail)
}

/// What the item costs in this quantity.
pub(super) fn charges(at: usize, agreed: Option<&Agreed>, quantity: i64) -> Result<Option<Charges>> {
    let Some(agreed) = agreed else { return Ok(None) };
    let charges = agreed.charges(quantity).ok_or_else(|| {
        let detail = "costs more than can be counted; order less at once";
        Error::invalid(format!("/items/{at}/quantity"), "too_large", detail)
    })?;
    Ok(Some(charges))
}

/// What an item is quoted at now.
pub(super) async fn quoted(work: &mut Work, account: &Account, at: usize, asked: Asked) -> Result<Quoted> {
    let of_plan = |Sold { offer, agreed }| (offer.plan.id, offer.plan.current, offer.plan.code, agreed);
    let mut runs_on = false;
    let ((plan_id, plan_version, code, agreed), quantity) = match &asked {
        Asked::Add { plan, quantity } => {
            (of_plan(sold(work, account, at, plan, *quantity, None).await?), *quantity)
        }
        Asked::Change { subscription_id, quantity, plan } => {
            let runs = changes::find(work, account, at, *subscription_id).await?;
            let quantity = quantity.unwrap_or(runs.quantity);
            let bought = match plan {
                Some(plan) => of_plan(sold(work, account, at, plan, quantity, None).await?),
                None => {
                    runs_on = true;
                    let code = runs.plan_code.unwrap_or_default();
                    (runs.plan_id, runs.plan_version, code, runs.price.map(|agreed| agreed.0))
                }
            };
            (bought, quantity)
        }
    };
    let charges = charges(at, agreed.as_ref(), quantity)?;
    let charges = if runs_on { charges.map(Charges::of_running) } else { charges };
    Ok(Quoted { asked, plan_id, plan_version, code, quantity, agreed, charges })
}
