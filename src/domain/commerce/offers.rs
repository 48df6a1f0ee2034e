//! What an item of an order buys: the plan as it is sold to the account, and at what price.

use super::changes;
use crate::domain::catalog::pricing::Counter;
use crate::domain::{Error, Result, Work};
use crate::model::Time;
use crate::model::accounts::accounts::Account;
use crate::model::catalog::plans::{Plan, PlanTerms};
use crate::model::commerce::charges::{Agreed, Charges};
use crate::model::commerce::orders::ItemRequest;
use crate::model::commerce::proration::{Left, Proration};
use crate::model::commerce::quotes::Quoted;
use crate::model::commerce::subscriptions::Subscription;
use crate::model::ids::PlanId;
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
    check_quantity(at, &offer.plan.terms, quantity)?;
    let agreed = match quoted {
        Some(quoted) => quoted.agreed.clone(),
        None => agreed(work, account, at, &offer.plan).await?,
    };
    Ok(Sold { offer, agreed })
}

/// The price at which the plan is sold to the account now; a plan that is not is refused.
async fn agreed(work: &mut Work, account: &Account, at: usize, plan: &Plan) -> Result<Option<Agreed>> {
    let counter = Counter::of(&mut work.tx, &account.path).await?;
    let mut sold = counter.sold(&mut work.tx, vec![plan.clone()], work.now).await?;
    let (plan, price) = sold.pop().ok_or_else(|| not_on_sale(at, &plan.code))?;
    let PlanTerms { components, billing_period, .. } = plan.terms.0;
    Ok(price.map(|price| Agreed { components, billing_period, price }))
}

fn not_on_sale(at: usize, plan: &str) -> Error {
    let detail = format!("{plan:?} is not on sale to this account");
    Error::invalid(format!("/items/{at}/plan"), "plan_not_applicable", detail)
}

fn check_quantity(at: usize, terms: &PlanTerms, quantity: i64) -> Result<()> {
    match terms.max_quantity.filter(|most| quantity > *most) {
        None => Ok(()),
        Some(most) => {
            let detail = format!("the plan goes up to {most}");
            Err(Error::invalid(format!("/items/{at}/quantity"), "too_large", detail))
        }
    }
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

/// What a subscription comes to be: the plan in its version, how much of it, and what that costs.
pub(super) struct Bought {
    pub plan_id: PlanId,
    pub plan_version: i64,
    pub code: String,
    pub terms: PlanTerms,
    pub quantity: i64,
    pub agreed: Option<Agreed>,
    pub charges: Option<Charges>,
    pub proration: Option<Proration>,
}

impl Bought {
    fn new(at: usize, Sold { offer, agreed }: Sold, quantity: i64) -> Result<Self> {
        let Plan { id, current, code, terms, .. } = offer.plan;
        let charges = charges(at, agreed.as_ref(), quantity)?;
        let (plan_id, plan_version, terms) = (id, current, terms.0);
        Ok(Self { plan_id, plan_version, code, terms, quantity, agreed, charges, proration: None })
    }
}

/// What a change makes of a subscription: one that stays with its plan keeps its price, and what was charged once is not
/// charged again.
pub(super) async fn changed(
    work: &mut Work,
    account: &Account,
    at: usize,
    runs: &Subscription,
    to: (Option<i64>, Option<&str>),
    quoted: Option<&Quoted>,
) -> Result<Bought> {
    let quantity = to.0.unwrap_or(runs.quantity);
    let bought = match to.1 {
        Some(plan) => Bought::new(at, sold(work, account, at, plan, quantity, quoted).await?, quantity)?,
        None => kept(work, at, runs, quantity).await?,
    };
    Ok(Bought { proration: proration(runs, &bought, work.now), ..bought })
}

/// The same plan, in a quantity.
async fn kept(work: &mut Work, at: usize, runs: &Subscription, quantity: i64) -> Result<Bought> {
    let terms = changes::terms(work, runs).await?;
    check_quantity(at, &terms, quantity)?;
    let agreed = runs.price.clone().map(|agreed| agreed.0);
    let charges = charges(at, agreed.as_ref(), quantity)?.map(Charges::of_running);
    let code = runs.plan_code.clone();
    let (plan_id, plan_version) = (runs.plan_id, runs.plan_version);
    Ok(Bought { plan_id, plan_version, code, terms, quantity, agreed, charges, proration: None })
}

/// What the change comes to for the period that runs. Periods of another length begin anew.
fn proration(runs: &Subscription, bought: &Bought, now: Time) -> Option<Proration> {
    let left = Left { now, runs: runs.period(now)?, ends_at: runs.ending().map(|(at, _)| at) };
    let next = match bought.terms.billing_period == runs.billing_period.0 {
        true => left.runs,
        false => bought.terms.billing_period.around(now, now),
    };
    let before = runs.price.as_ref().and_then(|agreed| agreed.charges(runs.quantity));
    let recurring = |charges: &Charges| charges.recurring;
    Proration::of(left, next, before.as_ref().map(recurring), bought.charges.as_ref().map(recurring))
}

/// What an item is quoted at now.
pub(super) async fn quoted(
    work: &mut Work,
    account: &Account,
    at: usize,
    asked: ItemRequest,
) -> Result<Quoted> {
    let bought = match &asked {
        ItemRequest::Add { plan, quantity, .. } => {
            Bought::new(at, sold(work, account, at, plan, *quantity, None).await?, *quantity)?
        }
        ItemRequest::Change { subscription_id, quantity, plan } => {
            let runs = changes::find(work, account, at, *subscription_id).await?;
            changed(work, account, at, &runs, (*quantity, plan.as_deref()), None).await?
        }
    };
    let Bought { plan_id, plan_version, code, quantity, agreed, charges, proration, .. } = bought;
    Ok(Quoted { asked, plan_id, plan_version, code, quantity, agreed, charges, proration })
}
