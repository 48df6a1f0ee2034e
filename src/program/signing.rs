//! The keys that tokens are signed with: the first is made with the installation, each next one is told a day before it
//! is signed with, and replicas notice within a second.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::watch;

use super::audit::{COMMAND_LINE, UPKEEP, commit_with_line};
use super::upkeep::down;
use super::{Program, Stop};
use crate::access::keyring::{AHEAD, Keyring, Keys, Term, current, terms};
use crate::access::seal::{Context, Sealer};
use crate::access::signing::SigningKey;
use crate::clock::Clock;
use crate::model::ids::SigningKeyId;
use crate::model::{Subtree, Time};
use crate::store::facts::{self, SigningKeyRow};
use crate::store::{self, Conn, Db, Tx};

/// The name under which it is kept which signing key was the first. Who changes keys holds it.
const FIRST_KEY: &str = "first_signing_key";
/// How often a replica looks whether there are other keys.
const LOOK: Duration = Duration::from_secs(1);
/// For how long a key is kept that has ended, so that a clock that is fast takes none away too early.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// The keys that are there; a new installation makes its first.
pub(super) async fn ring(
    db: &Db,
    sealer: &Sealer,
    clock: &Clock,
    issuer: &str,
) -> Result<Arc<Keyring>, Stop> {
    let mut found = rows(db).await?;
    if found.is_empty() {
        let row = new_key(sealer, clock.now());
        // Of several replicas that start at once, one makes the key.
        let mut tx = db.write(Subtree::everything()).await?;
        match facts::insert(&mut tx, FIRST_KEY, &row.id.to_string()).await? {
            true => {
                facts::insert_signing_key(&mut tx, &row).await?;
                tx.commit().await?;
            }
            false => tx.undo().await?,
        }
        found = rows(db).await?;
    }
    Ok(Arc::new(Keyring::new(opened(sealer, issuer, found)?)))
}

async fn rows(db: &Db) -> store::Result<Vec<SigningKeyRow>> {
    facts::signing_keys(&mut db.read(Subtree::everything()).await?).await
}

fn new_key(sealer: &Sealer, now: Time) -> SigningKeyRow {
    let id = SigningKeyId::new();
    let pkcs8 = SigningKey::generate();
    SigningKeyRow {
        id,
        algorithm: "EdDSA".into(),
        private_key: sealer.seal(&context(&id.to_string()), pkcs8.expose_secret()),
        created_at: now,
    }
}

fn opened(sealer: &Sealer, issuer: &str, rows: Vec<SigningKeyRow>) -> Result<Keys, Stop> {
    let open = |row: SigningKeyRow| {
        let record = row.id.to_string();
        let pkcs8 = sealer.open(&context(&record), &row.private_key).map_err(|error| {
            Stop::unsafe_to_run(format!("the signing key {record} cannot be opened: {error}"))
        })?;
        SigningKey::from_pkcs8(row.id, pkcs8.expose_secret())
            .map(|key| (key, row.created_at))
            .map_err(|error| Stop::failed(format!("the signing key {record}: {error}")))
    };
    let keys = rows.into_iter().map(open).collect::<Result<Vec<_>, Stop>>()?;
    match keys.is_empty() {
        true => Err(Stop::failed("there is no signing key")),
        false => Ok(Keys::of(issuer, keys)),
    }
}

fn context(record: &str) -> Context<'_> {
    Context { table: "signing_keys", column: "private_key", account_id: "", record_id: record }
}

/// The terms of the keys in the database.
async fn known(conn: &mut Conn) -> store::Result<Vec<Term>> {
    let rows = facts::signing_keys(conn).await?;
    Ok(terms(rows.into_iter().map(|row| (row.id, row.created_at))))
}

/// Goes by the database's keys as long as the program serves, makes the next one when its time has come, and takes away
/// those that ended long ago.
pub(super) async fn followed(program: Arc<Program>, mut stop: watch::Receiver<bool>) {
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = look.tick() => {}
            () = down(&mut stop) => return,
        }
        // Whoever cannot read cannot write either.
        let Ok(rows) = rows(&program.db).await else { continue };
        if let Err(stop) = program.settle_signing_keys(rows).await {
            tracing::warn!(reasons = ?stop.reasons, "the signing keys could not be looked at");
        }
    }
}

impl Program {
    async fn settle_signing_keys(&self, rows: Vec<SigningKeyRow>) -> Result<(), Stop> {
        let now = self.clock.now();
        let found = terms(rows.iter().map(|row| (row.id, row.created_at)));
        if found != self.ring.keys().terms() {
            self.ring.replace(opened(&self.sealer, &self.config.server.public_url, rows)?);
        }
        if self.is_due(&found, now) || found.iter().any(|term| is_over(term, now)) {
            let mut tx = self.held().await?;
            let found = known(&mut tx).await?;
            for term in found.iter().filter(|term| is_over(term, now)) {
                facts::delete_signing_key(&mut tx, term.id).await?;
            }
            if !self.is_due(&found, now) {
                return Ok(tx.commit().await?);
            }
            let row = new_key(&self.sealer, now);
            facts::insert_signing_key(&mut tx, &row).await?;
            commit_with_line(tx, UPKEEP, "signing_key_add", row.id.to_string(), now).await?;
            tracing::info!(key = %row.id, "the next signing key was made");
        }
        Ok(())
    }

    /// Whether it is time for the next key.
    fn is_due(&self, known: &[Term], now: Time) -> bool {
        let newest = known.last().map_or(now, |term| term.made);
        self.config.tokens.signing_key_age().is_some_and(|age| newest.plus(age) <= now)
    }

    /// A transaction that alone changes signing keys.
    async fn held(&self) -> Result<Tx, Stop> {
        let mut tx = self.db.write(Subtree::everything()).await?;
        facts::hold(&mut tx, FIRST_KEY).await?;
        Ok(tx)
    }

    /// How the signing keys are, a line each.
    pub async fn signing_status(&self) -> Result<Vec<String>, Stop> {
        let known = known(&mut self.db.read(Subtree::everything()).await?).await?;
        let now = self.clock.now();
        let at = current(&known, now);
        let line = |(nth, term): (usize, &Term)| {
            let is = match term.ends {
                _ if nth > at => format!("is told, and signed with from {}", term.begins),
                _ if nth == at => "is signed with".into(),
                Some(ends) if ends <= now => "has ended".into(),
                Some(ends) => format!("is told until {ends}"),
                None => unreachable!("the last key is the current one or comes after it"),
            };
            format!("{}: made {}, {is}", term.id, term.made)
        };
        Ok(known.iter().enumerate().map(line).collect())
    }

    /// Makes the next key, which is signed with a day later.
    pub async fn add_signing_key(&self) -> Result<Term, Stop> {
        let now = self.clock.now();
        let mut tx = self.held().await?;
        if let Some(next) = waiting(&known(&mut tx).await?, now) {
            tx.undo().await?;
            return Err(Stop::failed(format!("{} waits already, for {}", next.id, next.begins)));
        }
        let row = new_key(&self.sealer, now);
        facts::insert_signing_key(&mut tx, &row).await?;
        commit_with_line(tx, COMMAND_LINE, "signing_key_add", row.id.to_string(), now).await?;
        Ok(Term { id: row.id, made: now, begins: now.plus(AHEAD), ends: None })
    }

    /// Takes back the key that waits.
    pub async fn drop_signing_key(&self) -> Result<SigningKeyId, Stop> {
        let now = self.clock.now();
        let mut tx = self.held().await?;
        let Some(next) = waiting(&known(&mut tx).await?, now) else {
            tx.undo().await?;
            return Err(Stop::failed("no key waits; one that may be known to others is replaced"));
        };
        facts::delete_signing_key(&mut tx, next.id).await?;
        commit_with_line(tx, COMMAND_LINE, "signing_key_drop", next.id.to_string(), now).await?;
        Ok(next.id)
    }

    /// Puts a new key, signed with at once, in the place of all: what they signed is good no longer, on any replica,
    /// within a second.
    pub async fn replace_signing_keys(&self) -> Result<SigningKeyId, Stop> {
        let mut tx = self.held().await?;
        for term in known(&mut tx).await? {
            facts::delete_signing_key(&mut tx, term.id).await?;
        }
        let row = new_key(&self.sealer, self.clock.now());
        facts::insert_signing_key(&mut tx, &row).await?;
        commit_with_line(tx, COMMAND_LINE, "signing_keys_replace", row.id.to_string(), row.created_at)
            .await?;
        Ok(row.id)
    }
}

/// The key that is not signed with yet.
fn waiting(known: &[Term], now: Time) -> Option<Term> {
    let last = known.len().checked_sub(1)?;
    (current(known, now) < last).then(|| known[last])
}

fn is_over(term: &Term, now: Time) -> bool {
    term.ends.is_some_and(|ends| ends.plus(KEPT) <= now)
}
