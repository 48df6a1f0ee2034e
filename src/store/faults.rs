//! What an error of the database means to whoever asked for something.

use sqlx::Error;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Two transactions met: both made the same thing, or each waited for what the other held. Nothing is
    /// wrong with the database, and the same may succeed.
    Collision,
    /// It reads and does not write: its disk is full, or it is not the one that takes writes.
    ReadOnly,
    /// All connections were in use for longer than anybody is to wait.
    Crowded,
    /// Nothing is wrong with it: the row's account, or one above it, refuses whoever asked for it.
    Denied,
    /// It does not answer, or not as it should.
    Away,
}

/// What the error means.
pub fn fault(error: &Error) -> Fault {
    match error {
        Error::PoolTimedOut => Fault::Crowded,
        Error::Database(error) if is_collision(error.as_ref()) => Fault::Collision,
        Error::Database(error) if is_read_only(error.as_ref()) => Fault::ReadOnly,
        Error::Configuration(error) if error.is::<Denied>() => Fault::Denied,
        _ => Fault::Away,
    }
}

/// The row is there, and its account lets nobody above it do this.
#[derive(Debug, thiserror::Error)]
#[error("the account does not let those above it do this")]
struct Denied;

pub(super) fn denied() -> Error {
    Error::Configuration(Box::new(Denied))
}

fn is_collision(error: &dyn DatabaseError) -> bool {
    error.is_unique_violation() || has_code(error, &["40001", "40P01", "55P03"])
}

/// PostgreSQL: a transaction that may only read, and a full disk. SQLite: the file or its disk takes no
/// writes, or there is no space; the second and third for the file that readers and writers share.
pub(super) fn is_read_only(error: &dyn DatabaseError) -> bool {
    use rusqlite::ffi;
    match error.try_downcast_ref::<PgDatabaseError>() {
        Some(_) => has_code(error, &["25006", "53100"]),
        None => error.code().and_then(|code| code.parse().ok()).is_some_and(|code: i32| {
            matches!(code & 0xff, ffi::SQLITE_FULL | ffi::SQLITE_READONLY)
                || [ffi::SQLITE_IOERR_SHMSIZE, ffi::SQLITE_IOERR_WRITE].contains(&code)
        }),
    }
}

/// Whether SQLite was told by the system that what it wrote could not be made durable. What the disk holds is
/// not known then, and asking once more would be answered as if all were well.
pub(super) fn is_lost_sync(error: &Error) -> bool {
    use rusqlite::ffi;
    let lost = [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC].map(|code| code.to_string());
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| lost.iter().any(|lost| *lost == code))
}

fn has_code(error: &dyn DatabaseError, codes: &[&str]) -> bool {
    error.code().is_some_and(|code| codes.contains(&code.as_ref()))
}

/// Whether a row was refused because there is one of its kind.
pub fn is_unique_violation(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}
