//! PostgreSQL's connections. The one given back last is lent first: what it has prepared and cached is still
//! warm, and one connection does what sixteen would do cold. Only a connection that was left clean is lent
//! again: one whose statement was cut off or whose transaction was not ended is closed, which ends all it had
//! begun.

use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Error, PgConnection};

use super::engine::Result;

/// How long is waited for a connection, to be lent or to be opened.
const PATIENCE: Duration = Duration::from_secs(5);
/// After what time a connection is replaced: what PostgreSQL keeps for it only grows.
const LIFETIME: Duration = Duration::from_secs(30 * 60);

#[derive(Debug)]
pub struct Manager(PgConnectOptions);

impl managed::Manager for Manager {
    type Type = PgConnection;
    type Error = Error;

    async fn create(&self) -> Result<PgConnection> {
        self.0.connect().await
    }

    async fn recycle(&self, _: &mut PgConnection, metrics: &Metrics) -> RecycleResult<Error> {
        match metrics.age() < LIFETIME {
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

/// A connection on loan.
pub async fn lend(pool: &Pool) -> Result<Lent> {
    let conn = pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => error,
        PoolError::Closed => Error::PoolClosed,
        PoolError::Timeout(_) => Error::PoolTimedOut,
        other => Error::Configuration(other.into()),
    })?;
    Ok(Lent { conn: Some(conn), clean: true, open: false })
}

/// A connection that is given back only if it is clean.
pub struct Lent {
    conn: Option<Object<Manager>>,
    /// Whether every statement so far has come to its end.
    clean: bool,
    /// Whether a transaction is open.
    open: bool,
}

impl Lent {
    /// Runs something on the connection. If it is cut off, or fails otherwise than by the database's own
    /// word, nothing more is done on it.
    pub async fn run<T>(&mut self, work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
        let conn = self.conn.as_mut().expect("it is there until it is given back");
        if !std::mem::replace(&mut self.clean, false) {
            return Err(Error::Protocol("an earlier statement on this connection was cut off".into()));
        }
        let result = work(conn).await;
        match &result {
            Err(Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed) => {
                // So are all that lie idle, if the server has gone.
                if let Some(pool) = Object::pool(conn) {
                    pool.retain(|_, _| false);
                }
            }
            _ => self.clean = true,
        }
        result
    }

    /// Begins a transaction with statements of the program's own.
    pub async fn begin(&mut self, statements: String) -> Result<()> {
        self.open = true;
        self.control(statements).await
    }

    /// Ends the transaction by COMMIT or ROLLBACK.
    pub async fn end(&mut self, statement: &'static str) -> Result<()> {
        self.control(statement.to_owned()).await?;
        self.open = false;
        Ok(())
    }

    async fn control(&mut self, statements: String) -> Result<()> {
        let statements = sqlx::raw_sql(AssertSqlSafe(statements));
        self.run(async |conn| statements.execute(conn).await.map(drop)).await
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take_if(|_| !self.clean || self.open) {
            drop(Object::take(conn));
        }
    }
}
