//! The client that deliveries are sent with.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::guard::{Guard, Refusal};

/// How long an attempt may last, from the look-up of the name to the end of the answer…
const ATTEMPT: Duration = Duration::from_secs(15);
/// …and how long until it is connected.
const CONNECT: Duration = Duration::from_secs(5);

type Found = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Tells the addresses that a name leads to.
pub type Lookup = Arc<dyn Fn(String) -> Found + Send + Sync>;

/// Looks names up and has the guard judge what they lead to: nothing else is dialled.
struct Judging {
    guard: Arc<Guard>,
    lookup: Lookup,
}

impl Resolve for Judging {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, found) = (self.guard.clone(), (self.lookup)(name.as_str().to_owned()));
        Box::pin(async move {
            let admitted = guard.admit(name.as_str(), found.await?)?;
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// It follows no redirect, tries nothing twice, knows no proxy, no cookie and no certificate of its own, and connects
/// only to addresses that its guard has judged.
#[derive(Debug, Clone)]
pub struct Client {
    guard: Arc<Guard>,
    http: reqwest::Client,
}

impl Client {
    /// Looks names up as the system does.
    pub fn new(guard: Guard) -> reqwest::Result<Self> {
        let lookup: Lookup =
            Arc::new(|name| Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }));
        Self::asking(guard, lookup)
    }

    /// Looks names up in another way.
    pub fn asking(guard: Guard, lookup: Lookup) -> reqwest::Result<Self> {
        let guard = Arc::new(guard);
        let http = reqwest::Client::builder()
            .user_agent(concat!("tenantry/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .no_gzip()
            .referer(false)
            .https_only(!guard.http_allowed)
            .connect_timeout(CONNECT)
            .timeout(ATTEMPT)
            .dns_resolver(Arc::new(Judging { guard: guard.clone(), lookup }))
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
    use tokio::time::Instant;

    use super::*;

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

    /// WH-7
    #[tokio::test]
    async fn a_name_that_leads_to_loopback_is_refused_before_anything_is_connected() {
        let (port, connections) = redirecting().await;
        let client = Client::new(Guard::new([], true, Vec::new())).unwrap();
        let failed = client.post(&format!("http://localhost:{port}/")).unwrap().send().await.unwrap_err();
        assert_eq!(refusal(&failed), Some(&Refusal::Blocked));
        assert_eq!(client.post(&format!("http://127.0.0.1:{port}/")).unwrap_err(), Refusal::Address);
        assert_eq!(connections.load(Ordering::SeqCst), 0);
    }

    /// WH-6, WH-7
    #[tokio::test]
    async fn a_named_host_is_reached_and_its_redirects_are_not_followed() {
        let (port, connections) = redirecting().await;
        let client = Client::new(Guard::new([format!("localhost:{port}")], true, Vec::new())).unwrap();
        let answer = client.post(&format!("http://localhost:{port}/")).unwrap().send().await.unwrap();
        assert_eq!(answer.status(), 302);
        assert_eq!(connections.load(Ordering::SeqCst), 1);
        assert_eq!(client.post(&format!("https://localhost:{}/", port ^ 1)).unwrap_err(), Refusal::Port);
    }

    /// A lookup that gives one answer after another, and counts how often it was asked.
    fn answering(answers: Vec<Vec<&'static str>>) -> (Lookup, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let lookup: Lookup = Arc::new(move |_| {
            let at = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            let found = answers[at].iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0));
            let found = found.collect();
            Box::pin(async move { Ok(found) })
        });
        (lookup, asked)
    }

    /// WH-7
    #[tokio::test]
    async fn a_name_is_judged_by_what_it_leads_to_at_each_connect_whatever_it_led_to_before() {
        let (port, connections) = redirecting().await;
        let url = format!("http://rebound.example:{port}/");
        for rebound in
            ["127.0.0.1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254", "fd00::1", "64:ff9b::7f00:1"]
        {
            let guard = Guard::new([], true, Vec::new());
            assert!(guard.check_url(&url).is_ok() && guard.admit("rebound.example", Vec::new()).is_ok());
            let public = "8.8.8.8:0".parse().unwrap();
            assert!(guard.admit("rebound.example", vec![public]).is_ok(), "as it led when it was registered");
            let (lookup, asked) = answering(vec![vec!["8.8.8.8", rebound], vec![rebound]]);
            let client = Client::asking(guard, lookup).unwrap();
            for times in 1..=3 {
                let failed = client.post(&url).unwrap().send().await.unwrap_err();
                assert_eq!(refusal(&failed), Some(&Refusal::Blocked), "{rebound}");
                assert_eq!(asked.load(Ordering::SeqCst), times);
            }
        }
        assert_eq!(connections.load(Ordering::SeqCst), 0);
    }

    /// WH-7
    #[tokio::test]
    async fn the_address_that_is_dialled_is_the_one_that_was_judged() {
        let (port, connections) = redirecting().await;
        let (lookup, asked) = answering(vec![vec!["127.0.0.1"], vec!["127.9.9.9"]]);
        let client =
            Client::asking(Guard::new([format!("inside:{port}")], true, Vec::new()), lookup).unwrap();
        let answer = client.post(&format!("http://inside:{port}/")).unwrap().send().await.unwrap();
        assert_eq!(answer.status(), 302);
        assert_eq!((asked.load(Ordering::SeqCst), connections.load(Ordering::SeqCst)), (1, 1));
    }

    /// WH-6
    #[tokio::test(start_paused = true)]
    async fn an_attempt_lasts_15_seconds_whether_nothing_is_answered_or_no_end_comes() {
        for head in ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1"] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4_096]).await;
                stream.write_all(head.as_bytes()).await.unwrap();
                std::future::pending::<()>().await;
            });
            let client = Client::new(Guard::new([format!("127.0.0.1:{port}")], true, Vec::new())).unwrap();
            let begun = Instant::now();
            let sent = client.post(&format!("http://127.0.0.1:{port}/")).unwrap().send().await;
            let failed = match sent {
                Ok(answer) => answer.bytes().await.unwrap_err(),
                Err(error) => error,
            };
            assert!(failed.is_timeout(), "{failed:?}");
            assert_eq!(begun.elapsed().as_secs(), 15);
            server.abort();
        }
    }

    /// WH-6
    #[tokio::test(start_paused = true)]
    async fn no_more_than_5_seconds_are_spent_on_connecting() {
        // Looking the name up is part of it; nothing is ever found.
        let lookup: Lookup = Arc::new(|_| Box::pin(std::future::pending()));
        let client = Client::asking(Guard::new([], false, Vec::new()), lookup).unwrap();
        let begun = Instant::now();
        let failed = client.post("https://hooks.example/").unwrap().send().await.unwrap_err();
        assert!(failed.is_timeout() && failed.is_connect(), "{failed:?}");
        assert_eq!(begun.elapsed().as_secs(), 5);
    }
}
