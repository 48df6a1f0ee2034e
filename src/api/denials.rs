//! Refusals of authentication and authorisation, and reads from above, on their way into the audit: through queues that
//! never make a request wait, and that count what they have no room for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::oauth::Told;
use super::parameters::{address, reads, request_id};
use super::problem::{Code, Problem};
use super::state::State;
use crate::access::veils::Veils;
use crate::clock::Clock;
use crate::domain;
use crate::domain::accounts::audit;
use crate::domain::accounts::denials::{self, Came, Noted, READ, Windows};
use crate::model::Path;
use crate::store::Db;
use crate::store::accounts::keys::Credential;
use crate::store::audit::Line;
use crate::telemetry;

/// How many requests wait to be looked at, and how many lines to be written.
const WAITING: usize = 4096;
const UNWRITTEN: usize = 1024;
/// How often the queues are emptied. Nobody is woken by what is put into one: that cost a read more than to look it up.
const LOOK: Duration = Duration::from_millis(50);
/// How many lines are written at once, so that they share what making one durable costs, and leave connections to
/// others.
const TOGETHER: usize = 4;
/// How often it is looked whether a minute is over, and whether a database that failed is back.
const TICK: Duration = Duration::from_secs(1);
/// No identifier is longer.
const LONGEST_ID: usize = 40;

/// Where refusals and reads are told to, each to a queue of its own.
#[derive(Clone)]
pub struct Denials {
    refusals: mpsc::Sender<Noted>,
    reads: mpsc::Sender<Noted>,
}

/// The ways out of the queues.
pub struct Queues {
    refusals: mpsc::Receiver<Noted>,
    reads: mpsc::Receiver<Noted>,
}

impl Denials {
    /// The ways in and the ways out.
    pub fn queues() -> (Self, Queues) {
        let ((refusals, refused), (reads, read)) = (mpsc::channel(WAITING), mpsc::channel(WAITING));
        (Self { refusals, reads }, Queues { refusals: refused, reads: read })
    }

    fn note(&self, noted: Noted) {
        let came = noted.came;
        let queue = if came == Came::Read { &self.reads } else { &self.refusals };
        if queue.try_send(noted).is_err() {
            dropped(came == Came::Read);
        }
    }
}

/// Counts what the audit should have had.
fn dropped(is_read: bool) {
    match is_read {
        true => telemetry::count_dropped_read(),
        false => telemetry::count_dropped_denial(),
    }
}

/// The path of the account that an answer tells of, where that is not the credential's own.
struct Saw(Path);

/// Remembers with the request that its answer tells of the account at a path.
pub fn saw(request: &HttpRequest, path: &Path) {
    request.extensions_mut().insert(Saw(path.clone()));
}

/// Whether something is remembered already.
pub fn has_seen(request: &HttpRequest) -> bool {
    request.extensions().contains::<Saw>()
}

/// Takes note of an answer that tells of an account below the credential's. An export has left its line already.
pub fn note_read(request: &HttpRequest, status: StatusCode) {
    let reads = reads(request);
    let is_told = status.is_success() || status == StatusCode::NOT_MODIFIED;
    let saw = if reads && is_told { request.extensions_mut().remove::<Saw>() } else { None };
    if let Some(Saw(path)) = saw {
        tell(request, Some(path), Came::Read);
    }
}

/// Remembers with the request whose credential it came with, good or not.
pub fn came_with(request: &HttpRequest, known: &Arc<Credential>) {
    request.extensions_mut().insert(known.clone());
}

/// Takes note of a refusal, if it is one of authentication or authorisation and its credential is known. That an
/// object is not there is one: whether there is one elsewhere must not be told, in the caller's own audit neither.
pub fn note(request: &HttpRequest, problem: &Problem) {
    let denied = matches!(problem.code.status(), 401 | 403)
        || matches!(problem.code, Code::NotFound | Code::AccountNotFound);
    if denied {
        let came = Came::Refused { status: problem.code.status(), code: problem.code.as_str() };
        tell(request, None, came);
    }
}

/// The same of a client that OAuth's own routes refused, which answer in their own form (RFC 6749, 5.2). It is done when
/// the answer is on its way: how long that takes must not tell whether there is such a client.
pub fn note_client<B>(request: &HttpRequest, answer: &HttpResponse<B>) {
    let told = answer.extensions().get::<Told>().copied();
    let denied = matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    if let Some(Told(code)) = told.filter(|_| denied) {
        let (request, status) = (request.clone(), answer.status().as_u16());
        actix_web::rt::spawn(async move { tell(&request, None, Came::Refused { status, code }) });
    }
}

fn tell(request: &HttpRequest, read: Option<Path>, came: Came) {
    let known = request.extensions().get::<Arc<Credential>>().cloned();
    let state = request.app_data::<web::Data<State>>();
    let (Some(known), Some(state)) = (known, state) else { return };
    let pattern = request.match_pattern().unwrap_or_default();
    let Some(route) = state.routes.find(request.method(), &pattern) else { return };
    if came == Came::Read && route.exports {
        return;
    }
    state.denials.note(Noted {
        account_id: known.key.account_id,
        path: read.unwrap_or_else(|| known.key.path.clone()),
        key_id: known.key.id,
        action: route.operation_id.clone(),
        resource: resource(request),
        came,
        request_id: request_id(request),
        address: address(state, request),
        at: state.clock.now(),
    });
}

/// What the request named: the object in its path, or the account it was to act for. What has not the form of an
/// identifier is left out.
fn resource(request: &HttpRequest) -> Option<String> {
    let named = || request.headers().get("tenantry-account")?.to_str().ok();
    let told = request.match_info().get("id").or_else(named)?;
    let is_id = |text: &&str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        text.len() <= LONGEST_ID && text.bytes().all(plain)
    };
    Some(told).filter(is_id).map(str::to_owned)
}

/// Writes what comes out of the queues, until it is told to stop and has written what was there by then.
pub async fn record(
    db: Db,
    veils: Veils,
    clock: Clock,
    queues: Queues,
    stop: impl Future<Output = ()> + Clone + Send,
) {
    let to = To { db, veils };
    tokio::join!(
        record_one(&to, &clock, queues.refusals, stop.clone()),
        record_one(&to, &clock, queues.reads, stop),
    );
}

/// Where lines are written to.
struct To {
    db: Db,
    veils: Veils,
}

impl To {
    async fn write(&self, line: &Line) -> domain::Result<()> {
        let mut line = line.clone();
        if let Some(address) = &line.address {
            line.address = Some(self.veils.seal(&self.db, line.principal_id, address).await?);
        }
        match line.outcome == READ {
            true => audit::write_at(&self.db, &line).await,
            false => audit::write(&self.db, &line).await,
        }
    }
}

async fn record_one(
    to: &To,
    clock: &Clock,
    mut queue: mpsc::Receiver<Noted>,
    stop: impl Future<Output = ()> + Send,
) {
    let mut stop = std::pin::pin!(stop);
    let mut look = every(LOOK);
    let mut tick = every(TICK);
    let mut windows = Windows::default();
    let mut unwritten = VecDeque::new();
    loop {
        tokio::select! {
            _ = look.tick() => {
                let behind = !unwritten.is_empty();
                take_all(&mut queue, &mut windows, &mut unwritten);
                // What the database did not take waits for the next tick.
                if !behind {
                    write(to, &mut unwritten).await;
                }
            }
            _ = tick.tick() => {
                // What came while a window was open is counted into it.
                take_all(&mut queue, &mut windows, &mut unwritten);
                unwritten.extend(windows.over(clock.now()));
                write(to, &mut unwritten).await;
            }
            () = &mut stop => break,
        }
    }
    while let Ok(noted) = queue.try_recv() {
        take(&mut windows, noted, &mut unwritten);
    }
    unwritten.extend(windows.close());
    write(to, &mut unwritten).await;
    unwritten.iter().for_each(|line| dropped(line.outcome == READ));
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// As many as there is room for.
fn take_all(queue: &mut mpsc::Receiver<Noted>, windows: &mut Windows, unwritten: &mut VecDeque<Line>) {
    while unwritten.len() < UNWRITTEN
        && let Ok(noted) = queue.try_recv()
    {
        take(windows, noted, unwritten);
    }
}

fn take(windows: &mut Windows, noted: Noted, unwritten: &mut VecDeque<Line>) {
    let is_read = noted.came == Came::Read;
    match windows.take(noted) {
        Ok(lines) => unwritten.extend(lines),
        Err(denials::Full) => dropped(is_read),
    }
}

/// Writes the lines, those of one account in order; those that the database did not take stay for the next time.
async fn write(to: &To, unwritten: &mut VecDeque<Line>) {
    while !unwritten.is_empty() {
        let part: Vec<Line> = unwritten.drain(..of_different_accounts(unwritten)).collect();
        let written = join_all(part.iter().map(|line| to.write(line))).await;
        let mut failed = None;
        for (line, written) in part.into_iter().zip(written).rev() {
            if let Err(error) = written {
                unwritten.push_front(line);
                failed = Some(error);
            }
        }
        if let Some(error) = failed {
            tracing::warn!(%error, waiting = unwritten.len(), "refusals or reads are not in the audit yet");
            return;
        }
    }
}

/// How many of the first lines can be written at once.
fn of_different_accounts(lines: &VecDeque<Line>) -> usize {
    let is_first = |at: usize| lines.iter().take(at).all(|line| line.path != lines[at].path);
    (0..lines.len().min(TOGETHER)).take_while(|at| is_first(*at)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{AccountId, KeyId, RequestId};
    use crate::model::{Path, Time};

    fn noted() -> Noted {
        let account_id = AccountId::new();
        Noted {
            account_id,
            path: Path::root(account_id),
            key_id: KeyId::new(),
            action: "orders_get".into(),
            resource: None,
            came: Came::Refused { status: 404, code: "not_found" },
            request_id: RequestId::new(),
            address: None,
            at: Time::EPOCH,
        }
    }

    #[test]
    fn lines_of_one_account_are_written_one_after_the_other() {
        let line = |noted: Noted| Windows::default().take(noted).ok().unwrap().into_iter().next().unwrap();
        let (one, other) = (line(noted()), line(noted()));
        let count = |lines: &[&Line]| of_different_accounts(&lines.iter().copied().cloned().collect());
        assert_eq!(count(&[]), 0);
        assert_eq!(count(&[&one, &other]), 2);
        assert_eq!(count(&[&one, &other, &one]), 2);
        assert_eq!(count(&[&one, &one, &other]), 1);
        let many: Vec<_> = std::iter::repeat_with(|| line(noted())).take(TOGETHER + 1).collect();
        assert_eq!(count(&many.iter().collect::<Vec<_>>()), TOGETHER);
    }

    /// AUD-2
    #[test]
    fn what_the_queue_has_no_room_for_is_counted_and_nobody_waits_for_room() {
        let recorder = telemetry::detached_metrics().unwrap();
        let (denials, mut queues) = Denials::queues();
        let denial = noted();
        metrics::with_local_recorder(&recorder, || {
            (0..WAITING + 5).for_each(|_| denials.note(denial.clone()));
            (0..WAITING + 7).for_each(|_| denials.note(Noted { came: Came::Read, ..denial.clone() }));
        });
        let told = recorder.handle().render();
        for count in ["audit_denials_dropped_total 5", "audit_reads_dropped_total 7"] {
            assert!(told.lines().any(|line| line == count), "{told}");
        }
        let waiting = std::iter::from_fn(|| queues.refusals.try_recv().ok()).count();
        assert_eq!(waiting, WAITING);
    }
}
