use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::addons::AddonQuantity;
use super::approvals::{Approval, ApprovalView};
use super::charges::Charges;
use super::proration::Proration;
use crate::model::ids::{AccountId, OperationId, OrderId, QuoteId, ResourceId, ServiceId, SubscriptionId};
use crate::model::services::operations::{OperationError, OperationView, Outcome};
use crate::model::services::specs::ResourceSpec;
use crate::model::{Json, Path, Time};
use crate::stored_as_text;

stored_as_text! {
    /// Where an order stands.
    pub enum OrderStatus {
        Draft = "draft",
        Scheduled = "scheduled",
        PendingApproval = "pending_approval",
        RequiresInput = "requires_input",
        Queued = "queued",
        InProgress = "in_progress",
        Completed = "completed",
        PartiallyCompleted = "partially_completed",
        Failed = "failed",
        Rejected = "rejected",
        Cancelling = "cancelling",
        Cancelled = "cancelled",
        Expired = "expired",
    }
}

impl OrderStatus {
    /// Whether an order may go from this status to `next`.
    pub fn may_become(self, next: OrderStatus) -> bool {
        use OrderStatus::*;
        matches!(
            (self, next),
            (Draft, Scheduled | PendingApproval | Queued | Cancelled)
                | (Scheduled, PendingApproval | Queued | Cancelled)
                | (PendingApproval, Queued | Rejected | Expired | Cancelled)
                | (Queued, InProgress | Cancelled)
                | (InProgress, RequiresInput | Completed | PartiallyCompleted | Failed | Cancelling)
                | (RequiresInput, InProgress | Cancelled)
                | (Failed, Queued)
                | (Cancelling, Cancelled | Completed)
        )
    }
}

/// What one item of an order is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum ItemRequest {
    /// A new subscription.
    Add {
        plan: String,
        quantity: i64,
        #[serde(default)]
        addons: Vec<AddonQuantity>,
        resources: Vec<ResourceSpec>,
    },
    /// Something else for one that runs.
    Change(SubscriptionChange),
}

/// Another quantity, plan or number of add-ons for a subscription; what is not named stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionChange {
    pub subscription_id: SubscriptionId,
    pub quantity: Option<i64>,
    pub plan: Option<String>,
    #[serde(default)]
    pub addons: Vec<AddonQuantity>,
}

/// An item as callers named it.
pub struct Told {
    pub action: &'static str,
    pub plan: Option<String>,
    pub quantity: Option<i64>,
    pub addons: Vec<AddonQuantity>,
}

impl ItemRequest {
    pub fn told(self) -> Told {
        match self {
            ItemRequest::Add { plan, quantity, addons, .. } => {
                Told { action: "add", plan: Some(plan), quantity: Some(quantity), addons }
            }
            ItemRequest::Change(SubscriptionChange { plan, quantity, addons, .. }) => {
                Told { action: "change", plan, quantity, addons }
            }
        }
    }
}

stored_as_text! {
    pub enum ItemStatus {
        Pending = "pending",
        Done = "done",
        Failed = "failed",
        Cancelled = "cancelled",
    }
}

/// One item of an order and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    pub request: ItemRequest,
    pub status: ItemStatus,
    pub subscription_id: SubscriptionId,
    #[serde(default)]
    pub service_ids: Vec<ServiceId>,
    #[serde(default)]
    pub resource_ids: Vec<ResourceId>,
    #[serde(default)]
    pub charges: Option<Charges>,
    #[serde(default)]
    pub proration: Option<Proration>,
}

/// An order's row.
#[derive(Debug, Clone, PartialEq, crate::model::rows::Record)]
pub struct Order {
    pub id: OrderId,
    pub account_id: AccountId,
    pub path: Path,
    pub status: OrderStatus,
    pub items: Json<Vec<Item>>,
    pub outcome: Option<Outcome>,
    pub retryable: bool,
    pub error: Option<Json<OperationError>>,
    pub placed_by: AccountId,
    pub operation_id: Option<OperationId>,
    pub external_id: Option<String>,
    pub external_id_by: Option<AccountId>,
    pub quote_id: Option<QuoteId>,
    /// Of those that somebody has to approve of.
    pub approval: Option<Json<Approval>>,
    /// Until when that is waited for.
    pub approval_due: Option<Time>,
    pub fingerprint: String,
    pub metadata: Json<BTreeMap<String, String>>,
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

impl Order {
    /// Whether nothing has come of it and nothing will.
    pub fn is_void(&self) -> bool {
        match self.status {
            OrderStatus::Failed => !self.retryable,
            OrderStatus::Cancelled | OrderStatus::Rejected | OrderStatus::Expired => true,
            _ => false,
        }
    }

    /// Whether its operation has yet to end.
    pub fn is_open(&self) -> bool {
        matches!(self.status, OrderStatus::Queued | OrderStatus::InProgress)
    }
}

/// One item of an order, as callers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OrderItem {
    /// `add` or `change`.
    #[schema(example = "add")]
    pub action: &'static str,
    pub status: ItemStatus,
    /// The plan's code, where the item names one.
    #[schema(example = "hosted-mail")]
    pub plan: Option<String>,
    pub quantity: Option<i64>,
    /// The add-ons that the item names, by their codes.
    pub addons: Vec<AddonQuantity>,
    /// The subscription that the item makes or changes.
    pub subscription_id: SubscriptionId,
    pub service_ids: Vec<ServiceId>,
    pub resource_ids: Vec<ResourceId>,
    /// What it costs whom it is for, at the prices of when it was ordered; none where no account above has a price for it.
    pub charges: Option<Charges>,
    /// What a change comes to for the billing period that ran; none of what is new or on trial.
    pub proration: Option<Proration>,
}

/// An order as callers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Order)]
pub struct OrderView {
    pub id: OrderId,
    /// Whom it is for.
    pub account_id: AccountId,
    pub status: OrderStatus,
    pub items: Vec<OrderItem>,
    /// Follow it for progress; none for an order that needs no work on a server.
    pub operation_id: Option<OperationId>,
    /// What a failed order left behind.
    pub outcome: Option<Outcome>,
    pub retryable: bool,
    pub error: Option<OperationError>,
    /// The quote whose prices it was placed at.
    pub quote_id: Option<QuoteId>,
    /// Of an order that somebody above has, or had, to approve of.
    pub approval: Option<ApprovalView>,
    pub external_id: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub created_at: Time,
    pub updated_at: Time,
    /// The operation as it ended; only in an answer that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub operation: Option<OperationView>,
}

impl From<Item> for OrderItem {
    fn from(item: Item) -> Self {
        let Told { action, plan, quantity, addons } = item.request.told();
        Self {
            action,
            status: item.status,
            plan,
            quantity,
            addons,
            subscription_id: item.subscription_id,
            service_ids: item.service_ids,
            resource_ids: item.resource_ids,
            charges: item.charges,
            proration: item.proration,
        }
    }
}

impl From<Order> for OrderView {
    fn from(order: Order) -> Self {
        let expires_at = order.approval_due;
        Self {
            approval: order.approval.map(|Json(approval)| ApprovalView {
                reasons: approval.reasons,
                expires_at,
                decided_at: approval.decided_at,
                note: approval.note,
            }),
            id: order.id,
            account_id: order.account_id,
            status: order.status,
            items: order.items.0.into_iter().map(OrderItem::from).collect(),
            operation_id: order.operation_id,
            outcome: order.outcome,
            retryable: order.retryable,
            error: order.error.map(|error| error.0),
            quote_id: order.quote_id,
            external_id: order.external_id,
            metadata: order.metadata.0,
            created_at: order.created_at,
            updated_at: order.updated_at,
            operation: None,
        }
    }
}
