//! What accounts charge the accounts below them, and how the price of a plan or add-on comes about on its way down the tree.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::components::{Component, ComponentPrice, ItemPrice, PriceView};
use super::items::ItemId;
use crate::model::ids::{AccountId, PriceListId};
use crate::model::money::{Currency, Rate, scaled};
use crate::model::{Json, Path, Time};
use crate::stored_as_text;

stored_as_text! {
    /// Which plans and add-ons a price list offers.
    pub enum Offers {
        /// All that the account may sell; those that the list does not name at its `adjustment`.
        All = "all",
        /// Those that the list names.
        Listed = "listed",
    }
}

/// A share of a price in basis points, hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MarkUp {
    /// What is added: 1250 is 12.5 %.
    #[schema(minimum = 0, maximum = 100_000, example = 1250)]
    pub basis_points: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Discount {
    /// What is taken off: 500 is 5 %.
    #[schema(minimum = 0, maximum = 10_000, example = 500)]
    pub basis_points: i64,
}

/// Nothing more to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Plain {}

/// What a list makes of the prices that its account pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Adjustment {
    /// They are taken over.
    TakenOver(Plain),
    MarkedUp(MarkUp),
    Discounted(Discount),
}

/// Prices of the account's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Fixed {
    /// For each component of the plan or add-on, by its code.
    pub components: BTreeMap<String, ComponentPrice>,
}

/// What a plan or add-on costs by a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Rule {
    /// As what the list does not name.
    Unlisted(Plain),
    TakenOver(Plain),
    MarkedUp(MarkUp),
    Discounted(Discount),
    Fixed(Fixed),
    /// It is not sold.
    Withheld(Plain),
}

/// A price list's row.
#[derive(Debug, Clone, PartialEq, crate::model::rows::Record)]
pub struct PriceList {
    pub id: PriceListId,
    pub account_id: AccountId,
    pub path: Path,
    pub name: String,
    pub currency: Currency,
    /// The one customer it is for.
    pub buyer_id: Option<AccountId>,
    pub offers: Offers,
    pub adjustment: Json<Adjustment>,
    /// In millionths; see [`Rate`].
    pub exchange_rate: Option<i64>,
    pub metadata: Json<BTreeMap<String, String>>,
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

/// A price list as its account sees it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = PriceList)]
pub struct PriceListView {
    pub id: PriceListId,
    pub account_id: AccountId,
    pub name: String,
    pub currency: Currency,
    /// The one customer it is for; none where it is for all that have none of their own.
    pub buyer_id: Option<AccountId>,
    pub offers: Offers,
    pub adjustment: Adjustment,
    /// How much of the list's currency one unit of the currency is worth that the account pays in.
    pub exchange_rate: Option<Rate>,
    pub metadata: BTreeMap<String, String>,
    pub created_at: Time,
    pub updated_at: Time,
}

impl From<PriceList> for PriceListView {
    fn from(list: PriceList) -> Self {
        Self {
            id: list.id,
            account_id: list.account_id,
            name: list.name,
            currency: list.currency,
            buyer_id: list.buyer_id,
            offers: list.offers,
            adjustment: list.adjustment.0,
            exchange_rate: list.exchange_rate.map(Rate::of_millionths),
            metadata: list.metadata.0,
            created_at: list.created_at,
            updated_at: list.updated_at,
        }
    }
}

/// A price's row: what a list says of a plan or add-on from a time on.
#[derive(Debug, Clone, PartialEq, crate::model::rows::Record)]
pub struct Price {
    pub price_list_id: PriceListId,
    pub item_id: ItemId,
    pub valid_from: Time,
    pub account_id: AccountId,
    pub path: Path,
    pub rule: Json<Rule>,
    pub created_at: Time,
}

/// What a price list says of a plan or add-on.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Price)]
pub struct PriceEntry {
    pub price_list_id: PriceListId,
    /// The plan or add-on that it is for.
    pub item_id: ItemId,
    /// From when on, until the next one for the same item.
    pub valid_from: Time,
    pub rule: Rule,
    pub created_at: Time,
}

impl From<Price> for PriceEntry {
    fn from(price: Price) -> Self {
        let Price { price_list_id, item_id, valid_from, rule, created_at, .. } = price;
        Self { price_list_id, item_id, valid_from, rule: rule.0, created_at }
    }
}

/// A plan as a buyer sees and pays it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CatalogItem {
    #[serde(flatten)]
    pub plan: super::plans::PlanView,
    /// What the buyer pays; none where no account above it has set a price here.
    pub price: Option<PriceView>,
}

/// What becomes of a price where one account sells it on to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passed {
    /// Nobody so far has set a price.
    Unpriced,
    Priced(ItemPrice),
    /// It is not sold on: the seller does not want to, has no rate for another currency than the one it pays in, leaves out
    /// a component in its fixed price, or comes to more than a price can be.
    Kept,
}

/// What a seller's list, with what it says of the item itself, makes of what the seller pays for one of these
/// components.
pub fn passed_on(components: &[Component], pays: Passed, list: &PriceList, rule: Option<&Rule>) -> Passed {
    if pays == Passed::Kept {
        return pays;
    }
    let adjustment = match rule {
        Some(Rule::Fixed(fixed)) => {
            let has = |component: &Component| fixed.components.contains_key(&component.code);
            return match components.iter().all(has) {
                true => Passed::Priced(ItemPrice {
                    currency: list.currency,
                    components: fixed.components.clone(),
                }),
                false => Passed::Kept,
            };
        }
        Some(Rule::Withheld(_)) => return Passed::Kept,
        None | Some(Rule::Unlisted(_)) if list.offers == Offers::Listed => {
            return Passed::Kept;
        }
        None | Some(Rule::Unlisted(_)) => list.adjustment.0,
        Some(Rule::TakenOver(plain)) => Adjustment::TakenOver(*plain),
        Some(Rule::MarkedUp(share)) => Adjustment::MarkedUp(*share),
        Some(Rule::Discounted(share)) => Adjustment::Discounted(*share),
    };
    match pays {
        Passed::Priced(price) => adjusted(price, adjustment, list),
        other => other,
    }
}

/// Each amount is converted, marked up or discounted in one step and rounded once.
fn adjusted(price: ItemPrice, adjustment: Adjustment, list: &PriceList) -> Passed {
    const WHOLE: i64 = 10_000;
    let parts = match adjustment {
        Adjustment::TakenOver(_) => WHOLE,
        Adjustment::MarkedUp(share) => WHOLE + share.basis_points,
        Adjustment::Discounted(share) => WHOLE - share.basis_points,
    };
    let (mut numerator, mut denominator) = (i128::from(parts), i128::from(WHOLE));
    if price.currency != list.currency {
        let Some(rate) = list.exchange_rate else { return Passed::Kept };
        let minor = |currency: Currency| 10_i128.pow(currency.exponent());
        numerator *= i128::from(rate) * minor(list.currency);
        denominator *= 1_000_000 * minor(price.currency);
    }
    let change = |costs: &ComponentPrice| costs.with(|amount| scaled(amount, numerator, denominator));
    let components = price.components.iter().map(|(code, costs)| Some((code.clone(), change(costs)?)));
    match components.collect::<Option<_>>() {
        Some(components) => Passed::Priced(ItemPrice { currency: list.currency, components }),
        None => Passed::Kept,
    }
}
