//! Priced proposals that hold for a while.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::addons::{Added, AddonQuantity};
use super::charges::{Agreed, Charges};
use super::orders::{ItemRequest, SubscriptionChange, Told};
use super::proration::Proration;
use crate::model::ids::{AccountId, OrderId, PlanId, QuoteId, SubscriptionId};
use crate::model::quotas::Violation;
use crate::model::{Json, Path, Time};
use crate::stored_as_text;

stored_as_text! {
    /// Where a quote stands.
    pub enum QuoteStatus {
        /// It can be ordered by.
        Open = "open",
        /// An order was placed by it.
        Accepted = "accepted",
        /// Its time is over.
        Expired = "expired",
    }
}

/// The plan that an item is for, in the version and at the price that it was quoted in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quoted {
    pub asked: ItemRequest,
    pub plan_id: PlanId,
    pub plan_version: i64,
    pub code: String,
    pub quantity: i64,
    pub agreed: Option<Agreed>,
    /// All that the subscription comes to have.
    #[serde(default)]
    pub addons: Vec<Added>,
    pub charges: Option<Charges>,
    #[serde(default)]
    pub proration: Option<Proration>,
}

/// A quote's row.
#[derive(Debug, Clone, PartialEq, crate::model::rows::Record)]
pub struct Quote {
    pub id: QuoteId,
    pub account_id: AccountId,
    pub path: Path,
    /// Of whom the account bought then.
    pub seller_id: Option<AccountId>,
    /// `open` or `accepted`; that it has expired follows from the time.
    pub status: QuoteStatus,
    pub items: Json<Vec<Quoted>>,
    pub quota: Json<QuotaCheck>,
    pub valid_until: Time,
    pub order_id: Option<OrderId>,
    pub metadata: Json<BTreeMap<String, String>>,
    pub version: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Whether the quotas sufficed when the quote was made, as far as its account may see them. Nothing is reserved by it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QuotaCheck {
    pub fits: bool,
    pub violations: Vec<Violation>,
}

/// One item of a quote.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct QuoteItem {
    /// `add` or `change`.
    #[schema(example = "add")]
    pub action: &'static str,
    /// The plan's code or identifier, where the item names one.
    #[schema(example = "hosted-mail")]
    pub plan: Option<String>,
    pub quantity: Option<i64>,
    /// The add-ons that the item names.
    pub addons: Vec<AddonQuantity>,
    /// The subscription that the item changes.
    pub subscription_id: Option<SubscriptionId>,
    /// What it costs whom it is for; none where no account above has a price for it.
    pub charges: Option<Charges>,
    /// What the change would have come to for the billing period that ran, when it was quoted; an order by it goes by when it
    /// is placed.
    pub proration: Option<Proration>,
}

/// A quote as callers see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Quote)]
pub struct QuoteView {
    pub id: QuoteId,
    /// Whom it is for.
    pub account_id: AccountId,
    pub status: QuoteStatus,
    pub items: Vec<QuoteItem>,
    pub quota: QuotaCheck,
    /// Until then an order by it costs what it says.
    pub valid_until: Time,
    /// The order that was placed by it.
    pub order_id: Option<OrderId>,
    pub metadata: BTreeMap<String, String>,
    pub created_at: Time,
    pub updated_at: Time,
}

impl Quote {
    /// Where it stands at a time.
    pub fn status_at(&self, now: Time) -> QuoteStatus {
        match self.status {
            QuoteStatus::Open if self.valid_until <= now => QuoteStatus::Expired,
            status => status,
        }
    }

    pub fn seen_at(self, now: Time) -> QuoteView {
        let status = self.status_at(now);
        QuoteView {
            id: self.id,
            account_id: self.account_id,
            status,
            items: self.items.0.into_iter().map(QuoteItem::from).collect(),
            quota: self.quota.0,
            valid_until: self.valid_until,
            order_id: self.order_id,
            metadata: self.metadata.0,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

impl From<Quoted> for QuoteItem {
    fn from(quoted: Quoted) -> Self {
        let subscription_id = match quoted.asked {
            ItemRequest::Add { .. } => None,
            ItemRequest::Change(SubscriptionChange { subscription_id, .. }) => Some(subscription_id),
        };
        let Quoted { asked, charges, proration, .. } = quoted;
        let Told { action, plan, quantity, addons } = asked.told();
        Self { action, plan, quantity, addons, subscription_id, charges, proration }
    }
}
