use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::faults::Checks;

/// What requests must have, and what is kept of them for callers to look up.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestsConfig {
    /// Operations, by their names in the document, that everybody must send an `Idempotency-Key` with.
    pub require_idempotency_key: Vec<String>,
    /// Which requests are kept.
    pub record: Recorded,
    /// For how long.
    pub retention_days: u64,
}

/// Which requests are kept; of those without a valid credential none is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recorded {
    /// Those that change something, and those that are refused.
    #[default]
    Changes,
    /// Each one. A write for every read is felt.
    All,
    None,
}

impl Default for RequestsConfig {
    fn default() -> Self {
        Self { require_idempotency_key: Vec::new(), record: Recorded::Changes, retention_days: 30 }
    }
}

impl RequestsConfig {
    /// For how long requests are kept.
    pub fn retention(&self) -> Duration {
        Duration::from_secs(self.retention_days * 24 * 3600)
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.operations("requests.require_idempotency_key", &self.require_idempotency_key);
        checks.within("requests.retention_days", self.retention_days, 1..=365);
    }
}
