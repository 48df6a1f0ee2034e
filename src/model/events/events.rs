use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::model::ids::{AccountId, EventId, KeyId};
use crate::model::{Path, Time};
use crate::stored_as_text;

stored_as_text! {
    /// What can happen.
    pub enum EventType {
        AccountCreated = "account.created",
        AccountUpdated = "account.updated",
        AccountClosed = "account.closed",
        AccountReopened = "account.reopened",
        BrandingUpdated = "branding.updated",
        /// Told where the account stands now.
        AccountMoved = "account.moved",
        /// Told of the account that it stood below, with the account as it was.
        AccountMovedOut = "account.moved_out",
        MemberAdded = "member.added",
        MemberUpdated = "member.updated",
        MemberRemoved = "member.removed",
        SignupCreated = "signup.created",
        /// The administrator has shown that the address is his.
        SignupVerified = "signup.verified",
        SignupApproved = "signup.approved",
        /// The account is there, and its first order is placed.
        SignupAccepted = "signup.accepted",
        SignupRejected = "signup.rejected",
        SignupExpired = "signup.expired",
        KeyCreated = "key.created",
        KeyRotated = "key.rotated",
        KeyUpdated = "key.updated",
        KeyRevoked = "key.revoked",
        KeyLeaked = "key.leaked",
        StorefrontKeyCreated = "storefront_key.created",
        StorefrontKeyUpdated = "storefront_key.updated",
        StorefrontKeyRevoked = "storefront_key.revoked",
        ServerCreated = "server.created",
        ServerUpdated = "server.updated",
        VirtualServerCreated = "virtual_server.created",
        PlanCreated = "plan.created",
        PlanUpdated = "plan.updated",
        AddonCreated = "addon.created",
        AddonUpdated = "addon.updated",
        PriceListCreated = "price_list.created",
        PriceListUpdated = "price_list.updated",
        PriceListDeleted = "price_list.deleted",
        /// A list says something else of a plan or add-on, now or from a time ahead.
        PriceSet = "price.set",
        /// What a list was to say of a plan or add-on from a time ahead was taken back.
        PriceWithdrawn = "price.withdrawn",
        QuotaChanged = "quota.changed",
        /// Counters were set right by counting anew.
        QuotaRecounted = "quota.recounted",
        QuotaThreshold = "quota.threshold",
        QuotaRequestCreated = "quota_request.created",
        QuotaRequestApproved = "quota_request.approved",
        QuotaRequestRejected = "quota_request.rejected",
        QuotaRequestWithdrawn = "quota_request.withdrawn",
        QuoteCreated = "quote.created",
        QuoteAccepted = "quote.accepted",
        OrderCreated = "order.created",
        OrderCompleted = "order.completed",
        OrderFailed = "order.failed",
        OrderCancelled = "order.cancelled",
        /// Somebody above has approved of it.
        OrderApproved = "order.approved",
        OrderRejected = "order.rejected",
        /// Nobody has said anything in time.
        OrderExpired = "order.expired",
        SubscriptionActivated = "subscription.activated",
        /// It was on trial, and is charged for from now on.
        SubscriptionConverted = "subscription.converted",
        /// Its trial ends in three days.
        SubscriptionTrialEnding = "subscription.trial_ending",
        /// Its lease ends in three days.
        SubscriptionExpiring = "subscription.expiring",
        /// It is to be cancelled at a time ahead.
        SubscriptionCancelling = "subscription.cancelling",
        /// It is not to be cancelled after all.
        SubscriptionUncancelled = "subscription.uncancelled",
        SubscriptionCancelled = "subscription.cancelled",
        SubscriptionExpired = "subscription.expired",
        SubscriptionRenewed = "subscription.renewed",
        /// It is another account's from now on.
        SubscriptionTransferred = "subscription.transferred",
        /// For whose it was until now.
        SubscriptionTransferredOut = "subscription.transferred_out",
        /// Its plan is another one; what else was changed with it is not told apart.
        SubscriptionPlanChanged = "subscription.plan_changed",
        SubscriptionQuantityChanged = "subscription.quantity_changed",
        /// It has other add-ons, or another number of one.
        SubscriptionAddonsChanged = "subscription.addons_changed",
        ServiceProvisioned = "service.provisioned",
        ServiceFailed = "service.failed",
        ServiceSuspended = "service.suspended",
        ServiceDegraded = "service.degraded",
        ServiceResumed = "service.resumed",
        ResourceCreated = "resource.created",
        ResourceUpdated = "resource.updated",
        ResourceDeleted = "resource.deleted",
        ResourceFailed = "resource.failed",
        HoldPlaced = "hold.placed",
        HoldReleased = "hold.released",
        HoldExpired = "hold.expired",
        /// All of its requests have been answered, well or not.
        BatchCompleted = "batch.completed",
        /// What was left of it is not sent.
        BatchCancelled = "batch.cancelled",
        /// What was believed has been compared with what is.
        ReconcileRunCompared = "reconcile_run.compared",
        OperationSucceeded = "operation.succeeded",
        OperationFailed = "operation.failed",
        OperationNeedsAttention = "operation.needs_attention",
        WebhookEndpointCreated = "webhook_endpoint.created",
        WebhookEndpointUpdated = "webhook_endpoint.updated",
        WebhookEndpointDeleted = "webhook_endpoint.deleted",
        WebhookEndpointSecretRotated = "webhook_endpoint.secret_rotated",
        WebhookEndpointDisabled = "webhook_endpoint.disabled",
        /// Sent to one endpoint because its owner wants to try it; never in the feed.
        WebhookEndpointTest = "webhook_endpoint.test",
        /// Asks one endpoint whether it wants to be sent events; never in the feed.
        WebhookEndpointVerify = "webhook_endpoint.verify",
    }
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventResource {
    /// The noun: `order`, `service`, `hold` …
    #[serde(rename = "type")]
    #[schema(example = "service")]
    pub noun: String,
    pub id: String,
    /// Rises with every change of the object, so that a late event can be told from a new one.
    pub version: i64,
}

/// Why it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cause {
    /// The key that asked for it; none for the program's own work.
    pub key_id: Option<KeyId>,
    /// The request that asked for it, or on whose behalf the work was done.
    pub request_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
}

/// The object as it is, and what was different before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventData {
    /// The object as its own endpoint shows it.
    #[schema(value_type = Object)]
    pub object: Value,
    /// The former values of what changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub previous: Option<Value>,
}

/// The part of an event that is kept as one document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventBody {
    pub resource: EventResource,
    pub data: EventData,
    pub cause: Cause,
}

impl EventBody {
    /// In whose timeline it is told: of services, subscriptions and orders, and of what is held.
    pub fn about(&self) -> Option<&str> {
        let of = |member: &str| self.data.object.get(member).and_then(Value::as_str);
        match self.resource.noun.as_str() {
            "service" | "subscription" | "order" => Some(&self.resource.id),
            "hold" => of("target_id"),
            "resource" => of("service_id"),
            "operation" => of("service_id").or(of("order_id")),
            _ => None,
        }
    }
}

/// An event's row.
#[derive(Debug, Clone, PartialEq, crate::model::rows::Record)]
pub struct Event {
    pub id: EventId,
    pub position: i64,
    pub account_id: AccountId,
    pub path: Path,
    pub sequence: i64,
    #[record(rename = "type")]
    pub event_type: EventType,
    pub body: crate::model::Json<EventBody>,
    pub occurred_at: Time,
}

/// An event as callers and webhooks get it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Event)]
pub struct EventView {
    pub id: EventId,
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// Counts the account's events without a gap.
    pub sequence: i64,
    /// The account it happened to.
    pub account_id: AccountId,
    pub resource: EventResource,
    pub occurred_at: Time,
    pub data: EventData,
    pub cause: Cause,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        let EventBody { resource, data, cause } = event.body.0;
        Self {
            id: event.id,
            event_type: event.event_type,
            sequence: event.sequence,
            account_id: event.account_id,
            resource,
            occurred_at: event.occurred_at,
            data,
            cause,
        }
    }
}
