//! What becomes of quota when an account moves, or a subscription comes to be another account's: all that is drawn from the
//! levels above is given back there, and taken from the levels above the new place.

use std::collections::{BTreeMap, BTreeSet};

use super::ceilings::{drawn, drawn_below};
use super::chain::{Chain, accounts_up};
use super::charges::{sort_upwards, violation};
use crate::domain::{Error, Result, Work};
use crate::model::ids::SubscriptionId;
use crate::model::quotas::{QuotaKey, Taken};
use crate::model::services::operations::OperationStatus;
use crate::model::{Actor, Path, Subtree};
use crate::store;
use crate::store::moves::Places;
use crate::store::quotas::quotas::Shift;

/// Moves what the account at `places.from` draws to the levels above `places.to`, and with it what its operations have
/// reserved; refuses the move where one of those levels has not so much left. Nothing else may move counters meanwhile.
pub async fn moved(work: &mut Work, actor: &Actor, places: &Places) -> Result<()> {
    let inside = Subtree::of(&places.from);
    let (from, to) = (inside.from(), inside.to());
    let rows = store::quotas::quotas::between(&mut work.tx, from, to).await?;
    let operations = store::services::operations::reserving(&mut work.tx, from, to).await?;
    let reserving = operations.iter().flat_map(|operation| operation.reserved.iter());
    let keys: BTreeSet<_> = rows.iter().map(|row| row.key).chain(reserving.map(|taken| taken.key)).collect();
    let keys: Vec<_> = keys.into_iter().collect();
    let before = Chain::above(&mut work.tx, &places.from, &keys).await?;
    let after = Chain::above(&mut work.tx, &places.to, &keys).await?;

    let in_flight: Vec<_> = operations
        .iter()
        .filter(|operation| operation.status != OperationStatus::Failed)
        .flat_map(|operation| operation.reserved.0.clone())
        .collect();
    let mut moved = Shifts::new();
    for &key in &keys {
        let own = rows.iter().find(|row| row.holder == places.from.as_str() && row.key == key);
        let (used, reserved) = match own {
            Some(row) => drawn(Some(row), row.used, row.reserved),
            None => drawn_below(&rows, &in_flight, &places.from, key),
        };
        shift(&mut moved, [&before, &after], key, (used, reserved));
    }
    take(work, actor, moved).await?;

    for operation in operations.iter().filter(|operation| !operation.reserved.is_empty()) {
        let taken = taken_elsewhere(&operation.reserved, places, &after);
        store::services::operations::set_reserved(&mut work.tx, operation.id, &taken).await?;
    }
    Ok(())
}

/// Gives back what a subscription draws from the account at one place and those above, and takes it at another.
pub async fn handed_over(work: &mut Work, actor: &Actor, id: SubscriptionId, places: &Places) -> Result<()> {
    let rows = store::quotas::quotas::of_holder(&mut work.tx, &id.to_string()).await?;
    let keys: Vec<_> = rows.iter().map(|row| row.key).collect();
    let before = Chain::of(&mut work.tx, accounts_up(&places.from), &keys).await?;
    let after = Chain::of(&mut work.tx, accounts_up(&places.to), &keys).await?;
    let mut moved = Shifts::new();
    for row in &rows {
        shift(&mut moved, [&before, &after], row.key, drawn(Some(row), row.used, row.reserved));
    }
    take(work, actor, moved).await
}

/// How counters move: used, and reserved.
type Shifts = BTreeMap<(String, QuotaKey), (i64, i64)>;

/// What is drawn is given back to the levels of before and taken from those of after.
fn shift(moved: &mut Shifts, [before, after]: [&Chain; 2], key: QuotaKey, (used, reserved): (i64, i64)) {
    for (chain, sign) in [(before, -1), (after, 1)] {
        for holder in chain.levels(key).filter(|holder| chain.row(holder, key).is_some()) {
            let level = moved.entry((holder.clone(), key)).or_default();
            *level = (level.0 + sign * used, level.1 + sign * reserved);
        }
    }
}

/// Moves the counters, unless a ceiling would be passed by more being taken.
async fn take(work: &mut Work, actor: &Actor, moved: Shifts) -> Result<()> {
    let shift = |((holder, key), (used, reserved))| Shift { holder, key, used, reserved };
    let mut shifts: Vec<_> = moved.into_iter().filter(|(_, more)| *more != (0, 0)).map(shift).collect();
    sort_upwards(&mut shifts);
    let rows = store::quotas::quotas::shift(&mut work.tx, &shifts, work.now).await?;
    let violations: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            let shift = shifts.iter().find(|shift| shift.holder == row.holder && shift.key == row.key)?;
            let more = shift.used + shift.reserved;
            let passed = more > 0 && row.used + row.reserved > row.ceiling;
            passed.then(|| violation(row, more, Some(actor)))
        })
        .collect();
    match violations.is_empty() {
        true => Ok(()),
        false => Err(Error::QuotaExceeded { violations, remedies: Vec::new() }),
    }
}

/// What an operation took, level by level, as if it had begun where the account stands from now on.
fn taken_elsewhere(taken: &[Taken], places: &Places, after: &Chain) -> Vec<Taken> {
    let parent = places.from.parent_text();
    let mut now = Vec::new();
    for one in taken {
        match one.holder.parse::<Path>() {
            // A subscription's.
            Err(_) => now.push(one.clone()),
            Ok(path) => now.extend(
                path.moved(&places.from, &places.to)
                    .map(|path| Taken { holder: path.to_string(), ..one.clone() }),
            ),
        }
    }
    for one in taken.iter().filter(|one| Some(one.holder.as_str()) == parent) {
        now.extend(after.levels(one.key).map(|holder| Taken { holder: holder.clone(), ..one.clone() }));
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::AccountId;
    use crate::model::quotas::{Mode, Quota};

    fn row(path: &Path, mode: Mode) -> Quota {
        Quota {
            holder: path.to_string(),
            key: QuotaKey::MailMailboxes,
            account_id: AccountId::new(),
            path: path.clone(),
            mode,
            ceiling: 9,
            used: 0,
            reserved: 0,
            updated_at: crate::model::Time::EPOCH,
        }
    }

    #[test]
    fn what_an_operation_took_is_taken_up_to_the_first_allocated_ceiling_of_the_new_place() {
        let root = Path::root(AccountId::new());
        let [one, other] = [(); 2].map(|()| root.child(AccountId::new()));
        let tenant = AccountId::new();
        let places = Places { from: one.child(tenant), to: other.child(tenant) };
        let chain = |rows: Vec<Quota>| Chain { holders: accounts_up(&other), rows };
        let taken = |holders: &[&str]| -> Vec<Taken> {
            let taken = |holder: &&str| Taken {
                holder: (*holder).to_owned(),
                key: QuotaKey::MailMailboxes,
                amount: 5,
            };
            holders.iter().map(taken).collect()
        };
        let (from, to) = (places.from.as_str(), places.to.as_str());
        let whole = taken(&["sub_1", from, one.as_str(), root.as_str()]);
        let open = chain(vec![row(&other, Mode::Shared)]);
        assert_eq!(
            taken_elsewhere(&whole, &places, &open),
            taken(&["sub_1", to, other.as_str(), root.as_str()])
        );
        let bounded = chain(vec![row(&other, Mode::Allocated), row(&root, Mode::Shared)]);
        assert_eq!(taken_elsewhere(&whole, &places, &bounded), taken(&["sub_1", to, other.as_str()]));
        // What an allocated ceiling of its own bounds never went above, and does not now.
        assert_eq!(taken_elsewhere(&taken(&["sub_1", from]), &places, &open), taken(&["sub_1", to]));
    }
}
