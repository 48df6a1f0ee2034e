//! Whose a new key is to be, and what part of the tree it reaches: no more than the key that makes it.

use super::environments;
use crate::domain::{Error, Result, Work};
use crate::model::Actor;
use crate::model::accounts::accounts::{Account, AccountStatus};
use crate::model::accounts::roots::Root;
use crate::model::ids::AccountId;
use crate::store;

/// The account that is to own the key. One's own is there also for a key that reaches only accounts below it.
pub async fn owner(work: &mut Work, actor: &Actor, id: AccountId) -> Result<Account> {
    if id != actor.subject_id {
        return environments::open_for_key(work, actor, id).await;
    }
    let own = store::accounts::accounts::itself(&mut work.tx, id).await?.ok_or(Error::AccountNotFound)?;
    match own.status {
        AccountStatus::Active => Ok(own),
        AccountStatus::Closed => Err(Error::AccountClosed),
    }
}

/// The accounts to which a key of `owner` is to be narrowed, each in the caller's reach and at or below the owner.
pub async fn within(
    work: &mut Work,
    actor: &Actor,
    owner: &Account,
    narrowed: &[AccountId],
) -> Result<Vec<Root>> {
    let wider = || Error::ScopeEscalation("accounts outside its own".into());
    // Any other account was found in the caller's reach, or at its own place on the other side.
    if narrowed.is_empty() && owner.id == actor.subject_id && !actor.reach.covers(&owner.path) {
        return Err(wider());
    }
    let mut roots: Vec<Root> = Vec::new();
    for (at, &id) in narrowed.iter().enumerate() {
        let found = store::accounts::accounts::find(&mut work.tx, id).await?;
        // To a key that is narrowed itself there is nothing outside; others are told what is not there.
        let found = found.ok_or_else(|| match actor.reach.is_narrowed() {
            true => wider(),
            false => Error::AccountNotFound,
        })?;
        if !owner.path.covers(&found.path) {
            let detail = "must stand at or below the account of the key";
            return Err(Error::invalid(format!("/roots/{at}"), "outside_the_account", detail));
        }
        if !roots.iter().any(|root| root.id == id) {
            roots.push(Root { id, path: found.path });
        }
    }
    Ok(roots)
}
