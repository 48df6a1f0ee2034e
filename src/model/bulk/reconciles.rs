use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::BatchMethod;
use crate::model::commerce::subscriptions::{Subscription, SubscriptionStatus};
use crate::model::ids::{AccountId, ReconcileRunId, SubscriptionId};
use crate::model::services::Access;
use crate::model::{Json, Path, Time};
use crate::stored_as_text;

stored_as_text! {
    /// Where a reconcile run stands.
    pub enum ReconcileStatus {
        /// It takes rows.
        Open = "open",
        Comparing = "comparing",
        Compared = "compared",
    }
}

stored_as_text! {
    /// How somebody believes that a subscription is.
    pub enum BelievedStatus {
        Active = "active",
        /// It is not to be used until something is paid.
        Suspended = "suspended",
        Ended = "ended",
    }
}

stored_as_text! {
    /// In what a belief and what is differ.
    pub enum DifferenceKind {
        /// It is said to be there, and there is none of this name.
        Unknown = "unknown",
        /// There are several of this name.
        Ambiguous = "ambiguous",
        /// It runs, and no row was of it.
        NotListed = "not_listed",
        /// It is said to have ended, and runs.
        Ended = "ended",
        Status = "status",
        Plan = "plan",
        Quantity = "quantity",
    }
}

/// What somebody believes of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReconcileRow)]
pub struct Believed {
    /// The subscription's `external_id` or identifier.
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+( [!-~]+)*$", example = "service-1001")]
    pub subscription: String,
    pub status: BelievedStatus,
    /// The plan's code or identifier; it is not compared if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64, nullable = false, example = "hosted-mail")]
    pub plan: Option<String>,
    /// It is not compared if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000, nullable = false, example = 5)]
    pub quantity: Option<i64>,
}

/// A request that brings about what is believed, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ReconcileRepair)]
pub struct Repair {
    pub method: BatchMethod,
    #[schema(example = "/v1/subscriptions/sub_01jq3v8z0kf5n9d2t7x4m6c1ab/suspend")]
    pub path: String,
    #[schema(value_type = Object)]
    pub body: Value,
}

impl Repair {
    fn post(of: SubscriptionId, verb: &str, body: Value) -> Self {
        Self { method: BatchMethod::Post, path: format!("/v1/subscriptions/{of}/{verb}"), body }
    }
}

/// One thing in which a belief and what is differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differs {
    pub kind: DifferenceKind,
    pub repair: Option<Repair>,
}

/// By whom a subscription is suspended for payment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unpaid {
    /// By the believer, itself.
    pub own: bool,
    /// By the believer, with the account it is of or one above.
    pub own_above: bool,
    /// By somebody else, itself.
    pub others: bool,
}

impl Believed {
    /// Where the belief differs from what is. To lift what others have placed, or for other reasons than payment, is no repair.
    pub fn differs(&self, ours: &Subscription, unpaid: Unpaid) -> Vec<Differs> {
        let suspended = ours.access() == Access::Suspended;
        let post = |verb, body| Some(Repair::post(ours.id, verb, body));
        let one = |kind, repair| vec![Differs { kind, repair }];
        let payment = json!({"reason_code": "payment"});
        let mut differs = match (self.status, ours.standing()) {
            (BelievedStatus::Ended, SubscriptionStatus::Cancelled | SubscriptionStatus::Expired) => {
                return Vec::new();
            }
            // Its end is agreed on already, or it has not begun.
            (BelievedStatus::Ended, SubscriptionStatus::Cancelling | SubscriptionStatus::Pending) => {
                return one(DifferenceKind::Ended, None);
            }
            (BelievedStatus::Ended, _) => {
                return one(DifferenceKind::Ended, post("cancel", json!({"when": "now"})));
            }
            _ if !ours.runs() => return one(DifferenceKind::Status, None),
            (BelievedStatus::Active, _) if suspended => {
                let is_its_own = unpaid.own && !unpaid.others;
                one(DifferenceKind::Status, post("resume", payment).filter(|_| is_its_own))
            }
            (BelievedStatus::Suspended, _) if !unpaid.own && !unpaid.own_above => {
                one(DifferenceKind::Status, post("suspend", payment))
            }
            _ => Vec::new(),
        };
        if let Some(plan) = &self.plan
            && *plan != ours.plan_code
            && *plan != ours.plan_id.to_string()
        {
            let repair = post("change_plan", json!({"plan": plan}));
            differs.push(Differs { kind: DifferenceKind::Plan, repair });
        }
        if let Some(quantity) = self.quantity.filter(|quantity| *quantity != ours.quantity) {
            let repair = post("change_quantity", json!({"quantity": quantity}));
            differs.push(Differs { kind: DifferenceKind::Quantity, repair });
        }
        differs
    }
}

/// What of a subscription is compared, as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ReconcileOurs)]
pub struct Ours {
    pub status: SubscriptionStatus,
    pub access: Access,
    pub plan: String,
    pub quantity: i64,
}

impl From<&Subscription> for Ours {
    fn from(of: &Subscription) -> Self {
        let (plan, quantity) = (of.plan_code.clone(), of.quantity);
        Self { status: of.standing(), access: of.access(), plan, quantity }
    }
}

/// How much came of a comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ReconcileCounts)]
pub struct Counts {
    /// Rows that are as they are believed to be.
    pub equal: i64,
    pub unknown: i64,
    pub ambiguous: i64,
    pub not_listed: i64,
    pub ended: i64,
    pub status: i64,
    pub plan: i64,
    pub quantity: i64,
}

impl Counts {
    pub fn add(&mut self, kind: DifferenceKind) {
        *match kind {
            DifferenceKind::Unknown => &mut self.unknown,
            DifferenceKind::Ambiguous => &mut self.ambiguous,
            DifferenceKind::NotListed => &mut self.not_listed,
            DifferenceKind::Ended => &mut self.ended,
            DifferenceKind::Status => &mut self.status,
            DifferenceKind::Plan => &mut self.plan,
            DifferenceKind::Quantity => &mut self.quantity,
        } += 1;
    }

    /// How many differences there are.
    pub fn differences(&self) -> i64 {
        self.unknown + self.ambiguous + self.not_listed + self.ended + self.status + self.plan + self.quantity
    }
}

/// How far a comparison has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// The rows are looked at, those after this name.
    Rows(String),
    /// The subscriptions are looked at, those after this one.
    Subscriptions(Option<(Path, SubscriptionId)>),
    /// The rows are no longer needed.
    Tidying,
}

/// A reconcile run's row.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct ReconcileRun {
    pub id: ReconcileRunId,
    pub account_id: AccountId,
    pub path: Path,
    /// The subscriptions at and below this account are compared.
    pub compared_id: AccountId,
    pub principal_id: AccountId,
    pub status: ReconcileStatus,
    pub row_count: i64,
    pub counts: Json<Counts>,
    pub progress: Json<Progress>,
    pub fence: i64,
    pub version: i64,
    pub created_at: Time,
    pub compared_at: Option<Time>,
    pub updated_at: Time,
}

/// A reconcile run as callers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ReconcileRun)]
pub struct ReconcileRunView {
    pub id: ReconcileRunId,
    /// The subscriptions at and below this account are compared.
    pub account_id: AccountId,
    pub status: ReconcileStatus,
    /// How many subscriptions rows were sent of.
    pub rows: i64,
    /// What the comparison has come to so far.
    pub counts: Counts,
    pub created_at: Time,
    pub compared_at: Option<Time>,
    pub updated_at: Time,
}

impl From<ReconcileRun> for ReconcileRunView {
    fn from(run: ReconcileRun) -> Self {
        Self {
            id: run.id,
            account_id: run.compared_id,
            status: run.status,
            rows: run.row_count,
            counts: run.counts.0,
            created_at: run.created_at,
            compared_at: run.compared_at,
            updated_at: run.updated_at,
        }
    }
}

/// A difference's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, crate::model::rows::Record)]
pub struct Difference {
    pub place: i64,
    pub kind: DifferenceKind,
    pub name: Option<String>,
    pub subscription_id: Option<SubscriptionId>,
    pub theirs: Option<Json<Believed>>,
    pub ours: Option<Json<Ours>>,
    pub repair: Option<Json<Repair>>,
}

/// A difference as callers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ReconcileDifference)]
pub struct DifferenceView {
    pub kind: DifferenceKind,
    /// As the row named it, or its `external_id` where there was no row.
    pub subscription: Option<String>,
    pub subscription_id: Option<SubscriptionId>,
    /// The row.
    pub theirs: Option<Believed>,
    /// What is.
    pub ours: Option<Ours>,
    /// The request that makes it as it is believed to be; `null` where somebody has to decide.
    pub repair: Option<Repair>,
}

impl From<Difference> for DifferenceView {
    fn from(difference: Difference) -> Self {
        Self {
            kind: difference.kind,
            subscription: difference.name,
            subscription_id: difference.subscription_id,
            theirs: difference.theirs.map(|Json(theirs)| theirs),
            ours: difference.ours.map(|Json(ours)| ours),
            repair: difference.repair.map(|Json(repair)| repair),
        }
    }
}
