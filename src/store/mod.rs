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

/// The weight of the strongest hold in force on an account's path, on all above it, and on the identifiers
/// given. They stand as rows: on PostgreSQL row-level security lets plain columns search an index ahead of
/// it, but not `substr`, so that in a list they would have every hold read.
macro_rules! held {
    ($path:literal $(, $id:literal)*) => {
        concat!(
            "(SELECT ",
            weight!(),
            " FROM holds h WHERE h.status = 'active' AND h.target IN (VALUES (",
            $($id, "), (",)* upwards!($path, "), ("), ")))"
        )
    };
}

pub mod accounts;
pub mod audit;
mod batch;
pub mod catalog;
pub mod commerce;
pub mod engine;
pub mod events;
pub mod facts;
pub mod migrate;
pub mod postgres;
pub mod quotas;
pub mod replies;
pub mod services;
mod sqlite;
mod writer;

pub use engine::{Conn, Db, Result, Tx};
pub use writer::Limits;
