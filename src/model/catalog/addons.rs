use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::components::{Component, PriceView};
use super::plans::{PlanStatus, PlanTerms};
use crate::model::ids::{AccountId, AddonId, PlanId};
use crate::model::interval::Interval;
use crate::model::quotas::QuotaKey;
use crate::model::{Json, Path, Time};

/// What each unit of an add-on adds to a quota of the subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddonQuota {
    pub key: QuotaKey,
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    pub per_unit: i64,
}

/// What an add-on gives, to which subscriptions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddonTerms {
    #[schema(min_items = 1, max_items = 20)]
    pub quotas: Vec<AddonQuota>,
    /// What is charged: `per_seat` for each unit of the add-on, `fixed` for all of them, `one_time` once when a subscription
    /// gets the first of it. Use is charged by plans. What each costs is for price lists to say.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub components: Vec<Component>,
    /// How often what recurs is charged; monthly if left out. It goes with plans of the same period alone.
    #[serde(default = "monthly")]
    pub billing_period: Interval,
    /// The plans that it goes with; any that has services for its quotas if empty.
    #[serde(default)]
    #[schema(max_items = 100)]
    pub plan_ids: Vec<PlanId>,
    /// How many of it one subscription may have.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub max_quantity: Option<i64>,
}

fn monthly() -> Interval {
    Interval::MONTHLY
}

impl AddonTerms {
    /// What so many units add to a quota.
    pub fn adds(&self, key: QuotaKey, quantity: i64) -> i64 {
        let of_key = self.quotas.iter().filter(|quota| quota.key == key);
        of_key.fold(0, |sum, quota| quota.per_unit.saturating_mul(quantity).saturating_add(sum))
    }

    /// Why it does not go with a plan; none if it does.
    pub fn misfit(&self, plan: PlanId, terms: &PlanTerms) -> Option<String> {
        if !self.plan_ids.is_empty() && !self.plan_ids.contains(&plan) {
            return Some("is for other plans".into());
        }
        if self.billing_period != terms.billing_period {
            return Some("is charged by another billing period than the plan".into());
        }
        let given: Vec<_> =
            terms.services.iter().flat_map(|service| service.service_type.quota_keys()).collect();
        let lacking = self.quotas.iter().find(|quota| !given.contains(&quota.key))?;
        Some(format!("adds to {}, and the plan has no service that takes from it", lacking.key))
    }
}

/// An add-on's row.
#[derive(Debug, Clone, PartialEq, crate::model::rows::Record)]
pub struct Addon {
    pub id: AddonId,
    pub account_id: AccountId,
    pub path: Path,
    pub code: String,
    pub name: String,
    pub status: PlanStatus,
    pub terms: Json<AddonTerms>,
    pub metadata: Json<BTreeMap<String, String>>,
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

/// An add-on as callers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Addon)]
pub struct AddonView {
    pub id: AddonId,
    /// The account that made it; none where that stands above the caller's own.
    pub account_id: Option<AccountId>,
    /// By which orders name it.
    #[schema(example = "storage-10g")]
    pub code: String,
    pub name: String,
    pub status: PlanStatus,
    pub quotas: Vec<AddonQuota>,
    /// What is charged; the catalogue has the prices.
    pub components: Vec<Component>,
    pub billing_period: Interval,
    /// The plans that it goes with; any that has services for its quotas if empty.
    pub plan_ids: Vec<PlanId>,
    pub max_quantity: Option<i64>,
    pub metadata: BTreeMap<String, String>,
    pub created_at: Time,
    pub updated_at: Time,
}

impl Addon {
    /// The add-on as everybody may see it while it is on sale.
    pub fn published(self) -> AddonView {
        let nobody = Path::root(AccountId::new());
        AddonView { metadata: BTreeMap::new(), ..self.seen_by(&nobody) }
    }

    /// The add-on as the account at `viewer` sees it.
    pub fn seen_by(self, viewer: &Path) -> AddonView {
        let own = viewer.covers(&self.path);
        let terms = self.terms.0;
        AddonView {
            id: self.id,
            account_id: own.then_some(self.account_id),
            code: self.code,
            name: self.name,
            status: self.status,
            quotas: terms.quotas,
            components: terms.components,
            billing_period: terms.billing_period,
            plan_ids: terms.plan_ids,
            max_quantity: terms.max_quantity,
            metadata: self.metadata.0,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

/// An add-on as a buyer sees and pays it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CatalogAddon {
    #[serde(flatten)]
    pub addon: AddonView,
    /// What the buyer pays; none where no account above it has set a price here.
    pub price: Option<PriceView>,
}
