//! A line to a server that can be cut, go silent, or become slow, and be mended again.

#![allow(dead_code, reason = "no test uses all of it")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How the line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Good,
    /// Nobody listens, and what was open is cut.
    Down,
    /// What is sent arrives nowhere, and nobody is told.
    Silent,
    /// Each message of a client of PostgreSQL's, once it has logged in, takes so long.
    Slow(Duration),
}

/// Listens on loopback and passes on to a server.
pub struct Proxy {
    pub address: SocketAddr,
    line: watch::Sender<Line>,
    taken: Arc<AtomicUsize>,
}

impl Proxy {
    /// In front of the server at this address.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (line, of) = watch::channel(Line::Good);
        let taken = Arc::new(AtomicUsize::new(0));
        tokio::spawn(listen(listener, address, server, of, taken.clone()));
        Self { address, line, taken }
    }

    /// In front of the server that a PostgreSQL URL names; the same URL through the proxy, and in clear so that
    /// it can tell one message from another.
    pub async fn before(url: &str) -> (Self, String) {
        let mut url = url::Url::parse(url).unwrap();
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
        let server = tokio::net::lookup_host(server).await.unwrap().next().unwrap();
        let proxy = Self::to(server).await;
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(proxy.address.port())).unwrap();
        url.query_pairs_mut().append_pair("sslmode", "disable");
        (proxy, url.to_string())
    }

    /// How many connections it has taken so far.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    pub fn down(&self) {
        self.line.send_replace(Line::Down);
    }

    pub fn silence(&self) {
        self.line.send_replace(Line::Silent);
    }

    pub fn slow(&self, each: Duration) {
        self.line.send_replace(Line::Slow(each));
    }

    pub fn mend(&self) {
        self.line.send_replace(Line::Good);
    }

    /// Cuts what is open, once.
    pub async fn cut(&self) {
        self.down();
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.mend();
    }
}

async fn listen(
    first: TcpListener,
    at: SocketAddr,
    server: SocketAddr,
    mut line: watch::Receiver<Line>,
    taken: Arc<AtomicUsize>,
) {
    let mut listener = Some(first);
    loop {
        if *line.borrow_and_update() == Line::Down {
            listener = None;
            if line.wait_for(|line| *line != Line::Down).await.is_err() {
                return;
            }
        }
        let listening = match listener.take() {
            Some(listening) => listening,
            None => match TcpListener::bind(at).await {
                Ok(listening) => listening,
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                }
            },
        };
        tokio::select! {
            accepted = listening.accept() => {
                if let Ok((client, _)) = accepted {
                    taken.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(passed_on(client, server, line.clone()));
                }
            }
            changed = line.changed() => {
                if changed.is_err() {
                    return;
                }
                line.mark_changed();
            }
        }
        listener = Some(listening);
    }
}

async fn passed_on(client: TcpStream, server: SocketAddr, mut line: watch::Receiver<Line>) {
    let mut of = line.clone();
    let through = async {
        if of.wait_for(|line| *line != Line::Silent).await.is_err() {
            return;
        }
        let Ok(server) = TcpStream::connect(server).await else { return };
        let (_, _) = (client.set_nodelay(true), server.set_nodelay(true));
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::select! {
            () = carry(from_client, to_server, of.clone(), true) => {}
            () = carry(from_server, to_client, of.clone(), false) => {}
        }
    };
    tokio::select! {
        () = through => {}
        _ = line.wait_for(|line| *line == Line::Down) => {}
    }
}

/// Carries one direction until an end closes.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut line: watch::Receiver<Line>, asks: bool) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        let now = match line.wait_for(|line| *line != Line::Silent).await {
            Ok(now) => *now,
            Err(_) => return,
        };
        // The first messages have no letter but begin with their length; a `p` answers how the server wants to
        // be told the password.
        let logs_in = matches!(buffer[0], 0 | b'p');
        if let (Line::Slow(each), true, false) = (now, asks, logs_in) {
            tokio::time::sleep(each).await;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
