//! Changes that are to be made at a version only.

use super::{Error, Result, Work};
use crate::model::Precondition;
use crate::store::versions::{self, Versioned};

/// Refuses unless the object, found at a version, is at one that `expected` admits; where something is
/// expected nobody else changes the object until the transaction ends.
pub async fn check_version(
    work: &mut Work,
    of: Versioned,
    id: impl ToString,
    found: i64,
    expected: &Precondition,
) -> Result<()> {
    let current = match expected.admits(found) {
        true if *expected == Precondition::NONE => found,
        true => versions::lock(&mut work.tx, of, &id.to_string()).await?.unwrap_or(found),
        false => found,
    };
    match expected.admits(current) {
        true => Ok(()),
        false => Err(Error::PreconditionFailed { current }),
    }
}
