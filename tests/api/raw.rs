//! Someone who speaks TCP and what he likes on it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;

/// How long an answer or an end may take before the test has failed.
const LONGEST: Duration = Duration::from_secs(20);

pub struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    pub async fn open(site: &Site) -> Self {
        Self { stream: TcpStream::connect(site.address).await.unwrap(), read: Vec::new() }
    }

    /// Sends something; the other end may have closed before it has taken all.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// The next answer, head and body.
    pub async fn answer(&mut self) -> String {
        timeout(LONGEST, self.next()).await.expect("it is answered").expect("it stays open")
    }

    /// Nothing is answered in this time.
    pub async fn is_silent(&mut self, time: Duration) {
        let told = timeout(time, self.next()).await;
        assert!(told.is_err(), "{told:?}");
    }

    async fn next(&mut self) -> Option<String> {
        loop {
            let text = String::from_utf8_lossy(&self.read).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.unwrap_or("0").parse().unwrap();
                if body.len() >= length {
                    let whole = head.len() + 4 + length;
                    self.read.drain(..whole);
                    return Some(text[..whole].to_owned());
                }
            }
            match self.stream.read_buf(&mut self.read).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// All that is still said until the other end closes the connection, which it has to.
    pub async fn until_closed(mut self) -> String {
        let end = async { while !matches!(self.stream.read_buf(&mut self.read).await, Ok(0) | Err(_)) {} };
        timeout(LONGEST, end).await.expect("it stays open");
        String::from_utf8_lossy(&self.read).into_owned()
    }
}

/// An answer of ours in the form that refusals have, on a connection that is closed after it.
#[track_caller]
pub fn is_refusal(text: &str, status: u16, code: &str) {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
    let body: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{text}"));
    assert_eq!((&body["status"], &body["code"]), (&json!(status), &json!(code)), "{text}");
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    assert_eq!(header("x-request-id"), body["request_id"].as_str(), "{text}");
    assert_eq!(header("content-type"), Some("application/problem+json"), "{text}");
    assert_eq!(
        (header("cache-control"), header("x-content-type-options")),
        (Some("no-store"), Some("nosniff")),
        "{text}"
    );
    assert_eq!((header("server"), header("connection")), (None, Some("close")), "{text}");
}
