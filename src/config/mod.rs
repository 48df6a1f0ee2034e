//! The settings: from a TOML file, then the environment, then flags. `docs/tenantry.toml` lists them all.

mod audit;
mod faults;
mod hidden;
mod keys;
mod layers;
mod limits;
mod log;
mod networks;
mod proxies;
mod requests;
mod server;
mod storage;
mod timeouts;
mod work;

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use crate::cli::Flags;
use faults::Checks;

pub use audit::AuditConfig;
pub use faults::ConfigFault;
pub use keys::{DelegationConfig, KeysConfig};
pub use limits::LimitsConfig;
pub use log::{LogConfig, LogFormat};
pub use networks::Networks;
pub use proxies::TrustedProxies;
pub use requests::{Recorded, RequestsConfig};
pub use server::ServerConfig;
pub use storage::{DataConfig, DatabaseConfig, KekSource, RedisConfig, SecretsConfig, holds_keks};
pub use timeouts::Timeouts;
pub use work::{TokensConfig, WebhooksConfig, WorkerConfig};

/// The settings in effect, checked against each other; what was left out has its default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub server: ServerConfig,
    pub data: DataConfig,
    pub database: DatabaseConfig,
    pub redis: RedisConfig,
    pub secrets: SecretsConfig,
    pub worker: WorkerConfig,
    pub webhooks: WebhooksConfig,
    pub log: LogConfig,
    pub tokens: TokensConfig,
    pub requests: RequestsConfig,
    pub limits: LimitsConfig,
    pub audit: AuditConfig,
    pub keys: KeysConfig,
    pub delegation: DelegationConfig,
}

impl Config {
    /// The settings of this process, or every fault in them; nothing but settings files is read.
    pub fn load(flags: &Flags) -> Result<Self, Vec<ConfigFault>> {
        Self::from_sources(flags, std::env::vars_os())
    }

    /// The settings that a process with these flags and this environment would have.
    pub fn from_sources(
        flags: &Flags,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Vec<ConfigFault>> {
        let mut faults = Vec::new();
        let layers = layers::read(flags, environment, &mut faults);
        let mut config = layers::merge(&layers);
        let mut checks = Checks::new(&layers, &mut faults);
        config.server.settle(&mut checks);
        config.database.settle(&config.data, &mut checks);
        config.redis.settle(&mut checks);
        config.secrets.settle(&config.data, &mut checks);
        config.worker.check(&mut checks);
        config.webhooks.settle(&mut checks);
        config.log.check(&mut checks);
        config.tokens.check(&mut checks);
        config.requests.check(&mut checks);
        config.limits.check(&mut checks);
        config.audit.settle(&config.data, &mut checks);
        config.keys.check(&mut checks);
        config.delegation.check(&mut checks);
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    /// The settings in effect as TOML, with `***` in place of each secret and of each password in a URL.
    pub fn render_redacted(&self) -> String {
        toml::to_string(self).expect("tables of texts, numbers and lists are what TOML is made of")
    }
}

#[cfg(test)]
mod tests;
