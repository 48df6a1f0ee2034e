//! Moving an account, with all below it and all that belongs to them, below another account.

use super::accounts::{find, open};
use super::environments;
use crate::domain::services::handover::{self, Keeper};
use crate::domain::services::holds;
use crate::domain::{Error, Object, Result, Work, check_version, quotas};
use crate::model::accounts::accounts::{Account, Environment};
use crate::model::events::events::EventType;
use crate::model::ids::{AccountId, OperationId};
use crate::model::path::MAX_DEPTH;
use crate::model::{Actor, Path, Precondition};
use crate::store;
use crate::store::moves::{self, Places};
use crate::store::versions::Versioned;

/// An account where it stands now.
#[derive(Debug, Clone)]
pub struct Moved {
    pub account: Account,
    /// Brings the access of its services about, where other holds are in force above it than before.
    pub operation_id: Option<OperationId>,
}

/// Moves an account below another one; both, and the one it leaves, are in the caller's reach. From the commit on those
/// who stood above it alone reach nothing of it. What it draws is drawn from the levels of its new place; what of holds
/// those who are left behind had placed is in the hands of its new seller.
pub async fn below(
    work: &mut Work,
    actor: &Actor,
    id: AccountId,
    parent_id: AccountId,
    expected: &Precondition,
) -> Result<Moved> {
    moves::stop_writing(&mut work.tx).await?;
    let account = open(work, id).await?;
    check_version(work, Versioned::Account, id, account.version, expected).await?;
    let Some(left) = account.parent_id.filter(|_| id != actor.subject_id) else {
        return Err(Error::State {
            current: "the caller's own account".into(),
            action: "A move",
            allowed: Vec::new(),
        });
    };
    let left = find(&mut work.tx, left).await?;
    let parent = open(work, parent_id).await?;
    if parent.id == left.id {
        return Ok(Moved { account, operation_id: None });
    }
    check(work, &account, &parent).await?;

    let places = Places { from: account.path.clone(), to: parent.path.child(id) };
    let before = account.clone().seen_by(&left.path);
    let access = holds::access_at(&mut work.tx, &places.from).await?;
    relocate(work, actor, &places, &parent).await?;
    if account.environment == Environment::Live {
        let beside = Places { from: places.from.beside(), to: places.to.beside() };
        if let Some(common) = left.path.common(&parent.path) {
            environments::across(work, &common.beside(), async |work| {
                relocate(work, actor, &beside, &parent).await
            })
            .await?;
        }
    }
    moves::set_parent(&mut work.tx, id, parent.id, work.now).await?;
    let account = find(&mut work.tx, id).await?;

    let version = account.version;
    let view = account.clone().seen_by(&account.path);
    let object = Object::new(id, version, &view);
    work.event(EventType::AccountMoved, (id, &account.path), "account", object);
    let object = Object::new(id, version, &before);
    work.event(EventType::AccountMovedOut, (left.id, &left.path), "account", object);
    let operation_id = match holds::access_at(&mut work.tx, &account.path).await? == access {
        true => None,
        false => {
            let of = (id, &account.path);
            Some(holds::follow(work, &actor.request_id.to_string(), id.to_string(), of).await?)
        }
    };
    Ok(Moved { account, operation_id })
}

/// Whether the account may stand there.
async fn check(work: &mut Work, account: &Account, parent: &Account) -> Result<()> {
    let refused = |code, detail: String| Err(Error::invalid("/parent_id", code, detail));
    if account.path.covers(&parent.path) {
        return refused("below_itself", "an account cannot stand below itself".into());
    }
    if account.environment != parent.environment {
        let detail = "An account stays on its side: live below live ones, test below test ones.";
        return Err(Error::EnvironmentMismatch(detail.into()));
    }
    if !parent.account_type.may_hold(account.account_type) {
        let (own, above) = (account.account_type, parent.account_type);
        return refused("not_allowed_here", format!("a {own} cannot stand directly below a {above}"));
    }
    let deepest = parent.path.depth() + moves::depth_below(&mut work.tx, &account.path).await?;
    if deepest > MAX_DEPTH {
        return refused("too_deep", format!("the tree is at most {MAX_DEPTH} accounts deep"));
    }
    Ok(())
}

/// Moves what stands at and below a place on one side of the tree.
async fn relocate(work: &mut Work, actor: &Actor, places: &Places, parent: &Account) -> Result<()> {
    let above = |path: &Path| path.upwards().skip(1).collect::<Vec<_>>();
    let kept = above(&places.to);
    let left: Vec<_> = above(&places.from).into_iter().filter(|path| !kept.contains(path)).collect();
    quotas::moved(work, actor, places).await?;
    hand_over(work, places, &left, parent).await?;
    let common = places.from.common(&places.to).map_or(0, |path| path.depth());
    moves::hand_over_cancellations(&mut work.tx, places, common).await?;
    let names = moves::at(&mut work.tx, &left).await?;
    moves::forget_names(&mut work.tx, &places.from, &names).await?;
    moves::rewrite(&mut work.tx, places).await?;
    Ok(())
}

/// Makes holds of those who are left behind the new seller's.
async fn hand_over(work: &mut Work, places: &Places, left: &[Path], parent: &Account) -> Result<()> {
    let above = places.to.upwards().nth(1).unwrap_or_else(|| parent.path.clone());
    let placed = store::services::holds::placed_from(&mut work.tx, &places.from, left).await?;
    let known =
        store::services::holds::placed_from(&mut work.tx, &places.from, std::slice::from_ref(&above)).await?;
    let keeper = Keeper { id: parent.id, path: above, account_type: parent.account_type };
    handover::hand_over(work, placed, &known, &keeper).await
}
