//! PostgreSQL's connections. The one given back last is lent first: what it has prepared and cached is still
//! warm, and one connection does what sixteen would do cold. Only a connection that was left clean is lent
//! again: one whose statement was cut off or whose transaction was not ended is closed, which ends all it had
//! begun.

use std::io;
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts};
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgSeverity};
use sqlx::{AssertSqlSafe, ConnectOptions, Error, PgConnection};
use tokio::time::timeout;

use super::engine::Result;

/// How long is waited for a connection, to be lent or to be opened.
const PATIENCE: Duration = Duration::from_secs(5);
/// After what time a connection is replaced: what PostgreSQL keeps for it only grows.
const LIFETIME: Duration = Duration::from_secs(30 * 60);
/// After what time without use: something between us and the server may have forgotten it.
const IDLE: Duration = Duration::from_secs(2 * 60);
/// How long a statement may take, longer than the server's own limit: so long only a dead line is silent.
const SILENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct Manager(PgConnectOptions);

impl managed::Manager for Manager {
    type Type = PgConnection;
    type Error = Error;

    async fn create(&self) -> Result<PgConnection> {
        self.0.connect().await
    }

    async fn recycle(&self, _: &mut PgConnection, metrics: &Metrics) -> RecycleResult<Error> {
        match metrics.age() < LIFETIME && metrics.last_used() < IDLE {
            true => Ok(()),
            false => Err(RecycleError::message("it is old")),
        }
    }
}

pub type Pool = managed::Pool<Manager>;

/// Opens a pool, and a first connection to see that it can be had.
pub async fn open(options: PgConnectOptions, most: u32) -> Result<Pool> {
    let timeouts = Timeouts { wait: Some(PATIENCE), create: Some(PATIENCE), recycle: None };
    let pool = Pool::builder(Manager(options))
        .max_size(most as usize)
        .queue_mode(QueueMode::Lifo)
        .timeouts(timeouts)
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|error| Error::Configuration(error.into()))?;
    drop(lend(&pool).await?);
    Ok(pool)
}

/// Closes the connections, and waits for those on loan for as long as a request may take.
pub async fn close(pool: &Pool) {
    pool.close();
    let all = async {
        while pool.status().size > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = timeout(PATIENCE, all).await;
}

/// A connection on loan.
pub async fn lend(pool: &Pool) -> Result<Lent> {
    let conn = pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => error,
        PoolError::Closed => Error::PoolClosed,
        PoolError::Timeout(_) => Error::PoolTimedOut,
        other => Error::Configuration(other.into()),
    })?;
    Ok(Lent { conn: Some(conn), clean: true, open: false, refused: false })
}

/// A connection that is given back only if it is clean.
pub struct Lent {
    conn: Option<Object<Manager>>,
    /// Whether every statement so far has come to its end.
    clean: bool,
    /// Whether a transaction is open.
    open: bool,
    /// Whether a statement of it was refused: PostgreSQL takes the whole back then, and says nothing of it at
    /// the COMMIT.
    refused: bool,
}

impl Lent {
    /// Runs something on the connection. If it is cut off, or fails otherwise than by the database's own
    /// word, nothing more is done on it.
    pub async fn run<T>(&mut self, work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
        let conn = self.conn.as_mut().expect("it is there until it is given back");
        if !std::mem::replace(&mut self.clean, false) {
            return Err(Error::Protocol("an earlier statement on this connection was cut off".into()));
        }
        let silent = || Error::Io(io::Error::new(io::ErrorKind::TimedOut, "PostgreSQL has not answered"));
        let result = timeout(SILENCE, work(conn)).await.unwrap_or_else(|_| Err(silent()));
        match &result {
            Err(error) if is_gone(error) => {
                // So are all that lie idle.
                if let Some(pool) = Object::pool(conn) {
                    pool.retain(|_, _| false);
                }
            }
            _ => self.clean = true,
        }
        self.refused |= matches!(result, Err(Error::Database(_)));
        result
    }

    /// Begins a transaction with statements of the program's own.
    pub async fn begin(&mut self, statements: String) -> Result<()> {
        (self.open, self.refused) = (true, false);
        self.control(statements).await
    }

    /// Ends the transaction; what is to be kept of one that was refused something is refused.
    pub async fn end(&mut self, keep: bool) -> Result<()> {
        let refused = keep && self.refused;
        self.control(if keep && !refused { "COMMIT" } else { "ROLLBACK" }.to_owned()).await?;
        self.open = false;
        match refused {
            true => Err(Error::Protocol("this unit of work is over: a statement of it failed".into())),
            false => Ok(()),
        }
    }

    async fn control(&mut self, statements: String) -> Result<()> {
        let statements = sqlx::raw_sql(AssertSqlSafe(statements));
        self.run(async |conn| statements.execute(conn).await.map(drop)).await
    }
}

/// Whether the connection is of no more use: the line broke, or the server has ended it.
fn is_gone(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed => true,
        Error::Database(error) => error
            .try_downcast_ref::<PgDatabaseError>()
            .is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)),
        _ => false,
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take_if(|_| !self.clean || self.open) {
            drop(Object::take(conn));
        }
    }
}
