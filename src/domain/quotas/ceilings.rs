//! Ceilings that sellers set for the accounts below them.

use crate::domain::accounts::accounts::find;
use crate::domain::{Error, Object, Result, Work};
use crate::model::events::events::EventType;
use crate::model::ids::AccountId;
use crate::model::quotas::{Mode, Quota, QuotaKey, QuotaView, Taken};
use crate::model::{Actor, Path, Precondition};
use crate::store;

/// Sets an account's ceiling for a key, or takes it away. Nobody raises his own, save the operator, who has
/// nobody above. An `allocated` ceiling is taken from the level above as a whole. One below the use is
/// allowed: it stops growth and takes nothing away. What is set must be what is `expected`.
pub async fn put(
    work: &mut Work,
    actor: &Actor,
    account_id: AccountId,
    key: QuotaKey,
    ceiling: Option<i64>,
    mode: Mode,
    expected: &Precondition,
) -> Result<Option<Quota>> {
    // Also of a closed account: what it was given is taken back there.
    let account = find(&mut work.tx, account_id).await?;
    let Some(_) = account
        .parent_id
        .filter(|_| account.id != actor.principal_id)
        .or_else(|| (account.parent_id.is_none()).then_some(account.id))
    else {
        let detail = "an account's own ceilings are set by the accounts above it";
        return Err(Error::invalid("/ceiling", "own_quota", detail));
    };
    if account.parent_id.is_none() && mode == Mode::Allocated {
        let detail = "the operator has nobody above to take it from";
        return Err(Error::invalid("/mode", "nothing_above", detail));
    }
    store::quotas::quotas::stop_all(&mut work.tx).await?;
    let holder = account.path.to_string();
    let before = store::quotas::quotas::of_holder(&mut work.tx, &holder)
        .await?
        .into_iter()
        .find(|quota| quota.key == key);
    let current = Quota::version(before.as_ref());
    if !expected.admits(current) {
        return Err(Error::PreconditionFailed { current });
    }
    let (used, reserved) = match &before {
        Some(quota) => (quota.used, quota.reserved),
        None => counted(work, &account.path, key).await?,
    };
    move_above(
        work,
        &account.path,
        key,
        drawn(before.as_ref(), used, reserved),
        drawn_by(ceiling, mode, used, reserved),
    )
    .await?;
    let Some(ceiling) = ceiling else {
        store::quotas::quotas::remove(&mut work.tx, &holder, key).await?;
        return Ok(None);
    };
    let quota = Quota {
        holder,
        key,
        account_id: account.id,
        path: account.path.clone(),
        mode,
        ceiling,
        used,
        reserved,
        updated_at: work.now,
    };
    store::quotas::quotas::put(&mut work.tx, &quota).await?;
    let view = QuotaView::from(quota.clone());
    work.event(
        EventType::QuotaChanged,
        (account.id, &account.path),
        "quota",
        Object::new(format!("{}/{key}", account.id), work.now.as_micros(), &view),
    );
    Ok(Some(quota))
}

/// What a level draws from the one above: its whole ceiling, or what is used and reserved.
pub(super) fn drawn(quota: Option<&Quota>, used: i64, reserved: i64) -> (i64, i64) {
    match quota {
        Some(quota) => drawn_by(Some(quota.ceiling), quota.mode, used, reserved),
        None => (used, reserved),
    }
}

fn drawn_by(ceiling: Option<i64>, mode: Mode, used: i64, reserved: i64) -> (i64, i64) {
    match (ceiling, mode) {
        (Some(ceiling), Mode::Allocated) => (ceiling, 0),
        _ => (used, reserved),
    }
}

/// Makes the levels above carry what the level draws from now on.
async fn move_above(
    work: &mut Work,
    path: &Path,
    key: QuotaKey,
    before: (i64, i64),
    after: (i64, i64),
) -> Result<()> {
    let (used, reserved) = (after.0 - before.0, after.1 - before.1);
    if (used, reserved) == (0, 0) {
        return Ok(());
    }
    let holders: Vec<_> = path.upwards().skip(1).map(|path| path.to_string()).collect();
    let known = store::quotas::quotas::of_holders(&mut work.tx, &holders, &[key]).await?;
    let mut shifts = Vec::new();
    for holder in holders {
        let row = known.iter().find(|row| row.holder == holder);
        if row.is_some() {
            shifts.push(store::quotas::quotas::Shift { holder, key, used, reserved });
        }
        if row.is_some_and(|row| row.mode == Mode::Allocated) {
            break;
        }
    }
    let rows = store::quotas::quotas::shift(&mut work.tx, &shifts, work.now).await?;
    match rows.iter().find(|row| used + reserved > 0 && row.used + row.reserved > row.ceiling) {
        None => Ok(()),
        Some(_) => {
            let detail = "the level above has not so much left to allocate";
            Err(Error::invalid("/ceiling", "exceeds_parent", detail))
        }
    }
}

/// What lies below an account that had no ceiling for the key: used, and reserved by operations in flight.
async fn counted(work: &mut Work, path: &Path, key: QuotaKey) -> Result<(i64, i64)> {
    let rows = store::quotas::quotas::of_key(&mut work.tx, key).await?;
    let taken = store::services::operations::reservations(&mut work.tx).await?;
    Ok(drawn_below(&rows, &taken, path, key))
}

/// What the levels below a place draw from it for a key, by the ceilings in their order and by what operations in
/// flight have taken: used, and reserved.
pub(super) fn drawn_below(rows: &[Quota], taken: &[Taken], path: &Path, key: QuotaKey) -> (i64, i64) {
    let mut bounding: Vec<Path> = Vec::new();
    let (mut total, mut reserved) = (0, 0);
    let below = |row: &&Quota| row.key == key && path.covers(&row.path) && row.holder != path.as_str();
    for row in rows.iter().filter(below) {
        if bounding.iter().any(|above| above.covers(&row.path)) {
            continue;
        }
        if row.holder.starts_with('/') {
            bounding.push(row.path.clone());
        }
        let (drawn_used, drawn_reserved) = drawn(Some(row), row.used, row.reserved);
        total += drawn_used + drawn_reserved;
    }
    for taken in taken.iter().filter(|taken| taken.holder == path.as_str() && taken.key == key) {
        reserved += taken.amount;
    }
    (total - reserved, reserved)
}
