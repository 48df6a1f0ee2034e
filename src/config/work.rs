use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::faults::Checks;
use super::networks::Networks;

/// How operations and deliveries are worked through.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerConfig {
    /// How many steps are worked on at once.
    pub slots: usize,
    /// How often work is looked for when nobody has announced any.
    pub poll_milliseconds: u64,
    /// How long a worker may be silent before its work is given to another.
    pub lease_seconds: u64,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self { slots: 8, poll_milliseconds: 250, lease_seconds: 60 }
    }
}

impl WorkerConfig {
    /// How often work is looked for when nobody has announced any.
    pub fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_milliseconds)
    }

    /// How long a worker may be silent before its work is given to another.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds)
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.within("worker.slots", self.slots as u64, 1..=256);
        checks.within("worker.poll_milliseconds", self.poll_milliseconds, 10..=60_000);
        checks.within("worker.lease_seconds", self.lease_seconds, 5..=600);
    }
}

/// Where events may be sent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhooksConfig {
    /// Whether events may be sent in clear.
    pub allow_http: bool,
    /// The only hosts, each with its port, that may be in a private network; in lower case.
    pub allow_hosts: Vec<String>,
    /// Networks that nothing is sent to, besides those that are not public; not even by a name in `allow_hosts`.
    pub block_networks: Networks,
}

impl WebhooksConfig {
    pub(super) fn settle(&mut self, checks: &mut Checks<'_>) {
        for (at, host) in self.allow_hosts.iter_mut().enumerate() {
            *host = host.to_ascii_lowercase();
            if !is_host_and_port(host) {
                let reason =
                    format!("number {}: must be a host and a port such as hooks.internal:8443", at + 1);
                checks.refuse("webhooks.allow_hosts", reason);
            }
        }
    }
}

/// Whether the text is exactly what stands for the host and port in a URL.
fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let exact = |url: Url| match url.host() {
        Some(Host::Domain(name)) => name == host && name.bytes().all(is_host_byte),
        Some(other) => other.to_string() == host,
        None => false,
    };
    port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port)
        && Url::parse(&format!("https://{text}/")).is_ok_and(exact)
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
}

/// How long access tokens and remembered requests live.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokensConfig {
    /// How long an access token lives.
    pub lifetime_seconds: u64,
    /// How long a request with an `Idempotency-Key` is remembered.
    pub idempotency_retention_hours: u64,
    /// After how many days the next signing key is made; 0 leaves that to the operator.
    pub signing_key_days: u64,
}

impl Default for TokensConfig {
    fn default() -> Self {
        Self { lifetime_seconds: 900, idempotency_retention_hours: 72, signing_key_days: 90 }
    }
}

impl TokensConfig {
    /// How long an access token lives.
    pub fn lifetime(&self) -> Duration {
        Duration::from_secs(self.lifetime_seconds)
    }

    /// How long a request with an `Idempotency-Key` is remembered.
    pub fn idempotency_retention(&self) -> Duration {
        Duration::from_secs(self.idempotency_retention_hours * 3600)
    }

    /// After what time the next signing key is made, if that is not left to the operator.
    pub fn signing_key_age(&self) -> Option<Duration> {
        (self.signing_key_days > 0).then(|| Duration::from_secs(self.signing_key_days * 24 * 3600))
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.within("tokens.lifetime_seconds", self.lifetime_seconds, 60..=3600);
        checks.within("tokens.idempotency_retention_hours", self.idempotency_retention_hours, 24..=720);
        checks.within("tokens.signing_key_days", self.signing_key_days, 0..=3650);
    }
}

#[cfg(test)]
mod tests {
    use super::is_host_and_port;

    #[test]
    fn an_allowed_host_is_exact() {
        for right in ["hooks.internal:8443", "10.0.0.5:80", "[fd00::1]:443", "localhost:9000"] {
            assert!(is_host_and_port(right), "{right}");
        }
        for wrong in [
            "hooks.internal",
            "hooks.internal:0",
            "hooks.internal:99999",
            "https://a:1",
            "a b:1",
            "a/b:1",
            "u@a:1",
            ":80",
            "*:80",
            "010.0.0.5:80",
            "a:+80",
        ] {
            assert!(!is_host_and_port(wrong), "{wrong}");
        }
    }
}
