//! The key-encryption keys: which of them are given, which one is sealed under, and moving all that is sealed from one
//! to the next while replicas serve.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::audit::{COMMAND_LINE, commit_with_line};
use super::upkeep::down;
use super::{Program, Stop};
use crate::access::kek::{self, Keks};
use crate::access::random;
use crate::access::seal::{Context, Sealer};
use crate::admin::{Health, Readiness};
use crate::config::{Config, KekSource};
use crate::model::Subtree;
use crate::store::sealed::{self, COLUMNS, Column, FACT, Text};
use crate::store::{self, Db, facts};

/// The name under which the check value of the key-encryption key that is sealed under is kept.
const CHECK: &str = "kek_check";
/// How often a replica looks which key is to be sealed under.
pub const LOOK: Duration = Duration::from_secs(1);
/// After what time every replica that reaches the database has noticed a new key.
const NOTICED: Duration = Duration::from_secs(3);
/// How many texts are wrapped anew in one transaction.
const BATCH: i64 = 100;

/// The keys under which the database's secrets lie.
pub fn keks(config: &Config) -> Result<Keks, Stop> {
    let refused = |path: &std::path::Path, error: std::io::Error| {
        Stop::unsafe_to_run(format!("the key-encryption key {}: {error}", path.display()))
    };
    match config.secrets.kek() {
        KekSource::Given(text) => {
            kek::parse(&text).map_err(|error| Stop::unsafe_to_run(format!("secrets.kek: {error}")))
        }
        KekSource::File(path) => kek::load(&path).map_err(|error| refused(&path, error)),
        KekSource::FileOrNew(path) => kek::load_or_create(&path).map_err(|error| refused(&path, error)),
    }
}

/// Keys for purposes of the program's own. They are kept sealed, so that they outlive the key-encryption key.
pub(super) struct Derived {
    /// Of what requests are recognised by that carry an `Idempotency-Key`.
    pub fingerprints: Zeroizing<[u8; 32]>,
    /// Of what the cursors of lists are sealed with.
    pub cursors: Zeroizing<[u8; 32]>,
    /// Of the names that rate limits have where replicas share them.
    pub buckets: Zeroizing<[u8; 32]>,
    /// Of what values are told apart by in the audit, and secrets where they are not read back.
    pub digests: Zeroizing<[u8; 32]>,
}

/// Has the sealer seal under the key that the database's secrets lie under, and refuses where it would be noticed only
/// later that a key is not the right one.
pub(super) async fn unlock(db: &Db, sealer: &Sealer) -> Result<Derived, Stop> {
    let known = facts::find(&mut db.read(Subtree::everything()).await?, CHECK).await?;
    let is_new = known.is_none();
    let known = match known {
        Some(known) => known,
        None => {
            let mut tx = db.write(Subtree::everything()).await?;
            facts::insert(&mut tx, CHECK, &sealer.newest_check_value()).await?;
            tx.commit().await?;
            facts::find(&mut db.read(Subtree::everything()).await?, CHECK).await?.unwrap_or_default()
        }
    };
    if !sealer.seal_under(&known) {
        return Err(Stop::unsafe_to_run(
            "the key-encryption key is not the one this database's secrets lie under (secrets.kek, secrets.kek_file)",
        ));
    }
    let missing: Vec<String> = counted(db)
        .await?
        .into_iter()
        .filter(|(name, _)| !sealer.names().any(|known| known == name))
        .map(|(name, texts)| {
            format!(
                "{texts} secrets lie under the key-encryption key {name}, which is not given; give it as well, below the new one, and run `tenantry secrets rotate-kek`"
            )
        })
        .collect();
    if !missing.is_empty() {
        return Err(Stop { code: crate::cli::exit::CONFIG, reasons: missing });
    }
    Ok(Derived {
        fingerprints: own_key(db, sealer, "request fingerprints", is_new).await?,
        cursors: own_key(db, sealer, "list cursors", is_new).await?,
        buckets: own_key(db, sealer, "rate limits", is_new).await?,
        digests: own_key(db, sealer, "value digests", true).await?,
    })
}

/// The key for a purpose: by chance in a new installation; in one from before it was kept, what its key-encryption key
/// gives.
async fn own_key(db: &Db, sealer: &Sealer, purpose: &str, is_new: bool) -> Result<Zeroizing<[u8; 32]>, Stop> {
    let given = || if is_new { Zeroizing::new(random::bytes()) } else { sealer.derive(purpose) };
    let kept = sealed_fact(db, sealer, purpose, || given().to_vec()).await?;
    let kept: [u8; 32] = kept
        .as_slice()
        .try_into()
        .map_err(|_| Stop::failed(format!("the key for {purpose} is not 32 bytes long")))?;
    Ok(Zeroizing::new(kept))
}

/// What is kept sealed under a name; made where there is none. Of several replicas that start at once, one makes it.
pub(super) async fn sealed_fact(
    db: &Db,
    sealer: &Sealer,
    name: &str,
    make: impl FnOnce() -> Vec<u8>,
) -> Result<Zeroizing<Vec<u8>>, Stop> {
    let name = format!("{FACT}{name}");
    let context = Context { table: "facts", column: "value", account_id: "", record_id: &name };
    let mut found = facts::find(&mut db.read(Subtree::everything()).await?, &name).await?;
    if found.is_none() {
        let value = sealer.seal(&context, &Zeroizing::new(make()));
        let mut tx = db.write(Subtree::everything()).await?;
        facts::insert(&mut tx, &name, &value).await?;
        tx.commit().await?;
        found = facts::find(&mut db.read(Subtree::everything()).await?, &name).await?;
    }
    let opened = sealer
        .open(&context, &found.unwrap_or_default())
        .map_err(|error| Stop::unsafe_to_run(format!("{name} cannot be opened: {error}")))?;
    Ok(Zeroizing::new(opened.expose_secret().to_vec()))
}

/// Seals under the key that the database names, as long as the program serves. A replica that does not have that key
/// takes no more callers.
pub(super) async fn followed(program: Arc<Program>, readiness: Readiness, mut stop: watch::Receiver<bool>) {
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = look.tick() => {}
            () = down(&mut stop) => return,
        }
        let known = async { facts::find(&mut program.db.read(Subtree::everything()).await?, CHECK).await };
        let health = match known.await {
            Ok(Some(known)) if !program.sealer.seal_under(&known) => {
                tracing::error!(
                    "secrets are sealed under a key-encryption key that this replica does not have"
                );
                Health::Faulty
            }
            Ok(_) => Health::Good,
            // Whoever cannot read cannot write either.
            Err(_) => continue,
        };
        readiness.set_check("secrets", health);
    }
}

/// How many texts lie under each key.
async fn counted(db: &Db) -> store::Result<BTreeMap<String, i64>> {
    let mut all = BTreeMap::new();
    for column in COLUMNS {
        let mut conn = db.read(Subtree::everything()).await?;
        for under in sealed::count(&mut conn, column).await? {
            *all.entry(under.name).or_default() += under.texts;
        }
    }
    Ok(all)
}

/// How an installation's secrets lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The key that is sealed under.
    pub current: String,
    /// The keys that are given, the newest first, each with how many texts lie under it.
    pub keys: Vec<(String, i64)>,
}

impl Status {
    /// How many texts lie under other keys than the current one.
    pub fn left(&self) -> i64 {
        self.keys.iter().filter(|(name, _)| *name != self.current).map(|(_, texts)| texts).sum()
    }

    /// What an operator should do next.
    pub fn advice(&self) -> String {
        let newest = self.keys.first().map(|(name, _)| name.as_str());
        match (newest == Some(self.current.as_str()), self.left(), self.keys.len()) {
            (true, 0, 1) => "all is sealed under the only key".into(),
            (true, 0, _) => {
                "nothing lies under the older keys: `tenantry secrets drop-kek` takes them away".into()
            }
            (true, left, _) => {
                format!("{left} are still under older keys: `tenantry secrets rotate-kek` goes on")
            }
            (false, ..) => {
                "once every replica was started with the newest key: `tenantry secrets rotate-kek`".into()
            }
        }
    }
}

/// What a rotation did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotated {
    pub texts: u64,
    /// The places of texts that no key opens.
    pub shut: Vec<String>,
}

impl Program {
    /// How the secrets lie.
    pub async fn secrets_status(&self) -> Result<Status, Stop> {
        let counted = counted(&self.db).await?;
        let with = |name: &str| (name.to_owned(), counted.get(name).copied().unwrap_or_default());
        Ok(Status {
            current: self.sealer.current_name().to_owned(),
            keys: self.sealer.names().map(with).collect(),
        })
    }

    /// Moves all that is sealed to the newest key, while replicas serve. It can be cut off anywhere and begun again:
    /// each text lies under one key or the other at any time, and all replicas have both. `tell` hears how far it is.
    pub async fn rotate_kek(&self, mut tell: impl FnMut(String)) -> Result<Rotated, Stop> {
        let (before, newest) = (self.sealer.check_value(), self.sealer.newest_check_value());
        let mut switched = false;
        if before != newest {
            let mut tx = self.db.write(Subtree::everything()).await?;
            switched = facts::replace(&mut tx, CHECK, &before, &newest).await?;
            if switched {
                let name = self.sealer.names().next().unwrap_or_default().to_owned();
                commit_with_line(tx, COMMAND_LINE, "secrets_rotate_kek", name, self.clock.now()).await?;
            } else {
                tx.undo().await?;
            }
            let known = facts::find(&mut self.db.read(Subtree::everything()).await?, CHECK).await?;
            if known.as_ref() != Some(&newest) {
                return Err(Stop::failed(
                    "another rotation has begun meanwhile; look at `tenantry secrets status`",
                ));
            }
            self.sealer.seal_under(&newest);
            tell(format!("from now on secrets are sealed under {}", self.sealer.current_name()));
        }
        let mut total = Rotated::default();
        loop {
            let moved = self.pass(&mut total, &mut tell).await?;
            if moved == 0 && !switched {
                return Ok(total);
            }
            // A replica that has not noticed yet may seal a last text under the key before.
            tell("looking again, once every replica has noticed".into());
            tokio::time::sleep(NOTICED).await;
            switched = false;
        }
    }

    /// Goes through all sealed texts once; says how many were moved.
    async fn pass(&self, total: &mut Rotated, tell: &mut impl FnMut(String)) -> Result<u64, Stop> {
        let mut moved = 0;
        total.shut.clear();
        for column in COLUMNS {
            let (mut last, mut seen) = (Text::default(), 0);
            loop {
                let mut conn = self.db.read(Subtree::everything()).await?;
                let batch = sealed::page(&mut conn, column, &last, BATCH).await?;
                drop(conn);
                let Some(end) = batch.last() else { break };
                let changed = self.rewrap(column, &batch, &mut total.shut).await?;
                last = end.clone();
                (moved, seen, total.texts) = (moved + changed, seen + batch.len(), total.texts + changed);
                if changed > 0 {
                    tell(format!(
                        "{}.{}: {seen} looked at, {moved} moved so far",
                        column.table, column.column
                    ));
                }
            }
        }
        Ok(moved)
    }

    async fn rewrap(&self, column: &Column, batch: &[Text], shut: &mut Vec<String>) -> Result<u64, Stop> {
        let mut tx = None;
        let mut changed = 0;
        for text in batch {
            let context = Context {
                table: column.table,
                column: column.column,
                account_id: &text.account_id,
                record_id: &text.record_id,
            };
            match self.sealer.rewrap(&context, &text.sealed) {
                Ok(None) => {}
                Ok(Some(moved)) => {
                    if tx.is_none() {
                        tx = Some(self.db.write(Subtree::everything()).await?);
                    }
                    if let Some(tx) = &mut tx {
                        changed += u64::from(sealed::replace(tx, column, text, &moved).await?);
                    }
                }
                Err(error) => {
                    shut.push(format!("{}.{} of {}: {error}", column.table, column.column, text.record_id));
                }
            }
        }
        if let Some(tx) = tx {
            tx.commit().await?;
        }
        Ok(changed)
    }

    /// Takes the keys that nothing lies under any more out of the file; says how many.
    pub async fn drop_keks(&self) -> Result<usize, Stop> {
        let status = self.secrets_status().await?;
        let is_newest = self.sealer.check_value() == self.sealer.newest_check_value();
        if status.left() > 0 || !is_newest {
            return Err(Stop::failed(status.advice()));
        }
        kek::keep_newest(&file(&self.config)?).map_err(Stop::failed)
    }
}

/// Puts a new key above those in the file.
pub fn add_kek(config: &Config) -> Result<PathBuf, Stop> {
    let path = file(config)?;
    kek::add(&path).map_err(Stop::failed)?;
    Ok(path)
}

/// The file that the keys are in.
fn file(config: &Config) -> Result<PathBuf, Stop> {
    match config.secrets.kek() {
        KekSource::File(path) | KekSource::FileOrNew(path) => Ok(path),
        KekSource::Given(_) => Err(Stop::failed(
            "the keys are given by the setting secrets.kek: change it there, the newest first, with a blank between",
        )),
    }
}

/// Opens the keys that the settings name.
pub(super) fn sealer(config: &Config) -> Result<Arc<Sealer>, Stop> {
    Ok(Arc::new(Sealer::of(keks(config)?)))
}
