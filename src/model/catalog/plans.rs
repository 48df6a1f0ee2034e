use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::components::Component;
use super::service_types::ServiceType;
use crate::model::ids::{AccountId, PlanId, VirtualServerId};
use crate::model::interval::Interval;
use crate::model::quotas::{Mode, QuotaKey};
use crate::model::{Json, Path, Time};
use crate::stored_as_text;

stored_as_text! {
    /// Whether a plan or add-on can be ordered: only an active one can.
    pub enum PlanStatus {
        Draft = "draft",
        Active = "active",
        Paused = "paused",
        Archived = "archived",
    }
}

/// A service that the plan gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanService {
    #[serde(rename = "type")]
    pub service_type: ServiceType,
    /// For the connector; see its description.
    #[serde(default)]
    pub settings: Map<String, Value>,
}

/// A quota that the plan gives: `included`, and `per_unit` for each unit of the quantity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanQuota {
    pub key: QuotaKey,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1_000_000_000_000_i64)]
    pub included: i64,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub per_unit: i64,
    /// Whether the whole is taken from the accounts above when the order is placed (`allocated`, the
    /// default), or only what is used, when it is used (`shared`).
    #[serde(default = "allocated")]
    pub mode: Mode,
}

fn allocated() -> Mode {
    Mode::Allocated
}

impl PlanQuota {
    /// The ceiling for a quantity.
    pub fn ceiling(&self, quantity: i64) -> i64 {
        self.per_unit.saturating_mul(quantity).saturating_add(self.included)
    }
}

/// What a version of a plan gives. It never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanTerms {
    pub virtual_server_id: VirtualServerId,
    #[schema(min_items = 1, max_items = 20)]
    pub services: Vec<PlanService>,
    #[schema(max_items = 100)]
    pub quotas: Vec<PlanQuota>,
    /// What is charged. What each costs is for price lists to say.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub components: Vec<Component>,
    /// How often what recurs is charged; monthly if left out.
    #[serde(default = "monthly")]
    pub billing_period: Interval,
    /// For how long an account's first subscription may be tried; nothing is due, and it expires then unless it is converted.
    #[serde(default)]
    pub trial: Option<Interval>,
    /// For how long a subscription runs; it expires then unless it is renewed. Until it is cancelled if left out.
    #[serde(default)]
    pub lease: Option<Interval>,
    /// Whether the plan's owner, or somebody above, has to approve of each order of it.
    #[serde(default)]
    pub requires_approval: bool,
    /// The largest quantity one subscription may have.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub max_quantity: Option<i64>,
}

impl PlanTerms {
    /// The types of its services, sorted: a subscription moves among plans that have the same.
    pub fn service_types(&self) -> Vec<ServiceType> {
        let mut types: Vec<_> = self.services.iter().map(|service| service.service_type).collect();
        types.sort();
        types
    }
}

fn monthly() -> Interval {
    Interval::MONTHLY
}

/// A plan's row.
#[derive(Debug, Clone, PartialEq, crate::model::rows::Record)]
pub struct Plan {
    pub id: PlanId,
    pub account_id: AccountId,
    pub path: Path,
    pub code: String,
    pub name: String,
    pub status: PlanStatus,
    pub current: i64,
    pub metadata: Json<BTreeMap<String, String>>,
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
    /// The terms of one version: the current one, unless another was asked for.
    pub terms: Json<PlanTerms>,
}

/// A plan as callers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Plan)]
pub struct PlanView {
    pub id: PlanId,
    /// The account that made it; none where that stands above the caller's own.
    pub account_id: Option<AccountId>,
    /// By which orders name it.
    #[schema(example = "hosted-mail")]
    pub code: String,
    pub name: String,
    pub status: PlanStatus,
    /// The number of the version that new orders get.
    pub current_version: i64,
    pub services: Vec<ServiceType>,
    pub quotas: Vec<PlanQuota>,
    /// What is charged; the catalogue has the prices.
    pub components: Vec<Component>,
    pub billing_period: Interval,
    /// For how long it may be tried.
    pub trial: Option<Interval>,
    /// For how long it runs before it has to be renewed.
    pub lease: Option<Interval>,
    pub max_quantity: Option<i64>,
    /// On what it runs; none where that stands above the caller's own account.
    pub virtual_server_id: Option<VirtualServerId>,
    pub metadata: BTreeMap<String, String>,
    pub created_at: Time,
    pub updated_at: Time,
}

impl Plan {
    /// The plan as everybody may see it while it is on sale.
    pub fn published(self) -> PlanView {
        let nobody = Path::root(AccountId::new());
        PlanView { metadata: BTreeMap::new(), ..self.seen_by(&nobody) }
    }

    /// The plan as the account at `viewer` sees it.
    pub fn seen_by(self, viewer: &Path) -> PlanView {
        let own = viewer.covers(&self.path);
        let terms = self.terms.0;
        PlanView {
            id: self.id,
            account_id: own.then_some(self.account_id),
            code: self.code,
            name: self.name,
            status: self.status,
            current_version: self.current,
            services: terms.services.iter().map(|service| service.service_type).collect(),
            quotas: terms.quotas,
            components: terms.components,
            billing_period: terms.billing_period,
            trial: terms.trial,
            lease: terms.lease,
            max_quantity: terms.max_quantity,
            virtual_server_id: own.then_some(terms.virtual_server_id),
            metadata: self.metadata.0,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}
