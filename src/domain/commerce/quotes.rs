//! Pricing what may be ordered later.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::offers;
use super::orders::{self, NewItem, NewSubscription, Placing};
use crate::domain::accounts::accounts::open;
use crate::domain::{Error, Object, Result, Work};
use crate::model::accounts::accounts::Account;
use crate::model::commerce::addons::{Added, AddonQuantity};
use crate::model::commerce::orders::{ItemRequest, SubscriptionChange};
use crate::model::commerce::quotes::{QuotaCheck, Quote, QuoteStatus, Quoted};
use crate::model::events::events::EventType;
use crate::model::ids::{AccountId, OrderId, QuoteId};
use crate::model::{Actor, Json};
use crate::store;

/// A quote as it is asked for.
#[derive(Debug, Clone)]
pub struct Asking {
    /// Whom it is for; the caller's own account if none is named.
    pub account_id: Option<AccountId>,
    pub items: Vec<ItemRequest>,
    /// For how long it holds.
    pub holds: Duration,
    pub metadata: BTreeMap<String, String>,
}

/// Prices what could be ordered, and tries whether it could be ordered now. What an order would be refused for is
/// refused, but for a quota that does not suffice: there may be room by the time of the order.
pub async fn create(work: &mut Work, actor: &Actor, asking: Asking) -> Result<Quote> {
    let account = open(work, asking.account_id.unwrap_or(actor.subject_id)).await?;
    once_each(&asking.items)?;
    let quota = rehearsed(work, actor, &account, &asking.items).await?;
    let mut items = Vec::new();
    for (at, asked) in asking.items.into_iter().enumerate() {
        items.push(offers::quoted(work, &account, at, asked).await?);
    }
    let quote = Quote {
        id: QuoteId::new(),
        account_id: account.id,
        path: account.path,
        seller_id: account.parent_id,
        status: QuoteStatus::Open,
        items: Json(items),
        quota: Json(quota),
        valid_until: work.now.plus(asking.holds),
        order_id: None,
        metadata: Json(asking.metadata),
        version: 1,
        created_at: work.now,
        updated_at: work.now,
    };
    store::commerce::quotes::insert(&mut work.tx, &quote).await?;
    tell(work, EventType::QuoteCreated, &quote);
    Ok(quote)
}

/// Each item is priced by itself: of two changes of one subscription the second would rest on the first.
fn once_each(items: &[ItemRequest]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for (at, asked) in items.iter().enumerate() {
        if let ItemRequest::Change(SubscriptionChange { subscription_id, .. }) = asked
            && !seen.insert(*subscription_id)
        {
            let detail = "is in the quote twice";
            return Err(Error::invalid(format!("/items/{at}/subscription_id"), "duplicate", detail));
        }
    }
    Ok(())
}

/// Places the order as if it were to stay, and takes it back.
async fn rehearsed(
    work: &mut Work,
    actor: &Actor,
    account: &Account,
    items: &[ItemRequest],
) -> Result<QuotaCheck> {
    let item = |asked: &ItemRequest| match asked.clone() {
        ItemRequest::Add { plan, quantity, addons, .. } => {
            let (resources, external_id) = (Vec::new(), None);
            NewItem::Add(NewSubscription { plan, quantity, addons, resources, external_id })
        }
        ItemRequest::Change(change) => NewItem::Change(change),
    };
    let placing = Placing {
        account_id: Some(account.id),
        items: items.iter().map(item).collect(),
        quote_id: None,
        external_id: None,
        metadata: BTreeMap::new(),
        fingerprint: String::new(),
    };
    // Who asks for a price spends nothing. What is short is told to the account, whoever asks.
    let actor = Actor { spend_cap: None, principal_path: account.path.clone(), ..actor.clone() };
    let placed =
        work.rehearse(&actor, async |work| orders::place(work, &actor, placing).await.map(drop)).await;
    match placed {
        Ok(()) => Ok(QuotaCheck { fits: true, ..QuotaCheck::default() }),
        Err(Error::QuotaExceeded { violations, .. }) => Ok(QuotaCheck { fits: false, violations }),
        Err(other) => Err(other),
    }
}

/// The quote that an order is placed by, if it still holds and the order is what was quoted.
pub(super) async fn accepted(
    work: &mut Work,
    account: &Account,
    id: QuoteId,
    order: OrderId,
    items: &[NewItem],
) -> Result<Quote> {
    let found = store::commerce::quotes::find(&mut work.tx, id).await?;
    let Some(mut quote) = found.filter(|quote| quote.account_id == account.id) else {
        return Err(Error::invalid("/quote_id", "not_found", "the account has no such quote"));
    };
    if quote.seller_id != account.parent_id {
        let detail = "was made when the account bought of somebody else; ask for another quote";
        return Err(Error::invalid("/quote_id", "other_seller", detail));
    }
    let status = quote.status_at(work.now);
    let is_open = status == QuoteStatus::Open;
    if !is_open || !store::commerce::quotes::accept(&mut work.tx, id, order, work.now).await? {
        let current = if is_open { QuoteStatus::Accepted } else { status };
        return Err(Error::State {
            current: current.to_string(),
            action: "An order by the quote",
            allowed: Vec::new(),
        });
    }
    let same = quote.items.iter().zip(items).take_while(|(quoted, item)| is_same(quoted, item)).count();
    if same < quote.items.len().max(items.len()) {
        return Err(differs(same));
    }
    (quote.status, quote.order_id) = (QuoteStatus::Accepted, Some(order));
    (quote.version, quote.updated_at) = (quote.version + 1, work.now);
    tell(work, EventType::QuoteAccepted, &quote);
    Ok(quote)
}

/// An item that is not what was quoted.
pub(super) fn differs(at: usize) -> Error {
    let detail = "is not what was quoted; order the quote's items, or ask for another quote";
    Error::invalid(format!("/items/{at}"), "differs_from_quote", detail)
}

/// Whether an order's item is what was quoted, by whichever name it calls the plan and the add-ons.
fn is_same(quoted: &Quoted, item: &NewItem) -> bool {
    let names = |ordered: &String| *ordered == quoted.code || *ordered == quoted.plan_id.to_string();
    match (&quoted.asked, item) {
        (ItemRequest::Add { quantity, addons, .. }, NewItem::Add(new)) => {
            names(&new.plan) && *quantity == new.quantity && same_addons(quoted, addons, &new.addons)
        }
        (ItemRequest::Change(asked), NewItem::Change(ordered)) => {
            let plans = asked.plan.is_some() == ordered.plan.is_some();
            asked.subscription_id == ordered.subscription_id
                && asked.quantity == ordered.quantity
                && plans
                && ordered.plan.as_ref().is_none_or(names)
                && same_addons(quoted, &asked.addons, &ordered.addons)
        }
        _ => false,
    }
}

fn same_addons(quoted: &Quoted, asked: &[AddonQuantity], ordered: &[AddonQuantity]) -> bool {
    let same = |(asked, ordered): (&AddonQuantity, &AddonQuantity)| {
        let both = |one: &Added| one.is_named(&asked.addon) && one.is_named(&ordered.addon);
        asked.quantity == ordered.quantity && (asked.addon == ordered.addon || quoted.addons.iter().any(both))
    };
    asked.len() == ordered.len() && asked.iter().zip(ordered).all(same)
}

fn tell(work: &mut Work, event_type: EventType, quote: &Quote) {
    let view = quote.clone().seen_at(work.now);
    let object = Object::new(quote.id, quote.version, &view);
    work.event(event_type, (quote.account_id, &quote.path), "quote", object);
}
