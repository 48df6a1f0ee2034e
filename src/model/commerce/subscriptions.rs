use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::addons::{Added, SubscriptionAddon};
use super::charges::{Agreed, Charges};
use crate::model::catalog::components::PriceView;
use crate::model::ids::{AccountId, OperationId, OrderId, PlanId, SubscriptionId};
use crate::model::interval::{Interval, Period};
use crate::model::services::Access;
use crate::model::services::operations::OperationView;
use crate::model::{Json, Path, Time};
use crate::stored_as_text;

stored_as_text! {
    /// Where a subscription stands. `suspended` follows from holds, `cancelling` from `cancel_at`; neither is ever kept.
    pub enum SubscriptionStatus {
        Pending = "pending",
        Trialing = "trialing",
        Active = "active",
        PastDue = "past_due",
        Suspended = "suspended",
        Cancelling = "cancelling",
        Cancelled = "cancelled",
        Expired = "expired",
    }
}

/// A subscription's row, with what its holds leave of its access.
#[derive(Debug, Clone, PartialEq, crate::model::rows::Record)]
pub struct Subscription {
    pub id: SubscriptionId,
    pub account_id: AccountId,
    pub path: Path,
    pub status: SubscriptionStatus,
    pub plan_id: PlanId,
    pub plan_code: String,
    pub plan_version: i64,
    pub quantity: i64,
    pub order_id: OrderId,
    pub price: Option<Json<Agreed>>,
    pub addons: Json<Vec<Added>>,
    pub billing_period: Json<Interval>,
    /// When the first of its billing periods began.
    pub anchored_at: Option<Time>,
    pub trial_ends_at: Option<Time>,
    /// The plan that was tried with it.
    pub tried_plan_id: Option<PlanId>,
    pub expires_at: Option<Time>,
    pub cancel_at: Option<Time>,
    /// How many levels above its account it was cancelled from: whoever stands lower cannot take that back.
    pub cancelled_above: Option<i64>,
    pub ended_at: Option<Time>,
    pub external_id: Option<String>,
    pub metadata: Json<BTreeMap<String, String>>,
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
    #[record(default)]
    pub held: Option<i64>,
}

/// A subscription as callers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Subscription)]
pub struct SubscriptionView {
    pub id: SubscriptionId,
    pub account_id: AccountId,
    pub status: SubscriptionStatus,
    /// What the holds in force leave.
    pub access: Access,
    pub plan_id: PlanId,
    #[schema(example = "hosted-mail")]
    pub plan: String,
    /// The version it was ordered in and keeps until it is moved.
    pub plan_version: i64,
    pub quantity: i64,
    /// What its plan costs, since it was ordered or moved to it, whatever price lists have come to say; none where no
    /// account above had a price for it.
    pub price: Option<PriceView>,
    /// What it has beside its plan.
    pub addons: Vec<SubscriptionAddon>,
    /// What it comes to with its add-ons, without what was charged once.
    pub charges: Option<Charges>,
    pub billing_period: Interval,
    /// The billing period of now; none while nothing is charged: before it is ready, on trial and after its end.
    pub current_period: Option<Period>,
    /// On trial it expires then unless it is converted; later, when the trial was to end.
    pub trial_ends_at: Option<Time>,
    /// It expires then unless it is renewed; none if it runs until it is cancelled.
    pub expires_at: Option<Time>,
    /// It is cancelled then unless that is taken back.
    pub cancel_at: Option<Time>,
    /// When it was cancelled or expired. What is in its services stays, and it can be renewed.
    pub ended_at: Option<Time>,
    pub order_id: OrderId,
    pub external_id: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub created_at: Time,
    pub updated_at: Time,
    /// The work that a call has begun; only in an answer to one that changes access.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub operation_id: Option<OperationId>,
    /// The operation as it ended; only in an answer that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub operation: Option<OperationView>,
}

impl Subscription {
    /// What it comes to with its add-ons, without what was charged once; none where nothing of it has a price.
    pub fn charges(&self) -> Option<Charges> {
        let plan = self.price.as_ref().and_then(|agreed| agreed.charges(self.quantity));
        let addons = self.addons.iter().filter_map(|addon| addon.charges(&addon.agreed()?));
        Charges::together(plan.into_iter().chain(addons)).map(Charges::of_running)
    }

    /// What the holds in force leave.
    pub fn access(&self) -> Access {
        Access::of_weight(self.held.unwrap_or_default())
    }

    /// The subscription as callers see it at a time.
    pub fn seen_at(self, now: Time) -> SubscriptionView {
        let access = self.access();
        let status = match self.runs() && access == Access::Suspended {
            true => SubscriptionStatus::Suspended,
            false => self.standing(),
        };
        let (current_period, charges) = (self.period(now), self.charges());
        SubscriptionView {
            id: self.id,
            account_id: self.account_id,
            status,
            access,
            plan_id: self.plan_id,
            plan: self.plan_code,
            plan_version: self.plan_version,
            quantity: self.quantity,
            price: self.price.as_ref().map(|agreed| agreed.view()),
            addons: self.addons.0.into_iter().map(SubscriptionAddon::from).collect(),
            charges,
            billing_period: self.billing_period.0,
            current_period,
            trial_ends_at: self.trial_ends_at,
            expires_at: self.expires_at,
            cancel_at: self.cancel_at,
            ended_at: self.ended_at,
            order_id: self.order_id,
            external_id: self.external_id,
            metadata: self.metadata.0,
            created_at: self.created_at,
            updated_at: self.updated_at,
            operation_id: None,
            operation: None,
        }
    }
}
