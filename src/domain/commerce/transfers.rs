//! Subscriptions that come to be another account's.

use super::subscriptions::{Turned, look_up, named, recorded, refused};
use crate::domain::accounts::accounts::open;
use crate::domain::services::handover::{self, Keeper};
use crate::domain::services::holds;
use crate::domain::{Error, Object, Result, Work, quotas};
use crate::model::accounts::accounts::{Account, AccountType};
use crate::model::commerce::subscriptions::Subscription;
use crate::model::events::events::EventType;
use crate::model::ids::{AccountId, ServiceId, SubscriptionId};
use crate::model::{Actor, Path, Precondition};
use crate::store;
use crate::store::commerce::transfers::Gift;
use crate::store::moves::{self, Places};

/// Gives a subscription, with its services and what is in them, to another account; both are in the caller's reach. It keeps
/// its plan, its price and its course. What it draws is drawn from the new account and those above it; what of holds those who
/// are left behind had placed is in the hands of its new seller.
pub async fn transfer(
    work: &mut Work,
    actor: &Actor,
    id: SubscriptionId,
    to: AccountId,
    expected: &Precondition,
) -> Result<Turned> {
    // What is not there stops nobody.
    look_up(work, id).await?;
    open(work, to).await?;
    moves::stop_writing(&mut work.tx).await?;
    let found = named(work, id, expected).await?;
    let account = open(work, to).await?;
    if account.id == found.account_id {
        return Ok(Turned::unchanged(found));
    }
    check(work, &found, &account).await?;
    let places = Places { from: found.path.clone(), to: account.path.clone() };
    let kept: Vec<_> = places.to.upwards().collect();
    let left: Vec<_> = places.from.upwards().filter(|path| !kept.contains(path)).collect();
    check_holds(work, actor, &left).await?;
    let services = store::services::services::of_subscription(&mut work.tx, id).await?;
    let services: Vec<_> = services.into_iter().map(|service| service.id).collect();
    if let Some(operation) =
        store::commerce::transfers::in_flight(&mut work.tx, &found.path, &services).await?
    {
        return Err(Error::OperationInProgress(operation));
    }

    quotas::handed_over(work, actor, id, &places).await?;
    hand_over(work, &found, &services, &left, &account).await?;
    let names = moves::at(&mut work.tx, &left).await?;
    let order = store::commerce::orders::find(&mut work.tx, found.order_id).await?;
    let keeps_name = order.is_some_and(|order| !names.contains(&order.placed_by));
    store::commerce::transfers::forget_names(&mut work.tx, &services, &names).await?;
    store::commerce::transfers::forget_failures(&mut work.tx, &found.path, &services).await?;
    let cancelled_above = found.cancelled_above.map(|above| cancelled_above(above, &places));
    let (services, path) = (services.as_slice(), &account.path);
    let gift = Gift { subscription: id, services, to, path, cancelled_above, keeps_name };
    store::commerce::transfers::give(&mut work.tx, gift, work.now).await?;

    let first = work.place();
    // Also where access stays what it was: work for all that the former account has may have passed it by.
    let of = (account.id, &account.path);
    let operation = holds::follow(work, &actor.request_id.to_string(), id.to_string(), of).await?;
    let subscription = look_up(work, id).await?;
    // Whose it was is for those to know who stand above both.
    recorded(work, EventType::SubscriptionTransferred, &subscription, None);
    work.tell_at(first);
    let view = found.clone().seen_at(work.now);
    let object = Object::new(id, subscription.version, &view);
    let from = (found.account_id, &found.path);
    work.event(EventType::SubscriptionTransferredOut, from, "subscription", object);
    Ok(Turned { subscription, operation_id: Some(operation) })
}

async fn check(work: &mut Work, found: &Subscription, account: &Account) -> Result<()> {
    if !found.runs() && !found.has_ended() {
        return Err(refused(found, "A transfer", &[]));
    }
    if account.account_type == AccountType::Agent {
        let detail = "an agent has no services of its own";
        return Err(Error::invalid("/account_id", "not_allowed_here", detail));
    }
    let from = store::accounts::accounts::find(&mut work.tx, found.account_id).await?;
    match from.ok_or(Error::AccountNotFound)?.environment == account.environment {
        true => Ok(()),
        false => {
            let detail = "A subscription stays on its side: live in live accounts, test in test ones.";
            Err(Error::EnvironmentMismatch(detail.into()))
        }
    }
}

/// Refuses to take a subscription out of the hold on an account that is left behind, unless the caller could lift it.
async fn check_holds(work: &mut Work, actor: &Actor, left: &[Path]) -> Result<()> {
    let targets: Vec<_> = left.iter().map(ToString::to_string).collect();
    let holds = store::services::holds::in_force(&mut work.tx, &targets).await?;
    match holds.iter().all(|hold| actor.principal_path.covers(&hold.placed_by_path)) {
        true => Ok(()),
        false => {
            let current = "held with its account by an account above".into();
            Err(Error::State { current, action: "A transfer", allowed: Vec::new() })
        }
    }
}

/// Makes holds of those who are left behind the new seller's, and what its account had placed itself its new account's.
async fn hand_over(
    work: &mut Work,
    of: &Subscription,
    services: &[ServiceId],
    left: &[Path],
    account: &Account,
) -> Result<()> {
    let on_it = |target: &str| {
        target == of.id.to_string() || services.iter().any(|service| service.to_string() == target)
    };
    let seller = match account.parent_id {
        Some(parent) => store::accounts::accounts::find(&mut work.tx, parent).await?,
        None => None,
    };
    let keeper = |of: &Account| Keeper { id: of.id, path: of.path.clone(), account_type: of.account_type };
    let own = keeper(account);
    let seller = seller.as_ref().map_or_else(|| own.clone(), keeper);
    let (own_places, sellers): (Vec<_>, Vec<_>) = left.iter().cloned().partition(|path| *path == of.path);
    for (places, to) in [(own_places, own), (sellers, seller)] {
        let placed = store::services::holds::placed_from(&mut work.tx, &of.path, &places).await?;
        let known =
            store::services::holds::placed_from(&mut work.tx, &of.path, std::slice::from_ref(&to.path))
                .await?;
        let placed = placed.into_iter().filter(|hold| on_it(&hold.target)).collect();
        handover::hand_over(work, placed, &known, &to).await?;
    }
    Ok(())
}

/// How many levels above its new account a subscription was cancelled from: whoever did it and stands above both has his say
/// still, in place of its former account stands its new one, and its new seller in place of all others; nobody, where the new
/// account stood above them.
fn cancelled_above(above: i64, places: &Places) -> i64 {
    let levels = |path: &Path| i64::try_from(path.depth()).unwrap_or(i64::MAX);
    let common = places.from.common(&places.to).map_or(0, |path| levels(&path));
    match levels(&places.from) - above {
        by if by <= common => levels(&places.to) - by,
        _ if above == 0 || places.to.covers(&places.from) => 0,
        _ => 1.min(levels(&places.to) - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cancelled_keeps_his_say_where_he_stands_above_the_new_account_too() {
        let root = Path::root(AccountId::new());
        let [one, other] = [(); 2].map(|()| root.child(AccountId::new()));
        let [from, deep] = [one.child(AccountId::new()), other.child(AccountId::new())];
        let to = deep.child(AccountId::new());
        let places = Places { from, to };
        // By its account, by its seller, by the operator.
        assert_eq!([0, 1, 2].map(|above| cancelled_above(above, &places)), [0, 1, 3]);
        let up = Places { from: places.to.clone(), to: other };
        assert_eq!([0, 1, 2, 3].map(|above| cancelled_above(above, &up)), [0, 0, 0, 1]);
        let top = Places { from: up.from, to: root };
        assert_eq!([0, 1, 2, 3].map(|above| cancelled_above(above, &top)), [0; 4]);
    }
}
