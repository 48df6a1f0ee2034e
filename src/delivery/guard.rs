//! Where a delivery may go: to the public Internet, and to what the operator has named; never to our own networks.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use reqwest::Url;

use super::addresses::is_public;

const MAX_LENGTH: usize = 2_048;

/// Why something is not sent to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("not an absolute URL of at most 2048 characters")]
    Malformed,
    #[error("the scheme must be https")]
    Scheme,
    #[error("the port must be 443, 8443 or at least 1024")]
    Port,
    #[error("a URL with a user name or password")]
    UserInfo,
    #[error("a URL with a fragment")]
    Fragment,
    #[error("the host must be a name, not an address")]
    Address,
    /// The host leads, with one of its addresses at least, to a network that is not public or that the operator closed.
    #[error("the host has an address that is not public or is closed")]
    Blocked,
}

/// The operator's rules on top of our own.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allow: Vec<String>,
    pub(super) http_allowed: bool,
    blocked: Vec<IpNet>,
}

impl Guard {
    /// `allow` names hosts with their ports, as `host:port`, that may be sent to wherever they are; such a host is
    /// reached on the ports named and on no other. `blocked` are networks never to be sent to, by whatever name.
    pub fn new(allow: impl IntoIterator<Item = String>, http_allowed: bool, blocked: Vec<IpNet>) -> Self {
        let allow = allow.into_iter().map(|entry| entry.to_ascii_lowercase()).collect();
        Self { allow, http_allowed, blocked }
    }

    /// The URL, if deliveries may go there as far as its text tells; its host's addresses are judged at each connect.
    pub fn check_url(&self, text: &str) -> Result<Url, Refusal> {
        if text.len() > MAX_LENGTH {
            return Err(Refusal::Malformed);
        }
        let url = Url::parse(text).map_err(|_| Refusal::Malformed)?;
        let default_port = match url.scheme() {
            "https" => 443,
            "http" if self.http_allowed => 80,
            _ => return Err(Refusal::Scheme),
        };
        let host = url.host_str().ok_or(Refusal::Malformed)?;
        let port = url.port().unwrap_or(default_port);
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(Refusal::Fragment);
        }
        if self.names(&format!("{host}:{port}")) {
            // An address is not looked up, so that nobody else would judge it.
            return match literal(host).is_some_and(|ip| self.closes(ip)) {
                true => Err(Refusal::Blocked),
                false => Ok(url),
            };
        }
        if literal(host).is_some() {
            return Err(Refusal::Address);
        }
        let free = port == default_port || port >= 1_024;
        if !free || self.names_host(host) {
            return Err(Refusal::Port);
        }
        Ok(url)
    }

    /// The addresses that the host was found to have, if all of them may be sent to.
    pub fn admit(&self, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refusal> {
        let named = self.names_host(host);
        let free = |ip: IpAddr| (named || is_public(ip)) && !self.closes(ip);
        match found.iter().all(|address| free(address.ip())) {
            true => Ok(found),
            false => Err(Refusal::Blocked),
        }
    }

    fn closes(&self, ip: IpAddr) -> bool {
        self.blocked.iter().any(|network| network.contains(&ip.to_canonical()))
    }

    fn names(&self, host_and_port: &str) -> bool {
        self.allow.iter().any(|entry| entry == host_and_port)
    }

    fn names_host(&self, host: &str) -> bool {
        self.allow.iter().any(|entry| entry.rsplit_once(':').is_some_and(|(named, _)| named == host))
    }
}

/// The address that a URL's host is, if it is one.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WH-7
    #[test]
    fn only_urls_of_named_https_hosts_pass() {
        let guard = Guard::default();
        for url in [
            "https://hooks.example.com",
            "https://hooks.example.com/a?b=c",
            "https://hooks.example.com:443/",
            "https://hooks.example.com:8443/",
            "https://hooks.example.com:1024/",
            "https://m\u{fc}ller.example/",
        ] {
            assert!(guard.check_url(url).is_ok(), "{url}");
        }
        use Refusal::*;
        for (url, refusal) in [
            ("http://hooks.example.com/", Scheme),
            ("ftp://hooks.example.com/", Scheme),
            ("file:///etc/passwd", Scheme),
            ("gopher://hooks.example.com/", Scheme),
            ("hooks.example.com/", Malformed),
            ("https://", Malformed),
            ("https://hooks.example.com:80/", Port),
            ("https://hooks.example.com:22/", Port),
            ("https://hooks.example.com:1023/", Port),
            ("https://user@hooks.example.com/", UserInfo),
            ("https://:secret@hooks.example.com/", UserInfo),
            ("https://hooks.example.com/#part", Fragment),
            ("https://127.0.0.1/", Address),
            ("https://8.8.8.8/", Address),
            ("https://2130706433/", Address),
            ("https://0x7f.1/", Address),
            ("https://0177.0.0.1/", Address),
            ("https://\u{ff11}27.0.0.1/", Address),
            ("https://[::1]/", Address),
            ("https://[::ffff:169.254.169.254]/", Address),
        ] {
            assert_eq!(guard.check_url(url), Err(refusal), "{url}");
        }
        assert!(guard.check_url(&format!("https://hooks.example.com/{}", "a".repeat(2_022))).is_ok());
        assert_eq!(
            guard.check_url(&format!("https://hooks.example.com/{}", "a".repeat(2_023))),
            Err(Malformed)
        );
    }

    /// WH-7
    #[test]
    fn what_the_operator_names_passes_on_that_port_only() {
        let allow = ["Internal:8080", "10.0.0.5:9000", "[::1]:9000", "hooks.example.com:25"];
        let guard = Guard::new(allow.map(String::from), true, Vec::new());
        for url in [
            "http://internal:8080/",
            "https://INTERNAL:8080/",
            "http://10.0.0.5:9000/",
            "http://[::1]:9000/",
            "https://hooks.example.com:25/",
            "http://other.example.com/",
        ] {
            assert!(guard.check_url(url).is_ok(), "{url}");
        }
        for url in ["http://internal:8081/", "https://internal/", "https://hooks.example.com/"] {
            assert_eq!(guard.check_url(url), Err(Refusal::Port), "{url}");
        }
        assert_eq!(guard.check_url("http://10.0.0.5:9001/"), Err(Refusal::Address));
        assert_eq!(guard.check_url("http://[::1]/"), Err(Refusal::Address));
    }

    /// WH-7
    #[test]
    fn one_blocked_address_among_many_blocks_the_host() {
        let to = |addresses: &[&str]| -> Vec<SocketAddr> {
            addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect()
        };
        let blocked = ["93.184.0.0/16", "10.9.0.0/16"].map(|network| network.parse().unwrap());
        let guard = Guard::new(["internal:80".into()], false, blocked.to_vec());
        assert!(guard.admit("hooks.example.com", to(&["8.8.8.8", "2606:4700::1111"])).is_ok());
        for found in [&["8.8.8.8", "10.0.0.1"][..], &["8.8.8.8", "::1"], &["8.8.8.8", "93.184.216.34"]] {
            assert_eq!(guard.admit("hooks.example.com", to(found)), Err(Refusal::Blocked), "{found:?}");
        }
        assert!(guard.admit("internal", to(&["10.0.0.1"])).is_ok());
        for found in ["10.9.0.1", "::ffff:10.9.0.1"] {
            assert_eq!(guard.admit("internal", to(&["10.0.0.1", found])), Err(Refusal::Blocked), "{found}");
        }
        let named = ["10.9.0.1:80", "10.0.0.1:80", "[::ffff:a09:1]:80"].map(String::from);
        let guard = Guard::new(named, true, blocked.to_vec());
        assert!(guard.check_url("http://10.0.0.1/").is_ok());
        for closed in ["http://10.9.0.1/", "http://[::ffff:10.9.0.1]/"] {
            assert_eq!(guard.check_url(closed), Err(Refusal::Blocked), "{closed}");
        }
    }
}
