//! Whether the audit's chains are whole.

use std::collections::HashMap;

use crate::domain::{self, Work};
use crate::model::accounts::checkpoints::Head;
use crate::model::events::events::Cause;
use crate::model::ids::AccountId;
use crate::model::{Path, Subtree};
use crate::store::accounts::accounts;
use crate::store::audit::{self, Chain, Line, chained};
use crate::store::{Db, Result, Tx, places};

/// Writes a line at the end of its account's chain, in a transaction of its own: for what changes nothing else.
pub async fn write(db: &Db, line: &Line) -> domain::Result<()> {
    let mut tx = db.write(Subtree::everything()).await?;
    let place = places::place(&mut tx, &line.account_id.to_string()).await?;
    append(tx, line.account_id, place.ok_or(domain::Error::AccountNotFound)?, line).await
}

/// The same of what was read in the account at the line's path, whichever that is, and wherever it stands by now.
pub async fn write_at(db: &Db, line: &Line) -> domain::Result<()> {
    let mut tx = db.write(Subtree::everything()).await?;
    let account = match accounts::at(&mut tx, &line.path).await? {
        None => accounts::that_stood_at(&mut tx, &line.path).await?,
        found => found,
    };
    let account = account.ok_or(domain::Error::AccountNotFound)?;
    append(tx, account.id, account.path, line).await
}

async fn append(tx: Tx, account_id: AccountId, path: Path, line: &Line) -> domain::Result<()> {
    let cause = Cause { key_id: Some(line.key_id), request_id: None, reason_code: None };
    let mut work = Work::because(tx, cause, line.occurred_at);
    let line = Line { account_id, path, ..line.clone() };
    work.record(Some(line)).await?;
    work.tx.commit().await?;
    Ok(())
}

/// How many rows are read at a time.
const PART: i64 = 500;

/// What is wrong with an account's chain, and at which line it shows first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub account_id: AccountId,
    pub sequence: i64,
    pub fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the line is missing")]
    Missing,
    #[error(
        "the line does not follow from those before it: it, or one before it, was changed, put in or moved"
    )]
    Altered,
    #[error("the account's counter tells of another last line than the chain has")]
    Counter,
    #[error(
        "a checkpoint outside the database tells of another line here: the chain was rewritten from here or from before"
    )]
    Rewritten,
    #[error("the line is missing, and a checkpoint outside the database tells of it: the chain was cut off")]
    CutOff,
}

/// What checkpoints outside the database tell of accounts' chains: the hashes of some of their lines, in order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Witnessed(HashMap<AccountId, Vec<(i64, String)>>);

impl Witnessed {
    /// Adds a head that comes after those that were added for its account before.
    pub fn add(&mut self, head: Head) {
        self.0.entry(head.account_id).or_default().push((head.sequence, head.hash));
    }
}

/// What was found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub accounts: u64,
    pub lines: u64,
    /// Lines from before there was a chain, which nothing vouches for.
    pub unchained: u64,
    pub broken: Vec<Broken>,
}

/// Reads all lines of all accounts, as far as they had come when it began with each, and follows their chains.
pub async fn verify(db: &Db) -> Result<Verdict> {
    verify_against(db, Witnessed::default()).await
}

/// The same, and holds them against what was witnessed.
pub async fn verify_against(db: &Db, mut witnessed: Witnessed) -> Result<Verdict> {
    let (mut verdict, mut last) = (Verdict::default(), None);
    loop {
        let mut conn = db.read(Subtree::everything()).await?;
        let part = audit::chains(&mut conn, last, PART).await?;
        drop(conn);
        let Some(end) = part.last() else { break };
        last = Some(end.account_id);
        for chain in &part {
            verdict.accounts += 1;
            let known = witnessed.0.remove(&chain.account_id).unwrap_or_default();
            if let Some((sequence, fault)) = follow(db, chain, &known, &mut verdict).await? {
                verdict.broken.push(Broken { account_id: chain.account_id, sequence, fault });
            }
        }
    }
    // Of what is left there is no chain at all.
    let gone =
        witnessed.0.into_keys().map(|account_id| Broken { account_id, sequence: 1, fault: Fault::CutOff });
    verdict.broken.extend(gone);
    Ok(verdict)
}

/// Where an account's chain breaks, if it does.
async fn follow(
    db: &Db,
    chain: &Chain,
    known: &[(i64, String)],
    verdict: &mut Verdict,
) -> Result<Option<(i64, Fault)>> {
    let (mut head, mut sequence) = (String::new(), 0);
    let mut known = known.iter().peekable();
    while sequence < chain.lines {
        let mut conn = db.read(Subtree::everything()).await?;
        let wanted = PART.min(chain.lines - sequence);
        let part = audit::after(&mut conn, chain.account_id, sequence, wanted).await?;
        drop(conn);
        if part.first().is_none_or(|line| line.sequence != sequence + 1) {
            return Ok(Some((sequence + 1, Fault::Missing)));
        }
        for line in part {
            if line.sequence != sequence + 1 {
                return Ok(Some((sequence + 1, Fault::Missing)));
            }
            sequence = line.sequence;
            verdict.lines += 1;
            if head.is_empty() && line.hash.is_empty() {
                verdict.unchained += 1;
                continue;
            }
            head = chained(&head, sequence, &line.digest());
            if head != line.hash {
                return Ok(Some((sequence, Fault::Altered)));
            }
            while let Some((_, hash)) = known.next_if(|(at, _)| *at == sequence) {
                if *hash != head {
                    return Ok(Some((sequence, Fault::Rewritten)));
                }
            }
        }
    }
    if known.peek().is_some() {
        return Ok(Some((sequence + 1, Fault::CutOff)));
    }
    let beyond = chain.last.is_some_and(|last| last > chain.lines);
    Ok((beyond || head != chain.head).then_some((sequence, Fault::Counter)))
}
