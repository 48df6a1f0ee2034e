//! Holds that were placed by accounts which are left behind, where what they are on comes to stand elsewhere.

use super::holds;
use crate::domain::{Result, Work};
use crate::model::Path;
use crate::model::accounts::accounts::AccountType;
use crate::model::ids::AccountId;
use crate::model::services::holds::{Hold, HoldStatus};
use crate::store;

/// In whose hands holds come to be.
#[derive(Debug, Clone)]
pub struct Keeper {
    pub id: AccountId,
    pub path: Path,
    pub account_type: AccountType,
}

/// Makes the holds the keeper's, so that somebody can lift them; of several equal ones the first, and none that equals one
/// of `known`, which the keeper has placed himself. Why they were placed was told to nobody else.
pub async fn hand_over(work: &mut Work, placed: Vec<Hold>, known: &[Hold], to: &Keeper) -> Result<()> {
    let says = |hold: &Hold| (hold.target.clone(), hold.reason_class, hold.effect);
    let active = |hold: &&Hold| hold.status == HoldStatus::Active;
    let mut seen: Vec<_> = known.iter().filter(active).map(says).collect();
    for hold in placed {
        if hold.status == HoldStatus::Active && seen.contains(&says(&hold)) {
            holds::end(work, &hold, HoldStatus::Released, None).await?;
            continue;
        }
        let by = (to.id, &to.path, to.account_type);
        store::services::holds::hand_over(&mut work.tx, hold.id, by, work.now).await?;
        if hold.status == HoldStatus::Active {
            seen.push(says(&hold));
        }
    }
    Ok(())
}
