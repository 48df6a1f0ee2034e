//! Keys for a shop's pages, which everybody can read.

use serde_json::json;

use crate::domain::{Error, Object, Result, Work, check_version};
use crate::model::accounts::accounts::Environment;
use crate::model::accounts::keys::KeyStatus;
use crate::model::accounts::origins::Origin;
use crate::model::accounts::storefront_keys::{StorefrontKey, StorefrontKeyView};
use crate::model::events::events::EventType;
use crate::model::ids::{AccountId, KeyId};
use crate::model::scopes::Scope;
use crate::model::{Actor, Json, Precondition, Time};
use crate::store;
use crate::store::versions::Versioned;

/// A new key as it was asked for.
#[derive(Debug, Clone)]
pub struct Issue {
    pub id: KeyId,
    /// Whose offer it is to show; the caller's own account's if none is named.
    pub account_id: Option<AccountId>,
    pub name: String,
    pub origins: Vec<Origin>,
    pub requests_per_minute: i64,
    pub requests_per_minute_per_address: i64,
    pub signups_per_hour: i64,
    pub signups_per_hour_per_address: i64,
    pub signup_max_quantity: i64,
    pub expires_at: Time,
}

/// Refuses what the caller's own credential lacks: the key reads the catalogue and, if it does, signs customers up, from
/// everywhere, until its end.
fn within(actor: &Actor, signs_up: bool, expires_at: Time) -> Result<()> {
    let lacks = |what: &str| Err(Error::ScopeEscalation(what.to_owned()));
    if !actor.has(Scope::CatalogRead) {
        return lacks(Scope::CatalogRead.as_str());
    }
    if signs_up && !actor.has(Scope::SignupsCreate) {
        return lacks(Scope::SignupsCreate.as_str());
    }
    if signs_up && actor.spend_cap.is_some() {
        return lacks("orders that do not count for its own cap");
    }
    if !actor.allowed_addresses.is_empty() {
        return lacks("addresses outside its own");
    }
    match actor.expires_at.is_some_and(|end| expires_at > end) {
        true => lacks("an end later than its own"),
        false => Ok(()),
    }
}

/// Makes a key; its text is made by `text` for the environment of its account.
pub async fn create(
    work: &mut Work,
    actor: &Actor,
    issue: Issue,
    text: impl FnOnce(Environment, KeyId) -> String,
) -> Result<StorefrontKey> {
    let account = super::accounts::open(work, issue.account_id.unwrap_or(actor.subject_id)).await?;
    within(actor, issue.signups_per_hour > 0, issue.expires_at)?;
    ahead(work, issue.expires_at)?;
    let key = StorefrontKey {
        id: issue.id,
        account_id: account.id,
        path: account.path,
        environment: account.environment,
        name: issue.name,
        key: text(account.environment, issue.id),
        origins: Json(issue.origins),
        requests_per_minute: issue.requests_per_minute,
        requests_per_minute_per_address: issue.requests_per_minute_per_address,
        signups_per_hour: issue.signups_per_hour,
        signups_per_hour_per_address: issue.signups_per_hour_per_address,
        signup_max_quantity: issue.signup_max_quantity,
        status: KeyStatus::Active,
        created_by: actor.key_id.to_string(),
        expires_at: issue.expires_at,
        revoked_at: None,
        version: 1,
        created_at: work.now,
        updated_at: work.now,
    };
    store::accounts::storefront_keys::insert(&mut work.tx, &key).await?;
    tell(work, EventType::StorefrontKeyCreated, &key, None);
    Ok(key)
}

fn ahead(work: &Work, expires_at: Time) -> Result<()> {
    match expires_at <= work.now {
        true => Err(Error::invalid("/expires_at", "in_the_past", "must lie ahead")),
        false => Ok(()),
    }
}

/// What is to change of a key; what is none stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub name: Option<String>,
    pub origins: Option<Vec<Origin>>,
    pub requests_per_minute: Option<i64>,
    pub requests_per_minute_per_address: Option<i64>,
    pub signups_per_hour: Option<i64>,
    pub signups_per_hour_per_address: Option<i64>,
    pub signup_max_quantity: Option<i64>,
    pub expires_at: Option<Time>,
}

/// Changes a key that was not revoked; only at a version that `expected` admits.
pub async fn change(
    work: &mut Work,
    actor: &Actor,
    id: KeyId,
    change: Change,
    expected: &Precondition,
) -> Result<StorefrontKey> {
    let mut key = find(work, id, expected).await?;
    if key.status == KeyStatus::Revoked {
        let current = key.status.to_string();
        return Err(Error::State { current, action: "Any change", allowed: Vec::new() });
    }
    let before = StorefrontKeyView::from(key.clone());
    key.name = change.name.unwrap_or(key.name);
    key.origins = change.origins.map_or(key.origins, Json);
    key.requests_per_minute = change.requests_per_minute.unwrap_or(key.requests_per_minute);
    key.requests_per_minute_per_address =
        change.requests_per_minute_per_address.unwrap_or(key.requests_per_minute_per_address);
    key.signups_per_hour = change.signups_per_hour.unwrap_or(key.signups_per_hour);
    key.signups_per_hour_per_address =
        change.signups_per_hour_per_address.unwrap_or(key.signups_per_hour_per_address);
    key.signup_max_quantity = change.signup_max_quantity.unwrap_or(key.signup_max_quantity);
    if let Some(expires_at) = change.expires_at {
        ahead(work, expires_at)?;
        key.expires_at = expires_at;
    }
    within(actor, key.signups_per_hour > 0, key.expires_at)?;
    let key = save(work, key).await?;
    tell(work, EventType::StorefrontKeyUpdated, &key, Some(before));
    Ok(key)
}

/// Revokes a key for good; one that was revoked stays so.
pub async fn revoke(work: &mut Work, id: KeyId, expected: &Precondition) -> Result<StorefrontKey> {
    let mut key = find(work, id, expected).await?;
    if key.status == KeyStatus::Revoked {
        return Ok(key);
    }
    let before = StorefrontKeyView::from(key.clone());
    (key.status, key.revoked_at) = (KeyStatus::Revoked, Some(work.now));
    let key = save(work, key).await?;
    tell(work, EventType::StorefrontKeyRevoked, &key, Some(before));
    Ok(key)
}

async fn find(work: &mut Work, id: KeyId, expected: &Precondition) -> Result<StorefrontKey> {
    let found = store::accounts::storefront_keys::find(&mut work.tx, id).await?;
    let key = found.ok_or(Error::NotFound("storefront key"))?;
    check_version(work, Versioned::StorefrontKey, id, key.version, expected).await?;
    Ok(key)
}

async fn save(work: &mut Work, mut key: StorefrontKey) -> Result<StorefrontKey> {
    if !store::accounts::storefront_keys::update(&mut work.tx, &key, work.now).await? {
        return Err(Error::Busy);
    }
    key.version += 1;
    key.updated_at = work.now;
    Ok(key)
}

fn tell(work: &mut Work, event_type: EventType, key: &StorefrontKey, before: Option<StorefrontKeyView>) {
    let view = StorefrontKeyView::from(key.clone());
    let mut object = Object::new(key.id, key.version, &view);
    if let Some(before) = before {
        object = object.instead_of(json!(before));
    }
    work.event(event_type, (key.account_id, &key.path), "storefront_key", object);
}
