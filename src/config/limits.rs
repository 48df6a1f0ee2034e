use serde::{Deserialize, Serialize};

use super::faults::Checks;
use crate::model::accounts::keys::STANDARD_CLASS;

/// How much may be asked for in a minute, in units: a read is one, a write two, an action five.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// With one key of the class `standard`, in which every key is that was not put into another.
    pub key_per_minute: u64,
    /// Other classes of keys: `name=units`, with one key of the class.
    pub classes: Vec<String>,
    /// With all keys and tokens of one account.
    pub account_per_minute: u64,
    /// By all accounts directly below the same account, together.
    pub subtree_per_minute: u64,
    /// Requests without a good credential, from one address.
    pub address_per_minute: u64,
    /// Requests for tokens, reports of leaked keys and whatever else is posted without a credential, from one address.
    pub address_posts_per_minute: u64,
    /// The same, from all addresses together.
    pub posts_per_minute: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            key_per_minute: 6_000,
            classes: vec!["bulk=2000".into(), "high=20000".into()],
            account_per_minute: 30_000,
            subtree_per_minute: 300_000,
            address_per_minute: 600,
            address_posts_per_minute: 300,
            posts_per_minute: 12_000,
        }
    }
}

const MOST: u64 = 1_000_000_000;
/// The dearest request must fit.
const LEAST: u64 = 20;

impl LimitsConfig {
    /// The classes of keys by name, the standard one first, and how many units may be asked for with one key.
    pub fn key_classes(&self) -> Vec<(String, u64)> {
        let others = self.classes.iter().filter_map(|text| class(text));
        std::iter::once((STANDARD_CLASS.to_owned(), self.key_per_minute)).chain(others).collect()
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.within("limits.key_per_minute", self.key_per_minute, LEAST..=MOST);
        checks.within("limits.account_per_minute", self.account_per_minute, LEAST..=MOST);
        checks.within("limits.subtree_per_minute", self.subtree_per_minute, LEAST..=MOST);
        checks.within("limits.address_per_minute", self.address_per_minute, 1..=MOST);
        checks.within("limits.address_posts_per_minute", self.address_posts_per_minute, 1..=MOST);
        checks.within("limits.posts_per_minute", self.posts_per_minute, 1..=MOST);
        let classes = self.key_classes();
        let twice = |name| classes.iter().filter(|(known, _)| known == name).count() > 1;
        if classes.len() <= self.classes.len() || classes.iter().any(|(name, _)| twice(name)) {
            let shape = "each must be a name in small letters, once and not `standard`, and 20 to 1000000000 units, such as bulk=2000";
            checks.refuse("limits.classes", shape);
        }
    }
}

/// A class of keys as it is written.
fn class(text: &str) -> Option<(String, u64)> {
    let (name, units) = text.split_once('=')?;
    let (name, units) = (name.trim(), units.trim().parse().ok()?);
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let good = (1..=32).contains(&name.len()) && name.chars().all(plain) && (LEAST..=MOST).contains(&units);
    good.then(|| (name.to_owned(), units))
}
