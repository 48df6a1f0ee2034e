use crate::model::Path;
use crate::store::Conn;

/// One of a table's rows by a code or an identifier `$2`, for an account at `$1`. Each is looked for by itself: of two
/// conditions of which one suffices PostgreSQL makes a reading of both indexes.
macro_rules! called {
    ($table:literal) => {
        concat!(
            "IN (SELECT c.id FROM ",
            $table,
            " c WHERE c.code = $2 AND c.path IN (",
            upwards!("$1"),
            ") UNION ALL SELECT $2)"
        )
    };
}

pub mod addons;
pub mod plans;
pub mod price_lists;
pub mod prices;
pub mod servers;

/// The nearest account above a viewer's that is not in the connection's subtree, from where on upwards only what is on sale is
/// seen.
fn above(conn: &Conn, viewer: &Path) -> Option<Path> {
    viewer.upwards().find(|place| !conn.subtree().covers(place))
}

/// How many rows are missing yet, if any.
fn left_of<T>(limit: i64, rows: &[T]) -> Option<i64> {
    let left = limit.saturating_sub_unsigned(rows.len() as u64);
    (left > 0).then_some(left)
}

/// The row that a page follows on, for `(path, id) > ($n, $m)`.
fn place<I: ToString>(after: Option<&(Path, I)>) -> (String, String) {
    after.map(|(path, id)| (path.to_string(), id.to_string())).unwrap_or_default()
}
