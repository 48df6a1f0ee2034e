//! What accounts charge the accounts below them.

use std::collections::BTreeMap;

use serde_json::json;

use super::pricing::Counter;
use crate::domain::accounts::accounts::open;
use crate::domain::{Error, Fault, Object, Result, Work, check_version};
use crate::model::accounts::accounts::AccountType;
use crate::model::catalog::addons::Addon;
use crate::model::catalog::components::Tier;
use crate::model::catalog::items::{Item, ItemId};
use crate::model::catalog::plans::Plan;
use crate::model::catalog::price_lists::{
    Adjustment, Offers, Price, PriceEntry, PriceList, PriceListView, Rule,
};
use crate::model::events::events::EventType;
use crate::model::ids::{AccountId, AddonId, PlanId, PriceListId};
use crate::model::money::{Currency, Rate};
use crate::model::text::pointer_step;
use crate::model::{Actor, Json, Path, Precondition, Time};
use crate::store;
use crate::store::versions::Versioned;

/// A new list as it was asked for.
#[derive(Debug, Clone)]
pub struct Draft {
    pub name: String,
    pub currency: Currency,
    pub buyer_id: Option<AccountId>,
    pub offers: Offers,
    pub adjustment: Adjustment,
    pub exchange_rate: Option<Rate>,
    pub metadata: BTreeMap<String, String>,
}

/// Makes a list for all customers of the account acted for, or for one of them.
pub async fn create(work: &mut Work, actor: &Actor, draft: Draft) -> Result<PriceList> {
    uncapped(actor)?;
    let account = open(work, actor.subject_id).await?;
    if matches!(account.account_type, AccountType::Tenant | AccountType::Agent) {
        let detail = format!("a {} has no customers", account.account_type);
        return Err(Error::invalid("", "not_a_seller", detail));
    }
    if let Some(buyer_id) = draft.buyer_id {
        let buyer = store::accounts::accounts::find(&mut work.tx, buyer_id).await?;
        if buyer.is_none_or(|buyer| buyer.path.parent_text() != Some(account.path.as_str())) {
            let detail = "is no customer directly below the account";
            return Err(Error::invalid("/buyer_id", "not_found", detail));
        }
    }
    let list = PriceList {
        id: PriceListId::new(),
        account_id: account.id,
        path: account.path,
        name: draft.name,
        currency: draft.currency,
        buyer_id: draft.buyer_id,
        offers: draft.offers,
        adjustment: Json(draft.adjustment),
        exchange_rate: draft.exchange_rate.map(Rate::millionths),
        metadata: Json(draft.metadata),
        version: 1,
        created_at: work.now,
        updated_at: work.now,
    };
    if !store::catalog::price_lists::insert(&mut work.tx, &list).await? {
        let name = list.buyer_id.map_or_else(|| "all customers".to_owned(), |buyer| buyer.to_string());
        return Err(Error::NameTaken { kind: "A price list for", name });
    }
    tell(work, EventType::PriceListCreated, &list, None);
    Ok(list)
}

/// What is to change of a list; what is none stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub name: Option<String>,
    pub offers: Option<Offers>,
    pub adjustment: Option<Adjustment>,
    pub exchange_rate: Option<Option<Rate>>,
    pub metadata: Option<BTreeMap<String, String>>,
}

/// Changes what a list says of all plans; from now on, and only at a version that `expected` admits.
pub async fn change(
    work: &mut Work,
    actor: &Actor,
    id: PriceListId,
    change: Change,
    expected: &Precondition,
) -> Result<PriceList> {
    let mut list = find(work, actor, id, expected).await?;
    let before = PriceListView::from(list.clone());
    list.name = change.name.unwrap_or(list.name);
    list.offers = change.offers.unwrap_or(list.offers);
    list.adjustment = change.adjustment.map_or(list.adjustment, Json);
    list.exchange_rate = change.exchange_rate.map_or(list.exchange_rate, |rate| rate.map(Rate::millionths));
    list.metadata = change.metadata.map_or(list.metadata, Json);
    let list = save(work, list).await?;
    tell(work, EventType::PriceListUpdated, &list, Some(before));
    Ok(list)
}

/// Removes a list with all it says. Its customers go by the list for all; without one they pay what the account pays.
pub async fn remove(work: &mut Work, actor: &Actor, id: PriceListId, expected: &Precondition) -> Result<()> {
    let list = find(work, actor, id, expected).await?;
    store::catalog::price_lists::remove(&mut work.tx, id).await?;
    tell(work, EventType::PriceListDeleted, &list, None);
    Ok(())
}

/// Has a list say something of a plan or add-on from a time on, now if none is named.
pub async fn set_price(
    work: &mut Work,
    actor: &Actor,
    id: PriceListId,
    item_id: ItemId,
    rule: Rule,
    valid_from: Option<Time>,
    expected: &Precondition,
) -> Result<(PriceList, Price)> {
    let list = find(work, actor, id, expected).await?;
    let valid_from = valid_from.unwrap_or(work.now);
    if valid_from < work.now {
        let detail = "must not lie in the past: what was ordered until now was ordered at the prices of then";
        return Err(Error::invalid("/valid_from", "in_the_past", detail));
    }
    match item_id {
        ItemId::Plan(id) => {
            let plan = sellable_plan(work, &list.path, id).await?;
            check(work, &list, plan, &rule).await?;
        }
        ItemId::Addon(id) => {
            let addon = sellable_addon(work, &list.path, id).await?;
            check(work, &list, addon, &rule).await?;
        }
    }
    let price = Price {
        price_list_id: id,
        item_id,
        valid_from,
        account_id: list.account_id,
        path: list.path.clone(),
        rule: Json(rule),
        created_at: work.now,
    };
    store::catalog::prices::put(&mut work.tx, &price).await?;
    let list = save(work, list).await?;
    tell_price(work, EventType::PriceSet, &list, &price);
    Ok((list, price))
}

/// Takes back what a list was to say from a time ahead.
pub async fn withdraw_price(
    work: &mut Work,
    actor: &Actor,
    id: PriceListId,
    item_id: ItemId,
    valid_from: Time,
    expected: &Precondition,
) -> Result<PriceList> {
    let list = find(work, actor, id, expected).await?;
    let found = store::catalog::prices::find(&mut work.tx, id, item_id, valid_from).await?;
    let price = found.ok_or(Error::NotFound("price"))?;
    if price.valid_from <= work.now {
        return Err(Error::State {
            current: "in force".to_owned(),
            action: "Taking a price back",
            allowed: Vec::new(),
        });
    }
    store::catalog::prices::remove(&mut work.tx, id, item_id, valid_from).await?;
    let list = save(work, list).await?;
    tell_price(work, EventType::PriceWithdrawn, &list, &price);
    Ok(list)
}

/// A key with a cap sets no prices and says not what is charged: that is what it is measured by.
pub(super) fn uncapped(actor: &Actor) -> Result<()> {
    match actor.spend_cap {
        None => Ok(()),
        Some(_) => Err(Error::SpendCap("A key with a cap on what it spends sets no prices.".into())),
    }
}

/// The list that is to be changed.
async fn find(work: &mut Work, actor: &Actor, id: PriceListId, expected: &Precondition) -> Result<PriceList> {
    uncapped(actor)?;
    let found = store::catalog::price_lists::find(&mut work.tx, id).await?;
    let list = found.ok_or(Error::NotFound("price list"))?;
    check_version(work, Versioned::PriceList, id, list.version, expected).await?;
    Ok(list)
}

async fn save(work: &mut Work, mut list: PriceList) -> Result<PriceList> {
    if !store::catalog::price_lists::update(&mut work.tx, &list, work.now).await? {
        return Err(Error::Busy);
    }
    list.version += 1;
    list.updated_at = work.now;
    Ok(list)
}

/// The plan, if the account at `seller` may sell it: its own, or one that is on sale above.
async fn sellable_plan(work: &mut Work, seller: &Path, id: PlanId) -> Result<Plan> {
    let own = store::catalog::plans::find(&mut work.tx, id).await?.filter(|plan| plan.path == *seller);
    let found = match own {
        Some(plan) => Some(plan),
        None => {
            let offer = store::catalog::plans::offered(&mut work.tx, seller, &id.to_string(), None).await?;
            offer.map(|offer| offer.plan)
        }
    };
    found.ok_or(Error::NotFound("plan"))
}

/// The add-on, if the account at `seller` may sell it.
async fn sellable_addon(work: &mut Work, seller: &Path, id: AddonId) -> Result<Addon> {
    let own = store::catalog::addons::find(&mut work.tx, id).await?.filter(|addon| addon.path == *seller);
    let found = match own {
        Some(addon) => Some(addon),
        None => store::catalog::addons::offered(&mut work.tx, seller, &id.to_string()).await?,
    };
    found.ok_or(Error::NotFound("add-on"))
}

async fn check<I: Item>(work: &mut Work, list: &PriceList, item: I, rule: &Rule) -> Result<()> {
    let fixed = match rule {
        Rule::Fixed(fixed) => fixed,
        Rule::TakenOver(_) | Rule::MarkedUp(_) | Rule::Discounted(_) => {
            return check_rate(work, list, item).await;
        }
        Rule::Unlisted(_) | Rule::Withheld(_) => return Ok(()),
    };
    let mut faults = Vec::new();
    let codes: Vec<_> = item.components().iter().map(|component| component.code.as_str()).collect();
    for code in codes.iter().filter(|code| !fixed.components.contains_key(**code)) {
        let detail = format!("lacks {code:?}, which is charged");
        faults.push(Fault::at("/rule/components", "missing_component", detail));
    }
    for (code, price) in &fixed.components {
        let place = format!("/rule/components/{}", pointer_step(code));
        if !codes.contains(&code.as_str()) {
            let detail = format!("there is no {code:?} to charge; there is {}", codes.join(", "));
            faults.push(Fault::at(&place, "unknown_component", detail));
        }
        if let Some(detail) = misplaced(&price.tiers) {
            faults.push(Fault::at(format!("{place}/tiers"), "tiers", detail));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
}

fn misplaced(tiers: &[Tier]) -> Option<&'static str> {
    match tiers.first() {
        Some(first) if first.from != 1 => Some("the first tier begins at 1"),
        _ if !tiers.is_sorted_by(|one, next| one.from < next.from) => {
            Some("each tier begins above the one before")
        }
        _ => None,
    }
}

/// A rule that goes by what the account pays needs a rate where that is in another currency.
async fn check_rate<I: Item>(work: &mut Work, list: &PriceList, item: I) -> Result<()> {
    if list.exchange_rate.is_some() {
        return Ok(());
    }
    let counter = Counter::of(&mut work.tx, &list.path).await?;
    let sold = counter.sold(&mut work.tx, vec![item], work.now).await?;
    match sold.first() {
        Some((_, Some(price))) if price.currency != list.currency => {
            let detail = format!(
                "the account pays in {} and the list is in {}: it needs an exchange_rate, or a fixed price",
                price.currency, list.currency
            );
            Err(Error::invalid("/rule", "no_exchange_rate", detail))
        }
        _ => Ok(()),
    }
}

fn tell(work: &mut Work, event_type: EventType, list: &PriceList, before: Option<PriceListView>) {
    let view = PriceListView::from(list.clone());
    let mut object = Object::new(list.id, list.version, &view);
    if let Some(before) = before {
        object = object.instead_of(json!(before));
    }
    work.event(event_type, (list.account_id, &list.path), "price_list", object);
}

fn tell_price(work: &mut Work, event_type: EventType, list: &PriceList, price: &Price) {
    let view = PriceEntry::from(price.clone());
    let object = Object::new(format!("{}/{}", list.id, price.item_id), list.version, &view);
    work.event(event_type, (list.account_id, &list.path), "price", object);
}
