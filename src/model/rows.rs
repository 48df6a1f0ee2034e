//! How a row of either engine becomes a type of ours.

use rusqlite::types::FromSql;
use sqlx::error::BoxDynError;
use sqlx::postgres::PgRow;
use sqlx::{Column, Decode, Error, Postgres, Row as _, Type};
pub use tenantry_derive::Record;

use super::Path;

/// A type that a row fills; `#[derive(Record)]` gives it.
pub trait Record: Sized + Send {
    /// Names the columns in the order in which [`Record::read`] takes them; `""` stands for the column at
    /// that place, whatever it is called.
    fn columns(names: &mut Vec<&'static str>);

    fn read(fields: &mut Fields<'_>) -> Result<Self, Error>;

    /// Where in the tree the account stands that the row belongs to, if the row says so.
    fn place(&self) -> Option<&Path> {
        None
    }
}

/// A value that a column of either engine can hold.
pub trait Stored: FromSql + for<'r> Decode<'r, Postgres> + Type<Postgres> {}
impl<T> Stored for T where T: FromSql + for<'r> Decode<'r, Postgres> + Type<Postgres> {}

/// A row as its engine gave it.
#[derive(Clone, Copy)]
pub enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r PgRow),
}

/// Where in a statement's rows the columns of a record lie; looked up once for all rows.
pub struct Places {
    names: Vec<&'static str>,
    places: Vec<Option<usize>>,
}

impl Places {
    /// Finds the record's columns among those of the statement.
    pub fn of<T: Record>(row: Row<'_>) -> Self {
        let mut names = Vec::new();
        T::columns(&mut names);
        let places = names.iter().enumerate().map(|(at, name)| row.place(at, name)).collect();
        Self { names, places }
    }

    /// Reads one of the statement's rows.
    pub fn read<T: Record>(&self, row: Row<'_>) -> Result<T, Error> {
        T::read(&mut Fields { row, places: self, next: 0 })
    }
}

impl Row<'_> {
    /// Where the column is; most often where it was expected.
    fn place(&self, expected: usize, name: &str) -> Option<usize> {
        let is_called = |at: usize| match self {
            Row::Sqlite(row) => row.as_ref().column_name(at).is_ok_and(|column| column == name),
            Row::Postgres(row) => row.columns().get(at).is_some_and(|column| column.name() == name),
        };
        let count = match self {
            Row::Sqlite(row) => row.as_ref().column_count(),
            Row::Postgres(row) => row.len(),
        };
        if name.is_empty() || is_called(expected) {
            return (expected < count).then_some(expected);
        }
        (0..count).find(|at| is_called(*at))
    }

    fn get<T: Stored>(&self, place: usize, name: &str) -> Result<T, Error> {
        match self {
            Row::Sqlite(row) => row.get(place).map_err(|error| Error::ColumnDecode {
                index: format!("{place} {name}"),
                source: BoxDynError::from(error),
            }),
            Row::Postgres(row) => row.try_get(place),
        }
    }
}

/// A row's values, taken one after another.
pub struct Fields<'r> {
    row: Row<'r>,
    places: &'r Places,
    next: usize,
}

impl Fields<'_> {
    /// The next column's value.
    pub fn take<T: Stored>(&mut self) -> Result<T, Error> {
        let (name, place) = self.turn();
        match place {
            Some(place) => self.row.get(place, name),
            None => Err(Error::ColumnNotFound(name.to_owned())),
        }
    }

    /// The next column's value, or the default where the statement does not give the column.
    pub fn take_or_default<T: Stored + Default>(&mut self) -> Result<T, Error> {
        match self.turn() {
            (name, Some(place)) => self.row.get(place, name),
            (_, None) => Ok(T::default()),
        }
    }

    fn turn(&mut self) -> (&'static str, Option<usize>) {
        let at = self.next;
        self.next += 1;
        (self.places.names[at], self.places.places[at])
    }
}

/// Rows of a few columns, by their places.
macro_rules! tuples {
    ($(($($name:ident),+))+) => {$(
        impl<$($name: Stored + Send),+> Record for ($($name,)+) {
            fn columns(names: &mut Vec<&'static str>) {
                $(let _ = stringify!($name); names.push("");)+
            }
            fn read(fields: &mut Fields<'_>) -> Result<Self, Error> {
                Ok(($(fields.take::<$name>()?,)+))
            }
        }
    )+};
}

tuples! { (A) (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E) (A, B, C, D, E, F) }
