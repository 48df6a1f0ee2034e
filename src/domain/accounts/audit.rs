//! Whether the audit's chains are whole.

use crate::model::Subtree;
use crate::model::ids::AccountId;
use crate::store::audit::{self, Chain, chained};
use crate::store::{Db, Result};

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
    let (mut verdict, mut last) = (Verdict::default(), None);
    loop {
        let mut conn = db.read(Subtree::everything()).await?;
        let part = audit::chains(&mut conn, last, PART).await?;
        drop(conn);
        let Some(end) = part.last() else { return Ok(verdict) };
        last = Some(end.account_id);
        for chain in &part {
            verdict.accounts += 1;
            if let Some((sequence, fault)) = follow(db, chain, &mut verdict).await? {
                verdict.broken.push(Broken { account_id: chain.account_id, sequence, fault });
            }
        }
    }
}

/// Where an account's chain breaks, if it does.
async fn follow(db: &Db, chain: &Chain, verdict: &mut Verdict) -> Result<Option<(i64, Fault)>> {
    let (mut head, mut sequence) = (String::new(), 0);
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
        }
    }
    let beyond = chain.last.is_some_and(|last| last > chain.lines);
    Ok((beyond || head != chain.head).then_some((sequence, Fault::Counter)))
}
