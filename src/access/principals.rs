//! Who a credential stands for, remembered for a few seconds so that most requests ask the database nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

pub use super::fresh::MEMORY;
use super::fresh::Remembered;
use super::storefronts::Storefronts;
use crate::model::accounts::addresses::network;
use crate::model::ids::KeyId;
use crate::model::{Subtree, Time};
use crate::store::accounts::keys::{Credential, credential, touch};
use crate::store::{Db, Result};

/// How many keys are remembered at most, known and unknown ones.
const CAPACITY: u64 = 100_000;

/// When a key was last used, and from where.
type Use = (Time, Option<IpAddr>);

/// The keys seen lately, and when they were last used.
#[derive(Clone)]
pub struct Principals {
    pub storefronts: Storefronts,
    seen: Remembered<KeyId, Option<Arc<Credential>>>,
    used: Arc<Mutex<HashMap<KeyId, Use>>>,
}

impl Principals {
    #[expect(clippy::new_without_default, reason = "it is made once, by name")]
    pub fn new() -> Self {
        Self { storefronts: Storefronts::new(), seen: Remembered::new(CAPACITY), used: Arc::default() }
    }

    /// The key with its account; none if there is no such key.
    pub async fn find(&self, db: &Db, id: KeyId, now: Time) -> Result<Option<Arc<Credential>>> {
        let load = async || {
            let mut conn = db.read(Subtree::everything()).await?;
            credential(&mut conn, id).await.map(|found| found.map(Arc::new))
        };
        self.seen.find(id, now, load).await
    }

    /// The key with its account, from the database and not from memory, so that a key that is known is found no sooner
    /// than one that is not.
    pub async fn look_up(&self, db: &Db, id: KeyId) -> Result<Option<Arc<Credential>>> {
        let mut conn = db.read(Subtree::everything()).await?;
        credential(&mut conn, id).await.map(|found| found.map(Arc::new))
    }

    /// Forgets all: a key, an account or a hold was changed through this replica.
    pub fn forget(&self) {
        self.seen.forget();
        self.storefronts.forget();
    }

    /// Notes that the key was used; [`Principals::write_back`] keeps it.
    pub fn used(&self, id: KeyId, now: Time, address: Option<IpAddr>) {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(id, (now, address));
    }

    /// Writes when keys were last used and from where; what a crash loses is less than the time between two calls.
    pub async fn write_back(&self, db: &Db) -> Result<()> {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        if used.is_empty() {
            return Ok(());
        }
        let mut tx = db.write(Subtree::everything()).await?;
        let mut used: Vec<_> = used.into_iter().collect();
        used.sort_unstable_by_key(|(id, _)| *id);
        for (id, (at, address)) in used {
            touch(&mut tx, id, at, address.map(network).as_deref()).await?;
        }
        tx.commit().await
    }
}
