//! What the database holds. SQL lives here and nowhere else.

/// The paths of the accounts at and above a path, with commas or another text between them.
macro_rules! upwards {
    ($path:literal) => {
        upwards!($path, ", ")
    };
    ($path:literal, $between:literal) => {
        concat!(
            "substr(",
            $path,
            ", 1, 14)",
            $between,
            "substr(",
            $path,
            ", 1, 27)",
            $between,
            "substr(",
            $path,
            ", 1, 40)",
            $between,
            "substr(",
            $path,
            ", 1, 53)",
            $between,
            "substr(",
            $path,
            ", 1, 66)",
            $between,
            "substr(",
            $path,
            ", 1, 79)",
            $between,
            "substr(",
            $path,
            ", 1, 92)",
            $between,
            "substr(",
            $path,
            ", 1, 105)"
        )
    };
}

/// The weight of the strongest of some holds `h`.
macro_rules! weight {
    () => {
        "CAST(MAX(CASE h.effect WHEN 'suspend' THEN 3 WHEN 'degrade' THEN 2 ELSE 0 END) AS BIGINT)"
    };
}

/// The weight of the strongest hold in force on an account's path, on all above it, and on the identifiers given; in
/// statements of both engines it is `held(…)`. On SQLite each is looked for by itself, so that there is no other way to
/// do it than by the index: a join might begin at the other end, with every hold there is.
macro_rules! held_by_each {
    ($path:literal $(, $id:literal)*) => {
        concat!(
            "(SELECT MAX((SELECT ",
            weight!(),
            " FROM holds h WHERE h.status = 'active' AND h.target = t.column1)) FROM (VALUES (",
            upwards!($path, "), ("),
            ")",
            $(", (", $id, ")",)*
            ") AS t)"
        )
    };
}

/// The same on PostgreSQL, which looks for each of a list's different members once, and by the index only where the
/// list is made apart: row-level security keeps `substr` off it.
macro_rules! held_by_any {
    ($path:literal $(, $id:literal)*) => {
        concat!(
            "(SELECT ",
            weight!(),
            " FROM (SELECT ARRAY[",
            upwards!($path),
            $(", ", $id,)*
            "] AS targets OFFSET 0) AS t, holds h WHERE h.status = 'active' AND h.target = ANY (t.targets))"
        )
    };
}

pub mod accounts;
pub mod audit;
pub mod audit_keys;
mod batch;
pub mod bulk;
pub mod catalog;
pub mod checkpoints;
pub mod commerce;
pub mod engine;
pub mod events;
pub mod facts;
pub mod faults;
mod link;
pub mod migrate;
pub mod moves;
pub mod places;
pub mod postgres;
mod query;
pub mod quotas;
pub mod replies;
pub mod sealed;
pub mod services;
mod sqlite;
pub mod tokens;
pub mod versions;
mod writer;

pub use engine::{Conn, Db, Result, Sql, Tx};
pub use writer::Limits;
