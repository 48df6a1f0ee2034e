//! Whether PostgreSQL can be reached. While it cannot, nobody waits for it: who asks is refused at once, and
//! one task alone tries to reach it, in pauses that grow and that no two replicas share.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Error, PgConnection};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::engine::Result;

/// How long opening a connection may take, which is several questions and answers…
const PATIENCE: Duration = Duration::from_secs(5);
/// …and how long a server may take to answer the first.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);
/// The first question of PostgreSQL's protocol: its length, and whether the server wants to speak TLS. It is
/// answered by a letter, whoever asks and however slow queries are.
const WANTS_TLS: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// The pauses between two attempts to reach it again: from the first up to the longest, each twice the one
/// before, and each shortened by up to a half.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// For how long it is believed that it answered.
const BELIEVED: Duration = Duration::from_secs(1);

/// The way to a PostgreSQL server.
#[derive(Debug)]
pub struct Link {
    options: PgConnectOptions,
    away: AtomicBool,
    /// When it was last looked whether the server answers, and whether it did.
    looked: Mutex<Option<(Instant, bool)>>,
    /// Where the task runs that tries to reach it again: on no thread that ends before the program does.
    runtime: Handle,
}

impl Link {
    /// The way to the server that the options name; to be called from the runtime that lives longest.
    pub fn new(options: PgConnectOptions) -> Arc<Self> {
        let away = AtomicBool::new(false);
        Arc::new(Self { options, away, looked: Mutex::default(), runtime: Handle::current() })
    }

    /// Refuses at once while the server is away.
    pub fn check(&self) -> Result<()> {
        match self.away.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(Error::Io(io::Error::new(io::ErrorKind::NotConnected, "PostgreSQL is away"))),
        }
    }

    /// Opens a connection. If the server cannot be reached, it is away from then on, until it can.
    pub async fn open(self: &Arc<Self>) -> Result<PgConnection> {
        self.check()?;
        let opened = self.connect().await;
        match &opened {
            Err(error) if is_ending(error) => self.lost(error),
            Err(Error::Io(_)) => drop(self.answers().await),
            _ => {}
        }
        opened
    }

    /// Whether there is a server, be it slow. All who ask at about the same time share one attempt.
    pub async fn answers(self: &Arc<Self>) -> bool {
        let mut looked = self.looked.lock().await;
        if let Some((at, answers)) = *looked
            && at.elapsed() < BELIEVED
        {
            return answers;
        }
        let sign = timeout(SIGN_OF_LIFE, self.sign_of_life()).await.unwrap_or_else(|_| Err(silent()));
        if let Err(error) = &sign {
            self.lost(error);
        }
        *looked = Some((Instant::now(), sign.is_ok()));
        sign.is_ok()
    }

    async fn connect(&self) -> Result<PgConnection> {
        timeout(PATIENCE, self.options.connect()).await.unwrap_or_else(|_| Err(silent()))
    }

    async fn sign_of_life(&self) -> Result<()> {
        let (host, port) = (self.options.get_host(), self.options.get_port());
        let folder = self.options.get_socket().map(PathBuf::as_path);
        // As libpq does, a host that begins so is a folder with a socket.
        match folder.or_else(|| host.starts_with('/').then_some(Path::new(host))) {
            Some(folder) => asked(UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await?).await,
            None => asked(TcpStream::connect((host, port)).await?).await,
        }
    }

    fn lost(self: &Arc<Self>, error: &Error) {
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "PostgreSQL cannot be reached");
            self.runtime.spawn(seek(Arc::downgrade(self)));
        }
    }
}

/// Tries to reach the server until it can, or until nobody needs it any more.
async fn seek(link: Weak<Link>) {
    let mut pause = FIRST_PAUSE;
    loop {
        sleep(pause.mul_f64(0.5 + share() / 2.0)).await;
        let Some(link) = link.upgrade() else { return };
        if let Ok(conn) = link.connect().await {
            link.away.store(false, Ordering::Relaxed);
            tracing::info!("PostgreSQL can be reached again");
            let _ = conn.close().await;
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Anything from 0 up to 1: keys that the standard library draws for each process.
fn share() -> f64 {
    (RandomState::new().hash_one(()) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Says that the server has not answered.
pub fn silent() -> Error {
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, "PostgreSQL has not answered"))
}

async fn asked(mut server: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
    server.write_all(&WANTS_TLS).await?;
    server.read_u8().await?;
    Ok(())
}

/// Whether the server said that it begins or ends, and serves nobody.
fn is_ending(error: &Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| ["57P01", "57P02", "57P03"].contains(&code.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_replicas_come_back_after_the_same_pause() {
        let shares: Vec<_> = (0..200).map(|_| share()).collect();
        assert!(shares.iter().all(|share| (0.0..1.0).contains(share)));
        assert!(shares.iter().any(|share| *share < 0.2) && shares.iter().any(|share| *share > 0.8));
    }
}
