//! Counting anew what is taken, from what there is. Counters move with what they count, in the same transactions; a recount
//! is for what has come otherwise, by hand or by a fault.

use std::collections::{BTreeMap, BTreeSet};

use super::ceilings::{drawn, drawn_below};
use super::chain::{Chain, is_subscription};
use super::charges::sort_upwards;
use crate::domain::accounts::accounts;
use crate::domain::{Error, Object, Result, Work};
use crate::model::events::events::EventType;
use crate::model::ids::AccountId;
use crate::model::quotas::{Correction, Quota, QuotaKey, Recount, Taken};
use crate::model::services::operations::OperationStatus;
use crate::model::{Path, Subtree};
use crate::store;
use crate::store::quotas::quotas::Shift;

/// How many ceilings are counted at once: nobody else takes anything meanwhile.
const LARGEST: i64 = 10_000;

/// Counts what is taken of the ceilings at and below an account, and sets right what was not. What operations in flight have
/// taken is counted with their accounts; a subscription that one has taken of is left as it is.
pub async fn recount(work: &mut Work, id: AccountId) -> Result<Recount> {
    let account = accounts::find(&mut work.tx, id).await?;
    let inside = Subtree::of(&account.path);
    let (from, to) = (inside.from(), inside.to());
    if store::quotas::quotas::count_between(&mut work.tx, from, to, LARGEST + 1).await? > LARGEST {
        let detail =
            format!("has more than {LARGEST} ceilings at and below it: count accounts further below");
        return Err(Error::invalid("", "too_many", detail));
    }
    store::quotas::quotas::stop_all(&mut work.tx).await?;
    let before = store::quotas::quotas::between(&mut work.tx, from, to).await?;
    let operations = store::services::operations::reserving(&mut work.tx, from, to).await?;
    let in_flight: Vec<_> = operations
        .into_iter()
        .filter(|operation| operation.status != OperationStatus::Failed)
        .flat_map(|operation| operation.reserved.0)
        .collect();
    let skipped: BTreeSet<_> = in_flight
        .iter()
        .map(|taken| &taken.holder)
        .filter(|holder| is_subscription(holder))
        .cloned()
        .collect();
    let mut used: BTreeMap<(String, QuotaKey), i64> = BTreeMap::new();
    for (subscription, spec) in store::services::resources::specs_between(&mut work.tx, from, to).await? {
        for (key, amount) in spec.takes() {
            *used.entry((subscription.to_string(), key)).or_default() += amount;
        }
    }
    let mut after = before.clone();
    for row in after.iter_mut().filter(|row| is_subscription(&row.holder) && !skipped.contains(&row.holder)) {
        let counted = used.get(&(row.holder.clone(), row.key)).copied().unwrap_or_default();
        (row.used, row.reserved) = (counted, 0);
    }
    recount_accounts(&mut after, &in_flight);

    let corrections: Vec<_> = before.iter().zip(&after).filter_map(|(was, is)| correction(was, is)).collect();
    let mut shifts: Vec<_> = before
        .iter()
        .zip(&after)
        .map(|(was, is)| shift(was.holder.clone(), was.key, taken(was), taken(is)))
        .collect();
    shifts.extend(above(work, &account.path, &before, &after, &in_flight).await?);
    shifts.retain(|shift| (shift.used, shift.reserved) != (0, 0));
    sort_upwards(&mut shifts);
    store::quotas::quotas::shift(&mut work.tx, &shifts, work.now).await?;
    let recount = Recount { account_id: account.id, corrections, skipped: skipped.into_iter().collect() };
    if !recount.corrections.is_empty() {
        let object = Object::new(account.id, work.now.as_micros(), &recount);
        work.event(EventType::QuotaRecounted, (account.id, &account.path), "account", object);
    }
    Ok(recount)
}

/// Counts the accounts' own counters, the deepest first: each is drawn from by those below it.
fn recount_accounts(rows: &mut [Quota], in_flight: &[Taken]) {
    let mut places: Vec<_> = (0..rows.len()).filter(|at| !is_subscription(&rows[*at].holder)).collect();
    places.sort_by_key(|at| std::cmp::Reverse(rows[*at].path.depth()));
    for at in places {
        let counted = drawn_below(rows, in_flight, &rows[at].path, rows[at].key);
        (rows[at].used, rows[at].reserved) = counted;
    }
}

fn taken(row: &Quota) -> (i64, i64) {
    (row.used, row.reserved)
}

fn shift(holder: String, key: QuotaKey, was: (i64, i64), is: (i64, i64)) -> Shift {
    Shift { holder, key, used: is.0 - was.0, reserved: is.1 - was.1 }
}

fn correction(was: &Quota, is: &Quota) -> Option<Correction> {
    (taken(was) != taken(is)).then(|| Correction {
        holder: was.owner(),
        key: was.key,
        used_before: was.used,
        reserved_before: was.reserved,
        used: is.used,
        reserved: is.reserved,
    })
}

/// How the levels above the account move with what it draws from them.
async fn above(
    work: &mut Work,
    place: &Path,
    before: &[Quota],
    after: &[Quota],
    in_flight: &[Taken],
) -> Result<Vec<Shift>> {
    let keys: BTreeSet<_> = before.iter().map(|row| row.key).collect();
    let keys: Vec<_> = keys.into_iter().collect();
    let chain = Chain::above(&mut work.tx, place, &keys).await?;
    let draws = |rows: &[Quota], key: QuotaKey| match rows
        .iter()
        .find(|row| row.holder == place.as_str() && row.key == key)
    {
        Some(row) => drawn(Some(row), row.used, row.reserved),
        None => drawn_below(rows, in_flight, place, key),
    };
    let mut shifts = Vec::new();
    for &key in &keys {
        let (was, is) = (draws(before, key), draws(after, key));
        let levels = chain.levels(key).filter(|holder| chain.row(holder, key).is_some());
        shifts.extend(levels.map(|holder| shift(holder.clone(), key, was, is)));
    }
    Ok(shifts)
}
