//! SQLite. A statement runs in the thread that asks for it: it takes microseconds, and handing it to another
//! thread and back would cost several times that. What may take long, the commit with its fsync, is left to
//! the writer's own thread.

use std::borrow::Cow;
use std::cell::Cell;
use std::error::Error as StdError;
use std::ffi::c_int;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::hooks::Wal;
use rusqlite::types::Value;
use rusqlite::{CachedStatement, Connection, OpenFlags, ffi};
use sqlx::Error;
use sqlx::error::{DatabaseError, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::audit::sha256_hex;
use super::engine::Result;
use crate::model::rows::{Places, Record, Row};

/// Statements that a connection keeps prepared.
const PREPARED: usize = 512;
/// Set for the writer: `FULL` syncs the log at every commit; so many KiB of pages are kept in memory.
const WRITER: &str = "PRAGMA temp_store = memory; PRAGMA cache_size = -32768; PRAGMA journal_mode = WAL;
     PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 67108864";
/// So many pages of 4 KiB of the log are copied to the file at once; the more of them, the more often a page
/// that changes often is copied once for all.
const CHECKPOINT: c_int = 8000;
/// Set for readers, whose own pages are void after every commit of the writer: so many bytes of the file are
/// read where the system has them.
const READER: &str = "PRAGMA temp_store = memory; PRAGMA mmap_size = 1099511627776";
/// How long a connection waits for a lock of the file's.
const BUSY: Duration = Duration::from_secs(5);
/// How long a reader waits for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens the file for writing; it is made when it is missing.
pub fn open_writer(file: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let conn = open(file, flags, WRITER)?;
    // What PostgreSQL has of its own.
    let pure = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    conn.wal_hook(Some(noted));
    conn.create_scalar_function("sha256_hex", 1, pure, |call| Ok(sha256_hex(call.get_raw(0).as_str()?)))
        .map_err(told)?;
    Ok(conn)
}

thread_local! {
    /// How many pages the log had at this thread's last commit.
    static LOGGED: Cell<c_int> = const { Cell::new(0) };
}

fn noted(_: &Wal, pages: c_int) -> rusqlite::Result<()> {
    LOGGED.set(pages);
    Ok(())
}

/// Copies the log to the file once this thread has made it long enough. SQLite's own way, within the commit,
/// tells nobody of a sync that failed.
pub fn checkpoint(conn: &Connection) -> Result<()> {
    match LOGGED.replace(0) < CHECKPOINT {
        true => Ok(()),
        false => conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).map_err(told),
    }
}

fn open(file: &Path, flags: OpenFlags, set: &str) -> Result<Connection> {
    let conn = Connection::open_with_flags(file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(told)?;
    conn.set_prepared_statement_cache_capacity(PREPARED);
    conn.busy_timeout(BUSY).map_err(told)?;
    // Else a statement is parsed anew whenever a value is bound that its plan might depend on.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(told)?;
    conn.execute_batch(set).map_err(told)?;
    Ok(conn)
}

/// Connections that only read, opened as they are needed.
#[derive(Clone)]
pub struct Readers {
    file: Arc<PathBuf>,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    most: u32,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Readers {
    pub fn new(file: PathBuf, most: u32) -> Self {
        let permits = Arc::new(Semaphore::new(most as usize));
        Self { file: Arc::new(file), idle: Arc::default(), permits, most }
    }

    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Waits for a connection, at most [`PATIENCE`].
    pub async fn acquire(&self) -> Result<Reader> {
        let permit = timeout(PATIENCE, self.permits.clone().acquire_owned())
            .await
            .map_err(|_| Error::PoolTimedOut)?
            .map_err(|_| Error::PoolClosed)?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let conn = match idle {
            Some(conn) => conn,
            None => open(&self.file, OpenFlags::SQLITE_OPEN_READ_ONLY, READER)?,
        };
        Ok(Reader { conn: Some(conn), idle: self.idle.clone(), _permit: permit })
    }

    /// Closes the connections once those in use are given back.
    pub async fn close(&self) {
        let _all = self.permits.acquire_many(self.most).await;
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A connection on loan.
pub struct Reader {
    conn: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
    _permit: OwnedSemaphorePermit,
}

impl Deref for Reader {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.conn.as_ref().expect("it is there until it is given back")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        }
    }
}

/// Runs a statement and reads at most so many of its rows.
pub fn rows<T: Record>(conn: &Connection, sql: &str, values: &[Value], most: usize) -> Result<Vec<T>> {
    let mut statement = prepared(conn, sql, values)?;
    let mut rows = statement.raw_query();
    let (mut places, mut read) = (None, Vec::new());
    while read.len() < most
        && let Some(row) = rows.next().map_err(told)?
    {
        let row = Row::Sqlite(row);
        read.push(places.get_or_insert_with(|| Places::of::<T>(row)).read(row)?);
    }
    Ok(read)
}

/// Runs a statement and says how many rows it changed.
pub fn execute(conn: &Connection, sql: &str, values: &[Value]) -> Result<u64> {
    let mut statement = prepared(conn, sql, values)?;
    let mut rows = statement.raw_query();
    while rows.next().map_err(told)?.is_some() {}
    Ok(conn.changes())
}

fn prepared<'c>(conn: &'c Connection, sql: &str, values: &[Value]) -> Result<CachedStatement<'c>> {
    let mut statement = conn.prepare_cached(sql).map_err(told)?;
    // To SQLite `$2` is a name like any other, numbered as it comes up in the text.
    for at in 1..=statement.parameter_count() {
        let number =
            statement.parameter_name(at).and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok());
        let value = number.and_then(|number| values.get(number.checked_sub(1)?));
        let value = value.ok_or_else(|| Error::Protocol(format!("parameter {at} has no value")))?;
        statement.raw_bind_parameter(at, value).map_err(told)?;
    }
    Ok(statement)
}

/// What rusqlite says, as sqlx says it of PostgreSQL.
pub fn told(error: rusqlite::Error) -> Error {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => {
            refused(code.extended_code, message.unwrap_or_else(|| code.to_string()))
        }
        rusqlite::Error::SqlInputError { error, msg, .. } => refused(error.extended_code, msg),
        other => Error::Protocol(other.to_string()),
    }
}

/// The same error once more, for another one who is to hear of it.
pub fn again(error: &Error) -> Error {
    let refusal = error.as_database_error().and_then(|error| error.try_downcast_ref::<Refusal>());
    match refusal {
        Some(Refusal { code, message }) => refused(*code, message.clone()),
        None => Error::Io(io::Error::other(error.to_string())),
    }
}

/// An error of the database itself.
#[derive(Debug)]
struct Refusal {
    /// SQLite's extended result code.
    code: i32,
    message: String,
}

fn refused(code: i32, message: String) -> Error {
    Error::Database(Box::new(Refusal { code, message }))
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(code: {}) {}", self.code, self.message)
    }
}

impl StdError for Refusal {}

impl DatabaseError for Refusal {
    fn message(&self) -> &str {
        &self.message
    }
    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.code.to_string().into())
    }
    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self
    }
    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self
    }
    fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
        self
    }
    fn kind(&self) -> ErrorKind {
        match self.code {
            ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY => ErrorKind::UniqueViolation,
            ffi::SQLITE_CONSTRAINT_NOTNULL => ErrorKind::NotNullViolation,
            ffi::SQLITE_CONSTRAINT_FOREIGNKEY => ErrorKind::ForeignKeyViolation,
            ffi::SQLITE_CONSTRAINT_CHECK => ErrorKind::CheckViolation,
            _ => ErrorKind::Other,
        }
    }
}
