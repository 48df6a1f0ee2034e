use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::faults::Checks;
use super::storage::DataConfig;

/// The audit's checkpoints.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// How often one is made.
    pub checkpoint_minutes: u64,
    /// The file that they are added to. If empty, `audit-checkpoints.ndjson` in the data folder.
    checkpoint_file: String,
    #[serde(skip)]
    default_file: PathBuf,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { checkpoint_minutes: 5, checkpoint_file: String::new(), default_file: PathBuf::new() }
    }
}

impl AuditConfig {
    /// How often a checkpoint is made.
    pub fn period(&self) -> Duration {
        Duration::from_secs(self.checkpoint_minutes * 60)
    }

    /// The file that checkpoints are added to.
    pub fn checkpoint_file(&self) -> PathBuf {
        match self.checkpoint_file.is_empty() {
            true => self.default_file.clone(),
            false => PathBuf::from(&self.checkpoint_file),
        }
    }

    pub(super) fn settle(&mut self, data: &DataConfig, checks: &mut Checks<'_>) {
        self.default_file = data.dir.join("audit-checkpoints.ndjson");
        checks.within("audit.checkpoint_minutes", self.checkpoint_minutes, 1..=1440);
    }
}
