//! What a subscription may hold, by its plan and add-ons.

use crate::domain::{Error, Fault, Result, Work, quotas};
use crate::model::catalog::plans::PlanTerms;
use crate::model::commerce::addons::Added;
use crate::model::commerce::subscriptions::Subscription;
use crate::model::quotas::{Mode, Quota, QuotaKey};
use crate::store;
use crate::store::quotas::quotas::{Grant, Holder};

/// The ceilings that a plan gives for a quantity, with what add-ons add.
pub(super) fn grants(terms: &PlanTerms, quantity: i64, addons: &[Added]) -> Vec<Grant> {
    let added = |key: QuotaKey| addons.iter().fold(0_i64, |sum, addon| sum.saturating_add(addon.adds(key)));
    let by_plan = terms.quotas.iter().map(|quota| Grant {
        key: quota.key,
        mode: quota.mode,
        ceiling: quota.ceiling(quantity).saturating_add(added(quota.key)),
    });
    let mut grants: Vec<_> = by_plan.collect();
    for key in addons.iter().flat_map(|addon| &addon.terms.quotas).map(|quota| quota.key) {
        if !grants.iter().any(|grant| grant.key == key) {
            grants.push(Grant { key, mode: Mode::Allocated, ceiling: added(key) });
        }
    }
    grants
}

/// Of those, what is taken from the accounts above as a whole.
pub(super) fn allocated(grants: &[Grant]) -> Vec<(QuotaKey, i64)> {
    let whole = |grant: &&Grant| grant.mode == Mode::Allocated;
    grants.iter().filter(whole).map(|grant| (grant.key, grant.ceiling)).collect()
}

/// Gives a subscription other ceilings, and moves what it draws from the accounts above. Less than is used is refused.
pub(super) async fn change(
    work: &mut Work,
    at: usize,
    subscription: &Subscription,
    grants: &[Grant],
) -> Result<()> {
    let holder = subscription.id.to_string();
    let rows = store::quotas::quotas::locked(&mut work.tx, &holder).await?;
    let too_small: Vec<_> = rows
        .iter()
        .filter(|row| {
            let ceiling = grants.iter().find(|grant| grant.key == row.key).map_or(0, |grant| grant.ceiling);
            row.used + row.reserved > ceiling
        })
        .map(|row| {
            let detail = format!("{} has {} in use", row.key, row.used + row.reserved);
            Fault::at(format!("/items/{at}"), "quota_in_use", detail)
        })
        .collect();
    if !too_small.is_empty() {
        return Err(Error::Invalid(too_small));
    }
    let turns = |row: &Quota| grants.iter().any(|grant| grant.key == row.key && grant.mode != row.mode);
    if rows.iter().any(|row| row.reserved > 0 && turns(row)) {
        // What is being made was taken from the levels of before.
        return Err(Error::Busy);
    }
    let Drawn { more, less } = drawn(&rows, grants);
    for row in rows.iter().filter(|row| !grants.iter().any(|grant| grant.key == row.key)) {
        store::quotas::quotas::remove(&mut work.tx, &holder, row.key).await?;
    }
    let to =
        Holder { subscription: subscription.id, account: subscription.account_id, path: &subscription.path };
    store::quotas::quotas::regrant(&mut work.tx, to, grants, work.now).await?;
    quotas::granted(work, &subscription.path, &more, subscription.id, true).await?;
    quotas::give_back(work, &subscription.path, &less).await
}

/// How a subscription's draw on the accounts above changes.
#[derive(Default)]
struct Drawn {
    more: Vec<(QuotaKey, i64)>,
    less: Vec<(QuotaKey, i64)>,
}

fn drawn(rows: &[Quota], grants: &[Grant]) -> Drawn {
    let mut keys: Vec<_> =
        grants.iter().map(|grant| grant.key).chain(rows.iter().map(|row| row.key)).collect();
    keys.sort();
    keys.dedup();
    let mut drawn = Drawn::default();
    for key in keys {
        let row = rows.iter().find(|row| row.key == key);
        let used = row.map_or(0, |row| row.used);
        let held = row.map_or(0, |row| draws(row.mode, row.ceiling, used));
        let grant = grants.iter().find(|grant| grant.key == key);
        let wanted = grant.map_or(0, |grant| draws(grant.mode, grant.ceiling, used));
        match wanted - held {
            0 => {}
            grown @ 1.. => drawn.more.push((key, grown)),
            shrunk => drawn.less.push((key, -shrunk)),
        }
    }
    drawn
}

/// What a level draws from the one above, beside what is reserved.
fn draws(mode: Mode, ceiling: i64, used: i64) -> i64 {
    match mode {
        Mode::Allocated => ceiling,
        Mode::Shared => used,
    }
}
