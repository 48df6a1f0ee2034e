//! Handing out credentials and taking them back.

use crate::domain::{Error, Object, Result, Work};
use crate::model::accounts::accounts::Account;
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
    pub expires_at: Option<Time>,
}

/// Hands out a key. It can have no scope, no reason for holds and no reach that the caller's own key lacks.
pub async fn create(work: &mut Work, actor: &Actor, issue: Issue) -> Result<Key> {
    let account = super::accounts::open(&mut work.tx, issue.account_id.unwrap_or(actor.subject_id)).await?;
    let lacking: Vec<_> =
        issue.scopes.iter().filter(|scope| !actor.has(**scope)).map(|scope| scope.as_str()).collect();
    if !lacking.is_empty() {
        return Err(Error::ScopeEscalation(lacking.join(" ")));
    }
    if let Some(class) = issue.hold_classes.iter().find(|class| !actor.hold_classes.contains(class)) {
        return Err(Error::ScopeEscalation(format!("holds for the reason {class}")));
    }
    if issue.expires_at.is_some_and(|expires| expires <= work.now) {
        return Err(Error::invalid("/expires_at", "in_the_past", "must lie ahead"));
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
        scopes: Json(issue.scopes),
        hold_classes: Json(issue.hold_classes),
        status: KeyStatus::Active,
        created_by: created_by.to_owned(),
        created_at: work.now,
        expires_at: issue.expires_at,
        revoked_at: None,
        last_used_at: None,
        version: 1,
    };
    store::accounts::keys::insert(&mut work.tx, &key).await?;
    let view = KeyView::from(key.clone());
    work.event(EventType::KeyCreated, (key.account_id, &key.path), "key", Object::new(key.id, 1, &view));
    Ok(key)
}

/// Revokes a key for good; one that was revoked stays so.
pub async fn revoke(work: &mut Work, id: KeyId) -> Result<Key> {
    let mut key = store::accounts::keys::find(&mut work.tx, id).await?.ok_or(Error::NotFound("key"))?;
    if store::accounts::keys::revoke(&mut work.tx, id, work.now).await? {
        key.status = KeyStatus::Revoked;
        key.revoked_at = Some(work.now);
        key.version += 1;
        let view = KeyView::from(key.clone());
        work.event(
            EventType::KeyRevoked,
            (key.account_id, &key.path),
            "key",
            Object::new(key.id, key.version, &view),
        );
    }
    Ok(key)
}
