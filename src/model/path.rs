//! Where in the tree an account stands, and what part of the tree a caller may reach.

use std::fmt;
use std::str::FromStr;

use super::ids::AccountId;

/// An account's place: `/` and twelve characters for each account from the root down to itself, then `/`.
/// Every label has the same length, so that the accounts above can be read off in SQL as well.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Path(String);

/// Characters that each account adds to a path: its label and a `/`.
pub const STEP: usize = 13;
/// How deep a tree may be: operator, distributor, resellers and sub-resellers, tenant.
pub const MAX_DEPTH: usize = 8;

impl Path {
    /// The place of the operator, which has nobody above it.
    pub fn root(id: AccountId) -> Self {
        Self(format!("/{}/", id.label()))
    }

    /// The place of an account directly below this one.
    pub fn child(&self, id: AccountId) -> Self {
        Self(format!("{}{}/", self.0, id.label()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many accounts there are from the root to this one, both counted.
    pub fn depth(&self) -> usize {
        self.0.len() / STEP
    }

    /// This path and those of all accounts above it, from the leaf up to the root.
    pub fn upwards(&self) -> impl Iterator<Item = Path> + '_ {
        (1..=self.depth()).rev().map(|depth| Path(self.0[..=depth * STEP].to_owned()))
    }

    /// Whether `other` is this account or one below it.
    pub fn covers(&self, other: &Path) -> bool {
        other.0.starts_with(&self.0)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no path.
#[derive(Debug, thiserror::Error)]
#[error("not a path")]
pub struct Malformed;

impl FromStr for Path {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let steps = text.len() % STEP == 1 && text.len() > 1;
        let shaped = text.bytes().enumerate().all(|(at, byte)| match at % STEP {
            0 => byte == b'/',
            _ => byte.is_ascii_lowercase() || byte.is_ascii_digit(),
        });
        (steps && shaped).then(|| Self(text.to_owned())).ok_or(Malformed)
    }
}

crate::stored_as_str!(Path);

/// The part of the tree that a connection may see and change. It is made from an authenticated caller's
/// account, or, by the program's own workers, for everything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subtree {
    from: String,
    to: String,
}

impl Subtree {
    /// The account at `path` and all below it.
    pub fn of(path: &Path) -> Self {
        Self::starting(path.as_str())
    }

    /// Every account: for the program's own work (authentication, provisioning, delivery), never for a caller.
    pub fn everything() -> Self {
        Self::starting("/")
    }

    fn starting(from: &str) -> Self {
        Self { from: from.to_owned(), to: format!("{}0", &from[..from.len() - 1]) }
    }

    /// The first path inside, in byte order.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// The first path no longer inside: `0` follows `/` in byte order.
    pub fn to(&self) -> &str {
        &self.to
    }

    pub fn covers(&self, path: &Path) -> bool {
        path.as_str().starts_with(&self.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subtree_is_one_range_of_paths() {
        let (operator, reseller, tenant) = (AccountId::new(), AccountId::new(), AccountId::new());
        let root = Path::root(operator);
        let (below, sibling) = (root.child(reseller), root.child(tenant));
        let leaf = below.child(tenant);
        let subtree = Subtree::of(&below);
        let inside = |path: &Path| subtree.from() <= path.as_str() && path.as_str() < subtree.to();
        assert!(inside(&below) && inside(&leaf));
        assert!(!inside(&root) && !inside(&sibling));
        assert_eq!(leaf.upwards().collect::<Vec<_>>(), [leaf.clone(), below.clone(), root.clone()]);
        assert_eq!(leaf.to_string().parse::<Path>().unwrap(), leaf);
        assert!(
            "/abc/".parse::<Path>().is_err() && "/".parse::<Path>().is_err() && "".parse::<Path>().is_err()
        );
        assert!(Subtree::everything().covers(&root));
    }
}
