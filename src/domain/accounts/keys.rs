//! Handing out credentials and taking them back.

use std::time::Duration;

use super::environments;
use crate::domain::{Error, Object, Result, Work, check_version};
use crate::model::accounts::accounts::{Account, Environment};
use crate::model::accounts::addresses::{AddressRange, lies_inside};
use crate::model::accounts::clients::{AuthMethod, Jwk};
use crate::model::accounts::keys::{Key, KeyStatus, KeyView, STANDARD_CLASS};
use crate::model::accounts::roots::Root;
use crate::model::accounts::spending::SpendCap;
use crate::model::events::events::EventType;
use crate::model::ids::{AccountId, KeyId, MemberId};
use crate::model::scopes::Scope;
use crate::model::services::ReasonClass;
use crate::model::{Actor, Json, Path, Precondition, Time};
use crate::store;
use crate::store::versions::Versioned;

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
    /// The accounts to which it is narrowed.
    pub roots: Vec<Root>,
    pub not_before: Option<Time>,
    pub expires_at: Option<Time>,
    /// The rate class that was asked for.
    pub rate_class: Option<String>,
    /// The one of the key that makes it.
    pub maker_class: String,
    /// How much may be ordered with it.
    pub spend_cap: Option<SpendCap>,
    /// The person whose key it is to be.
    pub member_id: Option<MemberId>,
}

/// What a secret that was told opens.
struct Rights<'a> {
    scopes: &'a [Scope],
    hold_classes: &'a [ReasonClass],
    allowed_addresses: &'a [AddressRange],
    expires_at: Option<Time>,
    /// Whether it is a secret of the caller's own key.
    is_own: bool,
}

/// Refuses scopes that the caller's own credential lacks.
pub(super) fn check_scopes(actor: &Actor, scopes: &[Scope]) -> Result<()> {
    let lacking: Vec<_> =
        scopes.iter().filter(|scope| !actor.has(**scope)).map(|scope| scope.as_str()).collect();
    match lacking.is_empty() {
        true => Ok(()),
        false => Err(Error::ScopeEscalation(lacking.join(" "))),
    }
}

impl Rights<'_> {
    /// Refuses what the caller's own credential lacks.
    fn within(&self, actor: &Actor) -> Result<()> {
        check_scopes(actor, self.scopes)?;
        if let Some(class) = self.hold_classes.iter().find(|class| !actor.hold_classes.contains(class)) {
            return Err(Error::ScopeEscalation(format!("holds for the reason {class}")));
        }
        if !lies_inside(self.allowed_addresses, &actor.allowed_addresses) {
            return Err(Error::ScopeEscalation("addresses outside its own".into()));
        }
        let spends = |scope: &Scope| {
            use Scope::{OrdersPlace, PricesWrite, SignupsCreate, SignupsReview, SubscriptionsWrite};
            matches!(scope, OrdersPlace | SubscriptionsWrite | PricesWrite | SignupsCreate | SignupsReview)
        };
        if actor.spend_cap.is_some() && !self.is_own && self.scopes.iter().any(spends) {
            return Err(Error::ScopeEscalation(
                "orders, renewals and prices that do not count for its own cap".into(),
            ));
        }
        match actor.expires_at {
            Some(end) if self.expires_at.is_none_or(|expires| expires > end) => {
                Err(Error::ScopeEscalation("an end later than its own".into()))
            }
            _ => Ok(()),
        }
    }
}

fn rights(key: &Key, is_own: bool) -> Rights<'_> {
    Rights {
        scopes: &key.scopes,
        hold_classes: &key.hold_classes,
        allowed_addresses: &key.allowed_addresses,
        expires_at: key.expires_at,
        is_own,
    }
}

/// In which environment a key for the account will be; the caller's own account if none is named.
pub async fn environment(work: &mut Work, actor: &Actor, account: Option<AccountId>) -> Result<Environment> {
    match account.filter(|id| *id != actor.subject_id) {
        Some(id) => Ok(environments::open_for_key(work, actor, id).await?.environment),
        None => Ok(actor.environment),
    }
}

/// Hands out a key, narrowed to the accounts that are named. It can have no scope, no reason for holds and no reach
/// that the caller's own key lacks.
pub async fn create(work: &mut Work, actor: &Actor, mut issue: Issue, narrowed: &[AccountId]) -> Result<Key> {
    let account = super::roots::owner(work, actor, issue.account_id.unwrap_or(actor.subject_id)).await?;
    let rights = Rights {
        scopes: &issue.scopes,
        hold_classes: &issue.hold_classes,
        allowed_addresses: &issue.allowed_addresses,
        expires_at: issue.expires_at,
        is_own: false,
    };
    rights.within(actor)?;
    issue.roots = super::roots::within(work, actor, &account, narrowed).await?;
    if issue.expires_at.is_some_and(|expires| expires <= work.now) {
        return Err(Error::invalid("/expires_at", "in_the_past", "must lie ahead"));
    }
    if issue.not_before.zip(issue.expires_at).is_some_and(|(begins, expires)| begins >= expires) {
        return Err(Error::invalid("/not_before", "after_the_end", "must lie before expires_at"));
    }
    issue.member_id = super::members::of_new_key(work, actor, &account, &issue).await?;
    issue.rate_class = Some(rate_class(actor, &account.path, issue.rate_class, &issue.maker_class)?);
    environments::across(work, &account.path, async |work| {
        insert(work, &account, issue, &actor.key_id.to_string()).await
    })
    .await
}

/// The rate class that a key of the account gets. Who is above the account chooses, and the operator; others make
/// keys of the class that their own key is in, so that nobody raises himself.
fn rate_class(actor: &Actor, owner: &Path, asked: Option<String>, own: &str) -> Result<String> {
    let chooses = actor.principal_path.depth() == 1
        || (actor.principal_path.covers(owner) && actor.principal_path != *owner);
    match asked {
        Some(class) if chooses || class == own => Ok(class),
        Some(_) => Err(Error::ScopeEscalation("a rate class that is for those above to choose".into())),
        None if chooses => Ok(STANDARD_CLASS.into()),
        None => Ok(own.to_owned()),
    }
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
        roots: Json(issue.roots),
        auth_method: AuthMethod::ClientSecretBasic,
        jwks: Json(Vec::new()),
        status: KeyStatus::Active,
        created_by: created_by.to_owned(),
        created_at: work.now,
        not_before: issue.not_before,
        expires_at: issue.expires_at,
        revoked_at: None,
        last_used_at: None,
        last_used_ip: None,
        rate_class: issue.rate_class.unwrap_or_else(|| STANDARD_CLASS.into()),
        spend_cap: issue.spend_cap.map(Json),
        member_id: issue.member_id,
        version: 1,
    };
    store::accounts::keys::insert(&mut work.tx, &key).await?;
    begin_to_count(work, &key).await?;
    tell(work, EventType::KeyCreated, &key);
    Ok(key)
}

async fn begin_to_count(work: &mut Work, key: &Key) -> Result<()> {
    if let Some(cap) = &key.spend_cap {
        store::accounts::spending::begin(&mut work.tx, key, cap.currency).await?;
    }
    Ok(())
}

/// Gives a key a new secret, which the caller is told: so the key can have no right that the caller's own
/// lacks. The secret before works until the overlap is over.
pub async fn rotate(
    work: &mut Work,
    actor: &Actor,
    id: KeyId,
    expected: &Precondition,
    secret_hash: &str,
    overlap: Duration,
) -> Result<Key> {
    const ACTION: &str = "Rotating the key";
    reopened(work, actor, id, expected, ACTION).await?;
    let former_until = Some(work.now.plus(overlap)).filter(|_| !overlap.is_zero());
    if !store::accounts::keys::rotate(&mut work.tx, id, secret_hash, former_until).await? {
        return Err(over(KeyStatus::Revoked.as_str(), ACTION));
    }
    let rotated = find(work, id).await?;
    tell(work, EventType::KeyRotated, &rotated);
    Ok(rotated)
}

/// Sets how a key authenticates as an OAuth client. As who has the private keys has the key, it can have no right
/// that the caller's own lacks.
pub async fn set_client(
    work: &mut Work,
    actor: &Actor,
    id: KeyId,
    expected: &Precondition,
    auth_method: AuthMethod,
    jwks: Vec<Jwk>,
) -> Result<Key> {
    const ACTION: &str = "Setting how the key authenticates";
    reopened(work, actor, id, expected, ACTION).await?;
    if !store::accounts::keys::set_client(&mut work.tx, id, auth_method, &Json(jwks)).await? {
        return Err(over(KeyStatus::Revoked.as_str(), ACTION));
    }
    let changed = find(work, id).await?;
    tell(work, EventType::KeyUpdated, &changed);
    Ok(changed)
}

/// Refuses to give a key into the caller's hands that could do more than the caller's own, or that is over.
async fn reopened(
    work: &mut Work,
    actor: &Actor,
    id: KeyId,
    expected: &Precondition,
    action: &'static str,
) -> Result<()> {
    let key = find(work, id).await?;
    check_version(work, Versioned::Key, id, key.version, expected).await?;
    super::accounts::open(work, key.account_id).await?;
    super::members::check_whose(work, actor, &key).await?;
    rights(&key, id == actor.key_id).within(actor)?;
    match key.expires_at.is_some_and(|expires| expires <= work.now) {
        true => Err(over("expired", action)),
        false => Ok(()),
    }
}

fn over(current: &str, action: &'static str) -> Error {
    Error::State { current: current.to_owned(), action, allowed: Vec::new() }
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

/// Takes from the keys of a person what the person may not do any more; one that is left without a scope is revoked.
pub(super) async fn narrow(work: &mut Work, member: MemberId, may: &[Scope]) -> Result<()> {
    for mut key in store::accounts::keys::of_member(&mut work.tx, member).await? {
        let had = key.scopes.0.len();
        key.scopes.0.retain(|scope| may.contains(scope));
        if key.scopes.0.is_empty() {
            end(work, key.id).await?;
        } else if key.scopes.0.len() < had {
            if !store::accounts::keys::narrow(&mut work.tx, &key).await? {
                return Err(Error::Busy);
            }
            key.version += 1;
            tell(work, EventType::KeyUpdated, &key);
        }
    }
    Ok(())
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
pub async fn revoke(work: &mut Work, id: KeyId, expected: &Precondition) -> Result<Key> {
    let found = find(work, id).await?.version;
    check_version(work, Versioned::Key, id, found, expected).await?;
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

/// What is to change of a key; what is none stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub rate_class: Option<String>,
    pub spend_cap: Option<Option<SpendCap>>,
}

/// Puts a key into another rate class, by the rule that holds for new keys, and gives it another cap: the caller's own
/// key has all rights of this one, and no cap.
pub async fn change(
    work: &mut Work,
    actor: &Actor,
    id: KeyId,
    expected: &Precondition,
    change: Change,
    own: &str,
) -> Result<Key> {
    let found = find(work, id).await?;
    check_version(work, Versioned::Key, id, found.version, expected).await?;
    let mut key = found.clone();
    if let Some(asked) = change.rate_class.filter(|asked| *asked != key.rate_class) {
        key.rate_class = rate_class(actor, &key.path, Some(asked), own)?;
    }
    if let Some(cap) = change.spend_cap.map(|cap| cap.map(Json)).filter(|cap| *cap != key.spend_cap) {
        // Who lets a key order for more could order for as much himself.
        rights(&key, false).within(actor)?;
        key.spend_cap = cap;
        begin_to_count(work, &key).await?;
    }
    if key == found {
        return Ok(found);
    }
    let written = store::accounts::keys::update(&mut work.tx, &key).await?;
    let now = find(work, id).await?;
    match (written, now.status) {
        (true, _) => Ok(now),
        (false, KeyStatus::Active) => Err(Error::Busy),
        (false, KeyStatus::Revoked) => Err(over(KeyStatus::Revoked.as_str(), "Changing the key")),
    }
}
