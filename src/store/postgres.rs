//! PostgreSQL's connections. The one given back last is lent first: what it has prepared and cached is still
//! warm, and one connection does what sixteen would do cold. Only a connection that was left clean is lent
//! again: one whose statement was cut off or whose transaction was not ended is closed, which ends all it had
//! begun.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts};
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgSeverity};
use sqlx::{AssertSqlSafe, Error, PgConnection};
use tokio::time::{sleep, timeout};

use super::engine::Result;
use super::faults::is_read_only;
use super::link::{Link, silent};

/// How long is waited for one of the connections, while all are on loan. Whoever waits longer stands in a
/// queue that does not get shorter.
const QUEUED: Duration = Duration::from_millis(500);
/// How long closing waits for the connections on loan.
const CLOSING: Duration = Duration::from_secs(5);
/// After what time a connection is replaced: what PostgreSQL keeps for it only grows.
const LIFETIME: Duration = Duration::from_secs(30 * 60);
/// After what time without use: something between us and the server may have forgotten it.
const IDLE: Duration = Duration::from_secs(2 * 60);
/// How long a statement may take, longer than the server's own limit: so long only a dead line is silent.
const SILENCE: Duration = Duration::from_secs(20);
/// After what silence it is looked whether the server is there at all.
const DOUBT: Duration = Duration::from_secs(1);
/// A connection that is younger knows whether the server takes writes.
const FRESH: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Manager(Arc<Link>);

impl managed::Manager for Manager {
    type Type = PgConnection;
    type Error = Error;

    async fn create(&self) -> Result<PgConnection> {
        self.0.open().await
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
    let timeouts = Timeouts { wait: Some(QUEUED), create: None, recycle: None };
    let pool = Pool::builder(Manager(Link::new(options)))
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
    let _ = timeout(CLOSING, all).await;
}

/// Whether there is a server, be it slow.
pub async fn answers(pool: &Pool) -> bool {
    pool.manager().0.answers().await
}

/// A connection on loan; refused at once while the server is away.
pub async fn lend(pool: &Pool) -> Result<Lent> {
    pool.manager().0.check()?;
    let conn = pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => error,
        PoolError::Closed => Error::PoolClosed,
        PoolError::Timeout(_) => Error::PoolTimedOut,
        other => Error::Configuration(other.into()),
    })?;
    let link = pool.manager().0.clone();
    Ok(Lent { conn: Some(conn), link, clean: true, stale: false, open: false, refused: false })
}

/// A connection that is given back only if it is clean.
pub struct Lent {
    conn: Option<Object<Manager>>,
    link: Arc<Link>,
    /// Whether every statement so far has come to its end.
    clean: bool,
    /// Whether another connection may do what this one refused.
    stale: bool,
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
        let result = attended(&self.link, work(conn)).await;
        let gone = result.as_ref().is_err_and(is_gone);
        // It may lead to a server that takes no writes any more while another one does.
        self.stale |= matches!(&result, Err(Error::Database(error)) if is_read_only(error.as_ref()));
        if (gone || self.stale)
            && let Some(pool) = Object::pool(conn)
        {
            // What holds for this connection holds for those that lie idle.
            pool.retain(|_, metrics| !gone && metrics.age() < FRESH);
        }
        self.clean = !gone;
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

/// Waits for a statement for as long as there is a server that may answer it.
async fn attended<T>(link: &Arc<Link>, work: impl Future<Output = Result<T>>) -> Result<T> {
    let (begun, mut work) = (Instant::now(), pin!(work));
    loop {
        let doubt = async {
            sleep(DOUBT).await;
            link.answers().await
        };
        tokio::select! {
            biased;
            result = &mut work => return result,
            answers = doubt => if !answers || begun.elapsed() >= SILENCE {
                return Err(silent());
            },
        }
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
        if let Some(conn) = self.conn.take_if(|_| !self.clean || self.stale || self.open) {
            drop(Object::take(conn));
        }
    }
}
