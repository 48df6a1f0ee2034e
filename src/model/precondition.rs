//! What a caller demands of an object before it is changed.

/// The versions of which an object must have one: the header `If-Match` (RFC 9110, section 13.1.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precondition(Option<Vec<i64>>);

impl Precondition {
    /// Any version will do.
    pub const NONE: Self = Self(None);

    /// One of these; of no versions at all none fits.
    pub fn one_of(versions: Vec<i64>) -> Self {
        Self(Some(versions))
    }

    pub fn admits(&self, version: i64) -> bool {
        self.0.as_ref().is_none_or(|versions| versions.contains(&version))
    }
}
