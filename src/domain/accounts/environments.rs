//! The two environments. A live account can have one test account, which stands at the same place on the other side of
//! the tree: no subtree has accounts of both in it, so that what is asked with a key of one side is never about the
//! other. Two things alone are done from the live side on the other: the test account is opened, and keys are made
//! for it and for what is below it.

use super::accounts::{self, Made, insert, same};
use crate::domain::{Error, Result, Work};
use crate::model::accounts::accounts::{Account, Environment};
use crate::model::ids::AccountId;
use crate::model::{Actor, Path, Subtree};
use crate::store;

/// Whether an account of this environment below that one is its test account, on the other side.
pub(super) fn is_beside(parent: &Account, environment: Environment) -> Result<bool> {
    match (parent.environment, environment) {
        (Environment::Test, Environment::Live) => {
            Err(Error::EnvironmentMismatch("All below a test account is for tests.".into()))
        }
        (above, own) => Ok(above != own),
    }
}

/// Opens the test account of a live one.
pub(super) async fn open_beside(work: &mut Work, account: Account) -> Result<Made<Account>> {
    let place = account.path.clone();
    across(work, &place, async move |work| {
        match store::accounts::accounts::at(&mut work.tx, &account.path).await? {
            None => insert(work, account).await.map(Made::New),
            Some(known) if known.external_id.is_some() && known.external_id == account.external_id => {
                same(known, &account.fingerprint).map(Made::Existing)
            }
            Some(known) => {
                Err(Error::NameTaken { kind: "The account's test account", name: known.id.to_string() })
            }
        }
    })
    .await
}

/// The account for which a key is to be made, unless it is closed: in the caller's reach or, if the caller is live, at
/// the same place on the other side.
pub async fn open_for_key(work: &mut Work, actor: &Actor, id: AccountId) -> Result<Account> {
    match accounts::open(work, id).await {
        // A key that is narrowed within the account it acts for reaches no more of it on the other side.
        Err(Error::AccountNotFound)
            if actor.environment == Environment::Live && actor.reach.covers(&actor.subject_path) =>
        {
            across(work, &actor.subject_path.beside(), async |work| accounts::open(work, id).await).await
        }
        found => found,
    }
}

/// Does something where the caller's own subtree may not reach, and records there what comes of it.
pub(super) async fn across<T>(
    work: &mut Work,
    place: &Path,
    act: impl AsyncFnOnce(&mut Work) -> Result<T>,
) -> Result<T> {
    if work.tx.subtree().covers(place) {
        return act(work).await;
    }
    // What came of the work so far is recorded on this side, and what comes of this on the other.
    work.record(None).await?;
    let own = work.tx.turn(Subtree::of(place)).await?;
    let done = act(work).await?;
    work.record(None).await?;
    work.tx.turn(own).await?;
    Ok(done)
}
