//! Closing accounts and opening them again.

use super::accounts::{changed_status, find, open};
use super::environments;
use crate::domain::{Error, Result, Work, check_version};
use crate::model::accounts::accounts::{Account, AccountStatus, Environment};
use crate::model::events::events::EventType;
use crate::model::ids::AccountId;
use crate::model::{Actor, Path, Precondition, Subtree};
use crate::store;
use crate::store::versions::Versioned;

/// Rows at once.
const SOME: i64 = 200;

/// Closes an account in which nothing runs any more and below which all is closed. Its keys are good for nothing from then
/// on, and neither are those of its test account and of all below that.
pub async fn close(
    work: &mut Work,
    actor: &Actor,
    id: AccountId,
    expected: &Precondition,
) -> Result<Account> {
    let account = find(&mut work.tx, id).await?;
    check_version(work, Versioned::Account, id, account.version, expected).await?;
    if account.status == AccountStatus::Closed {
        return Ok(account);
    }
    if id == actor.principal_id {
        let current = "the caller's own account".into();
        return Err(Error::State { current, action: "A closing", allowed: Vec::new() });
    }
    check_stands_alone(&account, "A closing")?;
    // Whoever needs it open has its row until he is done: what he leaves is counted, and he who comes later finds it closed.
    let closed = changed_status(work, account, AccountStatus::Closed, EventType::AccountClosed).await?;
    let left = store::accounts::accounts::left_open(&mut work.tx, &closed.path).await?;
    if left.accounts + left.subscriptions > 0 {
        return Err(Error::AccountNotEmpty { accounts: left.accounts, subscriptions: left.subscriptions });
    }
    if closed.environment == Environment::Live {
        let beside = closed.path.beside();
        environments::across(work, &beside, async |work| close_all(work, &beside).await).await?;
    }
    Ok(closed)
}

/// A live account's test account is closed and reopened with that one.
fn check_stands_alone(account: &Account, action: &'static str) -> Result<()> {
    match account.path.label() == account.id.label() {
        true => Ok(()),
        false => {
            let current = "the test account of a live one".into();
            Err(Error::State { current, action, allowed: Vec::new() })
        }
    }
}

/// Closes the test account at the place and all below it, whatever is in them, until nobody has opened another meanwhile.
async fn close_all(work: &mut Work, place: &Path) -> Result<()> {
    let own = work.tx.turn(Subtree::of(place)).await?;
    while close_each(work).await? > 0 {}
    work.tx.turn(own).await?;
    Ok(())
}

/// Closes the open ones of the subtree; says how many there were.
async fn close_each(work: &mut Work) -> Result<usize> {
    let (mut after, mut closed) = (None, 0);
    loop {
        let some = store::accounts::accounts::page(&mut work.tx, after.as_ref(), SOME).await?;
        let Some(last) = some.last() else { return Ok(closed) };
        after = Some((last.path.clone(), last.id));
        for account in some.into_iter().filter(|account| account.status == AccountStatus::Active) {
            changed_status(work, account, AccountStatus::Closed, EventType::AccountClosed).await?;
            closed += 1;
        }
    }
}

/// Opens a closed account again, with its test account. What is below that stays closed.
pub async fn reopen(work: &mut Work, id: AccountId, expected: &Precondition) -> Result<Account> {
    let account = find(&mut work.tx, id).await?;
    check_version(work, Versioned::Account, id, account.version, expected).await?;
    if account.status == AccountStatus::Active {
        return Ok(account);
    }
    check_stands_alone(&account, "Reopening the account")?;
    check_above(work, &account).await?;
    let opened = changed_status(work, account, AccountStatus::Active, EventType::AccountReopened).await?;
    if opened.environment == Environment::Live {
        let beside = opened.path.beside();
        environments::across(work, &beside, async |work| {
            match store::accounts::accounts::at(&mut work.tx, &beside).await? {
                Some(test) if test.status == AccountStatus::Closed => {
                    changed_status(work, test, AccountStatus::Active, EventType::AccountReopened)
                        .await
                        .map(drop)
                }
                _ => Ok(()),
            }
        })
        .await?;
    }
    Ok(opened)
}

/// Whether the account that it stands directly below is open, and stays so until it is open as well.
async fn check_above(work: &mut Work, account: &Account) -> Result<()> {
    let (Some(parent), Some(place)) = (account.parent_id, account.path.upwards().nth(1)) else {
        return Ok(());
    };
    // A key that is narrowed to the account does not reach so far.
    let own = work.tx.turn(Subtree::of(&place)).await?;
    let above = open(work, parent).await;
    work.tx.turn(own).await?;
    match above {
        Err(Error::AccountClosed) => Err(Error::State {
            current: "below a closed account".into(),
            action: "Reopening the account",
            allowed: Vec::new(),
        }),
        above => above.map(drop),
    }
}
