//! Add-ons as orders name them and subscriptions have them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::charges::{Agreed, Charges};
use crate::model::catalog::addons::{AddonQuota, AddonTerms};
use crate::model::catalog::components::{ItemPrice, PriceView};
use crate::model::ids::AddonId;
use crate::model::quotas::QuotaKey;

/// How many of an add-on a subscription is to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddonQuantity {
    /// The add-on's code or identifier.
    #[schema(min_length = 1, max_length = 64, example = "storage-10g")]
    pub addon: String,
    /// All in all, whatever it had before; none with 0.
    #[schema(minimum = 0, maximum = 1_000_000, example = 2)]
    pub quantity: i64,
}

/// An add-on that a subscription has, in the terms and at the price of when it was ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    pub addon_id: AddonId,
    pub code: String,
    pub name: String,
    pub terms: AddonTerms,
    pub quantity: i64,
    pub price: Option<ItemPrice>,
}

impl Added {
    /// Whether an order means it by a code or identifier.
    pub fn is_named(&self, code_or_id: &str) -> bool {
        self.code == code_or_id || self.addon_id.to_string() == code_or_id
    }

    /// What it adds to a quota.
    pub fn adds(&self, key: QuotaKey) -> i64 {
        self.terms.adds(key, self.quantity)
    }

    /// The price that it was ordered at.
    pub fn agreed(&self) -> Option<Agreed> {
        let price = self.price.clone()?;
        let AddonTerms { components, billing_period, .. } = self.terms.clone();
        Some(Agreed { components, billing_period, price })
    }

    /// What so much of it costs at a price; none if that is more than can be counted.
    pub fn charges(&self, agreed: &Agreed) -> Option<Charges> {
        agreed.charges(self.quantity).map(|charges| charges.of_addon(&self.code))
    }
}

/// An add-on that a subscription has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SubscriptionAddon {
    pub addon_id: AddonId,
    #[schema(example = "storage-10g")]
    pub addon: String,
    #[schema(example = "10 GB more")]
    pub name: String,
    pub quantity: i64,
    /// What each unit adds.
    pub quotas: Vec<AddonQuota>,
    /// What it costs, since it was ordered; none where no account above had a price for it.
    pub price: Option<PriceView>,
}

impl From<Added> for SubscriptionAddon {
    fn from(added: Added) -> Self {
        let price = added.agreed().map(|agreed| agreed.view());
        let Added { addon_id, code, name, terms, quantity, .. } = added;
        Self { addon_id, addon: code, name, quantity, quotas: terms.quotas, price }
    }
}
