//! The people of accounts, and what each may do: no more than whoever appointed him.

use std::collections::BTreeMap;

use serde_json::json;

use super::accounts::open;
use super::keys::{self, Issue};
use crate::domain::{Error, Object, Result, Work, check_version};
use crate::model::accounts::accounts::Account;
use crate::model::accounts::keys::Key;
use crate::model::accounts::members::{Member, MemberRole, MemberView};
use crate::model::events::events::EventType;
use crate::model::ids::{AccountId, MemberId};
use crate::model::scopes::Scope;
use crate::model::{Actor, Json, Precondition, Subtree};
use crate::store;
use crate::store::Conn;
use crate::store::versions::Versioned;

/// A person as it was asked for.
#[derive(Debug, Clone)]
pub struct Appointing {
    pub role: MemberRole,
    pub name: String,
    pub email: String,
    /// What a peer may do.
    pub scopes: Option<Vec<Scope>>,
    pub metadata: BTreeMap<String, String>,
}

/// The person in the caller's reach.
pub async fn find(conn: &mut Conn, id: MemberId) -> Result<Member> {
    store::accounts::members::find(conn, id).await?.ok_or(Error::NotFound("member"))
}

/// Adds a person to an account, the caller's own if none is named.
pub async fn create(
    work: &mut Work,
    actor: &Actor,
    account: Option<AccountId>,
    asked: Appointing,
) -> Result<MemberView> {
    let account = open(work, account.unwrap_or(actor.subject_id)).await?;
    let scopes = given(asked.role, asked.scopes)?;
    keys::check_scopes(actor, &asked.role.may(&scopes, account.account_type))?;
    add(work, &account, Appointing { scopes: Some(scopes), ..asked }).await
}

/// Adds a person whom somebody may appoint: the caller, or the seller through whom the account signed up.
pub(super) async fn add(work: &mut Work, account: &Account, asked: Appointing) -> Result<MemberView> {
    let member = Member {
        id: MemberId::new(),
        account_id: account.id,
        path: account.path.clone(),
        role: asked.role,
        name: asked.name,
        email: asked.email.to_lowercase(),
        scopes: Json(asked.scopes.unwrap_or_default()),
        metadata: Json(asked.metadata),
        version: 1,
        created_at: work.now,
        updated_at: work.now,
        account_type: account.account_type,
    };
    if !store::accounts::members::insert(&mut work.tx, &member).await? {
        return Err(taken(member.email));
    }
    Ok(tell(work, EventType::MemberAdded, member, None))
}

/// What is to change of a person; what is none stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub role: Option<MemberRole>,
    pub name: Option<String>,
    pub email: Option<String>,
    pub scopes: Option<Vec<Scope>>,
    pub metadata: Option<BTreeMap<String, String>>,
}

/// Changes a person. From its keys goes what it may not do any more; they get nothing new.
pub async fn change(
    work: &mut Work,
    actor: &Actor,
    id: MemberId,
    change: Change,
    expected: &Precondition,
) -> Result<(MemberView, i64)> {
    let mut member = open_for(work, actor, id, expected).await?;
    let before = MemberView::from(member.clone());
    let role = change.role.unwrap_or(member.role);
    if member.role == MemberRole::Owner && role != MemberRole::Owner {
        check_is_not_the_last(work, &member, "Another role").await?;
    }
    let scopes = match (change.scopes, role == member.role) {
        (None, true) => member.scopes.0,
        (asked, _) => given(role, asked)?,
    };
    member.role = role;
    member.scopes = Json(scopes);
    let may = member.may();
    keys::check_scopes(actor, &may)?;
    if let Some(email) = change.email.map(|email| email.to_lowercase()).filter(|email| *email != member.email)
    {
        let other = store::accounts::members::with_address(&mut work.tx, member.account_id, &email).await?;
        if other.is_some() {
            return Err(taken(email));
        }
        member.email = email;
    }
    member.name = change.name.unwrap_or(member.name);
    member.metadata = change.metadata.map_or(member.metadata, Json);
    if !store::accounts::members::update(&mut work.tx, &member, work.now).await? {
        return Err(Error::Busy);
    }
    member.version += 1;
    member.updated_at = work.now;
    let version = member.version;
    let view = tell(work, EventType::MemberUpdated, member, Some(before));
    keys::narrow(work, id, &may).await?;
    Ok((view, version))
}

/// Removes a person, and revokes its keys.
pub async fn remove(work: &mut Work, actor: &Actor, id: MemberId, expected: &Precondition) -> Result<()> {
    let member = open_for(work, actor, id, expected).await?;
    if member.role == MemberRole::Owner {
        check_is_not_the_last(work, &member, "Removing the member").await?;
    }
    if !store::accounts::members::remove(&mut work.tx, &member).await? {
        return Err(Error::Busy);
    }
    tell(work, EventType::MemberRemoved, member, None);
    keys::narrow(work, id, &[]).await
}

/// Whose a new key of the account is: the member's that is named, which must be able to do all that the key can; else, if
/// a member of the account makes it that does not own the account, that one's.
pub(super) async fn of_new_key(
    work: &mut Work,
    actor: &Actor,
    account: &Account,
    issue: &Issue,
) -> Result<Option<MemberId>> {
    let bound = match bound(work, actor).await? {
        Some(maker) if account.path == maker.path.beside() => {
            return Err(Error::ScopeEscalation("keys of the account's test account".into()));
        }
        maker => maker.filter(|maker| account.id == maker.account_id),
    };
    let member = match (bound, issue.member_id) {
        (None, None) => return Ok(None),
        (Some(bound), named) if named.is_none_or(|named| named == bound.id) => bound,
        (Some(_), _) => return Err(not_hers()),
        (None, Some(named)) => {
            let found = store::accounts::members::locked(&mut work.tx, named).await?;
            found.filter(|member| member.account_id == account.id).ok_or(Error::NotFound("member"))?
        }
    };
    let may = member.may();
    let beyond: Vec<_> =
        issue.scopes.iter().filter(|scope| !may.contains(scope)).map(|scope| scope.as_str()).collect();
    match beyond.is_empty() {
        true => Ok(Some(member.id)),
        false => {
            let detail = format!("the member may not use {}", beyond.join(", "));
            Err(Error::invalid("/member_id", "beyond_the_member", detail))
        }
    }
}

/// Refuses to put a key into the hands of a member that is another's, or the account's own, unless the member owns the
/// account: he would have it still when he is gone.
pub(super) async fn check_whose(work: &mut Work, actor: &Actor, key: &Key) -> Result<()> {
    if actor.member_id.is_none() || key.account_id != actor.principal_id {
        return Ok(());
    }
    match bound(work, actor).await? {
        Some(maker) if key.member_id != Some(maker.id) => Err(not_hers()),
        _ => Ok(()),
    }
}

fn not_hers() -> Error {
    Error::ScopeEscalation("keys that are not the member's own".into())
}

/// The member whose key the caller's is, unless it owns the account: what he makes for his account ends with him. Nobody
/// changes or removes him until the transaction ends.
async fn bound(work: &mut Work, actor: &Actor) -> Result<Option<Member>> {
    let Some(id) = actor.member_id else { return Ok(None) };
    // His key may be narrowed to accounts below.
    let own = work.tx.turn(Subtree::of(&actor.principal_path)).await?;
    let found = store::accounts::members::locked(&mut work.tx, id).await?;
    work.tx.turn(own).await?;
    let member = found.ok_or_else(|| Error::ScopeEscalation("rights of a member who is gone".into()))?;
    Ok(Some(member).filter(|member| member.role != MemberRole::Owner))
}

/// The person whom the caller may change: one who may do no more than the caller.
async fn open_for(work: &mut Work, actor: &Actor, id: MemberId, expected: &Precondition) -> Result<Member> {
    let member = find(&mut work.tx, id).await?;
    check_version(work, Versioned::Member, id, member.version, expected).await?;
    open(work, member.account_id).await?;
    keys::check_scopes(actor, &member.may())?;
    Ok(member)
}

/// What a peer is given; the other roles say it themselves.
fn given(role: MemberRole, asked: Option<Vec<Scope>>) -> Result<Vec<Scope>> {
    match (role, asked) {
        (MemberRole::Peer, Some(mut scopes)) => {
            scopes.sort();
            scopes.dedup();
            Ok(scopes)
        }
        (MemberRole::Peer, None) => {
            Err(Error::invalid("/scopes", "needed_for_a_peer", "say what the peer may do"))
        }
        (_, Some(_)) => {
            let detail = "only a peer has scopes of its own; of the others the role says what they may do";
            Err(Error::invalid("/scopes", "only_for_a_peer", detail))
        }
        (_, None) => Ok(Vec::new()),
    }
}

async fn check_is_not_the_last(work: &mut Work, member: &Member, action: &'static str) -> Result<()> {
    let owners = store::accounts::members::owners(&mut work.tx, member.account_id).await?;
    match owners.iter().any(|owner| *owner != member.id) {
        true => Ok(()),
        false => {
            Err(Error::State { current: "the account's only owner".into(), action, allowed: Vec::new() })
        }
    }
}

fn taken(email: String) -> Error {
    Error::NameTaken { kind: "A member with the address", name: email }
}

fn tell(work: &mut Work, event_type: EventType, member: Member, before: Option<MemberView>) -> MemberView {
    let (id, version, account_id, path) = (member.id, member.version, member.account_id, member.path.clone());
    let view = MemberView::from(member);
    let mut object = Object::new(id, version, &view);
    if let Some(before) = before {
        object = object.instead_of(json!(before));
    }
    work.event(event_type, (account_id, &path), "member", object);
    view
}
