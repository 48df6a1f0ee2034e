//! What an item of an order buys: the plan as it is sold to the account, and at what price.

use super::addons::{self, Beside};
use super::approvals::Demand;
use super::changes;
use crate::domain::catalog::plans;
use crate::domain::catalog::pricing::Counter;
use crate::domain::{Error, Result, Work};
use crate::model::Time;
use crate::model::accounts::accounts::Account;
use crate::model::catalog::plans::{Plan, PlanTerms};
use crate::model::commerce::addons::{Added, AddonQuantity};
use crate::model::commerce::charges::{Agreed, Charges};
use crate::model::commerce::orders::{ItemRequest, SubscriptionChange};
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

/// What the item costs in this quantity with new add-ons.
pub(super) fn comes_to(
    at: usize,
    agreed: Option<&Agreed>,
    quantity: i64,
    addons: &[Added],
) -> Result<Option<Charges>> {
    let plan = agreed.map(|agreed| agreed.charges(quantity).ok_or_else(|| too_much(at))).transpose()?;
    with_addons(at, plan, addons, &[])
}

/// What the plan comes to with add-ons: of those that it had, what was charged once is not charged again.
fn with_addons(at: usize, plan: Option<Charges>, addons: &[Added], had: &[Added]) -> Result<Option<Charges>> {
    let mut parts: Vec<_> = plan.into_iter().collect();
    for addon in addons {
        let Some(agreed) = addon.agreed() else { continue };
        let charges = addon.charges(&agreed).ok_or_else(|| too_much(at))?;
        let is_had = had.iter().any(|had| had.addon_id == addon.addon_id);
        parts.push(if is_had { charges.of_running() } else { charges });
    }
    match parts.is_empty() {
        true => Ok(None),
        false => Charges::together(parts).ok_or_else(|| too_much(at)).map(Some),
    }
}

fn too_much(at: usize) -> Error {
    let detail = "costs more than can be counted; order less at once";
    Error::invalid(format!("/items/{at}/quantity"), "too_large", detail)
}

/// What a subscription comes to be: the plan in its version, how much of it and beside it, and what that costs.
pub(super) struct Bought {
    pub plan_id: PlanId,
    pub plan_version: i64,
    pub code: String,
    pub terms: PlanTerms,
    pub quantity: i64,
    pub agreed: Option<Agreed>,
    pub addons: Vec<Added>,
    pub charges: Option<Charges>,
    pub proration: Option<Proration>,
    /// Of a plan that it did not have before.
    pub demand: Option<Demand>,
}

impl Bought {
    /// The plan alone.
    fn new(at: usize, Sold { offer, agreed }: Sold, quantity: i64) -> Result<Self> {
        let demand = Demand::of_plan(&offer.plan);
        let Plan { id, current, code, terms, .. } = offer.plan;
        let charges = comes_to(at, agreed.as_ref(), quantity, &[])?;
        let (plan_id, plan_version, terms) = (id, current, terms.0);
        let addons = Vec::new();
        Ok(Self {
            plan_id,
            plan_version,
            code,
            terms,
            quantity,
            agreed,
            addons,
            charges,
            proration: None,
            demand,
        })
    }

    /// With the add-ons that are asked for, beside those it had.
    async fn with(
        self,
        work: &mut Work,
        account: &Account,
        at: usize,
        had: &[Added],
        asked: &[AddonQuantity],
        quoted: Option<&Quoted>,
    ) -> Result<Self> {
        let addons = addons::bought(work, account, at, &self.beside(), had, asked, quoted).await?;
        let charges = with_addons(at, self.charges.clone(), &addons, had)?;
        Ok(Self { addons, charges, ..self })
    }

    fn beside(&self) -> Beside<'_> {
        let currency = self.agreed.as_ref().map(|agreed| agreed.price.currency);
        Beside { plan_id: self.plan_id, terms: &self.terms, currency }
    }
}

/// What a change makes of a subscription: one that stays with its plan keeps its price, and what was charged once is not
/// charged again.
pub(super) async fn changed(
    work: &mut Work,
    account: &Account,
    at: usize,
    runs: &Subscription,
    to: &SubscriptionChange,
    quoted: Option<&Quoted>,
) -> Result<Bought> {
    let quantity = to.quantity.unwrap_or(runs.quantity);
    let bought = match &to.plan {
        Some(plan) => Bought::new(at, sold(work, account, at, plan, quantity, quoted).await?, quantity)?,
        None => kept(work, at, runs, quantity).await?,
    };
    let bought = bought.with(work, account, at, &runs.addons, &to.addons, quoted).await?;
    Ok(Bought { proration: proration(runs, &bought, work.now), ..bought })
}

/// The same plan, in a quantity.
async fn kept(work: &mut Work, at: usize, runs: &Subscription, quantity: i64) -> Result<Bought> {
    let terms = plans::terms_of(&mut work.tx, runs).await?;
    check_quantity(at, &terms, quantity)?;
    let agreed = runs.price.clone().map(|agreed| agreed.0);
    let charges = comes_to(at, agreed.as_ref(), quantity, &[])?.map(Charges::of_running);
    let code = runs.plan_code.clone();
    let (plan_id, plan_version, addons) = (runs.plan_id, runs.plan_version, Vec::new());
    Ok(Bought {
        plan_id,
        plan_version,
        code,
        terms,
        quantity,
        agreed,
        addons,
        charges,
        proration: None,
        demand: None,
    })
}

/// What the change comes to for the period that runs. Periods of another length begin anew.
fn proration(runs: &Subscription, bought: &Bought, now: Time) -> Option<Proration> {
    let left = Left { now, runs: runs.period(now)?, ends_at: runs.ending().map(|(at, _)| at) };
    let next = match bought.terms.billing_period == runs.billing_period.0 {
        true => left.runs,
        false => bought.terms.billing_period.around(now, now),
    };
    let recurring = |charges: &Charges| charges.recurring;
    Proration::of(left, next, runs.charges().as_ref().map(recurring), bought.charges.as_ref().map(recurring))
}

/// What an item is quoted at now.
pub(super) async fn quoted(
    work: &mut Work,
    account: &Account,
    at: usize,
    asked: ItemRequest,
) -> Result<Quoted> {
    let bought = match &asked {
        ItemRequest::Add { plan, quantity, addons, .. } => {
            let bought = Bought::new(at, sold(work, account, at, plan, *quantity, None).await?, *quantity)?;
            bought.with(work, account, at, &[], addons, None).await?
        }
        ItemRequest::Change(change) => {
            let runs = changes::find(work, account, at, change.subscription_id).await?;
            changed(work, account, at, &runs, change, None).await?
        }
    };
    let Bought { plan_id, plan_version, code, quantity, agreed, addons, charges, proration, .. } = bought;
    Ok(Quoted { asked, plan_id, plan_version, code, quantity, agreed, addons, charges, proration })
}
