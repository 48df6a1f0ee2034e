use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::{Host, Url};

use super::faults::Checks;
use super::{Timeouts, TrustedProxies};

/// The two ports, and who stands in front of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// The address and port of the API.
    pub listen: SocketAddr,
    /// The address and port of health, readiness and metrics; none switches them off.
    #[serde(serialize_with = "address_or_empty", deserialize_with = "empty_or_address")]
    pub admin_listen: Option<SocketAddr>,
    /// How callers reach the API, without a slash at the end. It is the OAuth issuer, so it stays what it is.
    pub public_url: String,
    /// Whether a proxy in front ends TLS, so that nobody reaches `listen` in clear from outside.
    pub behind_tls_proxy: bool,
    /// The chain that TLS is ended with here, PEM, the server's own certificate first; empty if it is not ended here.
    tls_certificate: PathBuf,
    /// The key to it, PEM.
    tls_key: PathBuf,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// How many threads answer requests.
    pub http_workers: usize,
    /// How long requests are still taken after a stop was asked for, until balancers have noticed.
    pub drain_delay_seconds: u64,
    /// How many connections may be open at once.
    pub max_connections: usize,
    /// For how long half of the requests may have to wait before some are turned away.
    pub longest_wait_milliseconds: u64,
    #[serde(skip)]
    pub timeouts: Timeouts,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            admin_listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8081))),
            public_url: String::new(),
            behind_tls_proxy: false,
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
            trusted_proxies: TrustedProxies::default(),
            http_workers: 0,
            drain_delay_seconds: 5,
            max_connections: 25_000,
            longest_wait_milliseconds: 100,
            timeouts: Timeouts::default(),
        }
    }
}

impl ServerConfig {
    /// How long requests in flight are waited for once the listener is closed.
    pub const IN_FLIGHT_TIMEOUT: Duration = Duration::from_secs(30);
    /// How many requests are worked on at once for each of the `http_workers`.
    pub const REQUESTS_PER_WORKER: usize = 256;

    /// How long requests are still taken after a stop was asked for.
    pub fn drain_delay(&self) -> Duration {
        Duration::from_secs(self.drain_delay_seconds)
    }

    /// For how long half of the requests may have to wait before some are turned away.
    pub fn longest_wait(&self) -> Duration {
        Duration::from_millis(self.longest_wait_milliseconds)
    }

    /// The files with the certificate and its key, if TLS is ended here.
    pub fn tls(&self) -> Option<(&Path, &Path)> {
        (!self.tls_certificate.as_os_str().is_empty()).then_some((&self.tls_certificate, &self.tls_key))
    }

    /// Whether callers reach us through TLS.
    pub fn is_secure(&self) -> bool {
        self.tls().is_some() || self.public_url.starts_with("https://")
    }

    pub(super) fn settle(&mut self, checks: &mut Checks<'_>) {
        if self.http_workers == 0 {
            self.http_workers = std::thread::available_parallelism().map_or(1, usize::from);
        }
        let open = !is_loopback(self.listen.ip());
        if open && !self.behind_tls_proxy && self.tls().is_none() {
            checks.refuse(
                "server.listen",
                "is not a loopback address, so keys would cross the network in clear; set server.tls_certificate and server.tls_key, or put a TLS proxy in front and set server.behind_tls_proxy = true",
            );
        }
        if self.tls().is_some() == self.tls_key.as_os_str().is_empty() {
            checks.refuse("server.tls_key", "is set together with server.tls_certificate, or neither is");
        }
        if self.tls().is_some() && self.behind_tls_proxy {
            checks.refuse("server.behind_tls_proxy", "must not be set where TLS is ended here");
        }
        if self.admin_listen == Some(self.listen) && self.listen.port() != 0 {
            checks.refuse("server.admin_listen", "must not be the same as server.listen");
        }
        if self.public_url.is_empty() {
            let scheme = if self.tls().is_some() { "https" } else { "http" };
            self.public_url = format!("{scheme}://{}", self.listen);
            if open {
                checks.refuse(
                    "server.public_url",
                    "must be set when server.listen is not a loopback address: it is the OAuth issuer",
                );
            }
        } else if let Err(reason) = check_public_url(&self.public_url) {
            checks.refuse("server.public_url", reason);
        }
        checks.within("server.http_workers", self.http_workers as u64, 1..=1024);
        checks.within("server.drain_delay_seconds", self.drain_delay_seconds, 0..=60);
        checks.within("server.longest_wait_milliseconds", self.longest_wait_milliseconds, 10..=60_000);
        checks.within("server.max_connections", self.max_connections as u64, 1..=1_000_000);
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn check_public_url(text: &str) -> Result<(), &'static str> {
    let url = Url::parse(text).map_err(|_| "must be a URL such as https://api.example.com")?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => is_loopback(address.into()),
        Some(Host::Ipv6(address)) => is_loopback(address.into()),
        None => return Err("must be a URL such as https://api.example.com"),
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
        return Err("must begin with https://, or with http:// and a loopback address");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or a password");
    }
    if url.query().is_some() || url.fragment().is_some() || text.ends_with('/') {
        return Err("must have no query, no fragment and no slash at the end");
    }
    Ok(())
}

fn address_or_empty<S: Serializer>(address: &Option<SocketAddr>, serializer: S) -> Result<S::Ok, S::Error> {
    match address {
        Some(address) => serializer.collect_str(address),
        None => serializer.serialize_str(""),
    }
}

fn empty_or_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| D::Error::custom("must be an address and a port such as 127.0.0.1:8081, or empty"))
}
