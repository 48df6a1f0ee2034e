use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::charges::{Agreed, Charges};
use crate::model::catalog::components::PriceView;
use crate::model::ids::{AccountId, OrderId, PlanId, SubscriptionId};
use crate::model::services::Access;
use crate::model::{Json, Path, Time};
use crate::stored_as_text;

stored_as_text! {
    /// Where a subscription stands. `suspended` follows from holds and is never kept.
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

/// A subscription's row, with its plan's code and what its holds leave of its access.
#[derive(Debug, Clone, PartialEq, crate::model::rows::Record)]
pub struct Subscription {
    pub id: SubscriptionId,
    pub account_id: AccountId,
    pub path: Path,
    pub status: SubscriptionStatus,
    pub plan_id: PlanId,
    pub plan_version: i64,
    pub quantity: i64,
    pub order_id: OrderId,
    pub price: Option<Json<Agreed>>,
    pub external_id: Option<String>,
    pub metadata: Json<BTreeMap<String, String>>,
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
    #[record(default)]
    pub held: Option<i64>,
    #[record(default)]
    pub plan_code: Option<String>,
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
    /// What it costs, since it was ordered or moved to its plan, whatever price lists have come to say; none where no
    /// account above had a price for it.
    pub price: Option<PriceView>,
    /// What it comes to in its quantity, without what was charged once.
    pub charges: Option<Charges>,
    pub order_id: OrderId,
    pub external_id: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub created_at: Time,
    pub updated_at: Time,
}

impl From<Subscription> for SubscriptionView {
    fn from(subscription: Subscription) -> Self {
        use SubscriptionStatus::*;
        let access = Access::of_weight(subscription.held.unwrap_or_default());
        let status = match subscription.status {
            Trialing | Active | PastDue if access == Access::Suspended => Suspended,
            status => status,
        };
        Self {
            id: subscription.id,
            account_id: subscription.account_id,
            status,
            access,
            plan_id: subscription.plan_id,
            plan: subscription.plan_code.unwrap_or_default(),
            plan_version: subscription.plan_version,
            quantity: subscription.quantity,
            price: subscription.price.as_ref().map(|agreed| agreed.view()),
            charges: subscription
                .price
                .and_then(|agreed| agreed.charges(subscription.quantity))
                .map(Charges::of_running),
            order_id: subscription.order_id,
            external_id: subscription.external_id,
            metadata: subscription.metadata.0,
            created_at: subscription.created_at,
            updated_at: subscription.updated_at,
        }
    }
}
