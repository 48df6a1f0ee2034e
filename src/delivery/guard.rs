//! Where a delivery may go: to the public Internet, and to what the operator has named; never to our own networks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{RequestBuilder, Url};

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
    /// The name leads, with one of its addresses at least, to a network that is not public.
    #[error("the host has an address that is not public")]
    Blocked,
}

/// The operator's rules on top of our own.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allow: Vec<String>,
    http_allowed: bool,
    blocked: Vec<IpNet>,
}

impl Guard {
    /// `allow` names hosts with their ports, as `host:port`, that may be sent to wherever they are; such a host is
    /// reached on the ports named and on no other. `blocked` are networks never to be sent to besides those that
    /// are not public.
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
            return Ok(url);
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
        let free = |ip: IpAddr| is_public(ip) && !self.blocked.iter().any(|network| network.contains(&ip));
        if self.names_host(host) || found.iter().all(|address| free(address.ip())) {
            return Ok(found);
        }
        Err(Refusal::Blocked)
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

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let admitted = guard.admit(name.as_str(), found.collect())?;
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// The client that deliveries are sent with. It follows no redirect, knows no proxy and no cookie, and connects only
/// to addresses that its guard has judged.
#[derive(Debug, Clone)]
pub struct Client {
    guard: Arc<Guard>,
    http: reqwest::Client,
}

impl Client {
    pub fn new(guard: Guard) -> reqwest::Result<Self> {
        let guard = Arc::new(guard);
        let http = reqwest::Client::builder()
            .user_agent(concat!("tenantry/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .no_gzip()
            .referer(false)
            .https_only(!guard.http_allowed)
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(15))
            .dns_resolver(guard.clone())
            .build()?;
        Ok(Self { guard, http })
    }

    /// A POST to the URL, which is checked once more.
    pub fn post(&self, url: &str) -> Result<RequestBuilder, Refusal> {
        Ok(self.http.post(self.guard.check_url(url)?))
    }
}

/// The refusal behind a failed request, if it was the guard that failed it.
pub fn refusal(error: &reqwest::Error) -> Option<&Refusal> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(refusal) = error.downcast_ref() {
            return Some(refusal);
        }
        source = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

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

    #[test]
    fn one_blocked_address_among_many_blocks_the_host() {
        let to = |addresses: &[&str]| -> Vec<SocketAddr> {
            addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect()
        };
        let guard = Guard::new(["internal:80".into()], false, vec!["93.184.0.0/16".parse().unwrap()]);
        assert!(guard.admit("hooks.example.com", to(&["8.8.8.8", "2606:4700::1111"])).is_ok());
        for found in [&["8.8.8.8", "10.0.0.1"][..], &["8.8.8.8", "::1"], &["8.8.8.8", "93.184.216.34"]] {
            assert_eq!(guard.admit("hooks.example.com", to(found)), Err(Refusal::Blocked), "{found:?}");
        }
        assert!(guard.admit("internal", to(&["10.0.0.1"])).is_ok());
    }

    /// A server on loopback that answers every connection with a redirect to itself, and counts them.
    async fn redirecting() -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4_096];
                let _ = stream.read(&mut request).await;
                let answer = format!(
                    "HTTP/1.1 302 Found\r\nLocation: http://localhost:{port}/next\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (port, connections)
    }

    #[tokio::test]
    async fn a_name_that_leads_to_loopback_is_refused_before_anything_is_connected() {
        let (port, connections) = redirecting().await;
        let client = Client::new(Guard::new([], true, Vec::new())).unwrap();
        let failed = client.post(&format!("http://localhost:{port}/")).unwrap().send().await.unwrap_err();
        assert_eq!(refusal(&failed), Some(&Refusal::Blocked));
        assert_eq!(client.post(&format!("http://127.0.0.1:{port}/")).unwrap_err(), Refusal::Address);
        assert_eq!(connections.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_named_host_is_reached_and_its_redirects_are_not_followed() {
        let (port, connections) = redirecting().await;
        let client = Client::new(Guard::new([format!("localhost:{port}")], true, Vec::new())).unwrap();
        let answer = client.post(&format!("http://localhost:{port}/")).unwrap().send().await.unwrap();
        assert_eq!(answer.status(), 302);
        assert_eq!(connections.load(Ordering::SeqCst), 1);
        assert_eq!(client.post(&format!("https://localhost:{}/", port ^ 1)).unwrap_err(), Refusal::Port);
    }
}
