//! What accounts let those above them do, remembered for a few seconds so that most requests ask the database nothing.

use std::sync::{Arc, Mutex, PoisonError};

use super::fresh::{Changes, Moment};
use crate::model::accounts::delegation::Walls;
use crate::model::{Subtree, Time};
use crate::store::accounts::accounts::walls;
use crate::store::{Db, Result};

/// What was said, and when it was asked.
type Known = Option<(Moment, Arc<Walls>)>;

/// All of it at once: few accounts say anything.
#[derive(Clone, Default)]
pub struct Delegations {
    known: Arc<Mutex<Known>>,
    changes: Changes,
}

impl Delegations {
    /// The accounts that do not let those above them do everything.
    pub async fn walls(&self, db: &Db, now: Time) -> Result<Arc<Walls>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((then, walls)) = known
            && self.changes.since(then, now)
        {
            return Ok(walls);
        }
        Box::pin(self.asked(db, now)).await
    }

    async fn asked(&self, db: &Db, now: Time) -> Result<Arc<Walls>> {
        let moment = self.changes.moment(now);
        let said = walls(&mut db.read(Subtree::everything()).await?).await?;
        let walls = Arc::new(Walls::new(said));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((moment, walls.clone()));
        Ok(walls)
    }

    /// Forgets all: an account was changed through this replica.
    pub fn forget(&self) {
        self.changes.note();
    }
}
