//! Taking quota and giving it back.
//!
//! A use-case says what it takes with [`charge`] or [`granted`], and what it gives back with [`release`],
//! [`free`] or [`give_back`]; the counters move in [`settle`], the last
//! statement of the transaction, which refuses when any level is passed. A statement that moves a counter
//! locks its row and gives its new value, so that no two transactions can both take the last unit.

use std::collections::BTreeMap;

use super::chain::{Chain, accounts_up, is_subscription};
use super::{remedies, requests};
use crate::domain::{Error, Result, Work};
use crate::model::Actor;
use crate::model::Path;
use crate::model::ids::SubscriptionId;
use crate::model::quotas::{Level, Mode, Quota, QuotaKey, Taken, Violation};
use crate::store;
use crate::store::quotas::quotas::Shift;

/// Something taken in this transaction.
#[derive(Debug, Clone)]
pub struct Charge {
    /// Of each key, leaf first.
    pub taken: Vec<Taken>,
    /// Whether it is used from now on, or reserved until an operation ends.
    at_once: bool,
    /// The modes the levels had when the charge was made up.
    modes: BTreeMap<(String, QuotaKey), Mode>,
    /// The subscription it is for, to name what would make room.
    pub subscription: Option<SubscriptionId>,
}

/// Takes from the accounts at and above `path` what a subscription of theirs is given to hold. The
/// reservation that comes back is to be kept with the operation that will commit or release it.
pub async fn granted(
    work: &mut Work,
    path: &Path,
    amounts: &[(QuotaKey, i64)],
    subscription: SubscriptionId,
    at_once: bool,
) -> Result<Vec<Taken>> {
    spread(work, accounts_up(path), amounts, subscription, at_once).await
}

/// Takes from a subscription what a resource in it uses, and, where the subscription shares its accounts'
/// quota, from them as well.
pub async fn charge(
    work: &mut Work,
    subscription: SubscriptionId,
    path: &Path,
    amounts: &[(QuotaKey, i64)],
) -> Result<Vec<Taken>> {
    let mut holders = vec![subscription.to_string()];
    holders.extend(accounts_up(path));
    spread(work, holders, amounts, subscription, false).await
}

/// Each key goes up from the first holder to the first level whose ceiling was allocated from above.
async fn spread(
    work: &mut Work,
    holders: Vec<String>,
    amounts: &[(QuotaKey, i64)],
    subscription: SubscriptionId,
    at_once: bool,
) -> Result<Vec<Taken>> {
    let amounts: Vec<_> = amounts.iter().copied().filter(|(_, amount)| *amount != 0).collect();
    if amounts.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<_> = amounts.iter().map(|(key, _)| *key).collect();
    let chain = Chain::of(&mut work.tx, holders, &keys).await?;
    let modes = chain.rows.iter().map(|row| ((row.holder.clone(), row.key), row.mode)).collect();
    let of = |(key, amount): (QuotaKey, i64)| {
        chain.levels(key).map(move |holder| Taken { holder: holder.clone(), key, amount })
    };
    let taken: Vec<_> = amounts.into_iter().flat_map(of).collect();
    let subscription = Some(subscription);
    work.charges.push(Charge { taken: taken.clone(), at_once, modes, subscription });
    Ok(taken)
}

/// Moves the counters for all that was charged, or refuses the whole.
pub(in crate::domain) async fn settle(work: &mut Work, actor: Option<&Actor>) -> Result<()> {
    let charges = std::mem::take(&mut work.charges);
    let mut shifts = std::mem::take(&mut work.shifts);
    if charges.is_empty() && shifts.is_empty() {
        return Ok(());
    }
    let mut asked = Asked::new();
    for charge in &charges {
        for taken in &charge.taken {
            *asked.entry((taken.holder.clone(), taken.key)).or_default() += taken.amount;
            let (used, reserved) = if charge.at_once { (taken.amount, 0) } else { (0, taken.amount) };
            merge(&mut shifts, Shift { holder: taken.holder.clone(), key: taken.key, used, reserved });
        }
    }
    sort_upwards(&mut shifts);
    let rows = store::quotas::quotas::shift(&mut work.tx, &shifts, work.now).await?;
    let moved_meanwhile = rows.iter().any(|row| {
        let place = (row.holder.clone(), row.key);
        charges.iter().any(|charge| charge.modes.get(&place).is_some_and(|mode| *mode != row.mode))
    });
    if moved_meanwhile {
        return Err(Error::Busy);
    }
    let violations = shortfalls(&asked, &rows, actor);
    if violations.is_empty() {
        return Ok(());
    }
    if actor.is_some_and(|actor| actor.is_public) {
        return Err(Error::PlanNotApplicable("no more of it can be had at the moment".into()));
    }
    let subscription = charges.iter().find_map(|charge| charge.subscription);
    let mut remedies = match (actor, subscription) {
        (Some(actor), Some(id)) => {
            // With what this transaction takes.
            let rows = store::quotas::quotas::of_holder(&mut work.tx, &id.to_string()).await?;
            remedies::find(&mut work.tx, actor, id, &rows, &violations).await?
        }
        _ => Vec::new(),
    };
    if let Some(actor) = actor {
        remedies.extend(requests::remedies(&mut work.tx, actor, &rows, &violations).await?);
    }
    Err(Error::QuotaExceeded { violations, remedies })
}

/// How much is asked of each level.
pub(super) type Asked = BTreeMap<(String, QuotaKey), i64>;

/// What does not suffice, of levels as they are with what is asked of them.
pub(super) fn shortfalls(asked: &Asked, rows: &[Quota], actor: Option<&Actor>) -> Vec<Violation> {
    // An account without a row for a key has no ceiling; a subscription without one may have none of it.
    let missing = asked.iter().filter_map(|((holder, key), amount)| {
        let is_there = rows.iter().any(|row| row.holder == *holder && row.key == *key);
        let lacks = is_subscription(holder) && *amount > 0 && !is_there;
        lacks.then(|| Violation {
            key: *key,
            level: Level::Own,
            holder: Some(holder.clone()),
            requested: *amount,
            available: Some(0),
        })
    });
    let short = rows.iter().filter_map(|row| {
        let requested = *asked.get(&(row.holder.clone(), row.key))?;
        let passed = requested > 0 && row.used + row.reserved > row.ceiling;
        passed.then(|| violation(row, requested, actor))
    });
    missing.chain(short).collect()
}

/// From the leaf up to the root, and by key on each level: the order in which every transaction locks.
pub(super) fn sort_upwards(shifts: &mut [Shift]) {
    let depth = |shift: &Shift| store::quotas::quotas::upwards(&shift.holder);
    let rank = |shift: &Shift| (std::cmp::Reverse(depth(shift)), shift.holder.clone(), shift.key);
    shifts.sort_by_key(rank);
}

pub(super) fn violation(row: &Quota, requested: i64, actor: Option<&Actor>) -> Violation {
    let level = level_of(row, actor);
    let seen = level != Level::Upstream;
    let left = (row.ceiling - (row.used + row.reserved - requested)).max(0);
    Violation {
        key: row.key,
        level,
        holder: seen.then(|| row.owner()),
        requested,
        available: seen.then_some(left),
    }
}

/// How near to the caller a level is.
pub(super) fn level_of(row: &Quota, actor: Option<&Actor>) -> Level {
    match is_subscription(&row.holder) {
        true => Level::Own,
        false if actor.is_none_or(|actor| sees(actor, &row.path)) => Level::Account,
        false => Level::Upstream,
    }
}

/// Whether an account is the caller's own or below it; for a key that is narrowed, and for a token that acts below, one of those
/// that it reaches.
fn sees(actor: &Actor, path: &Path) -> bool {
    let less = actor.reach.is_narrowed() || !actor.actors.is_empty();
    actor.principal_path.covers(path) && (!less || actor.reach.covers(path))
}

/// Takes again what an operation had reserved before it failed.
pub fn retake(work: &mut Work, taken: &[Taken]) {
    if !taken.is_empty() {
        let (modes, taken) = (BTreeMap::new(), taken.to_vec());
        work.charges.push(Charge { taken, at_once: false, modes, subscription: None });
    }
}

/// What was reserved is used from now on.
pub fn commit(work: &mut Work, taken: &[Taken]) {
    turn(work, taken, |amount| (amount, -amount));
}

/// What was reserved is free again.
pub fn release(work: &mut Work, taken: &[Taken]) {
    turn(work, taken, |amount| (0, -amount));
}

fn turn(work: &mut Work, taken: &[Taken], by: impl Fn(i64) -> (i64, i64)) {
    for taken in taken {
        let (used, reserved) = by(taken.amount);
        merge(&mut work.shifts, Shift { holder: taken.holder.clone(), key: taken.key, used, reserved });
    }
}

/// A counter moves once in a transaction, however many reasons there are.
fn merge(shifts: &mut Vec<Shift>, by: Shift) {
    match shifts.iter_mut().find(|shift| shift.holder == by.holder && shift.key == by.key) {
        Some(shift) => {
            shift.used += by.used;
            shift.reserved += by.reserved;
        }
        None => shifts.push(by),
    }
}

/// Gives back what a resource that is gone had used.
pub async fn free(
    work: &mut Work,
    subscription: SubscriptionId,
    path: &Path,
    amounts: &[(QuotaKey, i64)],
) -> Result<()> {
    let mut holders = vec![subscription.to_string()];
    holders.extend(accounts_up(path));
    lessen(work, holders, amounts).await
}

/// Gives back to the accounts above what a subscription no longer holds.
pub async fn give_back(work: &mut Work, path: &Path, amounts: &[(QuotaKey, i64)]) -> Result<()> {
    lessen(work, accounts_up(path), amounts).await
}

async fn lessen(work: &mut Work, holders: Vec<String>, amounts: &[(QuotaKey, i64)]) -> Result<()> {
    if amounts.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = amounts.iter().map(|(key, _)| *key).collect();
    let chain = Chain::of(&mut work.tx, holders, &keys).await?;
    for &(key, amount) in amounts {
        for holder in chain.levels(key) {
            match chain.row(holder, key) {
                Some(_) => {
                    let shift = Shift { holder: holder.clone(), key, used: -amount, reserved: 0 };
                    merge(&mut work.shifts, shift);
                }
                // It draws nothing from those above.
                None if is_subscription(holder) => break,
                None => {}
            }
        }
    }
    Ok(())
}
