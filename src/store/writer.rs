//! The one SQLite writer. Units of work that come close together share a transaction, so that one
//! fsync makes them all durable; each still takes effect or vanishes alone.
//!
//! A task owns the order of events: it opens the transaction, hands the connection to one unit
//! after another, each inside a savepoint, commits, and only then answers. A unit does no more
//! than run its statements and say how it ended, so whatever is cancelled out there, nothing here is.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Error, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard, mpsc, oneshot};
use tokio::time::timeout;

use super::engine::Result;

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
    options: Arc<SqliteConnectOptions>,
    limits: Limits,
}

impl Writer {
    /// Opens the writer's connection and starts the task that lends it out.
    pub async fn start(options: SqliteConnectOptions, limits: Limits) -> Result<Self> {
        let lease = Lease { conn: options.connect().await?, turn: None };
        let (waiters, queue) = mpsc::unbounded_channel();
        let options = Arc::new(options);
        let writer = Writer { waiters, options: options.clone(), limits };
        tokio::spawn(Task { options, limits, lease: Arc::new(Mutex::new(lease)), queue, turns: 0 }.serve());
        Ok(writer)
    }

    /// A connection beside the writer's own, for what is no unit of work: migrations.
    pub async fn connect(&self) -> Result<SqliteConnection> {
        self.options.connect().await
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

/// The connection and whose turn it is: nobody's while a statement runs, so that a unit whose
/// statement fails or is cut off can do nothing more, as on PostgreSQL.
struct Lease {
    conn: SqliteConnection,
    turn: Option<u64>,
}

/// A unit of work whose turn it is; dropped, it leaves nothing behind.
pub struct Unit {
    lease: Arc<Mutex<Lease>>,
    turn: u64,
    end: oneshot::Sender<(bool, Answer)>,
}

impl Unit {
    /// Ends the unit and waits until the transaction it was part of has ended too.
    pub async fn end(self, keep: bool) -> Result<()> {
        let (answer, outcome) = oneshot::channel();
        let _ = self.end.send((keep, answer));
        outcome.await.unwrap_or_else(|_| Err(over()))
    }

    /// The connection for one statement, whose result goes to [`Lent::done`].
    pub async fn lend(&self) -> Result<Lent<'_>> {
        let mut lease = self.lease.lock().await;
        let turn = lease.turn.take_if(|turn| *turn == self.turn).ok_or_else(over)?;
        Ok(Lent { lease, turn })
    }
}

fn over() -> Error {
    Error::Protocol("this unit of work is over: a statement of it failed or its time was up".into())
}

/// The writer's connection for one statement.
pub struct Lent<'u> {
    lease: MutexGuard<'u, Lease>,
    turn: u64,
}

impl Lent<'_> {
    /// The connection itself.
    pub fn conn(&mut self) -> &mut SqliteConnection {
        &mut self.lease.conn
    }

    /// Gives the turn back to the unit; after an error of the database it is over.
    pub fn done<T>(mut self, result: Result<T>) -> Result<T> {
        if !matches!(result, Err(Error::Database(_))) {
            self.lease.turn = Some(self.turn);
        }
        result
    }
}

struct Task {
    options: Arc<SqliteConnectOptions>,
    limits: Limits,
    lease: Arc<Mutex<Lease>>,
    queue: mpsc::UnboundedReceiver<Waiter>,
    turns: u64,
}

impl Task {
    async fn serve(mut self) {
        while let Some(first) = self.queue.recv().await {
            if let Err(error) = self.run("BEGIN IMMEDIATE; SAVEPOINT unit").await {
                let _ = first.send(Err(error));
                self.reconnect().await;
                continue;
            }
            let mut answers = Vec::new();
            let outcome = self.transaction(first, &mut answers).await.map_err(Arc::new);
            if outcome.is_err() {
                self.reconnect().await;
            }
            for answer in answers {
                let _ = answer.send(outcome.clone().map_err(|error| Error::Io(io::Error::other(error))));
            }
        }
    }

    /// Gives units their turns for as long as some wait, then commits for all of them.
    async fn transaction(&mut self, first: Waiter, answers: &mut Vec<Answer>) -> Result<()> {
        let (begun, mut kept, mut next) = (Instant::now(), 0, Some(first));
        while let Some(waiter) = next {
            let keep = self.turn(waiter, answers).await;
            kept += usize::from(keep);
            let room = kept < self.limits.units && begun.elapsed() < self.limits.span;
            let more = room && !self.queue.is_empty();
            self.run(match (keep, more) {
                (true, true) => "RELEASE unit; SAVEPOINT unit",
                (false, true) => "ROLLBACK TO unit",
                (true, false) => "COMMIT",
                (false, false) if kept > 0 => "ROLLBACK TO unit; COMMIT",
                (false, false) => "ROLLBACK",
            })
            .await?;
            next = if more { self.queue.recv().await } else { None };
        }
        Ok(())
    }

    /// One unit from its first statement to its last; says whether its work is to be kept.
    async fn turn(&mut self, waiter: Waiter, answers: &mut Vec<Answer>) -> bool {
        self.turns += 1;
        let turn = self.turns;
        self.lease.lock().await.turn = Some(turn);
        let (end, ended) = oneshot::channel();
        let _ = waiter.send(Ok(Unit { lease: self.lease.clone(), turn, end }));
        let ended = timeout(self.limits.hold, ended).await;
        let sound = self.lease.lock().await.turn.take() == Some(turn);
        match ended {
            Ok(Ok((keep, answer))) if sound || !keep => {
                answers.push(answer);
                keep
            }
            _ => false,
        }
    }

    async fn run(&self, sql: &'static str) -> Result<()> {
        sqlx::query(sql).execute(&mut self.lease.lock().await.conn).await.map(drop)
    }

    /// A connection that failed may be in any state: closing it ends whatever it had open.
    async fn reconnect(&self) {
        if let Ok(fresh) = self.options.connect().await {
            self.lease.lock().await.conn = fresh;
        }
    }
}
