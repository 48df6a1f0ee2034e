//! What a subscription comes to have of add-ons.

use std::collections::BTreeSet;

use crate::domain::catalog::pricing::Counter;
use crate::domain::{Error, Fault, Result, Work};
use crate::model::accounts::accounts::Account;
use crate::model::catalog::plans::PlanTerms;
use crate::model::commerce::addons::{Added, AddonQuantity};
use crate::model::commerce::quotes::Quoted;
use crate::model::ids::PlanId;
use crate::model::money::Currency;
use crate::store;

/// How many different ones a subscription has at most.
const MOST: usize = 50;

/// What they are to go with.
pub(super) struct Beside<'a> {
    pub plan_id: PlanId,
    pub terms: &'a PlanTerms,
    /// That of the plan's price.
    pub currency: Option<Currency>,
}

/// The add-ons that a subscription had, with what an item asks of them: new ones in the terms and at the price of now, or of
/// the quote, the others as they were ordered. All of them have to go with the plan and be charged in its currency.
pub(super) async fn bought(
    work: &mut Work,
    account: &Account,
    at: usize,
    beside: &Beside<'_>,
    had: &[Added],
    asked: &[AddonQuantity],
    quoted: Option<&Quoted>,
) -> Result<Vec<Added>> {
    let mut has = had.to_vec();
    let mut places: Vec<Option<usize>> = vec![None; has.len()];
    let mut named = BTreeSet::new();
    for (n, AddonQuantity { addon, quantity }) in asked.iter().enumerate() {
        let known = has.iter().position(|one| one.is_named(addon));
        let here = match known {
            Some(here) => here,
            None => {
                has.push(sold(work, account, (at, n), addon, quoted).await?);
                places.push(None);
                has.len() - 1
            }
        };
        let one = &mut has[here];
        if !named.insert(one.addon_id) {
            return Err(Error::invalid(place(at, n, "addon"), "duplicate", "is in the item twice"));
        }
        if let Some(most) = one.terms.max_quantity.filter(|most| quantity > most) {
            let detail = format!("a subscription may have {most} of it");
            return Err(Error::invalid(place(at, n, "quantity"), "too_large", detail));
        }
        one.quantity = *quantity;
        places[here] = Some(n);
    }
    let (has, faults) = judged(at, beside, has, &places);
    match faults.is_empty() {
        true if has.len() > MOST => {
            let detail = format!("a subscription has at most {MOST} add-ons");
            Err(Error::invalid(format!("/items/{at}/addons"), "too_many", detail))
        }
        true => Ok(has),
        false => Err(Error::Invalid(faults)),
    }
}

/// Those that it has any of, and why some of them cannot be had.
fn judged(
    at: usize,
    beside: &Beside<'_>,
    has: Vec<Added>,
    places: &[Option<usize>],
) -> (Vec<Added>, Vec<Fault>) {
    let mut currency = beside.currency;
    let mut faults = Vec::new();
    let mut kept = Vec::new();
    for (one, asked_at) in has.into_iter().zip(places).filter(|(one, _)| one.quantity > 0) {
        let charged = one.price.as_ref().map(|price| price.currency);
        let other = charged.zip(currency).filter(|(charged, currency)| charged != currency);
        currency = currency.or(charged);
        let misfit = one.terms.misfit(beside.plan_id, beside.terms).map(|why| ("addon_not_applicable", why));
        let apart = other.map(|(charged, currency)| {
            let why = format!("is charged in {charged}, and the subscription in {currency}");
            ("other_currency", why)
        });
        if let Some((code, why)) = misfit.or(apart) {
            faults.push(match asked_at {
                Some(n) => Fault::at(place(at, *n, "addon"), code, why),
                None => {
                    let detail = format!(
                        "the subscription has the add-on {:?}, which {why}; ask for 0 of it with the change",
                        one.code
                    );
                    Fault::at(format!("/items/{at}/plan"), code, detail)
                }
            });
        }
        kept.push(one);
    }
    (kept, faults)
}

/// The add-on that an item names, as it is sold to the account now, or as it was quoted.
async fn sold(
    work: &mut Work,
    account: &Account,
    (at, n): (usize, usize),
    addon: &str,
    quoted: Option<&Quoted>,
) -> Result<Added> {
    if let Some(quoted) = quoted.and_then(|quoted| quoted.addons.iter().find(|one| one.is_named(addon))) {
        return Ok(quoted.clone());
    }
    let not_on_sale = || {
        let detail = format!("{addon:?} is not on sale to this account");
        Error::invalid(place(at, n, "addon"), "addon_not_applicable", detail)
    };
    let offered = store::catalog::addons::offered(&mut work.tx, &account.path, addon).await?;
    let counter = Counter::of(&mut work.tx, &account.path).await?;
    let offered = offered.ok_or_else(not_on_sale)?;
    let mut sold = counter.sold(&mut work.tx, vec![offered], work.now).await?;
    let (addon, price) = sold.pop().ok_or_else(not_on_sale)?;
    Ok(Added {
        addon_id: addon.id,
        code: addon.code,
        name: addon.name,
        terms: addon.terms.0,
        quantity: 0,
        price,
    })
}

/// What an item asks of add-ons, by their codes where it named them by identifiers.
pub(super) fn by_code(asked: Vec<AddonQuantity>, known: &[Added]) -> Vec<AddonQuantity> {
    let named = |asked: AddonQuantity| match known.iter().find(|one| one.is_named(&asked.addon)) {
        Some(known) => AddonQuantity { addon: known.code.clone(), ..asked },
        None => asked,
    };
    asked.into_iter().map(named).collect()
}

fn place(at: usize, n: usize, member: &str) -> String {
    format!("/items/{at}/addons/{n}/{member}")
}
