//! Asking those above for more.

use serde_json::json;

use super::put;
use crate::domain::accounts::accounts::open;
use crate::domain::{Error, Object, Result, Work, check_version};
use crate::model::events::events::EventType;
use crate::model::ids::{AccountId, QuotaRequestId};
use crate::model::quotas::{
    Level, Quota, QuotaKey, QuotaRequest, QuotaRequestStatus, QuotaRequestView, Remedy, Violation,
};
use crate::model::scopes::Scope;
use crate::model::{Actor, Path, Precondition};
use crate::store;
use crate::store::Conn;
use crate::store::versions::Versioned;

/// A request as it was asked.
#[derive(Debug, Clone)]
pub struct Asking {
    /// Whose ceiling is to be raised; the caller's own account's if none is named.
    pub account_id: Option<AccountId>,
    pub key: QuotaKey,
    pub ceiling: i64,
    pub reason: Option<String>,
}

/// Asks the accounts above for a higher ceiling.
pub async fn create(work: &mut Work, actor: &Actor, asking: Asking) -> Result<QuotaRequest> {
    let account = open(work, asking.account_id.unwrap_or(actor.subject_id)).await?;
    if account.parent_id.is_none() {
        let detail = "the operator has nobody above to ask";
        return Err(Error::invalid("/account_id", "nothing_above", detail));
    }
    let Some(quota) = ceiling(&mut work.tx, &account.path, asking.key).await? else {
        let detail = "has no ceiling at this account: what is short is short elsewhere";
        return Err(Error::invalid("/key", "no_ceiling", detail));
    };
    check_more(&quota, asking.ceiling)?;
    let request = QuotaRequest {
        id: QuotaRequestId::new(),
        account_id: account.id,
        path: account.path,
        key: asking.key,
        ceiling: asking.ceiling,
        granted: None,
        reason: asking.reason,
        status: QuotaRequestStatus::Pending,
        note: None,
        decided_at: None,
        version: 1,
        created_at: work.now,
        updated_at: work.now,
    };
    if !store::quotas::requests::insert(&mut work.tx, &request).await? {
        return Err(Error::State {
            current: "asked for already".into(),
            action: "A second request for the same quota",
            allowed: vec!["withdraw"],
        });
    }
    recorded(work, EventType::QuotaRequestCreated, &request);
    Ok(request)
}

async fn ceiling(conn: &mut Conn, place: &Path, key: QuotaKey) -> Result<Option<Quota>> {
    let rows = store::quotas::quotas::of_holder(conn, place.as_str()).await?;
    Ok(rows.into_iter().find(|quota| quota.key == key))
}

fn check_more(quota: &Quota, ceiling: i64) -> Result<()> {
    match ceiling > quota.ceiling {
        true => Ok(()),
        false => {
            let detail = format!("must be more than the {} there are", quota.ceiling);
            Err(Error::invalid("/ceiling", "not_more", detail))
        }
    }
}

/// What a decision says.
#[derive(Debug, Clone, Default)]
pub struct Decision {
    /// Another ceiling than the one that was asked for.
    pub ceiling: Option<i64>,
    pub note: Option<String>,
}

/// Sets the ceiling that was asked for, or another one.
pub async fn approve(
    work: &mut Work,
    actor: &Actor,
    id: QuotaRequestId,
    decision: Decision,
    expected: &Precondition,
) -> Result<QuotaRequest> {
    let request = find(work, id, expected).await?;
    if request.status == QuotaRequestStatus::Approved {
        return Ok(request);
    }
    check_pending(&request, "An approval")?;
    check_above(actor, &request, "An approval")?;
    open(work, request.account_id).await?;
    // Nobody sets the ceiling between its being looked at here and its being set.
    store::quotas::quotas::stop_all(&mut work.tx).await?;
    let Some(quota) = ceiling(&mut work.tx, &request.path, request.key).await? else {
        let current = "for a quota without a ceiling".into();
        return Err(Error::State { current, action: "An approval", allowed: vec!["reject"] });
    };
    let granted = decision.ceiling.unwrap_or(request.ceiling);
    check_more(&quota, granted)?;
    let (account, key) = (request.account_id, request.key);
    let approved = QuotaRequest {
        status: QuotaRequestStatus::Approved,
        granted: Some(granted),
        note: decision.note,
        ..request
    };
    let decided = decided(work, approved, EventType::QuotaRequestApproved).await?;
    put(work, actor, account, key, Some(granted), quota.mode, &Precondition::NONE).await?;
    Ok(decided)
}

/// Says no to what was asked for.
pub async fn reject(
    work: &mut Work,
    actor: &Actor,
    id: QuotaRequestId,
    note: Option<String>,
    expected: &Precondition,
) -> Result<QuotaRequest> {
    let request = find(work, id, expected).await?;
    if request.status == QuotaRequestStatus::Rejected {
        return Ok(request);
    }
    check_pending(&request, "A rejection")?;
    check_above(actor, &request, "A rejection")?;
    let rejected = QuotaRequest { status: QuotaRequestStatus::Rejected, note, ..request };
    decided(work, rejected, EventType::QuotaRequestRejected).await
}

/// Takes back what was asked for. Those above reject it.
pub async fn withdraw(
    work: &mut Work,
    actor: &Actor,
    id: QuotaRequestId,
    expected: &Precondition,
) -> Result<QuotaRequest> {
    let request = find(work, id, expected).await?;
    if request.status == QuotaRequestStatus::Withdrawn {
        return Ok(request);
    }
    check_pending(&request, "A withdrawal")?;
    if stands_above(actor, &request) {
        let current = "another account's".into();
        return Err(Error::State { current, action: "A withdrawal", allowed: vec!["reject"] });
    }
    let withdrawn = QuotaRequest { status: QuotaRequestStatus::Withdrawn, ..request };
    decided(work, withdrawn, EventType::QuotaRequestWithdrawn).await
}

async fn find(work: &mut Work, id: QuotaRequestId, expected: &Precondition) -> Result<QuotaRequest> {
    let found = store::quotas::requests::find(&mut work.tx, id).await?;
    let request = found.ok_or(Error::NotFound("quota request"))?;
    check_version(work, Versioned::QuotaRequest, id, request.version, expected).await?;
    Ok(request)
}

fn check_pending(request: &QuotaRequest, action: &'static str) -> Result<()> {
    match request.status {
        QuotaRequestStatus::Pending => Ok(()),
        status => Err(Error::State { current: status.to_string(), action, allowed: Vec::new() }),
    }
}

fn stands_above(actor: &Actor, request: &QuotaRequest) -> bool {
    actor.principal_path.depth() < request.path.depth()
}

/// Nobody decides of what he asked for himself.
fn check_above(actor: &Actor, request: &QuotaRequest, action: &'static str) -> Result<()> {
    match stands_above(actor, request) {
        true => Ok(()),
        false => Err(Error::State {
            current: "waiting for an account further above".into(),
            action,
            allowed: vec!["withdraw"],
        }),
    }
}

/// Writes what became of the request, and tells of it.
async fn decided(work: &mut Work, request: QuotaRequest, event: EventType) -> Result<QuotaRequest> {
    let decided = QuotaRequest { decided_at: Some(work.now), ..request };
    if !store::quotas::requests::decide(&mut work.tx, &decided, work.now).await? {
        return Err(Error::Busy);
    }
    let decided = QuotaRequest { version: decided.version + 1, updated_at: work.now, ..decided };
    recorded(work, event, &decided);
    Ok(decided)
}

fn recorded(work: &mut Work, event: EventType, request: &QuotaRequest) {
    let view = QuotaRequestView::from(request.clone());
    let object = Object::new(request.id, request.version, &view);
    work.event(event, (request.account_id, &request.path), "quota_request", object);
}

/// No request asks for more.
const LARGEST: i64 = 1_000_000_000_000;

/// The requests that would make room where the caller's own account is full, if it acts for that. `rows` are the ceilings with
/// all that they are to hold.
pub(super) async fn remedies(
    conn: &mut Conn,
    actor: &Actor,
    rows: &[Quota],
    violations: &[Violation],
) -> Result<Vec<Remedy>> {
    let own = actor.principal_id.to_string();
    let is_own = |short: &&Violation| short.level == Level::Account && short.holder.as_ref() == Some(&own);
    let short: Vec<_> = violations.iter().filter(is_own).collect();
    let place = &actor.principal_path;
    let may_ask = actor.has(Scope::QuotasWrite) && place.depth() > 1 && actor.reach.covers(place);
    if short.is_empty() || !may_ask {
        return Ok(Vec::new());
    }
    let asked_for = store::quotas::requests::asked_for(conn, actor.principal_id).await?;
    let remedy = |short: &&Violation| {
        let full = |row: &&Quota| row.holder == place.as_str() && row.key == short.key;
        let row = rows.iter().find(full).filter(|row| !asked_for.contains(&row.key))?;
        let needed = row.used + row.reserved;
        let title = format!("Ask your seller to raise {} from {} to {needed}", row.key, row.ceiling);
        let body = json!({"account_id": own, "key": row.key, "ceiling": needed});
        let path = "/v1/quota_requests".into();
        (needed <= LARGEST).then_some(Remedy { title, method: "POST", path, body })
    };
    Ok(short.iter().filter_map(remedy).collect())
}
