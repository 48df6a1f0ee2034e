//! A statement on its way: its values, what must come before it, and what comes back.

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, Value as SqliteValue};
use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, Encode, Postgres, Type};

use super::batch::{Pending, Texts};
use super::engine::{Gated, Result, Sql};
use super::postgres::Lent;
use super::sqlite::{self, Reader};
use super::writer::Unit;
use crate::model::rows::{Places, Record, Row};
use crate::model::{Path, Subtree};

/// A value that can be bound on both engines.
pub trait Value<'q>: ToSql + Encode<'q, Postgres> + Type<Postgres> {}
impl<'q, T> Value<'q> for T where T: ToSql + Encode<'q, Postgres> + Type<Postgres> {}

/// Where a statement is to be run, and its values so far.
pub(super) enum Target<'c> {
    Sqlite(&'c mut Reader, Vec<SqliteValue>),
    Unit(&'c Unit, Vec<SqliteValue>),
    Postgres(&'c mut Lent, PgArguments, Ahead<'c>),
    /// Its values are bound behind those of the statements that it goes with.
    Joined(&'c mut Lent, &'c mut Pending, &'c Texts),
}

/// What comes before a statement on PostgreSQL.
pub(super) enum Ahead<'c> {
    Gate(&'c Gated),
    Pending(&'c mut Pending, &'c Texts),
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
    pub(super) fn new(sql: Sql, target: Target<'c>, subtree: &'c Subtree) -> Self {
        Self { sql, target, subtree, bound: 0, unbindable: None }
    }

    pub fn bind<'q>(mut self, value: impl Value<'q>) -> Self {
        self.bound += 1;
        let added = match &mut self.target {
            Target::Sqlite(_, values) | Target::Unit(_, values) => {
                owned(&value).map(|value| values.push(value)).map_err(BoxDynError::from)
            }
            Target::Postgres(_, args, _) => args.add(value),
            Target::Joined(_, pending, _) => pending.args.add(value).inspect(|()| pending.bound += 1),
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
        match self.ready(true).await? {
            Ready::Sqlite(conn, sql, values) => Ok(sqlite::rows(conn, sql, &values, 1)?.pop()),
            Ready::Unit(unit, sql, values) => Ok(unit.run(|conn| sqlite::rows(conn, sql, &values, 1))?.pop()),
            Ready::Postgres(conn, sql, args) => {
                let row = conn.run(async |c| sqlx::query_with(sql, args).fetch_optional(c).await).await?;
                row.map(|row| Places::of::<T>(Row::Postgres(&row)).read(Row::Postgres(&row))).transpose()
            }
        }
    }

    pub async fn all<T: Record>(self) -> Result<Vec<T>> {
        match self.ready(true).await? {
            Ready::Sqlite(conn, sql, values) => sqlite::rows(conn, sql, &values, usize::MAX),
            Ready::Unit(unit, sql, values) => unit.run(|conn| sqlite::rows(conn, sql, &values, usize::MAX)),
            Ready::Postgres(conn, sql, args) => {
                let rows = conn.run(async |c| sqlx::query_with(sql, args).fetch_all(c).await).await?;
                let Some(first) = rows.first() else { return Ok(Vec::new()) };
                let places = Places::of::<T>(Row::Postgres(first));
                rows.iter().map(|row| places.read(Row::Postgres(row))).collect()
            }
        }
    }

    /// Runs the statement and says how many rows it changed; not so of one that is [`Tx::joined`].
    pub async fn execute(self) -> Result<u64> {
        match self.ready(false).await? {
            Ready::Sqlite(conn, sql, values) => sqlite::execute(conn, sql, &values),
            Ready::Unit(unit, sql, values) => unit.run(|conn| sqlite::execute(conn, sql, &values)),
            Ready::Postgres(conn, sql, args) => {
                let done = conn.run(async |c| sqlx::query_with(sql, args).execute(c).await).await?;
                Ok(done.rows_affected())
            }
        }
    }

    /// Has a statement run that was put together by [`Tx::later`]; at once on SQLite.
    pub async fn send(self) -> Result<()> {
        match self {
            Query { target: Target::Joined(conn, pending, texts), sql, unbindable: None, .. } => {
                match pending.keep(sql.postgres) {
                    true => Ok(()),
                    false => pending.flush(texts, conn).await,
                }
            }
            other => other.execute().await.map(drop),
        }
    }

    /// The statement as it is to be run, once what must come before it has; whether its rows are wanted.
    async fn ready(self, rows: bool) -> Result<Ready<'c>> {
        let Query { sql, target, subtree, bound, unbindable } = self;
        if let Some(error) = unbindable {
            return Err(sqlx::Error::Encode(error));
        }
        Ok(match target {
            Target::Sqlite(conn, values) => Ready::Sqlite(conn, sql.sqlite, values),
            Target::Unit(unit, values) => Ready::Unit(unit, sql.sqlite, values),
            Target::Postgres(conn, mut args, Ahead::Gate(gated)) => {
                args.add(subtree.from()).map_err(sqlx::Error::Encode)?;
                Ready::Postgres(conn, gated.text(sql.postgres, bound), args)
            }
            Target::Postgres(conn, args, Ahead::Pending(pending, texts)) => {
                pending.flush(texts, conn).await?;
                Ready::Postgres(conn, sql.postgres, args)
            }
            Target::Joined(conn, pending, texts) => {
                pending.keep(sql.postgres);
                let (sql, args) = pending.take(texts, rows);
                Ready::Postgres(conn, sql, args)
            }
        })
    }
}

/// A statement with its values, and where it is to be run.
enum Ready<'c> {
    Sqlite(&'c mut Reader, &'static str, Vec<SqliteValue>),
    Unit(&'c Unit, &'static str, Vec<SqliteValue>),
    Postgres(&'c mut Lent, &'static str, PgArguments),
}

/// A value that outlives what it was made from.
fn owned(value: &impl ToSql) -> rusqlite::Result<SqliteValue> {
    match value.to_sql()? {
        ToSqlOutput::Borrowed(value) => Ok(value.try_into()?),
        ToSqlOutput::Owned(value) => Ok(value),
        _ => Err(rusqlite::Error::ToSqlConversionFailure("not a plain value".into())),
    }
}
