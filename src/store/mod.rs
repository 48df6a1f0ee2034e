//! What the database holds. SQL lives here and nowhere else.

/// The accounts at and above a path, as a list of paths for `IN`.
macro_rules! upwards {
    ($path:literal) => {
        concat!(
            "substr(",
            $path,
            ", 1, 14), substr(",
            $path,
            ", 1, 27), substr(",
            $path,
            ", 1, 40), substr(",
            $path,
            ", 1, 53), substr(",
            $path,
            ", 1, 66), substr(",
            $path,
            ", 1, 79), substr(",
            $path,
            ", 1, 92), substr(",
            $path,
            ", 1, 105)"
        )
    };
}

/// The weight of the strongest hold in force on an account's path, on all above it, and on the identifiers
/// given.
macro_rules! held {
    ($path:literal $(, $id:literal)*) => {
        concat!(
            "(SELECT CAST(MAX(CASE h.effect WHEN 'suspend' THEN 3 WHEN 'degrade' THEN 2 ELSE 0 END) AS BIGINT)
              FROM holds h WHERE h.status = 'active' AND h.target IN (", $($id, ", ",)* upwards!($path), "))"
        )
    };
}

pub mod accounts;
pub mod audit;
pub mod catalog;
pub mod commerce;
pub mod engine;
pub mod events;
pub mod facts;
pub mod migrate;
pub mod quotas;
pub mod replies;
pub mod services;
mod sqlite;
mod writer;

pub use engine::{Conn, Db, Result, Tx};
pub use writer::Limits;
