pub mod addons;
pub mod plans;
pub mod price_lists;
pub mod prices;
pub mod servers;

/// The first of the rows, in the order of their identifiers and each once: those from above are found again with each part of
/// a subtree in several.
fn each_once<T, I: Ord>(mut rows: Vec<T>, id: impl Fn(&T) -> I, limit: i64) -> Vec<T> {
    rows.sort_by_key(&id);
    rows.dedup_by_key(|row| id(row));
    rows.truncate(usize::try_from(limit).unwrap_or_default());
    rows
}
