//! One SQL text, two engines, and the first two walls between accounts.
//!
//! Everything the rest of the program knows about databases is here: [`Db`] hands out [`Conn`]s (reads)
//! and [`Tx`]s (writes), each for one [`Subtree`]; both run [`Query`]s written once in the SQL that SQLite
//! and PostgreSQL share. Where the engines differ, [`sql!`] spells out the differing words. No store
//! function ever asks which engine it is on.
//!
//! On PostgreSQL row-level security is the second wall. A transaction declares its subtree as it begins,
//! in the same message. A read is one statement: it declares its subtree in a sub-select that is not
//! correlated, which PostgreSQL evaluates once and before the rows it gates; were that ever otherwise, the
//! policies would find nothing declared and show nothing.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, Value as SqliteValue};
use sqlx::error::BoxDynError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Arguments, AssertSqlSafe, Encode, PgConnection, PgPool, Postgres, Transaction, Type};

use super::sqlite::{self, Reader, Readers};
use super::writer::{Limits, Unit, Writer};
use crate::model::rows::{Places, Record, Row};
use crate::model::{Path, Subtree};

pub type Result<T> = std::result::Result<T, sqlx::Error>;

/// A statement as each engine must read it; most often both texts are the same one.
#[derive(Clone, Copy, Debug)]
pub struct Sql {
    pub sqlite: &'static str,
    pub postgres: &'static str,
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Sql { sqlite: text, postgres: text }
    }
}

/// Joins literals into one [`Sql`]; `pg("…")` and `sqlite("…")` go to that engine alone. `now` is the
/// database's own time and `later("$n")` so many seconds after it: for leases, which outlive any one
/// replica's clock, and for nothing else.
#[macro_export]
macro_rules! sql {
    (@go [$($s:tt)*] [$($p:tt)*]) => {
        $crate::store::engine::Sql { sqlite: concat!($($s)*), postgres: concat!($($p)*) }
    };
    (@go [$($s:tt)*] [$($p:tt)*] pg($t:literal) $($rest:tt)*) => {
        $crate::sql!(@go [$($s)*] [$($p)* $t,] $($rest)*)
    };
    (@go [$($s:tt)*] [$($p:tt)*] sqlite($t:literal) $($rest:tt)*) => {
        $crate::sql!(@go [$($s)* $t,] [$($p)*] $($rest)*)
    };
    (@go [$($s:tt)*] [$($p:tt)*] now $($rest:tt)*) => {
        $crate::sql!(@go [$($s)* "strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'",] [$($p)* "clock_timestamp()",] $($rest)*)
    };
    (@go [$($s:tt)*] [$($p:tt)*] later($n:literal) $($rest:tt)*) => {
        $crate::sql!(
            @go [$($s)* "strftime('%Y-%m-%dT%H:%M:%f', 'now', ", $n, " || ' seconds') || '000Z'",]
            [$($p)* "clock_timestamp() + make_interval(secs => CAST(", $n, " AS double precision))",] $($rest)*
        )
    };
    (@go [$($s:tt)*] [$($p:tt)*] $m:ident ! ($($arg:tt)*) $($rest:tt)*) => {
        $crate::sql!(@go [$($s)* $m!($($arg)*),] [$($p)* $m!($($arg)*),] $($rest)*)
    };
    (@go [$($s:tt)*] [$($p:tt)*] $t:literal $($rest:tt)*) => {
        $crate::sql!(@go [$($s)* $t,] [$($p)* $t,] $($rest)*)
    };
    ($($all:tt)+) => { $crate::sql!(@go [] [] $($all)+) };
}

/// A value that can be bound on both engines.
pub trait Value<'q>: ToSql + Encode<'q, Postgres> + Type<Postgres> {}
impl<'q, T> Value<'q> for T where T: ToSql + Encode<'q, Postgres> + Type<Postgres> {}

/// A database: many readers and one writer on SQLite, a pool on PostgreSQL.
#[derive(Clone, Debug)]
pub enum Db {
    /// SQLite has a single write lock, so units of work queue for the writer.
    Sqlite {
        readers: Readers,
        writer: Writer,
    },
    Postgres {
        pool: PgPool,
        gated: Gated,
    },
}

impl Db {
    /// Opens the database that the URL names: `sqlite:` with its path, or `postgres:`.
    pub async fn connect(url: &str, max_connections: u32) -> Result<Self> {
        if url.starts_with("sqlite:") {
            let file = SqliteConnectOptions::from_str(url)?.get_filename().to_owned();
            return Self::sqlite(file, Limits::default(), max_connections);
        }
        let options = PgConnectOptions::from_str(url)?
            .application_name("tenantry")
            .statement_cache_capacity(512)
            // The ROLLBACK before each BEGIN mostly finds nothing to roll back; no need to be warned of it.
            .options([
                ("client_min_messages", "error"),
                ("statement_timeout", "15s"),
                ("lock_timeout", "3s"),
                ("idle_in_transaction_session_timeout", "20s"),
            ]);
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(Duration::from_secs(5))
            .test_before_acquire(false)
            .connect_with(options)
            .await?;
        Ok(Db::Postgres { pool, gated: Gated::default() })
    }

    /// Opens a SQLite database; it is made when it is missing.
    pub fn sqlite(file: PathBuf, limits: Limits, readers: u32) -> Result<Self> {
        let writer = Writer::start(file.clone(), limits)?;
        Ok(Db::Sqlite { readers: Readers::new(file, readers), writer })
    }

    /// A connection for reading in the subtree; each statement stands alone.
    pub async fn read(&self, subtree: Subtree) -> Result<Conn> {
        let kind = match self {
            Db::Sqlite { readers, .. } => Kind::Sqlite(readers.acquire().await?),
            Db::Postgres { pool, gated } => Kind::Postgres(pool.acquire().await?, gated.clone()),
        };
        Ok(Conn { kind, subtree })
    }

    /// A unit of work in the subtree; dropped without [`Tx::commit`] it leaves nothing behind.
    ///
    /// Run it in a task that is never cancelled: sqlx gives a connection whose `begin` was cut off back to
    /// the pool inside an open transaction. The ROLLBACK ahead of each BEGIN is the net below that.
    pub async fn write(&self, subtree: Subtree) -> Result<Tx> {
        let kind = match self {
            Db::Sqlite { writer, .. } => Kind::SqliteUnit(writer.unit().await?),
            Db::Postgres { pool, .. } => {
                // A subtree's text is made of `/`, a-z and 0-9 alone; see `model::Path`.
                let begin =
                    format!("ROLLBACK; BEGIN; SELECT set_config('app.subtree', '{}', true)", subtree.from());
                Kind::PostgresTx(pool.begin_with(AssertSqlSafe(begin)).await?)
            }
        };
        Ok(Tx(Conn { kind, subtree }))
    }

    /// Closes all connections once those in use are given back.
    pub async fn close(&self) {
        match self {
            Db::Sqlite { readers, .. } => readers.close().await,
            Db::Postgres { pool, .. } => pool.close().await,
        }
    }
}

/// PostgreSQL's texts of reads, each with the declaration of its subtree; made once for each statement.
#[derive(Clone, Debug, Default)]
pub struct Gated(Arc<RwLock<HashMap<(usize, usize), &'static str>>>);

impl Gated {
    /// The text behind the gate; its last parameter is the subtree.
    fn text(&self, text: &'static str, parameters: usize) -> &'static str {
        let place = (text.as_ptr() as usize, text.len());
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&place) {
            return known;
        }
        let gated = format!(
            "SELECT gated.* FROM ({text}) AS gated \
             WHERE (SELECT set_config('app.subtree', ${}, true)) IS NOT NULL",
            parameters + 1
        );
        // As many as there are statements in the program.
        let gated: &'static str = gated.leak();
        self.0.write().unwrap_or_else(PoisonError::into_inner).entry(place).or_insert(gated)
    }
}

enum Kind {
    Sqlite(Reader),
    SqliteUnit(Unit),
    Postgres(PoolConnection<Postgres>, Gated),
    PostgresTx(Transaction<'static, Postgres>),
}

/// A connection that may see one subtree.
pub struct Conn {
    kind: Kind,
    subtree: Subtree,
}

/// A unit of work.
pub struct Tx(Conn);

impl Tx {
    /// Returns once the work is durable.
    pub async fn commit(self) -> Result<()> {
        self.end(true).await
    }

    /// Takes the work back. Returns once all it may have read is durable: a refusal, too, must not rest on
    /// what a neighbour in the same transaction wrote and then lost.
    pub async fn undo(self) -> Result<()> {
        self.end(false).await
    }

    async fn end(self, keep: bool) -> Result<()> {
        match self.0.kind {
            Kind::SqliteUnit(unit) => unit.end(keep).await,
            Kind::PostgresTx(tx) if keep => tx.commit().await,
            Kind::PostgresTx(tx) => tx.rollback().await,
            Kind::Sqlite(_) | Kind::Postgres(..) => unreachable!("a Tx always holds a transaction"),
        }
    }
}

impl Deref for Tx {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.0
    }
}

impl Conn {
    /// What the connection may see.
    pub fn subtree(&self) -> &Subtree {
        &self.subtree
    }

    /// A statement, to be given its values and run.
    pub fn query(&mut self, sql: impl Into<Sql>) -> Query<'_> {
        let target = match &mut self.kind {
            Kind::Sqlite(c) => Target::Sqlite(c, Vec::new()),
            Kind::SqliteUnit(unit) => Target::Unit(unit, Vec::new()),
            Kind::Postgres(c, gated) => Target::Postgres(c, PgArguments::default(), Some(gated)),
            Kind::PostgresTx(c) => Target::Postgres(c, PgArguments::default(), None),
        };
        Query { sql: sql.into(), target, subtree: &self.subtree, bound: 0, unbindable: None }
    }
}

enum Target<'c> {
    Sqlite(&'c mut Reader, Vec<SqliteValue>),
    Unit(&'c Unit, Vec<SqliteValue>),
    Postgres(&'c mut PgConnection, PgArguments, Option<&'c Gated>),
}

/// A statement being given its values; `$1`, `$2`… are numbered in the order of [`Query::bind`].
#[must_use = "a statement does nothing until it is run"]
pub struct Query<'c> {
    sql: Sql,
    target: Target<'c>,
    subtree: &'c Subtree,
    bound: usize,
    unbindable: Option<BoxDynError>,
}

impl<'c> Query<'c> {
    pub fn bind<'q>(mut self, value: impl Value<'q>) -> Self {
        self.bound += 1;
        let added = match &mut self.target {
            Target::Sqlite(_, values) | Target::Unit(_, values) => {
                owned(&value).map(|value| values.push(value)).map_err(BoxDynError::from)
            }
            Target::Postgres(_, args, _) => args.add(value),
        };
        if let Err(error) = added {
            self.unbindable.get_or_insert(error);
        }
        self
    }

    /// Binds the two ends of the connection's subtree, for `path >= $n AND path < $m`.
    pub fn within(self) -> Self {
        let subtree = self.subtree;
        self.bind(subtree.from()).bind(subtree.to())
    }

    /// Binds where a page of the connection's subtree begins and where the subtree ends, for
    /// `(path, id) > ($n, $m) AND path < $o`: after the row named, or with the subtree's first.
    pub fn after<I: ToString>(self, row: Option<&(Path, I)>) -> Self {
        let subtree = self.subtree;
        // One condition for both: beside a second lower bound SQLite seeks by that one, and reads every row
        // from the subtree's beginning up to the page.
        let (path, id) = match row {
            Some((path, id)) if path.as_str() >= subtree.from() => (path.as_str(), id.to_string()),
            _ => (subtree.from(), String::new()),
        };
        self.bind(path).bind(id).bind(subtree.to())
    }

    pub async fn one<T: Record>(self) -> Result<T> {
        self.optional().await?.ok_or(sqlx::Error::RowNotFound)
    }

    pub async fn optional<T: Record>(self) -> Result<Option<T>> {
        let Query { sql, target, .. } = self.declared()?;
        match target {
            Target::Sqlite(conn, values) => Ok(sqlite::rows(conn, sql.sqlite, &values, 1)?.pop()),
            Target::Unit(unit, values) => {
                Ok(unit.run(|conn| sqlite::rows(conn, sql.sqlite, &values, 1))?.pop())
            }
            Target::Postgres(conn, args, _) => {
                let row = sqlx::query_with(sql.postgres, args).fetch_optional(conn).await?;
                row.map(|row| Places::of::<T>(Row::Postgres(&row)).read(Row::Postgres(&row))).transpose()
            }
        }
    }

    pub async fn all<T: Record>(self) -> Result<Vec<T>> {
        let Query { sql, target, .. } = self.declared()?;
        match target {
            Target::Sqlite(conn, values) => sqlite::rows(conn, sql.sqlite, &values, usize::MAX),
            Target::Unit(unit, values) => {
                unit.run(|conn| sqlite::rows(conn, sql.sqlite, &values, usize::MAX))
            }
            Target::Postgres(conn, args, _) => {
                let rows = sqlx::query_with(sql.postgres, args).fetch_all(conn).await?;
                let Some(first) = rows.first() else { return Ok(Vec::new()) };
                let places = Places::of::<T>(Row::Postgres(first));
                rows.iter().map(|row| places.read(Row::Postgres(row))).collect()
            }
        }
    }

    /// Runs the statement and says how many rows it changed.
    pub async fn execute(self) -> Result<u64> {
        let Query { sql, target, .. } = self.declared()?;
        match target {
            Target::Sqlite(conn, values) => sqlite::execute(conn, sql.sqlite, &values),
            Target::Unit(unit, values) => unit.run(|conn| sqlite::execute(conn, sql.sqlite, &values)),
            Target::Postgres(conn, args, _) => {
                Ok(sqlx::query_with(sql.postgres, args).execute(conn).await?.rows_affected())
            }
        }
    }

    /// The statement as it is to be run: a read on PostgreSQL behind the declaration of its subtree.
    fn declared(mut self) -> Result<Self> {
        if let Target::Postgres(_, _, Some(gated)) = &self.target {
            self.sql.postgres = gated.text(self.sql.postgres, self.bound);
            let subtree = self.subtree;
            self = self.bind(subtree.from());
        }
        match self.unbindable.take() {
            Some(error) => Err(sqlx::Error::Encode(error)),
            None => Ok(self),
        }
    }
}

/// A value that outlives what it was made from.
fn owned(value: &impl ToSql) -> rusqlite::Result<SqliteValue> {
    match value.to_sql()? {
        ToSqlOutput::Borrowed(value) => Ok(value.try_into()?),
        ToSqlOutput::Owned(value) => Ok(value),
        _ => Err(rusqlite::Error::ToSqlConversionFailure("not a plain value".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::AccountId;

    #[tokio::test]
    async fn a_page_begins_after_the_row_named_and_never_outside_the_subtree() {
        let db = Db::connect("sqlite::memory:", 1).await.unwrap();
        let (operator, id) = (Path::root(AccountId::new()), AccountId::new());
        let (reseller, tenant) = (operator.child(id), operator.child(id).child(AccountId::new()));
        let mut conn = db.read(Subtree::of(&reseller)).await.unwrap();
        let (reseller, end) = (reseller.to_string(), conn.subtree().to().to_owned());
        let first = (reseller, String::new(), end.clone());
        let named = (tenant.to_string(), id.to_string(), end);
        for (row, begins) in [(None, &first), (Some((tenant, id)), &named), (Some((operator, id)), &first)] {
            let bound: (String, String, String) =
                conn.query("SELECT $1, $2, $3").after(row.as_ref()).one().await.unwrap();
            assert_eq!(&bound, begins);
        }
    }
}
