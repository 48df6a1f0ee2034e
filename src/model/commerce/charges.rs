//! What an item of an order costs, line by line.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::catalog::components::{Billing, Component, ItemPrice, PriceView};
use crate::model::interval::Interval;
use crate::model::money::Money;

/// The price that a subscription was ordered at. It stays until the subscription is moved to another plan, whatever price
/// lists come to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    pub components: Vec<Component>,
    pub billing_period: Interval,
    pub price: ItemPrice,
}

impl Agreed {
    pub fn view(&self) -> PriceView {
        PriceView::of(&self.components, &self.price)
    }

    /// What so many units cost; none if that is more than can be counted.
    pub fn charges(&self, quantity: i64) -> Option<Charges> {
        let money = |amount: i64| self.price.currency.money(amount);
        let mut lines = Vec::new();
        let (mut once, mut recurring) = (0_i64, 0_i64);
        for component in &self.components {
            let Some(costs) = self.price.components.get(&component.code) else { continue };
            let units = if component.billing == Billing::PerSeat { quantity } else { 1 };
            let sum = match component.billing {
                Billing::Usage => None,
                Billing::Fixed | Billing::PerSeat | Billing::OneTime => Some(costs.total(units)?),
            };
            match component.billing {
                Billing::OneTime => once = once.checked_add(sum?)?,
                Billing::Fixed | Billing::PerSeat => recurring = recurring.checked_add(sum?)?,
                Billing::Usage => {}
            }
            lines.push(Line {
                addon: None,
                component: component.code.clone(),
                name: component.name.clone(),
                billing: component.billing,
                quantity: sum.map(|_| units),
                amount: sum.map(money),
            });
        }
        Some(Charges {
            lines,
            billing_period: self.billing_period,
            recurring: money(recurring),
            once: money(once),
        })
    }
}

/// A component of the plan or an add-on and what it comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ChargeLine)]
pub struct Line {
    /// The add-on that it is of; none of the plan itself.
    #[serde(default)]
    #[schema(example = "storage-10g")]
    pub addon: Option<String>,
    #[schema(example = "seat")]
    pub component: String,
    #[schema(example = "Mailbox")]
    pub name: String,
    pub billing: Billing,
    /// How many units of it; none where that shows by the use.
    pub quantity: Option<i64>,
    /// For all of them; none where it is charged by the use.
    pub amount: Option<Money>,
}

/// What an item of an order comes to, without taxes, for whoever it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Charges {
    pub lines: Vec<Line>,
    pub billing_period: Interval,
    /// Of each billing period.
    pub recurring: Money,
    /// With the order, and not again.
    pub once: Money,
}

impl Charges {
    /// With the order and in the first billing period together.
    pub fn first(&self) -> Money {
        self.recurring.currency.money(self.recurring.amount.saturating_add(self.once.amount))
    }

    /// As lines of an add-on.
    pub fn of_addon(mut self, code: &str) -> Self {
        for line in &mut self.lines {
            line.addon = Some(code.to_owned());
        }
        self
    }

    /// What parts with the same currency and billing period come to together; none of no parts, and if it is more than can
    /// be counted.
    pub fn together(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut parts = parts.into_iter();
        let first = parts.next()?;
        parts.try_fold(first, |mut sum, part| {
            sum.recurring.amount = sum.recurring.amount.checked_add(part.recurring.amount)?;
            sum.once.amount = sum.once.amount.checked_add(part.once.amount)?;
            sum.lines.extend(part.lines);
            Some(sum)
        })
    }

    /// What is charged of what runs already: not again what was charged with its order.
    pub fn of_running(mut self) -> Self {
        self.lines.retain(|line| line.billing != Billing::OneTime);
        self.once = self.once.currency.money(0);
        self
    }

    /// What is due once, and by how much a billing period costs more than one did before; all of it if that was in
    /// another currency or of another length.
    pub fn above(&self, before: Option<&Charges>) -> Money {
        let kind = |charges: &Charges| (charges.recurring.currency, charges.billing_period);
        let same = before.filter(|before| kind(before) == kind(self));
        let paid = same.map_or(0, |before| before.recurring.amount);
        let more = self.recurring.amount.saturating_sub(paid).max(0);
        self.recurring.currency.money(more.saturating_add(self.once.amount))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::model::catalog::components::{ComponentPrice, MAX_PRICE, Tier, Tiering};
    use crate::model::money::Currency;

    fn agreed(currency: Currency, priced: &[(Billing, Vec<Tier>)]) -> Agreed {
        let code = |at: usize| format!("c{at}");
        let component = |(at, (billing, _)): (usize, &(Billing, Vec<Tier>))| Component {
            code: code(at),
            name: code(at),
            billing: *billing,
            measures: None,
            per: 1,
        };
        let price = |(at, (_, tiers)): (usize, &(Billing, Vec<Tier>))| {
            (code(at), ComponentPrice { tiering: Tiering::Volume, tiers: tiers.clone() })
        };
        Agreed {
            components: priced.iter().enumerate().map(component).collect(),
            billing_period: Interval::MONTHLY,
            price: ItemPrice {
                currency,
                components: priced.iter().enumerate().map(price).collect::<BTreeMap<_, _>>(),
            },
        }
    }

    fn flat(amount: i64) -> Vec<Tier> {
        vec![Tier { from: 1, amount }]
    }

    #[test]
    fn each_component_is_a_line_in_the_plans_order() {
        let tiers = vec![Tier { from: 1, amount: 500 }, Tier { from: 250, amount: 450 }];
        let priced = [
            (Billing::PerSeat, tiers),
            (Billing::OneTime, flat(1_000)),
            (Billing::Usage, flat(7)),
            (Billing::Fixed, flat(99)),
        ];
        let told = agreed("EUR".parse().unwrap(), &priced).charges(300).unwrap();
        let lines: Vec<_> =
            told.lines.iter().map(|line| (line.quantity, line.amount.map(|money| money.amount))).collect();
        assert_eq!(
            lines,
            [(Some(300), Some(135_000)), (Some(1), Some(1_000)), (None, None), (Some(1), Some(99))]
        );
        assert_eq!((told.recurring.amount, told.once.amount), (135_099, 1_000));
    }

    #[test]
    fn what_cannot_be_counted_is_no_sum() {
        let euro = "EUR".parse().unwrap();
        assert_eq!(agreed(euro, &[(Billing::PerSeat, flat(MAX_PRICE))]).charges(i64::MAX), None);
        let seats = (Billing::PerSeat, flat(MAX_PRICE));
        let most = i64::MAX / MAX_PRICE;
        assert!(agreed(euro, std::slice::from_ref(&seats)).charges(most).is_some());
        assert_eq!(agreed(euro, &[seats.clone(), seats]).charges(most), None);
    }

    fn billing() -> impl Strategy<Value = Billing> {
        proptest::sample::select(Billing::ALL)
    }

    proptest! {
        /// Whatever the currency's minor unit is.
        #[test]
        fn lines_sum_to_the_totals(
            currency in proptest::sample::select(Currency::all().collect::<Vec<_>>()),
            priced in proptest::collection::vec((billing(), 0..=MAX_PRICE), 0..20),
            quantity in 1_i64..=100_000,
        ) {
            let priced: Vec<_> = priced.into_iter().map(|(billing, amount)| (billing, flat(amount))).collect();
            let told = agreed(currency, &priced).charges(quantity).unwrap();
            let sum = |of: &dyn Fn(Billing) -> bool| {
                let lines = told.lines.iter().filter(|line| of(line.billing));
                lines.filter_map(|line| line.amount).map(|money| i128::from(money.amount)).sum::<i128>()
            };
            prop_assert_eq!(sum(&|billing| billing == Billing::OneTime), i128::from(told.once.amount));
            prop_assert_eq!(sum(&|billing| billing != Billing::OneTime), i128::from(told.recurring.amount));
            let currencies = told.lines.iter().filter_map(|line| line.amount).map(|money| money.currency);
            prop_assert!(currencies.chain([told.once.currency, told.recurring.currency]).all(|one| one == currency));
            prop_assert_eq!(told.lines.len(), priced.len());
        }
    }
}
