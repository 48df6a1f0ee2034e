//! Making the audit's checkpoints.

use std::time::Duration;

use crate::model::Subtree;
use crate::model::accounts::checkpoints::{Checkpoint, Head, digest, heads};
use crate::model::ids::AccountId;
use crate::store::checkpoints::{self, Kept, Last};
use crate::store::{Db, Result, facts};

/// How many chains are looked at in one statement, and how many heads a checkpoint tells at most: where more chains have
/// grown, several checkpoints follow one another.
const PART: i64 = 500;
const MOST_HEADS: usize = 1000;

/// Who signs.
pub struct Signer<'a> {
    pub key: String,
    pub sign: &'a (dyn Fn(&str) -> String + Sync),
}

/// Makes the checkpoints that are due, if the last is so old by the database's clock; says how many. Of several replicas
/// that find the same one due, the one whose row is there first makes it, and the others leave the rest to it.
pub async fn make(db: &Db, period: Duration, signer: &Signer<'_>) -> Result<u64> {
    let seconds = i64::try_from(period.as_secs()).unwrap_or(i64::MAX);
    let mut last = checkpoints::last(&mut db.read(Subtree::everything()).await?, seconds).await?;
    if last.as_ref().is_some_and(|last| !last.is_old) {
        return Ok(0);
    }
    let (mut made, mut looked) = (0, None);
    loop {
        let (grown, end) = grown(db, looked).await?;
        // One is made even where nothing has grown, so that a clockwork that stands still shows.
        if grown.is_empty() && made > 0 {
            return Ok(made);
        }
        match add(db, last.as_ref(), &grown, signer).await? {
            None => return Ok(made),
            Some(next) => last = Some(next),
        }
        made += 1;
        match end {
            None => return Ok(made),
            end => looked = end,
        }
    }
}

/// The chains after an account that have grown since a checkpoint told of them, as many as fit one; and the account after
/// which to look on, if there is more to look at.
async fn grown(db: &Db, mut looked: Option<AccountId>) -> Result<(Vec<Head>, Option<AccountId>)> {
    let mut heads = Vec::new();
    loop {
        let mut conn = db.read(Subtree::everything()).await?;
        let part = checkpoints::standing(&mut conn, looked, PART).await?;
        drop(conn);
        let Some(end) = part.last() else { return Ok((heads, None)) };
        looked = Some(end.account_id);
        for chain in part {
            if chain.sequence != chain.witnessed && !chain.hash.is_empty() {
                heads.push(Head { account_id: chain.account_id, sequence: chain.sequence, hash: chain.hash });
            }
        }
        if heads.len() + PART as usize > MOST_HEADS {
            return Ok((heads, looked));
        }
        // Looking on is not all that this thread has to do.
        tokio::task::yield_now().await;
    }
}

async fn add(db: &Db, last: Option<&Last>, grown: &[Head], signer: &Signer<'_>) -> Result<Option<Last>> {
    let time = facts::database_time(&mut db.read(Subtree::everything()).await?).await?;
    let lines = heads(grown);
    let mut checkpoint = Checkpoint {
        number: last.map_or(0, |last| last.number) + 1,
        time,
        heads: grown.len() as u64,
        root: digest(&lines),
        before: last.map(|last| digest(&last.line)).unwrap_or_default(),
        key: signer.key.clone(),
        signature: String::new(),
    };
    checkpoint.signature = (signer.sign)(&checkpoint.said());
    let (number, line) = (checkpoint.number, checkpoint.line());
    let mut tx = db.write(Subtree::everything()).await?;
    let row = Kept { number, made_at: time, heads: lines, line: line.clone(), kept: false };
    if !checkpoints::insert(&mut tx, &row).await? {
        tx.undo().await?;
        return Ok(None);
    }
    checkpoints::witness(&mut tx, grown).await?;
    tx.commit().await?;
    Ok(Some(Last { number, line, made_at: time, is_old: false }))
}
