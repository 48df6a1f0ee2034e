//! Requests that were left to be sent one after the other. What they do is theirs: each has a transaction of its own, by
//! the way that every request takes.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::domain::{Error, Object, Result, Work, check_version};
use crate::model::bulk::{Batch, BatchItem, BatchItemStatus, BatchStatus, BatchView};
use crate::model::events::events::EventType;
use crate::model::ids::{AccountId, BatchId};
use crate::model::{Actor, Json, Precondition, Time};
use crate::store;
use crate::store::Conn;
use crate::store::bulk::batches::{Answered, NewBatchItem, Next, Turned};
use crate::store::versions::Versioned;

/// How many batches of one account may be under way.
const UNDER_WAY: i64 = 20;

/// A batch to be left.
#[derive(Debug)]
pub struct Leaving {
    pub id: BatchId,
    /// What the access token says that it is left with, if it is one.
    pub claims: Option<Value>,
    /// Sealed: the body of all that have none of their own.
    pub body: Option<String>,
    pub items: Vec<NewBatchItem>,
    pub dry_run: bool,
    /// Until when its requests are sent, and sent again.
    pub good_until: Time,
}

/// Leaves requests to be sent.
pub async fn create(work: &mut Work, actor: &Actor, leaving: Leaving) -> Result<Batch> {
    check_reach(actor)?;
    let batch = Batch {
        id: leaving.id,
        account_id: actor.subject_id,
        path: actor.subject_path.clone(),
        principal_id: actor.principal_id,
        key_id: actor.key_id,
        claims: leaving.claims.map(Json),
        body: leaving.body,
        dry_run: leaving.dry_run,
        good_until: leaving.good_until,
        status: BatchStatus::Queued,
        total: i64::try_from(leaving.items.len()).unwrap_or(i64::MAX),
        succeeded: 0,
        failed: 0,
        cancelled: 0,
        fence: 0,
        version: 1,
        created_at: work.now,
        started_at: None,
        ended_at: None,
        updated_at: work.now,
    };
    check_room(work, &batch).await?;
    for account in leaving.items.iter().filter_map(|item| item.subject_id).collect::<BTreeSet<_>>() {
        let found = store::accounts::accounts::find(&mut work.tx, account).await?;
        found.ok_or(Error::AccountNotFound)?;
    }
    store::bulk::batches::insert(&mut work.tx, &batch).await?;
    store::bulk::batches::insert_items(&mut work.tx, &batch, &leaving.items).await?;
    Ok(batch)
}

/// What is left stands with the account that is acted for; a key that is narrowed would never see it again.
pub(super) fn check_reach(actor: &Actor) -> Result<()> {
    match actor.reach.covers(&actor.subject_path) {
        true => Ok(()),
        false => {
            let detail =
                "the key reaches parts of its account only: say with Tenantry-Account for which this is";
            Err(Error::invalid("", "account_needed", detail))
        }
    }
}

/// Whether the account that something was left by is the caller's, or one below it. Those further down see what was left for
/// them, and nothing of it is theirs to change.
pub async fn is_theirs(conn: &mut Conn, principal: AccountId, caller: AccountId) -> Result<bool> {
    Ok(principal == caller || store::places::place(conn, &principal.to_string()).await?.is_some())
}

/// It is for the account that left it, and for those above.
pub(super) fn not_theirs(action: &'static str) -> Error {
    Error::State { current: "another account's".into(), action, allowed: Vec::new() }
}

async fn check_room(work: &mut Work, batch: &Batch) -> Result<()> {
    let under_way = store::bulk::batches::under_way(&mut work.tx, batch.account_id).await?;
    match under_way < UNDER_WAY {
        true => Ok(()),
        false => Err(Error::State {
            current: format!("waiting for {under_way} batches of the account"),
            action: "A further batch",
            allowed: Vec::new(),
        }),
    }
}

async fn find(work: &mut Work, id: BatchId, expected: &Precondition) -> Result<Batch> {
    let found = store::bulk::batches::find(&mut work.tx, id).await?;
    let batch = found.ok_or(Error::NotFound("batch"))?;
    check_version(work, Versioned::Batch, id, batch.version, expected).await?;
    Ok(batch)
}

/// Has no further request of the batch sent. One that is being sent is answered yet.
pub async fn cancel(work: &mut Work, actor: &Actor, id: BatchId, expected: &Precondition) -> Result<Batch> {
    let batch = find(work, id, expected).await?;
    if !is_theirs(&mut work.tx, batch.principal_id, actor.principal_id).await? {
        return Err(not_theirs("A cancellation"));
    }
    match batch.status {
        BatchStatus::Cancelling | BatchStatus::Cancelled => Ok(batch),
        BatchStatus::Completed => Err(Error::State {
            current: batch.status.to_string(),
            action: "A cancellation",
            allowed: vec!["retry_failed"],
        }),
        BatchStatus::Queued | BatchStatus::Running => {
            let failed = batch.failed;
            turned(work, batch, Turned { status: BatchStatus::Cancelling, failed }).await
        }
    }
}

/// Has the batch's requests sent again that were refused, in the name of whoever says so: another of the account's
/// credentials does, with its own rights and no others.
pub async fn retry_failed(
    work: &mut Work,
    actor: &Actor,
    id: BatchId,
    claims: Option<Value>,
    expected: &Precondition,
) -> Result<Batch> {
    let batch = find(work, id, expected).await?;
    if batch.principal_id != actor.principal_id {
        // What it did under the account's idempotency keys would be done once more under another's.
        return Err(not_theirs("A retry"));
    }
    if !batch.status.is_final() {
        return Err(Error::State {
            current: batch.status.to_string(),
            action: "A retry",
            allowed: vec!["cancel"],
        });
    }
    if batch.failed == 0 {
        return Ok(batch);
    }
    if batch.good_until <= work.now {
        let current = "older than its requests are good for".into();
        return Err(Error::State { current, action: "A retry", allowed: Vec::new() });
    }
    check_room(work, &batch).await?;
    let (from, to) = (BatchItemStatus::Failed, BatchItemStatus::Pending);
    store::bulk::batches::turn_items(&mut work.tx, id, from, to).await?;
    let batch = Batch { key_id: actor.key_id, claims: claims.map(Json), ..batch };
    turned(work, batch, Turned { status: BatchStatus::Queued, failed: 0 }).await
}

async fn turned(work: &mut Work, batch: Batch, to: Turned) -> Result<Batch> {
    if !store::bulk::batches::turn(&mut work.tx, &batch, to, work.now).await? {
        return Err(Error::Busy);
    }
    let Turned { status, failed } = to;
    let version = batch.version + 1;
    Ok(Batch { status, failed, ended_at: None, version, updated_at: work.now, ..batch })
}

/// Keeps what a request was answered and how the batch goes on; none if the worker has the batch no more.
pub async fn answered(
    work: &mut Work,
    batch: &Batch,
    item: &BatchItem,
    told: &Answered,
    next: Next,
) -> Result<Option<BatchStatus>> {
    let (succeeded, failed) = match told.status {
        BatchItemStatus::Succeeded => (1, 0),
        BatchItemStatus::Failed => (0, 1),
        BatchItemStatus::Pending | BatchItemStatus::Cancelled => (0, 0),
    };
    let status = store::bulk::batches::count(&mut work.tx, batch, succeeded, failed, next, work.now).await?;
    if status.is_some() {
        store::bulk::batches::answer(&mut work.tx, item, told).await?;
    }
    Ok(status)
}

/// Ends a batch of which nothing is left to be sent, or nothing is to be sent any more, unless somebody else has it.
pub async fn end(work: &mut Work, batch: &Batch, status: BatchStatus) -> Result<()> {
    let (from, to) = (BatchItemStatus::Pending, BatchItemStatus::Cancelled);
    let never_sent = match status {
        BatchStatus::Cancelled => store::bulk::batches::turn_items(&mut work.tx, batch.id, from, to).await?,
        _ => 0,
    };
    let never_sent = i64::try_from(never_sent).unwrap_or(i64::MAX);
    let ended = store::bulk::batches::end(&mut work.tx, batch, status, never_sent, work.now).await?;
    let ended = ended.ok_or(Error::Busy)?;
    let event = match status {
        BatchStatus::Cancelled => EventType::BatchCancelled,
        _ => EventType::BatchCompleted,
    };
    let object = Object::new(ended.id, ended.version, &BatchView::from(ended.clone()));
    work.event(event, (ended.account_id, &ended.path), "batch", object);
    Ok(())
}
