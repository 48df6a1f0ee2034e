//! The audit's checkpoints: made from time to time, and written to this process's file, one after another.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::watch;

use super::sink::{Sink, SinkError};
use super::upkeep::down;
use super::{Program, Stop, secrets};
use crate::access::signing::SigningKey;
use crate::access::witness::{PublicWitness, Witness};
use crate::admin::{Health, Readiness};
use crate::domain::accounts::checkpoints::{self as making, Signer};
use crate::model::Subtree;
use crate::store::checkpoints;
use crate::telemetry;

/// How often it is looked whether one is due, or one of another replica's is to be written here as well.
const LOOK: Duration = Duration::from_secs(5);
/// How many are written at a time.
const AT_ONCE: i64 = 20;
/// How the signal of `/readyz` is called.
const CHECK: &str = "audit_checkpoints";

/// A process's part in the checkpoints.
pub struct Checkpoints {
    program: Arc<Program>,
    witness: Witness,
    sink: Arc<Mutex<Sink>>,
}

/// Why there is no new checkpoint in the file.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error("{0} has checkpoint {1}, and the database has none after {2}")]
    Behind(String, i64, i64),
}

impl Program {
    /// The key that checkpoints are signed with; made where there is none.
    async fn witness(&self) -> Result<Witness, Stop> {
        let new = || SigningKey::generate().expose_secret().to_vec();
        let pkcs8 = secrets::sealed_fact(&self.db, &self.sealer, "audit checkpoints", new).await?;
        Witness::from_pkcs8(&pkcs8).map_err(|error| Stop::failed(format!("the audit's key: {error}")))
    }

    /// With what the signatures of checkpoints are verified.
    pub async fn audit_key(&self) -> Result<PublicWitness, Stop> {
        Ok(self.witness().await?.public())
    }
}

impl Checkpoints {
    pub async fn of(program: Arc<Program>) -> Result<Self, Stop> {
        let witness = program.witness().await?;
        let sink = Sink::new(program.config.audit.checkpoint_file());
        Ok(Self { program, witness, sink: Arc::new(Mutex::new(sink)) })
    }

    /// Makes what is due and writes what the file lacks, until it is told to stop.
    pub async fn run(self, readiness: Readiness, mut stop: watch::Receiver<bool>) {
        let mut look = tokio::time::interval(LOOK);
        let mut was_good = true;
        loop {
            tokio::select! {
                _ = look.tick() => {}
                () = down(&mut stop) => return,
            }
            let is_good = match self.round().await {
                Ok(()) => true,
                // That the database is away shows elsewhere.
                Err(Fault::Database(_)) => continue,
                Err(error) => {
                    if was_good {
                        tracing::warn!(%error, "the audit's checkpoints are not written");
                    }
                    false
                }
            };
            readiness.set_check(CHECK, if is_good { Health::Good } else { Health::Degraded });
            was_good = is_good;
        }
    }

    /// Makes what is due, and writes to the file what it lacks.
    pub async fn round(&self) -> Result<(), Fault> {
        self.make().await?;
        self.write().await
    }

    /// Makes the checkpoints that are due; gives how many.
    pub async fn make(&self) -> Result<u64, Fault> {
        let signer = Signer { key: self.witness.public().name(), sign: &|text| self.witness.sign(text) };
        Ok(making::make(&self.program.db, self.program.config.audit.period(), &signer).await?)
    }

    /// Writes to the file all that was made and is not there, and only then counts it as kept.
    pub async fn write(&self) -> Result<(), Fault> {
        let db = &self.program.db;
        let mut last = self.with_sink(|sink| sink.last()).await?;
        loop {
            let part = checkpoints::after(&mut db.read(Subtree::everything()).await?, last, AT_ONCE).await?;
            let Some(end) = part.last() else { break };
            last = end.number;
            let rows = part.clone();
            self.with_sink(move |sink| sink.add(&rows)).await?;
            let mut tx = db.write(Subtree::everything()).await?;
            for row in part.iter().filter(|row| !row.kept) {
                checkpoints::keep(&mut tx, row.number).await?;
            }
            tx.commit().await?;
        }
        self.told(last).await
    }

    /// Tells when the file's last checkpoint was made.
    async fn told(&self, written: i64) -> Result<(), Fault> {
        let mut conn = self.program.db.read(Subtree::everything()).await?;
        let last = checkpoints::last(&mut conn, 0).await?;
        let made = last.as_ref().map_or(0, |last| last.number);
        if made < written {
            let file = self.program.config.audit.checkpoint_file().display().to_string();
            return Err(Fault::Behind(file, written, made));
        }
        if let Some(last) = last.filter(|last| last.number == written) {
            telemetry::record_checkpoint_time(last.made_at.as_seconds());
        }
        Ok(())
    }

    /// Files are written where nothing else waits for them.
    async fn with_sink<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Sink) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let sink = self.sink.clone();
        let done = tokio::task::spawn_blocking(move || {
            work(&mut sink.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await.expect("the work does not panic")
    }
}
