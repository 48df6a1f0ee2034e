//! What of a plan or add-on is charged, and what one of them costs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::money::{Currency, Money};
use crate::model::quotas::QuotaKey;
use crate::stored_as_text;

/// No single price is higher, in minor units.
pub const MAX_PRICE: i64 = 1_000_000_000_000;

stored_as_text! {
    /// When and by what something is charged.
    pub enum Billing {
        /// Each period, once for the subscription or for all of an add-on.
        Fixed = "fixed",
        /// Each period, for each unit of the quantity.
        PerSeat = "per_seat",
        /// After each period, by how much of `measures` was used.
        Usage = "usage",
        /// Once, with the order.
        OneTime = "one_time",
    }
}

/// A part of a plan or add-on that is charged on its own. What it costs stands in price lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// By which price lists name it.
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9][a-z0-9_.-]*$", example = "seat")]
    pub code: String,
    #[schema(min_length = 1, max_length = 128, example = "Mailbox")]
    pub name: String,
    pub billing: Billing,
    /// What is measured; of `usage` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub measures: Option<QuotaKey>,
    /// For how many units a price is, which are charged when they are begun: 1024 of `mail.storage_mb` makes it the price
    /// of a GB. Of `usage` alone.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schema(minimum = 1, maximum = 1_000_000, default = 1)]
    pub per: i64,
}

fn one() -> i64 {
    1
}

fn is_one(per: &i64) -> bool {
    *per == 1
}

/// From which quantity on a unit costs how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// The smallest quantity that it is for; of the first tier 1.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_i64, example = 250)]
    pub from: i64,
    /// For one unit, in minor units of the price list's currency.
    #[schema(minimum = 0, maximum = 1_000_000_000_000_i64, example = 450)]
    pub amount: i64,
}

stored_as_text! {
    /// What a tier is for.
    pub enum Tiering {
        /// All units cost what the tier says that the quantity is in.
        Volume = "volume",
        /// Each unit costs what the tier says that it is in itself.
        Graduated = "graduated",
    }
}

/// What a component costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ComponentPrice {
    #[serde(default = "volume")]
    pub tiering: Tiering,
    /// By their beginnings.
    #[schema(min_items = 1, max_items = 50)]
    pub tiers: Vec<Tier>,
}

fn volume() -> Tiering {
    Tiering::Volume
}

impl ComponentPrice {
    /// What so many units cost; none if that is more than can be counted.
    pub fn total(&self, units: i64) -> Option<i64> {
        match self.tiering {
            Tiering::Volume => self.at(units).amount.checked_mul(units),
            Tiering::Graduated => {
                let mut total: i64 = 0;
                for (at, tier) in self.tiers.iter().enumerate() {
                    let ends = self.tiers.get(at + 1).map_or(i64::MAX, |next| next.from - 1).min(units);
                    let inside = (ends - tier.from + 1).max(0);
                    total = total.checked_add(tier.amount.checked_mul(inside)?)?;
                }
                Some(total)
            }
        }
    }

    /// The tier that a quantity is in.
    pub fn at(&self, units: i64) -> Tier {
        let begun = self.tiers.iter().rev().find(|tier| tier.from <= units);
        begun.or(self.tiers.first()).copied().unwrap_or(Tier { from: 1, amount: 0 })
    }

    /// With another amount in each tier; none if one of them is too high.
    pub fn with(&self, change: impl Fn(i64) -> Option<i64>) -> Option<Self> {
        let tiers = self.tiers.iter().map(|tier| {
            let amount = change(tier.amount).filter(|amount| (0..=MAX_PRICE).contains(amount))?;
            Some(Tier { amount, ..*tier })
        });
        Some(Self { tiering: self.tiering, tiers: tiers.collect::<Option<_>>()? })
    }
}

/// What the components of a plan or add-on cost, all in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemPrice {
    pub currency: Currency,
    /// By the component's code.
    pub components: BTreeMap<String, ComponentPrice>,
}

/// A tier of a price as a buyer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PricedTier)]
pub struct TierView {
    pub from: i64,
    pub unit_price: Money,
}

/// A component and what it costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PricedComponent)]
pub struct ComponentView {
    #[schema(example = "seat")]
    pub code: String,
    #[schema(example = "Mailbox")]
    pub name: String,
    pub billing: Billing,
    pub measures: Option<QuotaKey>,
    /// For how many units a price is.
    pub per: i64,
    pub tiering: Tiering,
    pub tiers: Vec<TierView>,
}

/// What a plan or add-on costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ItemPrice)]
pub struct PriceView {
    pub currency: Currency,
    /// In the order of the plan or add-on.
    pub components: Vec<ComponentView>,
}

impl PriceView {
    pub fn of(components: &[Component], price: &ItemPrice) -> Self {
        let view = |component: &Component| {
            let costs = price.components.get(&component.code)?;
            let tier =
                |tier: &Tier| TierView { from: tier.from, unit_price: price.currency.money(tier.amount) };
            Some(ComponentView {
                code: component.code.clone(),
                name: component.name.clone(),
                billing: component.billing,
                measures: component.measures,
                per: component.per,
                tiering: costs.tiering,
                tiers: costs.tiers.iter().map(tier).collect(),
            })
        };
        Self { currency: price.currency, components: components.iter().filter_map(view).collect() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tiers(tiering: Tiering, tiers: &[(i64, i64)]) -> ComponentPrice {
        let tiers = tiers.iter().map(|(from, amount)| Tier { from: *from, amount: *amount }).collect();
        ComponentPrice { tiering, tiers }
    }

    #[test]
    fn a_volume_tier_is_for_all_units_and_a_graduated_one_for_those_in_it() {
        let steps = [(1, 500), (250, 450), (1000, 400)];
        let (volume, graduated) = (tiers(Tiering::Volume, &steps), tiers(Tiering::Graduated, &steps));
        for (units, all, each) in [
            (0, 0, 0),
            (1, 500, 500),
            (249, 249 * 500, 249 * 500),
            (250, 250 * 450, 249 * 500 + 450),
            (1000, 1000 * 400, 249 * 500 + 750 * 450 + 400),
        ] {
            assert_eq!((volume.total(units), graduated.total(units)), (Some(all), Some(each)), "{units}");
        }
        assert_eq!(tiers(Tiering::Volume, &[(1, MAX_PRICE)]).total(i64::MAX), None);
        assert_eq!(tiers(Tiering::Graduated, &[(1, MAX_PRICE)]).total(i64::MAX), None);
    }

    proptest! {
        #[test]
        fn graduated_units_cost_what_they_cost_one_by_one(
            steps in proptest::collection::btree_map(2_i64..200, 0_i64..1000, 0..6), first in 0_i64..1000, units in 0_i64..300,
        ) {
            let mut all = vec![(1, first)];
            all.extend(steps);
            let price = tiers(Tiering::Graduated, &all);
            let one_by_one: i64 = (1..=units).map(|unit| price.at(unit).amount).sum();
            prop_assert_eq!(price.total(units), Some(one_by_one));
        }
    }
}
