//! Orders that somebody above has to approve of. They are placed as all others are, with their quota reserved and their
//! prices agreed, and their work waits.

use std::time::Duration;

use super::orders;
use crate::domain::services::operations;
use crate::domain::{Error, Result, Work};
use crate::model::catalog::plans::Plan;
use crate::model::commerce::approvals::{Approval, ApprovalReason, OrderLimit};
use crate::model::commerce::orders::{Order, OrderStatus};
use crate::model::events::events::EventType;
use crate::model::ids::{AccountId, OrderId};
use crate::model::money::Money;
use crate::model::scopes::Scope;
use crate::model::{Actor, Json, Path, Precondition};
use crate::store;

/// For how long somebody has to say something.
pub(super) const WAITS: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// An account that wants to approve of an order, and why.
#[derive(Debug, Clone)]
pub(super) struct Demand {
    account_id: AccountId,
    path: Path,
    reason: ApprovalReason,
}

impl Demand {
    /// That of the plan's owner.
    pub fn of_plan(plan: &Plan) -> Option<Self> {
        plan.terms.requires_approval.then(|| Self {
            account_id: plan.account_id,
            path: plan.path.clone(),
            reason: ApprovalReason::Plan,
        })
    }
}

/// What the accounts above a buyer demand of an order that costs so much at first.
pub(super) async fn demanded(work: &mut Work, buyer: &Path, spent: &[Option<Money>]) -> Result<Vec<Demand>> {
    let policies = store::commerce::orders::policies(&mut work.tx, buyer).await?;
    let mut demands = Vec::new();
    for (account_id, path, Json(policy)) in policies {
        let mut demand = |reason| demands.push(Demand { account_id, path: path.clone(), reason });
        if policy.approval {
            demand(ApprovalReason::Account);
        }
        if policy.approval_above.is_some_and(|most| is_above(spent, most)) {
            demand(ApprovalReason::Amount);
        }
    }
    Ok(demands)
}

fn is_above(spent: &[Option<Money>], most: OrderLimit) -> bool {
    let priced = || spent.iter().flatten();
    let sum = priced().fold(0_i64, |sum, money| sum.saturating_add(money.amount));
    sum > most.amount || priced().any(|money| money.currency != most.currency)
}

/// The approval that an order waits for, once whoever places it has been heard: from the highest of those who want it.
pub(super) fn awaited(actor: &Actor, demands: Vec<Demand>) -> Option<Approval> {
    let said = |demand: &Demand| actor.has(Scope::OrdersApprove) && actor.principal_path.covers(&demand.path);
    let left: Vec<_> = demands.into_iter().filter(|demand| !said(demand)).collect();
    let required_by = left.iter().min_by_key(|demand| demand.path.depth())?.account_id;
    let mut reasons: Vec<_> = left.into_iter().map(|demand| demand.reason).collect();
    reasons.sort_by_key(|reason| place(*reason));
    reasons.dedup();
    Some(Approval { required_by, reasons, decided_at: None, note: None })
}

fn place(reason: ApprovalReason) -> Option<usize> {
    ApprovalReason::ALL.iter().position(|known| *known == reason)
}

/// Lets the work on an order begin. One that was approved already stays as it is.
pub async fn approve(
    work: &mut Work,
    actor: &Actor,
    id: OrderId,
    note: Option<String>,
    expected: &Precondition,
) -> Result<Order> {
    let order = orders::find(work, id, expected).await?;
    let is_approved = order.approval.as_ref().is_some_and(|approval| approval.decided_at.is_some());
    if is_approved && order.status != OrderStatus::Rejected {
        return Ok(order);
    }
    let mut order = decided(work, actor, order, note, "An approval").await?;
    let operation = order.operation_id.ok_or(Error::Busy)?;
    order.status = OrderStatus::Queued;
    operations::release(work, operation).await?;
    orders::write(work, order, EventType::OrderApproved).await
}

/// Ends an order that waits; its quota is free again.
pub async fn reject(
    work: &mut Work,
    actor: &Actor,
    id: OrderId,
    note: Option<String>,
    expected: &Precondition,
) -> Result<Order> {
    let order = orders::find(work, id, expected).await?;
    if order.status == OrderStatus::Rejected {
        return Ok(order);
    }
    let order = decided(work, actor, order, note, "A rejection").await?;
    orders::call_off(work, order, OrderStatus::Rejected, EventType::OrderRejected).await
}

/// Ends what nobody has said anything of in time; says how many there were.
pub async fn turn_the_clock(work: &mut Work, limit: i64) -> Result<usize> {
    let overdue = store::commerce::orders::overdue(&mut work.tx, work.now, limit).await?;
    let mut turned = 0;
    for order in overdue {
        match orders::call_off(work, order, OrderStatus::Expired, EventType::OrderExpired).await {
            Ok(_) => turned += 1,
            // Another replica has been here, or somebody who decided.
            Err(Error::Busy) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(turned)
}

/// The order with what the caller says of it, who must stand at the account that wants to be asked or above. Where the order
/// stands below that one no more, whoever stands above it may say it.
async fn decided(
    work: &mut Work,
    actor: &Actor,
    order: Order,
    note: Option<String>,
    action: &'static str,
) -> Result<Order> {
    let waiting = order.approval.clone().filter(|_| order.status == OrderStatus::PendingApproval);
    let Some(Json(approval)) = waiting else {
        let current = order.status.to_string();
        return Err(Error::State { current, action, allowed: Vec::new() });
    };
    let asking = store::accounts::accounts::find(&mut work.tx, approval.required_by).await?;
    // Whoever sees an account that stands above the order stands there or above.
    let is_above = asking.is_some_and(|asking| asking.path.covers(&order.path));
    let may = is_above
        || actor.principal_path.depth() < order.path.depth()
            && is_elsewhere(work, &order, approval.required_by).await?;
    if !may {
        let current = "waiting for an account further above".into();
        return Err(Error::State { current, action, allowed: Vec::new() });
    }
    let approval = Approval { decided_at: Some(work.now), note, ..approval };
    Ok(Order { approval: Some(Json(approval)), approval_due: None, ..order })
}

/// Whether the account that wanted to be asked no longer stands above the order.
async fn is_elsewhere(work: &mut Work, order: &Order, account: AccountId) -> Result<bool> {
    let asking = store::accounts::accounts::itself(&mut work.tx, account).await?;
    Ok(asking.is_none_or(|asking| !asking.path.covers(&order.path)))
}
