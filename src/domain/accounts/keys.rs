//! Handing out credentials and taking them back.

use std::time::Duration;

use crate::domain::{Error, Object, Result, Work};
use crate::model::accounts::accounts::Account;
use crate::model::accounts::addresses::{AddressRange, lies_inside};
use crate::model::accounts::keys::{Key, KeyStatus, KeyView};
use crate::model::events::events::EventType;
use crate::model::ids::{AccountId, KeyId};
use crate::model::scopes::Scope;
use crate::model::services::ReasonClass;
use crate::model::{Actor, Json, Time};
use crate::store;

/// A new key as it was asked for, with the hash of a secret that was made at the edge.
#[derive(Debug, Clone)]
pub struct Issue {
    pub id: KeyId,
    pub secret_hash: String,
    /// Whose key it is to be; the caller's own account if none is named.
    pub account_id: Option<AccountId>,
    pub name: String,
    pub scopes: Vec<Scope>,
    pub hold_classes: Vec<ReasonClass>,
    /// From where it may be used; from everywhere if there is none.
    pub allowed_addresses: Vec<AddressRange>,
    pub not_before: Option<Time>,
    pub expires_at: Option<Time>,
}

/// What a secret that was told opens.
struct Rights<'a> {
    scopes: &'a [Scope],
    hold_classes: &'a [ReasonClass],
    allowed_addresses: &'a [AddressRange],
    expires_at: Option<Time>,
}

impl Rights<'_> {
    /// Refuses what the caller's own credential lacks.
    fn within(&self, actor: &Actor) -> Result<()> {
        let lacking: Vec<_> =
            self.scopes.iter().filter(|scope| !actor.has(**scope)).map(|scope| scope.as_str()).collect();
        if !lacking.is_empty() {
            return Err(Error::ScopeEscalation(lacking.join(" ")));
        }
        if let Some(class) = self.hold_classes.iter().find(|class| !actor.hold_classes.contains(class)) {
            return Err(Error::ScopeEscalation(format!("holds for the reason {class}")));
        }
        if !lies_inside(self.allowed_addresses, &actor.allowed_addresses) {
            return Err(Error::ScopeEscalation("addresses outside its own".into()));
        }
        match actor.expires_at {
            Some(end) if self.expires_at.is_none_or(|expires| expires > end) => {
                Err(Error::ScopeEscalation("an end later than its own".into()))
            }
            _ => Ok(()),
        }
    }
}

/// Hands out a key. It can have no scope, no reason for holds and no reach that the caller's own key lacks.
pub async fn create(work: &mut Work, actor: &Actor, issue: Issue) -> Result<Key> {
    let account = super::accounts::open(&mut work.tx, issue.account_id.unwrap_or(actor.subject_id)).await?;
    let rights = Rights {
        scopes: &issue.scopes,
        hold_classes: &issue.hold_classes,
        allowed_addresses: &issue.allowed_addresses,
        expires_at: issue.expires_at,
    };
    rights.within(actor)?;
    if issue.expires_at.is_some_and(|expires| expires <= work.now) {
        return Err(Error::invalid("/expires_at", "in_the_past", "must lie ahead"));
    }
    if issue.not_before.zip(issue.expires_at).is_some_and(|(begins, expires)| begins >= expires) {
        return Err(Error::invalid("/not_before", "after_the_end", "must lie before expires_at"));
    }
    insert(work, &account, issue, &actor.key_id.to_string()).await
}

/// Adds the key for an account, whoever asks: for the command line on the server itself.
pub async fn insert(work: &mut Work, account: &Account, issue: Issue, created_by: &str) -> Result<Key> {
    let key = Key {
        id: issue.id,
        account_id: account.id,
        path: account.path.clone(),
        environment: account.environment,
        name: issue.name,
        secret_hash: issue.secret_hash,
        former_hash: None,
        former_until: None,
        scopes: Json(issue.scopes),
        hold_classes: Json(issue.hold_classes),
        allowed_addresses: Json(issue.allowed_addresses),
        status: KeyStatus::Active,
        created_by: created_by.to_owned(),
        created_at: work.now,
        not_before: issue.not_before,
        expires_at: issue.expires_at,
        revoked_at: None,
        last_used_at: None,
        last_used_ip: None,
        version: 1,
    };
    store::accounts::keys::insert(&mut work.tx, &key).await?;
    tell(work, EventType::KeyCreated, &key);
    Ok(key)
}

/// Gives a key a new secret, which the caller is told: so the key can have no right that the caller's own
/// lacks. The secret before works until the overlap is over.
pub async fn rotate(
    work: &mut Work,
    actor: &Actor,
    id: KeyId,
    secret_hash: &str,
    overlap: Duration,
) -> Result<Key> {
    let key = find(work, id).await?;
    super::accounts::open(&mut work.tx, key.account_id).await?;
    let rights = Rights {
        scopes: &key.scopes,
        hold_classes: &key.hold_classes,
        allowed_addresses: &key.allowed_addresses,
        expires_at: key.expires_at,
    };
    rights.within(actor)?;
    let over = |current: &str| Error::State {
        current: current.to_owned(),
        action: "Rotating the key",
        allowed: Vec::new(),
    };
    if key.expires_at.is_some_and(|expires| expires <= work.now) {
        return Err(over("expired"));
    }
    let former_until = Some(work.now.plus(overlap)).filter(|_| !overlap.is_zero());
    if !store::accounts::keys::rotate(&mut work.tx, id, secret_hash, former_until).await? {
        return Err(over(KeyStatus::Revoked.as_str()));
    }
    let rotated = find(work, id).await?;
    tell(work, EventType::KeyRotated, &rotated);
    Ok(rotated)
}

async fn find(work: &mut Work, id: KeyId) -> Result<Key> {
    store::accounts::keys::find(&mut work.tx, id).await?.ok_or(Error::NotFound("key"))
}

/// Records an event of the key as it is now.
fn tell(work: &mut Work, event_type: EventType, key: &Key) {
    let view = KeyView::from(key.clone());
    let object = Object::new(key.id, key.version, &view);
    work.event(event_type, (key.account_id, &key.path), "key", object);
}

/// Revokes a key that somebody found where it does not belong, and tells its account so.
pub async fn leaked(work: &mut Work, id: KeyId) -> Result<Key> {
    let (key, was_active) = end(work, id).await?;
    if was_active {
        tell(work, EventType::KeyLeaked, &key);
    }
    Ok(key)
}

/// Revokes a key for good; one that was revoked stays so.
pub async fn revoke(work: &mut Work, id: KeyId) -> Result<Key> {
    end(work, id).await.map(|(key, _)| key)
}

/// The key as it is once it is revoked, and whether it was active until now.
async fn end(work: &mut Work, id: KeyId) -> Result<(Key, bool)> {
    let mut key = find(work, id).await?;
    let was_active = store::accounts::keys::revoke(&mut work.tx, id, work.now).await?;
    if was_active {
        key.status = KeyStatus::Revoked;
        key.revoked_at = Some(work.now);
        key.version += 1;
        tell(work, EventType::KeyRevoked, &key);
    }
    Ok((key, was_active))
}
