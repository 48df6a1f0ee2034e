//! A statement on its way: its values, what must come before it, and what comes back.

use std::marker::PhantomData;

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, Value as SqliteValue};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgRow, PgTypeInfo};
use sqlx::{Arguments, Encode, Postgres, Type};

use super::batch::{Pending, Texts};
use super::engine::{Gated, Result, Sql};
use super::faults::denied;
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

/// The values of a statement for another part of the subtree.
enum Again {
    Sqlite(Vec<SqliteValue>),
    Postgres(PgArguments),
}

impl Again {
    fn add<'q>(&mut self, value: &impl Value<'q>) -> std::result::Result<(), BoxDynError> {
        match self {
            Again::Sqlite(values) => owned(value).map(|value| values.push(value)).map_err(BoxDynError::from),
            Again::Postgres(args) => args.add(Borrowed(value, PhantomData)),
        }
    }
}

/// A value that is bound again.
struct Borrowed<'r, 'q, V>(&'r V, PhantomData<&'q ()>);

impl<'q, V: Value<'q>> Encode<'_, Postgres> for Borrowed<'_, 'q, V> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> std::result::Result<IsNull, BoxDynError> {
        self.0.encode_by_ref(buffer)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        self.0.produces()
    }
}

impl<'q, V: Value<'q>> Type<Postgres> for Borrowed<'_, 'q, V> {
    fn type_info() -> PgTypeInfo {
        V::type_info()
    }
}

/// A statement being given its values; `$1`, `$2`… are numbered in the order of [`Query::bind`].
#[must_use = "a statement does nothing until it is run"]
pub struct Query<'c> {
    sql: Sql,
    target: Target<'c>,
    subtree: &'c Subtree,
    bound: usize,
    unbindable: Option<BoxDynError>,
    /// The values for the further parts of a subtree that has several.
    again: Vec<Again>,
    limit: usize,
}

impl<'c> Query<'c> {
    pub(super) fn new(sql: Sql, target: Target<'c>, subtree: &'c Subtree) -> Self {
        Self { sql, target, subtree, bound: 0, unbindable: None, again: Vec::new(), limit: usize::MAX }
    }

    pub fn bind<'q>(mut self, value: impl Value<'q>) -> Self {
        for again in &mut self.again {
            if let Err(error) = again.add(&value) {
                self.unbindable.get_or_insert(error);
            }
        }
        self.bind_here(value)
    }

    fn bind_here<'q>(mut self, value: impl Value<'q>) -> Self {
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

    /// Binds how many rows are wanted at most.
    pub fn limit(self, rows: i64) -> Self {
        Self { limit: usize::try_from(rows).unwrap_or_default(), ..self.bind(rows) }
    }

    /// Binds the two ends of the connection's subtree, for `path >= $n AND path < $m`. Of a subtree in several parts
    /// the statement is run for each: one row is the first that is found, and many come part by part.
    pub fn within(self) -> Self {
        match self.subtree.spans() {
            [only] => self.bind(only.from()).bind(only.to()),
            parts => {
                let ends: Vec<_> = parts.iter().map(|part| [part.from(), part.to()]).collect();
                self.for_each(&ends)
            }
        }
    }

    /// Binds where a page of the connection's subtree begins and where the subtree ends, for
    /// `(path, id) > ($n, $m) AND path < $o`: after the row named, or with the subtree's first.
    pub fn after<I: ToString>(self, row: Option<&(Path, I)>) -> Self {
        // One condition for both: beside a second lower bound SQLite seeks by that one, and reads every row
        // from the subtree's beginning up to the page.
        let row = row.map(|(path, id)| (path.as_str(), id.to_string()));
        let begin = |from: &'_ str| match &row {
            Some((path, id)) if *path >= from => ((*path).to_owned(), id.clone()),
            _ => (from.to_owned(), String::new()),
        };
        if self.subtree.is_whole() {
            let subtree = self.subtree;
            let (path, id) = begin(subtree.from());
            return self.bind(path).bind(id).bind(subtree.to());
        }
        let parts = self.subtree.listed();
        let ahead = |to: &str| row.as_ref().is_none_or(|(path, _)| *path < to);
        let last = parts.len() - 1;
        let left = parts.iter().enumerate().filter(|(at, part)| *at == last || ahead(part.to()));
        let begun: Vec<_> = left.map(|(_, part)| (begin(part.from()), part.to())).collect();
        let places: Vec<_> = begun.iter().map(|((path, id), to)| [path.as_str(), id, to]).collect();
        self.for_each(&places)
    }

    /// Has the statement run for each of some values at this place.
    fn for_each<const N: usize>(mut self, each: &[[&str; N]]) -> Self {
        let copy = |target: &Target<'_>| match target {
            Target::Sqlite(_, values) | Target::Unit(_, values) => Some(Again::Sqlite(values.clone())),
            Target::Postgres(_, args, _) => Some(Again::Postgres(args.clone())),
            Target::Joined(..) => None,
        };
        if self.again.is_empty() {
            self.again = each[1..].iter().filter_map(|_| copy(&self.target)).collect();
        }
        if self.again.len() + 1 != each.len() {
            self.unbindable.get_or_insert("a statement of one part of the subtree".into());
            return self;
        }
        for at in 0..N {
            for (again, values) in self.again.iter_mut().zip(&each[1..]) {
                if let Err(error) = again.add(&values[at]) {
                    self.unbindable.get_or_insert(error);
                }
            }
            self = self.bind_here(each[0][at]);
        }
        self
    }

    pub async fn one<T: Record>(self) -> Result<T> {
        self.optional().await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// The row, if there is one. Where an account that it belongs to refuses whoever asks, that is an error.
    pub async fn optional<T: Record>(self) -> Result<Option<T>> {
        let subtree = self.subtree;
        let row = self.first::<T>().await?;
        let refused = row.as_ref().and_then(T::place).is_some_and(|path| subtree.is_refused(path));
        if refused { Err(denied()) } else { Ok(row) }
    }

    async fn first<T: Record>(self) -> Result<Option<T>> {
        if !self.again.is_empty() {
            return Ok(self.part_by_part(1).await?.into_iter().next());
        }
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
        if !self.again.is_empty() {
            let limit = self.limit;
            return self.part_by_part(limit).await;
        }
        match self.ready(true).await? {
            Ready::Sqlite(conn, sql, values) => sqlite::rows(conn, sql, &values, usize::MAX),
            Ready::Unit(unit, sql, values) => unit.run(|conn| sqlite::rows(conn, sql, &values, usize::MAX)),
            Ready::Postgres(conn, sql, args) => {
                let rows = conn.run(async |c| sqlx::query_with(sql, args).fetch_all(c).await).await?;
                read(&rows)
            }
        }
    }

    /// The rows of each part of the subtree, one part after another, until there are enough.
    async fn part_by_part<T: Record>(self, enough: usize) -> Result<Vec<T>> {
        let Query { sql, mut target, subtree, bound, unbindable, again, .. } = self;
        if let Some(error) = unbindable {
            return Err(sqlx::Error::Encode(error));
        }
        let first = match &mut target {
            Target::Sqlite(_, values) | Target::Unit(_, values) => Again::Sqlite(std::mem::take(values)),
            Target::Postgres(_, args, _) => Again::Postgres(std::mem::take(args)),
            Target::Joined(..) => return Ok(Vec::new()),
        };
        let mut rows = Vec::new();
        for values in std::iter::once(first).chain(again) {
            if rows.len() >= enough {
                break;
            }
            rows.extend(match (&mut target, values) {
                (Target::Sqlite(conn, _), Again::Sqlite(values)) => {
                    sqlite::rows(conn, sql.sqlite, &values, usize::MAX)?
                }
                (Target::Unit(unit, _), Again::Sqlite(values)) => {
                    unit.run(|conn| sqlite::rows(conn, sql.sqlite, &values, usize::MAX))?
                }
                (Target::Postgres(conn, _, ahead), Again::Postgres(mut args)) => {
                    let text = match ahead {
                        Ahead::Gate(gated) => {
                            args.add(subtree.declared()).map_err(sqlx::Error::Encode)?;
                            gated.text(sql.postgres, bound)
                        }
                        Ahead::Pending(pending, texts) => {
                            pending.flush(texts, conn).await?;
                            sql.postgres
                        }
                    };
                    read(&conn.run(async |c| sqlx::query_with(text, args).fetch_all(c).await).await?)?
                }
                _ => unreachable!("a statement's values are all of one engine"),
            });
        }
        Ok(rows)
    }

    /// Runs the statement and says how many rows it changed; not so of one that is [`Tx::joined`].
    pub async fn execute(mut self) -> Result<u64> {
        if !self.again.is_empty() {
            self.unbindable.get_or_insert("a change of one part of the subtree".into());
        }
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
        let Query { sql, target, subtree, bound, unbindable, .. } = self;
        if let Some(error) = unbindable {
            return Err(sqlx::Error::Encode(error));
        }
        Ok(match target {
            Target::Sqlite(conn, values) => Ready::Sqlite(conn, sql.sqlite, values),
            Target::Unit(unit, values) => Ready::Unit(unit, sql.sqlite, values),
            Target::Postgres(conn, mut args, Ahead::Gate(gated)) => {
                args.add(subtree.declared()).map_err(sqlx::Error::Encode)?;
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

/// PostgreSQL's rows as what they are.
fn read<T: Record>(rows: &[PgRow]) -> Result<Vec<T>> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let places = Places::of::<T>(Row::Postgres(first));
    rows.iter().map(|row| places.read(Row::Postgres(row))).collect()
}

/// A value that outlives what it was made from.
fn owned(value: &impl ToSql) -> rusqlite::Result<SqliteValue> {
    match value.to_sql()? {
        ToSqlOutput::Borrowed(value) => Ok(value.try_into()?),
        ToSqlOutput::Owned(value) => Ok(value),
        _ => Err(rusqlite::Error::ToSqlConversionFailure("not a plain value".into())),
    }
}
