//! A real HTTP server on loopback that keeps what it was sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tenantry::delivery::sign::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn id(&self) -> String {
        self.headers["webhook-id"].clone()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Whether the request is signed as Standard Webhooks has it, now.
    pub fn is_signed_with(&self, secret: &Secret, now: i64) -> bool {
        let timestamp = self.headers["webhook-timestamp"].parse().unwrap();
        secret.verify(&self.id(), timestamp, &self.body, &self.headers["webhook-signature"], now)
    }
}

/// What is answered, and when.
pub enum Answer {
    Now(String),
    /// Once something is sent to it.
    When(watch::Receiver<bool>, String),
    Never,
}

pub fn text(status: u16) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
}

pub fn status(status: u16) -> Answer {
    Answer::Now(text(status))
}

pub struct Receiver {
    pub port: u16,
    received: Arc<Mutex<Vec<Request>>>,
    server: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Receiver {
    /// Answers each request as the function says, which is told how many have come before.
    pub async fn start(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (received.clone(), Arc::new(answer));
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, answer) = (kept.clone(), answer.clone());
                tokio::spawn(async move { serve(stream, &kept, &*answer).await });
            }
        });
        Self { port, received, server }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn received(&self) -> Vec<Request> {
        self.received.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    pub fn ids(&self) -> BTreeSet<String> {
        self.received.lock().unwrap().iter().map(Request::id).collect()
    }
}

async fn serve(
    mut stream: TcpStream,
    kept: &Mutex<Vec<Request>>,
    answer: &(dyn Fn(&Request, usize) -> Answer + Send + Sync),
) {
    let Some(request) = read(&mut stream).await else { return };
    let before = {
        let mut kept = kept.lock().unwrap();
        kept.push(request.clone());
        kept.len() - 1
    };
    match answer(&request, before) {
        Answer::Now(text) => drop(stream.write_all(text.as_bytes()).await),
        Answer::When(mut go, text) => {
            let _ = go.wait_for(|go| *go).await;
            let _ = stream.write_all(text.as_bytes()).await;
        }
        Answer::Never => std::future::pending().await,
    }
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        let mut more = [0; 8_192];
        match stream.read(&mut more).await {
            Ok(read) if read > 0 => bytes.extend_from_slice(&more[..read]),
            _ => return None,
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let mut lines = text.lines();
    let mut first = lines.next().unwrap().split(' ');
    assert_eq!(first.next(), Some("POST"));
    let path = first.next().unwrap().to_owned();
    let headers: BTreeMap<_, _> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers["content-length"].parse().unwrap();
    let mut body = bytes[head + 4..].to_vec();
    while body.len() < length {
        let mut more = [0; 8_192];
        let read = stream.read(&mut more).await.unwrap();
        assert!(read > 0, "the body broke off");
        body.extend_from_slice(&more[..read]);
    }
    Some(Request { path, headers, body })
}
