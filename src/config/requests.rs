use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::faults::Checks;

/// What is kept of requests, for callers to look up.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestsConfig {
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
        Self { record: Recorded::Changes, retention_days: 30 }
    }
}

impl RequestsConfig {
    /// For how long requests are kept.
    pub fn retention(&self) -> Duration {
        Duration::from_secs(self.retention_days * 24 * 3600)
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.within("requests.retention_days", self.retention_days, 1..=365);
    }
}
