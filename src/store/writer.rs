//! The one SQLite writer. Units of work that come close together share a transaction, so that one
//! fsync makes them all durable; each still takes effect or vanishes alone.
//!
//! A thread owns the order of events: it opens the transaction, lends the connection to one unit
//! after another, each inside a savepoint, commits, and only then answers. A unit does no more
//! than run its statements and say how it ended, so whatever is cancelled out there, nothing here is.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, InterruptHandle};
use sqlx::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::engine::Result;
use super::faults::is_lost_sync;
use super::sqlite::{again, checkpoint, open_writer, told};

/// How units of work share the writer.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many units share a transaction at most…
    pub units: usize,
    /// …and after what time no further one joins.
    pub span: Duration,
    /// How long a unit may wait for its turn.
    pub wait: Duration,
    /// How long a unit may keep the writer.
    pub hold: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Limits { units: 64, span: Duration::from_millis(10), wait: seconds(5), hold: seconds(2) }
    }
}

type Waiter = oneshot::Sender<Result<Unit>>;
type Answer = oneshot::Sender<Result<()>>;

/// The way to the one writer of a SQLite database.
#[derive(Clone, Debug)]
pub struct Writer {
    waiters: mpsc::UnboundedSender<Waiter>,
    limits: Limits,
    broken: watch::Receiver<bool>,
}

impl Writer {
    /// Opens the writer's connection and starts the thread that lends it out. It ends with the last
    /// [`Writer`].
    pub fn start(file: PathBuf, limits: Limits) -> Result<Self> {
        let conn = open_writer(&file)?;
        let interrupt = conn.get_interrupt_handle();
        let lease = Mutex::new(Lease { conn, turn: 0, sound: false });
        let desk = Arc::new(Desk { lease, ending: Mutex::default(), ended: Condvar::new() });
        let (waiters, queue) = mpsc::unbounded_channel();
        let (broke, broken) = watch::channel(false);
        let thread = Thread { file, limits, desk, queue, interrupt, turns: 0, broken: broke };
        std::thread::Builder::new().name("sqlite-writer".into()).spawn(|| thread.serve())?;
        Ok(Writer { waiters, limits, broken })
    }

    /// Ready once the disk did not keep what it was given; from then on every unit is refused.
    pub async fn broken(&self) {
        if self.broken.clone().wait_for(|broken| *broken).await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits for a turn, at most [`Limits::wait`].
    pub async fn unit(&self) -> Result<Unit> {
        let (waiter, turn) = oneshot::channel();
        self.waiters.send(waiter).map_err(|_| Error::PoolClosed)?;
        timeout(self.limits.wait, turn)
            .await
            .map_err(|_| Error::PoolTimedOut)?
            .map_err(|_| Error::PoolClosed)?
    }
}

/// What the writer and the unit whose turn it is share.
struct Desk {
    lease: Mutex<Lease>,
    /// Apart from the lease, which a statement holds for as long as it runs.
    ending: Mutex<Ending>,
    ended: Condvar,
}

struct Lease {
    conn: Connection,
    /// Whose turn it is.
    turn: u64,
    /// Whether the unit may run another statement: not while one runs, and not after one that failed, so
    /// that such a unit can do nothing more, as on PostgreSQL.
    sound: bool,
}

/// How the unit whose turn it is has ended.
#[derive(Default)]
struct Ending {
    turn: u64,
    how: Option<End>,
}

enum End {
    Said(bool, Answer),
    Dropped,
}

impl Desk {
    /// A unit that panicked has left its turn unsound; nothing else can be wrong with the lease.
    fn lease(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ending(&self) -> MutexGuard<'_, Ending> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A unit of work whose turn it is; dropped, it leaves nothing behind.
pub struct Unit {
    desk: Arc<Desk>,
    turn: u64,
}

impl Unit {
    /// Ends the unit and waits until the transaction it was part of has ended too.
    pub async fn end(self, keep: bool) -> Result<()> {
        let (answer, outcome) = oneshot::channel();
        self.say(End::Said(keep, answer));
        outcome.await.unwrap_or_else(|_| Err(over()))
    }

    /// Says how the unit ended: once, and only while it is its turn.
    fn say(&self, how: End) {
        let mut ending = self.desk.ending();
        if ending.turn == self.turn && ending.how.is_none() {
            ending.how = Some(how);
            self.desk.ended.notify_one();
        }
    }

    /// Runs a statement, if it is still the unit's turn; after an error of the database it no longer is.
    pub fn run<T>(&self, statement: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let mut lease = self.desk.lease();
        if lease.turn != self.turn || !std::mem::take(&mut lease.sound) {
            return Err(over());
        }
        let result = statement(&lease.conn);
        lease.sound = !matches!(result, Err(Error::Database(_)));
        result
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        self.say(End::Dropped);
    }
}

fn over() -> Error {
    Error::Protocol("this unit of work is over: a statement of it failed or its time was up".into())
}

struct Thread {
    file: PathBuf,
    limits: Limits,
    desk: Arc<Desk>,
    queue: mpsc::UnboundedReceiver<Waiter>,
    interrupt: InterruptHandle,
    turns: u64,
    broken: watch::Sender<bool>,
}

impl Thread {
    fn serve(mut self) {
        while let Some(first) = self.queue.blocking_recv() {
            if let Err(error) = self.run(&["BEGIN IMMEDIATE", "SAVEPOINT unit"]) {
                let lost = is_lost_sync(&error).then(|| again(&error));
                let _ = first.send(Err(error));
                match lost {
                    Some(error) => return self.refuse_all(&error),
                    None => self.reconnect(),
                }
                continue;
            }
            let mut answers = Vec::new();
            let outcome = self.transaction(first, &mut answers);
            for answer in answers {
                let _ = answer.send(outcome.as_ref().copied().map_err(again));
            }
            let ended = outcome.and_then(|()| checkpoint(&self.desk.lease().conn));
            match ended {
                Err(error) if is_lost_sync(&error) => return self.refuse_all(&error),
                Err(_) => self.reconnect(),
                Ok(()) => {}
            }
        }
    }

    /// Does nothing more: asked once more to sync, the system would say that all is well.
    fn refuse_all(mut self, error: &Error) {
        tracing::error!(%error, "the disk did not keep what it was given");
        // Nor does closing, which would copy the log to the file and sync both.
        let _ = self.desk.lease().conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        self.broken.send_replace(true);
        while let Some(waiter) = self.queue.blocking_recv() {
            let _ = waiter.send(Err(again(error)));
        }
    }

    /// Gives units their turns for as long as some wait, then commits for all of them.
    fn transaction(&mut self, first: Waiter, answers: &mut Vec<Answer>) -> Result<()> {
        let (begun, mut kept, mut next) = (Instant::now(), 0, Some(first));
        while let Some(waiter) = next {
            let keep = self.turn(waiter, kept > 0, answers);
            kept += usize::from(keep);
            let room = kept < self.limits.units && begun.elapsed() < self.limits.span;
            let more = room && !self.queue.is_empty();
            self.run(match (keep, more) {
                (true, true) => &["RELEASE unit", "SAVEPOINT unit"],
                (false, true) => &["ROLLBACK TO unit"],
                (true, false) => &["COMMIT"],
                (false, false) if kept > 0 => &["ROLLBACK TO unit", "COMMIT"],
                (false, false) => &["ROLLBACK"],
            })?;
            next = if more { self.queue.blocking_recv() } else { None };
        }
        Ok(())
    }

    /// One unit from its first statement to its last; says whether its work is to be kept.
    fn turn(&mut self, waiter: Waiter, neighbours: bool, answers: &mut Vec<Answer>) -> bool {
        self.turns += 1;
        let turn = self.turns;
        {
            let mut lease = self.desk.lease();
            (lease.turn, lease.sound) = (turn, true);
        }
        *self.desk.ending() = Ending { turn, how: None };
        let _ = waiter.send(Ok(Unit { desk: self.desk.clone(), turn }));
        let how = self.await_end();
        let mut lease = self.take_back(if neighbours { self.limits.hold } else { Duration::ZERO });
        lease.turn = 0;
        let sound = std::mem::take(&mut lease.sound);
        match how {
            Some(End::Said(keep, answer)) if sound || !keep => {
                answers.push(answer);
                keep
            }
            _ => false,
        }
    }

    /// How the unit ended; none if it has not within [`Limits::hold`].
    fn await_end(&self) -> Option<End> {
        let waits = |ending: &mut Ending| ending.how.is_none();
        let waited = self.desk.ended.wait_timeout_while(self.desk.ending(), self.limits.hold, waits);
        let mut ending = waited.unwrap_or_else(PoisonError::into_inner).0;
        ending.turn = 0;
        ending.how.take()
    }

    /// The lease. A statement that still runs is cut off after some patience: with it SQLite takes the whole
    /// transaction back, and all who share it must begin again.
    fn take_back(&self, patience: Duration) -> MutexGuard<'_, Lease> {
        let until = Instant::now() + patience;
        loop {
            match self.desk.lease.try_lock() {
                Ok(lease) => return lease,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) if Instant::now() >= until => self.interrupt.interrupt(),
                Err(TryLockError::WouldBlock) => {}
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn run(&self, statements: &[&str]) -> Result<()> {
        let lease = self.desk.lease();
        for sql in statements {
            lease.conn.prepare_cached(sql).and_then(|mut statement| statement.raw_execute()).map_err(told)?;
        }
        Ok(())
    }

    /// A connection that failed may be in any state: closing it ends whatever it had open.
    fn reconnect(&mut self) {
        if let Ok(fresh) = open_writer(&self.file) {
            self.interrupt = fresh.get_interrupt_handle();
            self.desk.lease().conn = fresh;
        }
    }
}
