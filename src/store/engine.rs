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

use sqlx::postgres::{PgArguments, PgConnectOptions};
use sqlx::sqlite::SqliteConnectOptions;

use super::batch::{Pending, Texts};
use super::postgres::{self, Lent, Pool};
use super::query::{Ahead, Query, Target};
use super::sqlite::{Reader, Readers};
use super::writer::{Limits, Unit, Writer};
use crate::model::Subtree;

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

/// Joins literals into one [`Sql`]; `pg("…")` and `sqlite("…")` go to that engine alone. `held("a.path")` is the
/// weight of the strongest hold in force there or above. `now` is the
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
    (@go [$($s:tt)*] [$($p:tt)*] held($($arg:literal),+) $($rest:tt)*) => {
        $crate::sql!(@go [$($s)* held_by_each!($($arg),+),] [$($p)* held_by_any!($($arg),+),] $($rest)*)
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

/// A database: many readers and one writer on SQLite, a pool on PostgreSQL.
#[derive(Clone, Debug)]
pub enum Db {
    /// SQLite has a single write lock, so units of work queue for the writer.
    Sqlite {
        readers: Readers,
        writer: Writer,
    },
    Postgres {
        pool: Pool,
        gated: Gated,
        texts: Texts,
    },
}

impl Db {
    /// Opens the database that the URL names: `sqlite:` with its path, or `postgres:`.
    pub async fn connect(url: &str, max_connections: u32) -> Result<Self> {
        if url.starts_with("sqlite:") {
            if url.contains(":memory:") {
                return Err(sqlx::Error::Configuration(
                    "a database in memory has no second connection".into(),
                ));
            }
            let file = SqliteConnectOptions::from_str(url)?.get_filename().to_owned();
            return Self::sqlite(file, Limits::default(), max_connections);
        }
        let options = PgConnectOptions::from_str(url)?
            .application_name("tenantry")
            .statement_cache_capacity(512)
            .options([
                ("client_min_messages", "error"),
                // Every statement has an index to go by, whatever the planner guesses of JSON, and is too
                // short to be worth compiling or planning anew.
                ("enable_seqscan", "off"),
                // A bitmap gathers all of a subtree before the first row of a page can be told.
                ("enable_bitmapscan", "off"),
                ("enable_hashjoin", "off"),
                ("enable_mergejoin", "off"),
                ("jit", "off"),
                ("plan_cache_mode", "force_generic_plan"),
                ("statement_timeout", "15s"),
                ("lock_timeout", "3s"),
                ("idle_in_transaction_session_timeout", "20s"),
            ]);
        let pool = postgres::open(options, max_connections).await?;
        Ok(Db::Postgres { pool, gated: Gated::default(), texts: Texts::default() })
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
            Db::Postgres { pool, gated, .. } => Kind::Postgres(postgres::lend(pool).await?, gated.clone()),
        };
        Ok(Conn { kind, subtree })
    }

    /// A unit of work in the subtree; dropped without [`Tx::commit`] it leaves nothing behind.
    ///
    /// Run it in a task that is never cancelled: a unit that is cut off takes its connection with it.
    pub async fn write(&self, subtree: Subtree) -> Result<Tx> {
        let kind = match self {
            Db::Sqlite { writer, .. } => Kind::SqliteUnit(writer.unit().await?),
            Db::Postgres { pool, texts, .. } => {
                // What is declared is made of `/`, `,`, `.`, a-z and 0-9 alone; see `model::Path`.
                // The lock is for all who write at places; see `moves::stop_writing`.
                let begin = format!(
                    "BEGIN; SET LOCAL app.subtree = '{}'; LOCK TABLE accounts IN ROW SHARE MODE",
                    subtree.declared()
                );
                let mut conn = postgres::lend(pool).await?;
                conn.begin(begin).await?;
                Kind::PostgresTx(conn, Pending::default(), texts.clone())
            }
        };
        Ok(Tx(Conn { kind, subtree }))
    }

    /// Whether there is a server that may yet answer; what is in a file answers at once or not at all.
    pub async fn answers(&self) -> bool {
        match self {
            Db::Sqlite { .. } => false,
            Db::Postgres { pool, .. } => postgres::answers(pool).await,
        }
    }

    /// Ready once the disk did not keep what it was given, which is when the program must end; on PostgreSQL
    /// that is the server's own business.
    pub async fn broken(&self) {
        match self {
            Db::Sqlite { writer, .. } => writer.broken().await,
            Db::Postgres { .. } => std::future::pending().await,
        }
    }

    /// Closes all connections once those in use are given back.
    pub async fn close(&self) {
        match self {
            Db::Sqlite { readers, .. } => readers.close().await,
            Db::Postgres { pool, .. } => postgres::close(pool).await,
        }
    }
}

/// PostgreSQL's texts of reads, each with the declaration of its subtree; made once for each statement.
#[derive(Clone, Debug, Default)]
pub struct Gated(Arc<RwLock<HashMap<(usize, usize), &'static str>>>);

impl Gated {
    /// The text behind the gate; its last parameter is the subtree.
    pub(super) fn text(&self, text: &'static str, parameters: usize) -> &'static str {
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
    Postgres(Lent, Gated),
    PostgresTx(Lent, Pending, Texts),
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

    /// A statement whose result nobody awaits; [`Query::send`] has it run. On PostgreSQL it goes together
    /// with the next statement, so those that follow in one message must not look at what it writes, nor
    /// write the same rows; all others see it.
    pub fn later(&mut self, sql: impl Into<Sql>) -> Query<'_> {
        self.0.statement(sql.into(), true)
    }

    /// A statement that is awaited and goes in one message with those sent [`Tx::later`] before it.
    pub fn joined(&mut self, sql: impl Into<Sql>) -> Query<'_> {
        self.0.statement(sql.into(), true)
    }

    /// Has what was sent [`Tx::later`] run by now, so that whatever refuses it is told: before a commit, and
    /// where a commit is only rehearsed.
    pub async fn flush(&mut self) -> Result<()> {
        match &mut self.0.kind {
            Kind::PostgresTx(conn, pending, texts) => pending.flush(texts, conn).await,
            _ => Ok(()),
        }
    }

    /// Marks where the work stands, for [`Tx::back`].
    pub async fn mark(&mut self) -> Result<()> {
        self.flush().await?;
        self.query("SAVEPOINT rehearsal").execute().await.map(drop)
    }

    /// Takes back all since the mark.
    pub async fn back(&mut self) -> Result<()> {
        if let Kind::PostgresTx(_, pending, _) = &mut self.0.kind {
            *pending = Pending::default();
        }
        self.query("ROLLBACK TO SAVEPOINT rehearsal").execute().await?;
        self.query("RELEASE SAVEPOINT rehearsal").execute().await.map(drop)
    }

    async fn end(self, keep: bool) -> Result<()> {
        match self.0.kind {
            Kind::SqliteUnit(unit) => unit.end(keep).await,
            Kind::PostgresTx(mut conn, mut pending, texts) if keep => {
                pending.flush(&texts, &mut conn).await?;
                conn.end(true).await
            }
            Kind::PostgresTx(mut conn, ..) => conn.end(false).await,
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

    /// Turns to another subtree, and gives the one that was declared before. What a unit of work was sent until now is in
    /// that one; a read declares its own.
    pub async fn turn(&mut self, subtree: Subtree) -> Result<Subtree> {
        if let Kind::PostgresTx(conn, pending, texts) = &mut self.kind {
            pending.flush(texts, conn).await?;
            let declared = "SELECT set_config('app.subtree', $1, true)";
            let _: (String,) = self.query(declared).bind(subtree.declared()).one().await?;
        }
        Ok(std::mem::replace(&mut self.subtree, subtree))
    }

    /// A statement, to be given its values and run.
    pub fn query(&mut self, sql: impl Into<Sql>) -> Query<'_> {
        self.statement(sql.into(), false)
    }

    fn statement(&mut self, sql: Sql, joined: bool) -> Query<'_> {
        let target = match &mut self.kind {
            Kind::Sqlite(conn) => Target::Sqlite(conn, Vec::new()),
            Kind::SqliteUnit(unit) => Target::Unit(unit, Vec::new()),
            Kind::Postgres(conn, gated) => Target::Postgres(conn, PgArguments::default(), Ahead::Gate(gated)),
            Kind::PostgresTx(conn, pending, texts) => match joined {
                true => {
                    pending.begin();
                    Target::Joined(conn, pending, texts)
                }
                false => Target::Postgres(conn, PgArguments::default(), Ahead::Pending(pending, texts)),
            },
        };
        Query::new(sql, target, &self.subtree)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Path;
    use crate::model::ids::AccountId;

    #[tokio::test]
    async fn a_page_begins_after_the_row_named_and_never_outside_the_subtree() {
        let db = Db::sqlite(":memory:".into(), Limits::default(), 1).unwrap();
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
