//! The one door through which requests write.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::ExposeSecret;
use serde_json::{Map, Value};

use super::answer::Answer;
use super::problem::{Code, Problem};
use super::routes::Route;
use super::state::State;
use super::{json, wait};
use crate::access::seal::Context;
use crate::domain::{self, Work};
use crate::limits::load::Turn;
use crate::model::events::events::Cause;
use crate::model::ids::AccountId;
use crate::model::{Actor, Json, Subtree};
use crate::store;
use crate::store::audit::{ACTORS, BATCH, Line, MEMBER};
use crate::store::replies::{self, Reply, Slot};

/// For how long an answer with a secret can be repeated.
const SECRETS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a caller can have us wait for an operation.
const LONGEST_WAIT: u64 = 30;

/// All that is known of a request when its use-case begins.
pub struct Entry {
    pub key: Option<String>,
    pub dry_run: bool,
    pub wait: Option<Duration>,
    /// The request's place among those that are worked on, which it does not need while it waits.
    pub turn: Option<Arc<Turn>>,
    pub query: String,
    pub body: Value,
    pub actor: Actor,
    /// Where the request came from, as the audit keeps it.
    pub address: Option<String>,
    pub route: Arc<Route>,
    pub method: Method,
    pub path: String,
    pub state: web::Data<State>,
}

/// For how long `Prefer: wait=…` (RFC 7240) asks us to wait.
pub fn wait_asked(request: &HttpRequest) -> Option<Duration> {
    let preferences = request.headers().get_all("prefer").filter_map(|line| line.to_str().ok());
    let seconds = preferences
        .flat_map(|line| line.split([',', ';']))
        .find_map(|preference| preference.trim().strip_prefix("wait=")?.parse::<u64>().ok())?;
    Some(Duration::from_secs(seconds.min(LONGEST_WAIT)))
}

/// What came of a request: a fresh answer or one from memory.
struct Came {
    answer: Answer,
    replayed: bool,
}

/// Runs the work and answers. See [`super::caller::Caller::write`].
pub async fn enter<W>(entry: Entry, work: W) -> Result<HttpResponse, Problem>
where
    W: AsyncFnOnce(&mut Work, &Actor) -> domain::Result<Answer> + 'static,
{
    let (state, wait, subject) = (entry.state.clone(), entry.wait, entry.actor.subtree());
    let turn = entry.turn.clone();
    let makes = entry.route.makes;
    let came = actix_web::rt::spawn(run(entry, work)).await.map_err(|_| broken())??;
    match (came.answer.operation_id, wait) {
        (Some(operation), Some(longest)) => {
            turn.inspect(|turn| turn.rest());
            let ended = wait::until_ended(&state, subject, &came.answer, operation, longest, makes).await;
            // It is done, whether we can see what has become of it or not.
            let answer = ended.unwrap_or(came.answer);
            Ok(answer.render(came.replayed))
        }
        _ => Ok(came.answer.render(came.replayed)),
    }
}

/// Runs work that a request without a credential set off, in one transaction with its events and its audit
/// line, in whose account it stays. As with [`enter`], all is kept or nothing, and nothing cancels it.
pub async fn enter_unasked<W>(state: web::Data<State>, line: Line, use_case: W) -> Result<(), Problem>
where
    W: AsyncFnOnce(&mut Work) -> domain::Result<()> + 'static,
{
    actix_web::rt::spawn(run_unasked(state, line, use_case)).await.map_err(|_| broken())?
}

async fn run_unasked<W>(state: web::Data<State>, mut line: Line, use_case: W) -> Result<(), Problem>
where
    W: AsyncFnOnce(&mut Work) -> domain::Result<()>,
{
    line.address = veiled(&state, line.principal_id, line.address.take()).await?;
    let tx = state.db.write(Subtree::of(&line.path)).await?;
    let cause = Cause { key_id: None, request_id: Some(line.request_id.clone()), reason_code: None };
    let mut work = Work::because(tx, cause, line.occurred_at);
    let outcome = async {
        use_case(&mut work).await?;
        work.record(Some(line)).await?;
        work.settle(None).await?;
        work.tx.flush().await?;
        Ok::<_, domain::Error>(())
    };
    match outcome.await {
        Ok(()) => {
            work.tx.commit().await?;
            (state.signals.recorded)();
            state.forget();
            Ok(())
        }
        Err(error) => {
            work.tx.undo().await?;
            Err(Problem::from(error))
        }
    }
}

/// An address as the audit keeps it.
pub async fn veiled(
    state: &State,
    of: AccountId,
    address: Option<impl ToString>,
) -> store::Result<Option<String>> {
    match address {
        None => Ok(None),
        Some(address) => state.veils.seal(&state.db, of, &address.to_string()).await.map(Some),
    }
}

fn broken() -> Problem {
    Problem::new(Code::InternalError, "Nothing was changed. Our side has been told.")
}

async fn run<W>(entry: Entry, use_case: W) -> Result<Came, Problem>
where
    W: AsyncFnOnce(&mut Work, &Actor) -> domain::Result<Answer>,
{
    let tx = entry.state.load.until_writable(entry.state.db.write(entry.actor.subtree())).await?;
    let mut work = Work::of(tx, &entry.actor);
    let outcome = within(&entry, &mut work, use_case).await;
    match outcome {
        Ok(came) if entry.dry_run || came.replayed => {
            work.tx.undo().await?;
            Ok(came)
        }
        Ok(came) => {
            work.tx.commit().await?;
            (entry.state.signals.recorded)();
            if came.answer.queues {
                (entry.state.signals.queued)();
            }
            if entry.route.touches_credentials {
                entry.state.forget();
            }
            Ok(came)
        }
        Err(problem) => {
            work.tx.undo().await?;
            Err(problem)
        }
    }
}

/// The order of statements in every writing transaction: the key, the use-case, what it recorded, the
/// answer, and last the quota.
async fn within<W>(entry: &Entry, work: &mut Work, use_case: W) -> Result<Came, Problem>
where
    W: AsyncFnOnce(&mut Work, &Actor) -> domain::Result<Answer>,
{
    let actor = &entry.actor;
    let request = entry.fingerprint();
    let slot = entry.key.as_deref().filter(|_| !entry.dry_run).map(|key| Slot {
        principal_id: actor.principal_id,
        subject_id: actor.subject_id,
        path: &actor.subject_path,
        key,
    });
    if let Some(slot) = &slot
        && let Some(reply) = answered(entry, work, slot, &request).await?
    {
        return entry.replay(slot, reply, &request);
    }
    let answer = use_case(work, actor).await?;
    let mut line = entry.audit_line(answer.status, answer.resource.clone());
    line.detail.0.extend(entry.difference(work, answer.resource.as_deref()));
    work.record(Some(line)).await?;
    if let Some(slot) = &slot {
        replies::finish(&mut work.tx, slot, &entry.reply(slot, &answer, request)).await?;
    }
    work.settle(Some(actor)).await?;
    work.tx.flush().await?;
    Ok(Came { answer, replayed: false })
}

/// What was answered under the key; none once the key is this transaction's. One whose answer is no longer
/// kept is new again, for the first that takes it.
async fn answered(
    entry: &Entry,
    work: &mut Work,
    slot: &Slot<'_>,
    request: &str,
) -> Result<Option<Reply>, Problem> {
    let known = replies::begin(&mut work.tx, slot, request, work.now).await.map_err(in_progress)?;
    let Some(over) = known.as_ref().filter(|reply| entry.is_over(reply)) else { return Ok(known) };
    match replies::take_over(&mut work.tx, slot, over, work.now).await.map_err(in_progress)? {
        true => Ok(None),
        false => Ok(replies::find(&mut work.tx, slot).await?),
    }
}

/// Waiting for the first request with the key took longer than a statement may wait for a lock.
fn in_progress(error: sqlx::Error) -> Problem {
    let waited = error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "55P03");
    match waited {
        true => {
            Problem::new(Code::IdempotencyInProgress, "The first request with this key has not ended yet.")
        }
        false => error.into(),
    }
}

impl Entry {
    /// What tells this request from every other one, so that a key is not used for two of them.
    fn fingerprint(&self) -> String {
        json::fingerprint(
            &self.state.keys.fingerprint,
            self.method.as_str(),
            &self.path,
            &self.query,
            &self.actor.subject_id.to_string(),
            "v1",
            &self.body,
        )
    }

    /// Whether an answer has been kept long enough for its key to be new again.
    fn is_over(&self, reply: &Reply) -> bool {
        reply.created_at.plus(self.state.replies_kept) <= self.actor.now
    }

    fn replay(&self, slot: &Slot<'_>, mut reply: Reply, request: &str) -> Result<Came, Problem> {
        if reply.request != request {
            let detail =
                "This Idempotency-Key was used for another request. Use a new key for each new request.";
            return Err(Problem::new(Code::IdempotencyKeyReused, detail));
        }
        if reply.sealed {
            let over = reply.created_at.plus(SECRETS_KEPT) <= self.actor.now;
            let place = place(slot);
            let opened = self.state.sealer.open_text(&place.context(), &reply.body);
            reply.body = match opened {
                Ok(body) if !over => body.expose_secret().to_owned(),
                _ => {
                    let detail = "The answer had a secret and is no longer kept; it was given once.";
                    return Err(Problem::new(Code::IdempotencyResultExpired, detail));
                }
            };
        }
        Ok(Came { answer: Answer::again(reply), replayed: true })
    }

    fn reply(&self, slot: &Slot<'_>, answer: &Answer, request: String) -> Reply {
        let body = match answer.secret {
            true => self.state.sealer.seal(&place(slot).context(), answer.body.as_bytes()),
            false => answer.body.clone(),
        };
        Reply {
            request,
            status: i64::from(answer.status),
            location: answer.location.clone(),
            etag: answer.etag.clone(),
            operation_id: answer.operation_id,
            sealed: answer.secret,
            body,
            created_at: self.actor.now,
        }
    }

    /// Which members an update changed: as the object tells it, or else as they were asked.
    fn difference(&self, work: &Work, resource: Option<&str>) -> Map<String, Value> {
        let mut told = resource.map(|of| work.difference(of, |text| self.state.keys.digests.of(of, text)));
        let is_update = self.method == Method::PATCH || self.method == Method::PUT;
        if is_update && told.as_ref().is_none_or(Map::is_empty) {
            let asked: Value = self.body.as_object().into_iter().flat_map(Map::keys).cloned().collect();
            told = Some(Map::from_iter([("asked".to_owned(), asked)]));
        }
        told.unwrap_or_default()
    }

    fn audit_line(&self, status: u16, resource: Option<String>) -> Line {
        let mut detail = Map::new();
        detail.insert("status".into(), status.into());
        if !self.actor.actors.is_empty() {
            detail.insert(ACTORS.into(), self.actor.actors.iter().map(ToString::to_string).collect());
        }
        if let Some(batch) = self.actor.batch_id {
            detail.insert(BATCH.into(), batch.to_string().into());
        }
        if let Some(member) = self.actor.member_id {
            detail.insert(MEMBER.into(), member.to_string().into());
        }
        Line {
            account_id: self.actor.subject_id,
            sequence: 0,
            path: self.actor.subject_path.clone(),
            principal_id: self.actor.principal_id,
            key_id: self.actor.key_id,
            action: self.route.operation_id.clone(),
            resource,
            request_id: self.actor.request_id.to_string(),
            address: self.address.clone(),
            outcome: "done".into(),
            detail: Json(detail),
            occurred_at: self.actor.now,
            hash: String::new(),
        }
    }
}

/// Where a sealed answer lies.
struct Place {
    account: String,
    record: String,
}

fn place(slot: &Slot<'_>) -> Place {
    Place { account: slot.principal_id.to_string(), record: format!("{}/{}", slot.subject_id, slot.key) }
}

impl Place {
    fn context(&self) -> Context<'_> {
        Context { table: "replies", column: "body", account_id: &self.account, record_id: &self.record }
    }
}
