//! Keys that reach only parts of what is below their account.

use serde::{Deserialize, Serialize};

use super::keys::Key;
use crate::model::ids::AccountId;
use crate::model::{Path, Subtree};

/// How many roots a key can have.
pub const MOST: usize = 50;

/// An account to which, with all below it, a key is narrowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    pub id: AccountId,
    pub path: Path,
}

impl Key {
    /// Has the roots stand where their accounts do now. One that has left the key's account stays where it was, where
    /// nothing is any more.
    pub fn stand_at(&mut self, places: &[(AccountId, Path)]) {
        for root in &mut self.roots.0 {
            let now = places.iter().find(|(id, path)| *id == root.id && self.path.covers(path));
            if let Some((_, path)) = now {
                root.path = path.clone();
            }
        }
    }

    /// What the key may reach.
    pub fn reach(&self) -> Subtree {
        self.reach_at(&self.path)
    }

    /// What the key may reach when it acts for the account at `subject`, its own or one below it.
    pub fn reach_at(&self, subject: &Path) -> Subtree {
        let roots = &self.roots.0;
        match roots.is_empty() || roots.iter().any(|root| root.path.covers(subject)) {
            true => Subtree::of(subject),
            false => {
                let below = roots.iter().map(|root| &root.path).filter(|root| subject.covers(root));
                Subtree::narrowed(below, subject)
            }
        }
    }
}
