//! Where in the tree an account stands.

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
/// With what the root's label begins on the side of the tree where live accounts have their test accounts. No
/// identifier has this character.
const BESIDE: &str = "o";

impl Path {
    /// The place of the operator, which has nobody above it.
    pub fn root(id: AccountId) -> Self {
        Self(format!("/{}/", id.label()))
    }

    /// The place of an account directly below this one.
    pub fn child(&self, id: AccountId) -> Self {
        Self(format!("{}{}/", self.0, id.label()))
    }

    /// The same place on the side of the tree where live accounts have their test accounts. No subtree of one side
    /// has a path of the other in it.
    pub fn beside(&self) -> Self {
        Self(format!("/{BESIDE}{}", &self.0[2..]))
    }

    /// Whether the account stands on that side.
    pub fn is_beside(&self) -> bool {
        self.0[1..].starts_with(BESIDE)
    }

    /// Whether `other` would be this account or one below it, if it did not stand on the other side.
    pub fn faces(&self, other: &Path) -> bool {
        self.is_beside() != other.is_beside() && other.0[2..].starts_with(&self.0[2..])
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What tells the account from all others that stand where it does.
    pub fn label(&self) -> &str {
        &self.0[self.0.len() - STEP..self.0.len() - 1]
    }

    /// How many accounts there are from the root to this one, both counted.
    pub fn depth(&self) -> usize {
        self.0.len() / STEP
    }

    /// This path and those of all accounts above it, from the leaf up to the root.
    pub fn upwards(&self) -> impl Iterator<Item = Path> + '_ {
        (1..=self.depth()).rev().map(|depth| Path(self.0[..=depth * STEP].to_owned()))
    }

    /// The path of the account directly above, as text; none above the root.
    pub fn parent_text(&self) -> Option<&str> {
        (self.depth() > 1).then(|| &self.0[..=(self.depth() - 1) * STEP])
    }

    /// This place once all that stands at and below `from` stands at and below `to`; none if it is not among that.
    pub fn moved(&self, from: &Path, to: &Path) -> Option<Path> {
        self.0.strip_prefix(&from.0).map(|rest| Path(format!("{}{rest}", to.0)))
    }

    /// The lowest place that is both above or at this one and above or at the other; none on two sides of the tree.
    pub fn common(&self, other: &Path) -> Option<Path> {
        self.upwards().find(|path| path.covers(other))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Subtree;

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

    /// KEY-11
    #[test]
    fn no_subtree_reaches_over_to_the_other_side_of_the_tree() {
        let root = Path::root(AccountId::new());
        let below = root.child(AccountId::new());
        let other = root.child(AccountId::new());
        let beside = below.beside();
        assert!(beside.is_beside() && !below.is_beside());
        assert_eq!(beside.to_string().parse::<Path>().unwrap(), beside);
        assert!(root.beside().covers(&beside) && beside.depth() == below.depth());
        for live in [&root, &below] {
            assert!(!Subtree::of(live).covers(&beside) && !live.covers(&beside) && !beside.covers(live));
            assert!(live.faces(&beside) && !live.faces(&below));
        }
        assert!(beside.faces(&below) && !beside.faces(&root) && !other.faces(&beside));
    }
}
