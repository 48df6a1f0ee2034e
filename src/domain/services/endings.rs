//! The holds on subscriptions that have come to their end.

use super::holds::{On, bring_about, end, find, in_force, of_services, recorded};
use crate::domain::{Error, Result, Work};
use crate::model::commerce::course::Ending;
use crate::model::commerce::subscriptions::Subscription;
use crate::model::events::events::EventType;
use crate::model::ids::{HoldId, OperationId};
use crate::model::services::holds::{Effect, Hold, HoldStatus, ReasonClass};
use crate::store;

/// Holds what is in a subscription because of its end, in its account's own name. Tells the work that brings it about.
pub(in crate::domain) async fn hold(
    work: &mut Work,
    request_id: &str,
    of: &Subscription,
    ending: Ending,
) -> Result<OperationId> {
    let found = find(&mut work.tx, On::Subscription(of.id)).await?;
    let account = store::accounts::accounts::find(&mut work.tx, of.account_id).await?;
    let account = account.ok_or(Error::AccountNotFound)?;
    let hold = Hold {
        id: HoldId::new(),
        account_id: of.account_id,
        path: of.path.clone(),
        target_type: found.target_type,
        target_id: found.id.clone(),
        target: found.id.clone(),
        status: HoldStatus::Active,
        effect: Effect::Suspend,
        reason_class: ReasonClass::Ended,
        reason_code: format!("{}.{ending}", ReasonClass::Ended),
        reason: None,
        placed_by: of.account_id,
        placed_by_path: of.path.clone(),
        placed_by_type: account.account_type,
        starts_at: None,
        expires_at: None,
        ended_at: None,
        ended_by: None,
        version: 1,
        created_at: work.now,
        updated_at: work.now,
    };
    if store::services::holds::insert(&mut work.tx, &hold).await? {
        recorded(work, EventType::HoldPlaced, &hold);
    }
    bring_about(work, request_id, &found).await
}

/// Lifts the hold of a subscription that runs again. Tells the work that brings the access about that the others leave.
pub(in crate::domain) async fn lift(
    work: &mut Work,
    request_id: &str,
    of: &Subscription,
    by: &str,
) -> Result<Option<OperationId>> {
    let found = find(&mut work.tx, On::Subscription(of.id)).await?;
    let before = in_force(work, &found).await?;
    let (ended, others): (Vec<_>, Vec<_>) = before
        .iter()
        .cloned()
        .partition(|hold| hold.reason_class == ReasonClass::Ended && hold.target == found.id);
    for hold in ended {
        end(work, &hold, HoldStatus::Released, Some(by)).await?;
    }
    match of_services(&others) == of_services(&before) {
        true => Ok(None),
        false => Ok(Some(bring_about(work, request_id, &found).await?)),
    }
}
