//! The audit, examined on the server itself.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;

use serde_json::Map;

use super::{Program, Stop};
use crate::access::witness::PublicWitness;
use crate::domain::Work;
use crate::domain::accounts::audit::{self, Verdict};
use crate::domain::accounts::witnesses::{BadCheckpoint, Witnesses};
use crate::model::accounts::accounts::Account;
use crate::model::accounts::checkpoints;
use crate::model::events::events::Cause;
use crate::model::ids::{AccountId, RequestId};
use crate::model::{Json, Subtree, Time};
use crate::store::audit::Line;
use crate::store::{self, Tx};

/// With what the chains are to be held together.
#[derive(Debug, Default, Clone)]
pub struct Against {
    /// The files of checkpoints; none stands for the one of the settings.
    pub files: Vec<PathBuf>,
    /// Who signed them; none stands for the database's own key.
    pub key: Option<PublicWitness>,
}

/// What was found of chains and of checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    pub chains: Verdict,
    pub checkpoints: usize,
    pub bad: Vec<BadCheckpoint>,
}

impl Examined {
    /// Whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.chains.broken.is_empty() && self.bad.is_empty()
    }
}

/// What stands in a line of the audit that no key's holder is behind.
const NO_KEY: &str = "key_00000000000000000000000000";
/// Who did what is done on the server itself.
pub(super) const COMMAND_LINE: &str = "command line";
/// Who did what has its time.
pub(super) const UPKEEP: &str = "upkeep";

/// The audit line of what the operator did to an account on the server itself.
pub(super) async fn command_line(
    tx: &mut Tx,
    account: &Account,
    action: &str,
    resource: String,
    at: Time,
) -> Result<Line, Stop> {
    let root = store::accounts::accounts::root(tx).await?;
    line(account, root.map_or(account.id, |root| root.id), COMMAND_LINE, action, resource, at)
}

fn line(
    account: &Account,
    principal_id: AccountId,
    by: &str,
    action: &str,
    resource: String,
    at: Time,
) -> Result<Line, Stop> {
    Ok(Line {
        account_id: account.id,
        sequence: 0,
        path: account.path.clone(),
        principal_id,
        key_id: NO_KEY.parse().map_err(Stop::failed)?,
        action: action.into(),
        resource: Some(resource),
        request_id: RequestId::new().to_string(),
        address: None,
        outcome: "done".into(),
        detail: Json(Map::from_iter([("by".to_owned(), by.into())])),
        occurred_at: at,
        hash: String::new(),
    })
}

/// Commits what was done to the installation as a whole, with a line of the operator's audit; without one where there is
/// no operator yet.
pub(super) async fn commit_with_line(
    mut tx: Tx,
    by: &str,
    action: &str,
    resource: String,
    at: Time,
) -> Result<(), Stop> {
    match store::accounts::accounts::root(&mut tx).await? {
        None => Ok(tx.commit().await?),
        Some(root) => {
            let line = line(&root, root.id, by, action, resource, at)?;
            commit(tx, line).await
        }
    }
}

async fn commit(tx: Tx, line: Line) -> Result<(), Stop> {
    let cause = Cause { key_id: None, request_id: None, reason_code: None };
    let mut work = Work::because(tx, cause, line.occurred_at);
    work.record(Some(line)).await.map_err(Stop::failed)?;
    Ok(work.tx.commit().await?)
}

impl Program {
    /// Forgets the key of an account, and with it from where the account acted, in all audits there are; that this was
    /// done is a line of the account's own audit. Says whether there was a key. The account that goes on acting gets a
    /// new one.
    pub async fn shred_audit(&self, account: AccountId) -> Result<bool, Stop> {
        let mut tx = self.db.write(Subtree::everything()).await?;
        let missing = || Stop::failed(format!("there is no account {account}"));
        let found = store::accounts::accounts::find(&mut tx, account).await?.ok_or_else(missing)?;
        let gone = store::audit_keys::delete(&mut tx, account).await?;
        let line =
            command_line(&mut tx, &found, "audit_shred", account.to_string(), self.clock.now()).await?;
        commit(tx, line).await?;
        Ok(gone)
    }

    /// Follows the chains of all accounts' audit lines, and holds them against the checkpoints outside the database.
    pub async fn verify_audit(&self, against: &Against) -> Result<Examined, Stop> {
        let key = match against.key {
            Some(key) => key,
            None => self.audit_key().await?,
        };
        // What is made while the files are read is not looked for in them.
        let made = store::checkpoints::last(&mut self.db.read(Subtree::everything()).await?, 0).await?;
        let default = [self.config.audit.checkpoint_file()];
        let named = if against.files.is_empty() { &default[..] } else { &against.files };
        let mut witnesses = Witnesses::default();
        for path in named {
            let found = match File::open(path).map(BufReader::new).and_then(checkpoints::read) {
                Ok(found) => found,
                // Where none was made yet, there is no file; one that was named has to be there.
                Err(error) if error.kind() == io::ErrorKind::NotFound && against.files.is_empty() => continue,
                Err(error) => return Err(Stop::failed(format!("{}: {error}", path.display()))),
            };
            witnesses.add(found, |checkpoint| {
                checkpoint.key == key.name() && key.has_signed(&checkpoint.said(), &checkpoint.signature)
            });
        }
        let bad = witnesses.compare(&self.db, made.map_or(0, |made| made.number)).await?;
        let checkpoints = witnesses.count();
        let chains = audit::verify_against(&self.db, witnesses.witnessed()).await?;
        Ok(Examined { chains, checkpoints, bad })
    }
}
