//! Whether the audit's checkpoints, as they stand in files outside the database, are whole and are the database's.

use std::collections::BTreeMap;

use super::audit::Witnessed;
use crate::model::Subtree;
use crate::model::accounts::checkpoints::{Checkpoint, Found, digest};
use crate::store::{Db, Result, checkpoints};

/// How many checkpoints of the database are read at a time.
const PART: i64 = 50;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it is not in the files")]
    Missing,
    #[error("its line or one of its heads was changed, put in or taken away")]
    Altered,
    #[error("it was not signed with the audit's key")]
    Forged,
    #[error("it does not follow from the one before")]
    Parted,
    #[error("the database has none of this number")]
    Unknown,
    #[error("the database, or another file, has another one of this number")]
    Other,
}

/// What is wrong with the checkpoint of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadCheckpoint {
    pub number: i64,
    pub fault: Fault,
}

/// Checkpoints of several files, each once.
#[derive(Debug, Default)]
pub struct Witnesses {
    found: BTreeMap<i64, Found>,
    bad: Vec<BadCheckpoint>,
}

impl Witnesses {
    /// Adds what was found in a file, in any order.
    pub fn add(&mut self, file: Vec<Found>, has_signed: impl Fn(&Checkpoint) -> bool) {
        for found in file {
            let number = found.checkpoint.number;
            let fault = match (found.fits, has_signed(&found.checkpoint)) {
                (_, false) => Some(Fault::Forged),
                (false, true) => Some(Fault::Altered),
                (true, true) if self.found.get(&number).is_some_and(|known| known.line != found.line) => {
                    Some(Fault::Other)
                }
                (true, true) => None,
            };
            match fault {
                Some(fault) => self.bad.push(BadCheckpoint { number, fault }),
                None => {
                    self.found.insert(number, found);
                }
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.found.len()
    }

    /// What is wrong with the checkpoints, in the order of their numbers; those of the database up to `newest` have to be
    /// in the files.
    pub async fn compare(&self, db: &Db, newest: i64) -> Result<Vec<BadCheckpoint>> {
        let mut bad = self.bad.clone();
        let (mut last, mut known) = (0, BTreeMap::new());
        loop {
            let mut conn = db.read(Subtree::everything()).await?;
            let part = checkpoints::after(&mut conn, last, PART).await?;
            let Some(end) = part.last() else { break };
            last = end.number;
            known.extend(part.into_iter().map(|row| (row.number, (row.line, row.kept))));
        }
        let end = self.found.keys().next_back().copied().unwrap_or_default().max(newest);
        let mut before = Some(String::new());
        for number in 1..=end {
            let (found, row) = (self.found.get(&number), known.get(&number));
            let fault = match (found, row, &before) {
                (None, ..) if bad.iter().any(|bad| bad.number == number) => None,
                (None, Some((_, false)), _) => None,
                (None, ..) => Some(Fault::Missing),
                (Some(found), _, Some(before)) if found.checkpoint.before != *before => Some(Fault::Parted),
                (Some(_), None, _) => Some(Fault::Unknown),
                (Some(found), Some((line, _)), _) if *line != found.line => Some(Fault::Other),
                _ => None,
            };
            bad.extend(fault.map(|fault| BadCheckpoint { number, fault }));
            before = found.map(|found| digest(&found.line));
        }
        bad.sort_by_key(|bad| bad.number);
        Ok(bad)
    }

    /// What they tell of accounts' chains.
    pub fn witnessed(self) -> Witnessed {
        let mut witnessed = Witnessed::default();
        self.found.into_values().flat_map(|found| found.heads).for_each(|head| witnessed.add(head));
        witnessed
    }
}
