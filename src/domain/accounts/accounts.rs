//! Opening accounts and changing what they say of themselves.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::environments;
use crate::domain::{Error, Object, Result, Work, check_version};
use crate::model::accounts::accounts::{Account, AccountStatus, AccountType, Environment};
use crate::model::accounts::delegation::{Allow, Delegation};
use crate::model::accounts::signups::SignupPolicy;
use crate::model::commerce::approvals::OrderPolicy;
use crate::model::events::events::EventType;
use crate::model::ids::AccountId;
use crate::model::path::MAX_DEPTH;
use crate::model::{Actor, Json, Path, Precondition};
use crate::store;
use crate::store::Conn;
use crate::store::versions::Versioned;

/// A new account as it was asked for.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The account it is to stand below; the caller's own if none is named.
    pub parent_id: Option<AccountId>,
    pub account_type: AccountType,
    /// That of the account above if none is named.
    pub environment: Option<Environment>,
    pub name: String,
    pub contact_email: Option<String>,
    pub country: Option<String>,
    pub locale: Option<String>,
    pub time_zone: Option<String>,
    pub currency: Option<String>,
    pub external_id: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// Of the creating body.
    pub fingerprint: String,
}

/// What a create came to: the object was made, or was there and is the same.
#[derive(Debug)]
pub enum Made<T> {
    New(T),
    Existing(T),
}

impl<T> Made<T> {
    pub fn into_inner(self) -> T {
        match self {
            Made::New(inner) | Made::Existing(inner) => inner,
        }
    }

    pub fn is_new(&self) -> bool {
        matches!(self, Made::New(_))
    }
}

/// The account in the caller's reach.
pub async fn find(conn: &mut Conn, id: AccountId) -> Result<Account> {
    store::accounts::accounts::find(conn, id).await?.ok_or(Error::AccountNotFound)
}

/// The account in the caller's reach, unless it is closed; nobody closes it until the work is done.
pub async fn open(work: &mut Work, id: AccountId) -> Result<Account> {
    let found = store::accounts::accounts::kept(&mut work.tx, id).await?;
    unless_closed(found.ok_or(Error::AccountNotFound)?)
}

pub(super) fn unless_closed(account: Account) -> Result<Account> {
    match account.status {
        AccountStatus::Active => Ok(account),
        AccountStatus::Closed => Err(Error::AccountClosed),
    }
}

/// Opens an account below another one.
pub async fn create(work: &mut Work, actor: &Actor, opening: Opening) -> Result<Made<Account>> {
    if let Some(external_id) = &opening.external_id {
        let known =
            store::accounts::accounts::find_by_external_id(&mut work.tx, actor.principal_id, external_id);
        if let Some(known) = known.await? {
            return same(known, &opening.fingerprint).map(Made::Existing);
        }
    }
    let parent = open(work, opening.parent_id.unwrap_or(actor.subject_id)).await?;
    let environment = opening.environment.unwrap_or(parent.environment);
    let beside = environments::is_beside(&parent, environment)?;
    if !beside && !parent.account_type.may_hold(opening.account_type) {
        let detail =
            format!("a {} cannot stand directly below a {}", opening.account_type, parent.account_type);
        return Err(Error::invalid("/type", "not_allowed_here", detail));
    }
    if beside && opening.account_type != parent.account_type {
        let detail = format!("the test account of a {0} is a {0} as well", parent.account_type);
        return Err(Error::invalid("/type", "not_allowed_here", detail));
    }
    let id = AccountId::new();
    let path = if beside { parent.path.beside() } else { parent.path.child(id) };
    if path.depth() > MAX_DEPTH {
        let detail = format!("the tree is at most {MAX_DEPTH} accounts deep");
        return Err(Error::invalid("/parent_id", "too_deep", detail));
    }
    // On the other side nobody looks for it by the name its maker gave it.
    let named_by = if beside { id } else { actor.principal_id };
    let external_id_by = opening.external_id.is_some().then_some(named_by);
    let account = Account {
        id,
        path,
        parent_id: Some(parent.id),
        account_type: opening.account_type,
        status: AccountStatus::Active,
        environment,
        name: opening.name,
        contact_email: opening.contact_email,
        country: opening.country,
        locale: opening.locale.or(parent.locale),
        time_zone: opening.time_zone.or(parent.time_zone),
        currency: opening.currency.or(parent.currency),
        external_id: opening.external_id,
        external_id_by,
        fingerprint: opening.fingerprint,
        metadata: Json(opening.metadata),
        delegation: Allow::Full,
        require_idempotency_key: false,
        signup_policy: None,
        order_policy: None,
        version: 1,
        created_at: work.now,
        updated_at: work.now,
        held: parent.held.filter(|_| !beside),
    };
    if beside {
        return environments::open_beside(work, account).await;
    }
    insert(work, account).await.map(Made::New)
}

/// Adds the account, and tells of it.
pub(super) async fn insert(work: &mut Work, account: Account) -> Result<Account> {
    store::accounts::accounts::insert(&mut work.tx, &account).await?;
    let view = account.clone().seen_by(&account.path);
    work.event(
        EventType::AccountCreated,
        (account.id, &account.path),
        "account",
        Object::new(account.id, 1, &view),
    );
    Ok(account)
}

pub(super) fn same(known: Account, fingerprint: &str) -> Result<Account> {
    match known.fingerprint == fingerprint {
        true => Ok(known),
        false => Err(Error::ExternalIdConflict { id: known.id.to_string() }),
    }
}

/// Opens the operator's account, once in an installation's life.
pub async fn create_root(work: &mut Work, name: &str, environment: Environment) -> Result<Account> {
    if let Some(root) = store::accounts::accounts::root(&mut work.tx).await? {
        return Ok(root);
    }
    let id = AccountId::new();
    let root = Account {
        id,
        path: Path::root(id),
        parent_id: None,
        account_type: AccountType::Operator,
        status: AccountStatus::Active,
        environment,
        name: name.to_owned(),
        contact_email: None,
        country: None,
        locale: None,
        time_zone: None,
        currency: None,
        external_id: None,
        external_id_by: None,
        fingerprint: String::new(),
        metadata: Json(BTreeMap::new()),
        delegation: Allow::Full,
        require_idempotency_key: false,
        signup_policy: None,
        order_policy: None,
        version: 1,
        created_at: work.now,
        updated_at: work.now,
        held: None,
    };
    store::accounts::accounts::insert(&mut work.tx, &root).await?;
    let view = root.clone().seen_by(&root.path);
    work.event(EventType::AccountCreated, (root.id, &root.path), "account", Object::new(root.id, 1, &view));
    Ok(root)
}

/// What is to change of an account: what is `None` stays, `Some(None)` is cleared.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub name: Option<String>,
    pub contact_email: Option<Option<String>>,
    pub country: Option<Option<String>>,
    pub locale: Option<Option<String>>,
    pub time_zone: Option<Option<String>>,
    pub currency: Option<Option<String>>,
    pub metadata: Option<BTreeMap<String, String>>,
    pub delegation: Option<Delegation>,
    pub require_idempotency_key: Option<bool>,
    pub signup_policy: Option<Option<SignupPolicy>>,
    pub order_policy: Option<Option<OrderPolicy>>,
}

/// Changes what an account says of itself; only at a version that `expected` admits. Somebody above it that gets as far
/// as this may change it, so it can let those above do less, and never more than the account lets them.
pub async fn change(
    work: &mut Work,
    id: AccountId,
    change: Change,
    expected: &Precondition,
) -> Result<Account> {
    let mut account = unless_closed(find(&mut work.tx, id).await?)?;
    check_version(work, Versioned::Account, id, account.version, expected).await?;
    let before = account.clone().seen_by(&account.path);
    account.name = change.name.unwrap_or(account.name);
    account.contact_email = change.contact_email.unwrap_or(account.contact_email);
    account.country = change.country.unwrap_or(account.country);
    account.locale = change.locale.unwrap_or(account.locale);
    account.time_zone = change.time_zone.unwrap_or(account.time_zone);
    account.currency = change.currency.unwrap_or(account.currency);
    account.metadata = change.metadata.map_or(account.metadata, Json);
    account.delegation = change.delegation.map_or(account.delegation, |asked| asked.allow);
    account.require_idempotency_key =
        change.require_idempotency_key.unwrap_or(account.require_idempotency_key);
    account.signup_policy = change.signup_policy.map_or(account.signup_policy, |asked| asked.map(Json));
    account.order_policy = change.order_policy.map_or(account.order_policy, |asked| asked.map(Json));
    written(work, account, EventType::AccountUpdated, json!(before)).await
}

/// Opens or closes the account.
pub(super) async fn changed_status(
    work: &mut Work,
    account: Account,
    status: AccountStatus,
    event: EventType,
) -> Result<Account> {
    let before = account.clone().seen_by(&account.path);
    written(work, Account { status, ..account }, event, json!(before)).await
}

/// Writes what was changed of the account, and tells of it.
async fn written(work: &mut Work, mut account: Account, event: EventType, before: Value) -> Result<Account> {
    if !store::accounts::accounts::update(&mut work.tx, &account, work.now).await? {
        return Err(Error::Busy);
    }
    account.version += 1;
    account.updated_at = work.now;
    let view = account.clone().seen_by(&account.path);
    let object = Object::new(account.id, account.version, &view).instead_of(before);
    work.event(event, (account.id, &account.path), "account", object);
    Ok(account)
}
