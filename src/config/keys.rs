use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::faults::Checks;

/// How long keys may last.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeysConfig {
    /// The longest that a key may be made for, and how long one lasts if nothing is said, but a year at most.
    pub max_days: u64,
    /// Whether a key may be made that never ends.
    pub allow_never: bool,
}

/// What is taken from all sellers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DelegationConfig {
    /// Operations, by their names in the document, that nobody but the operator can do in accounts below its own.
    pub withheld: Vec<String>,
}

impl Default for KeysConfig {
    fn default() -> Self {
        Self { max_days: 3650, allow_never: false }
    }
}

impl KeysConfig {
    /// The longest that a key may be made for.
    pub fn longest(&self) -> Duration {
        Duration::from_secs(self.max_days * 24 * 3600)
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.within("keys.max_days", self.max_days, 1..=36_500);
    }
}

impl DelegationConfig {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.operations("delegation.withheld", &self.withheld);
    }
}
