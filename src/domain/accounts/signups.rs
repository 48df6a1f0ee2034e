//! Signing up: an account with its owner, its first domain and its first plan, asked for in one call and opened in one
//! transaction, once whoever has to has said yes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::accounts::{self, Made, Opening, open};
use super::members::{self, Appointing};
use crate::domain::commerce::orders::{self, NewItem, NewSubscription, Placing};
use crate::domain::services::resources::NewResource;
use crate::domain::{Error, Fault, Object, Result, Work, check_version};
use crate::model::accounts::accounts::AccountType;
use crate::model::accounts::members::MemberRole;
use crate::model::accounts::signups::{
    Awaited, Signup, SignupAccount, SignupAdministrator, SignupPolicy, SignupStatus, SignupView,
};
use crate::model::events::events::EventType;
use crate::model::ids::{AccountId, OperationId, SignupId};
use crate::model::scopes::Scope;
use crate::model::services::specs::{DomainSpec, ResourceSpec};
use crate::model::{Actor, Json, Path, Precondition, Subtree};
use crate::store;
use crate::store::versions::Versioned;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// For how many days a sign-up waits from its creation or verification, and for how many where all it waits for is the seller.
const WAITS: u32 = 7;
const WAITS_FOR_THE_SELLER: u32 = 30;

/// A sign-up as it was asked for.
#[derive(Debug, Clone)]
pub struct Asking {
    /// Below whom the account is to stand; the caller's own account if none is named.
    pub parent_id: Option<AccountId>,
    pub account: SignupAccount,
    pub administrator: SignupAdministrator,
    /// Whether the caller vouches for the administrator's address.
    pub email_verified: bool,
    pub domain: Option<String>,
    pub plan: String,
    pub quantity: i64,
    pub metadata: BTreeMap<String, String>,
    /// Of the creating body.
    pub fingerprint: String,
}

/// A sign-up as it stands now, and the work that was set off.
#[derive(Debug, Clone)]
pub struct Stands {
    pub signup: Signup,
    pub operation_id: Option<OperationId>,
}

impl From<Signup> for Stands {
    fn from(signup: Signup) -> Self {
        Self { signup, operation_id: None }
    }
}

/// Takes a sign-up. What could not be opened as it is asked for is refused now, also where somebody has yet to say yes.
pub async fn create(work: &mut Work, actor: &Actor, asked: Asking) -> Result<Made<Stands>> {
    check_caller(actor, &asked)?;
    let seller = open(work, asked.parent_id.unwrap_or(actor.subject_id)).await?;
    if !seller.account_type.may_hold(AccountType::Tenant) {
        let detail = format!("a {} has no customers", seller.account_type);
        return Err(Error::invalid("/parent_id", "not_allowed_here", detail));
    }
    if let Some(external_id) = &asked.account.external_id {
        let known = store::accounts::signups::find_by_external_id(&mut work.tx, seller.id, external_id);
        match known.await? {
            Some(known) if known.fingerprint == asked.fingerprint => return Ok(Made::Existing(known.into())),
            Some(known) => return Err(Error::ExternalIdConflict { id: known.id.to_string() }),
            None => {}
        }
    }
    let policy = policy(work, &seller.path).await?;
    let mut signup = Signup {
        id: SignupId::new(),
        account_id: seller.id,
        path: seller.path,
        status: SignupStatus::Pending,
        external_id: asked.account.external_id.clone(),
        account: Json(asked.account),
        administrator: Json(asked.administrator),
        domain: asked.domain,
        plan: asked.plan,
        quantity: asked.quantity,
        needs_email: policy.verify_email,
        needs_approval: policy.approval,
        token_hash: None,
        email_verified_at: asked.email_verified.then_some(work.now),
        approved_at: None,
        opened_id: None,
        member_id: None,
        order_id: None,
        operation_id: None,
        reason: None,
        metadata: Json(asked.metadata),
        fingerprint: asked.fingerprint,
        expires_at: work.now,
        version: 1,
        created_at: work.now,
        updated_at: work.now,
    };
    signup.expires_at = work.now.plus(waits_for(&signup));
    let (first, created) = (work.place(), signup.clone());
    if signup.awaits().is_empty() {
        accept(work, actor, &mut signup).await.map_err(placed)?;
    } else {
        if actor.spend_cap.is_some() {
            let detail =
                "A key with a cap on what it spends takes no sign-ups that wait: they are ordered later.";
            return Err(Error::SpendCap(detail.into()));
        }
        rehearse(work, actor, &signup).await?;
    }
    store::accounts::signups::insert(&mut work.tx, &signup).await?;
    tell(work, EventType::SignupCreated, &created, None);
    work.tell_at(first);
    if signup.status == SignupStatus::Accepted {
        tell(work, EventType::SignupAccepted, &signup, Some(&created));
    }
    Ok(Made::New(Stands { operation_id: signup.operation_id, signup }))
}

/// Refuses what is not for the caller to say: a shop's page says nothing that the seller would know, and whoever vouches for
/// an address could show that it is the administrator's.
fn check_caller(actor: &Actor, asked: &Asking) -> Result<()> {
    if !actor.is_public {
        return match asked.email_verified && !actor.has(Scope::SignupsReview) {
            true => Err(Error::ScopeEscalation(format!("{}, to vouch for an address", Scope::SignupsReview))),
            false => Ok(()),
        };
    }
    if asked.parent_id.is_some_and(|parent| parent != actor.subject_id) {
        return Err(Error::AccountNotFound);
    }
    let theirs = [
        (asked.email_verified, "/administrator/email_verified"),
        (asked.account.external_id.is_some(), "/account/external_id"),
        (!asked.metadata.is_empty(), "/metadata"),
    ];
    let said = theirs.into_iter().filter(|(said, _)| *said);
    let faults: Vec<_> = said
        .map(|(_, place)| Fault::at(place, "for_the_seller", "is not for a shop's pages to say"))
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
}

/// For how long it waits: the longer if nobody but the seller has to say anything.
fn waits_for(signup: &Signup) -> Duration {
    match signup.awaits() == [Awaited::Approval] {
        true => DAY * WAITS_FOR_THE_SELLER,
        false => DAY * WAITS,
    }
}

/// What the seller at the path and all above it ask.
async fn policy(work: &mut Work, seller: &Path) -> Result<SignupPolicy> {
    let own = work.tx.turn(Subtree::everything()).await?;
    let said = store::accounts::signups::policies(&mut work.tx, seller).await?;
    work.tx.turn(own).await?;
    Ok(SignupPolicy::together(said))
}

/// Gives a sign-up a new token, whose hash is kept; the one before is no good any more.
pub async fn issue(work: &mut Work, id: SignupId, token_hash: String) -> Result<Signup> {
    let found = find(work, id).await?;
    check_waits(work, &found, "Sending a token")?;
    if !found.awaits().contains(&Awaited::EmailVerification) {
        let current = "not waiting for its address to be verified".into();
        return Err(Error::State { current, action: "Sending a token", allowed: Vec::new() });
    }
    save(work, Signup { token_hash: Some(token_hash), ..found }).await
}

/// Takes the token that was sent to the administrator, by its hash. One that was taken already changes nothing. What
/// cannot be opened any more as it was asked for waits for the seller then.
pub async fn verify(work: &mut Work, actor: &Actor, id: SignupId, token_hash: &str) -> Result<Stands> {
    let found = find(work, id).await?;
    if actor.is_public && found.account_id != actor.subject_id {
        return Err(Error::NotFound("sign-up"));
    }
    let is_it = found.token_hash.as_deref() == Some(token_hash);
    if is_it && found.email_verified_at.is_some() {
        return Ok(found.into());
    }
    check_waits(work, &found, "A verification")?;
    if !is_it {
        return Err(Error::invalid("/token", "wrong_token", "is not the one that was sent last"));
    }
    let mut verified = Signup { email_verified_at: Some(work.now), ..found.clone() };
    if verified.awaits().is_empty() {
        match rehearse(work, actor, &verified).await {
            Err(error @ (Error::Store(_) | Error::Busy)) => return Err(error),
            Err(_) => (verified.needs_approval, verified.approved_at) = (true, None),
            Ok(()) => {}
        }
    }
    verified.expires_at = work.now.plus(waits_for(&verified));
    go_on(work, actor, &found, verified, EventType::SignupVerified).await
}

/// Says yes for the seller. What was approved of already stays so.
pub async fn approve(
    work: &mut Work,
    actor: &Actor,
    id: SignupId,
    expected: &Precondition,
) -> Result<Stands> {
    let found = find(work, id).await?;
    check_version(work, Versioned::Signup, id, found.version, expected).await?;
    let stands = matches!(found.status, SignupStatus::Pending | SignupStatus::Accepted);
    if found.approved_at.is_some() && stands {
        return Ok(found.into());
    }
    check_waits(work, &found, "An approval")?;
    let approved = Signup { approved_at: Some(work.now), ..found.clone() };
    go_on(work, actor, &found, approved, EventType::SignupApproved).await
}

/// Says no. What was rejected stays so.
pub async fn reject(
    work: &mut Work,
    id: SignupId,
    reason: Option<String>,
    expected: &Precondition,
) -> Result<Signup> {
    let found = find(work, id).await?;
    check_version(work, Versioned::Signup, id, found.version, expected).await?;
    if found.status == SignupStatus::Rejected {
        return Ok(found);
    }
    check_waits(work, &found, "A rejection")?;
    let rejected = Signup { status: SignupStatus::Rejected, reason, token_hash: None, ..found.clone() };
    let rejected = save(work, rejected).await?;
    tell(work, EventType::SignupRejected, &rejected, Some(&found));
    Ok(rejected)
}

/// Ends what nobody has seen to in time; how many there were.
pub async fn turn_the_clock(work: &mut Work, limit: i64) -> Result<usize> {
    let due = store::accounts::signups::due(&mut work.tx, work.now, limit).await?;
    let mut turned = 0;
    for found in due {
        let expired = Signup { status: SignupStatus::Expired, token_hash: None, ..found.clone() };
        match save(work, expired).await {
            Ok(expired) => {
                tell(work, EventType::SignupExpired, &expired, Some(&found));
                turned += 1;
            }
            // Another replica has been here, or a caller.
            Err(Error::Busy) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(turned)
}

/// Writes what was said, and opens the account if nothing is waited for any more.
async fn go_on(
    work: &mut Work,
    actor: &Actor,
    before: &Signup,
    said: Signup,
    event: EventType,
) -> Result<Stands> {
    let (first, mut after) = (work.place(), said.clone());
    if after.awaits().is_empty() {
        accept(work, actor, &mut after).await.map_err(placed)?;
    }
    let signup = save(work, after).await?;
    let said = Signup { version: signup.version, updated_at: signup.updated_at, ..said };
    tell(work, event, &said, Some(before));
    work.tell_at(first);
    if signup.status == SignupStatus::Accepted {
        tell(work, EventType::SignupAccepted, &signup, Some(before));
    }
    Ok(Stands { operation_id: signup.operation_id, signup })
}

/// Refuses what could not be opened.
async fn rehearse(work: &mut Work, actor: &Actor, signup: &Signup) -> Result<()> {
    let mut rehearsed = signup.clone();
    work.rehearse(actor, async |work| accept(work, actor, &mut rehearsed).await).await.map_err(placed)
}

/// Opens the account with its owner and places its first order. Its name is one of the seller's.
async fn accept(work: &mut Work, actor: &Actor, signup: &mut Signup) -> Result<()> {
    let SignupAccount { name, external_id, country, locale, time_zone, currency } = signup.account.0.clone();
    let SignupAdministrator { name: administrator, email } = signup.administrator.0.clone();
    let opening = Opening {
        parent_id: Some(signup.account_id),
        account_type: AccountType::Tenant,
        environment: None,
        name,
        contact_email: Some(email.clone()),
        country,
        locale,
        time_zone,
        currency,
        external_id,
        metadata: signup.metadata.0.clone(),
        fingerprint: signup.fingerprint.clone(),
    };
    let seller = Actor { principal_id: signup.account_id, ..actor.clone() };
    let account = match accounts::create(work, &seller, opening).await? {
        Made::New(account) => account,
        Made::Existing(known) => return Err(Error::ExternalIdConflict { id: known.id.to_string() }),
    };
    let owner = Appointing {
        role: MemberRole::Owner,
        name: administrator,
        email,
        scopes: None,
        metadata: BTreeMap::new(),
    };
    let member = members::add(work, &account, owner).await?;
    let item = NewItem::Add(NewSubscription {
        plan: signup.plan.clone(),
        quantity: signup.quantity,
        addons: Vec::new(),
        resources: signup.domain.clone().map(domain).into_iter().collect(),
        external_id: None,
    });
    let placing = Placing {
        account_id: Some(account.id),
        items: vec![item],
        quote_id: None,
        external_id: None,
        metadata: BTreeMap::new(),
        fingerprint: String::new(),
    };
    let order = orders::place(work, actor, placing).await?.into_inner();
    signup.status = SignupStatus::Accepted;
    (signup.opened_id, signup.member_id) = (Some(account.id), Some(member.id));
    (signup.order_id, signup.operation_id) = (Some(order.id), order.operation_id);
    Ok(())
}

fn domain(name: String) -> NewResource {
    NewResource {
        spec: ResourceSpec::Domain(DomainSpec { name }),
        password_hash: None,
        external_id: None,
        metadata: BTreeMap::new(),
        fingerprint: String::new(),
    }
}

/// The faults of the order where whoever signs up has written what they are about.
fn placed(error: Error) -> Error {
    let Error::Invalid(faults) = error else { return error };
    let place = |fault: Fault| {
        let pointer = match fault.pointer.strip_prefix("/items/0") {
            Some(of) if of.starts_with("/resources") => "/domain".to_owned(),
            Some(of) => of.to_owned(),
            None => fault.pointer,
        };
        Fault { pointer, ..fault }
    };
    Error::Invalid(faults.into_iter().map(place).collect())
}

fn check_waits(work: &Work, signup: &Signup, action: &'static str) -> Result<()> {
    let current = match signup.status {
        SignupStatus::Pending if signup.expires_at > work.now => return Ok(()),
        SignupStatus::Pending => SignupStatus::Expired,
        over => over,
    };
    Err(Error::State { current: current.to_string(), action, allowed: Vec::new() })
}

async fn find(work: &mut Work, id: SignupId) -> Result<Signup> {
    store::accounts::signups::find(&mut work.tx, id).await?.ok_or(Error::NotFound("sign-up"))
}

async fn save(work: &mut Work, signup: Signup) -> Result<Signup> {
    match store::accounts::signups::update(&mut work.tx, &signup, work.now).await? {
        true => Ok(Signup { version: signup.version + 1, updated_at: work.now, ..signup }),
        false => Err(Error::Busy),
    }
}

fn tell(work: &mut Work, event_type: EventType, signup: &Signup, before: Option<&Signup>) {
    let view = SignupView::from(signup.clone());
    let mut object = Object::new(signup.id, signup.version, &view);
    if let Some(before) = before {
        object = object.instead_of(json!(SignupView::from(before.clone())));
    }
    work.event(event_type, (signup.account_id, &signup.path), "signup", object);
}
