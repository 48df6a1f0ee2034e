//! Storefronts' keys, remembered for as long as API keys are.

use std::sync::Arc;

use super::fresh::Remembered;
use crate::model::accounts::storefront_keys::Storefront;
use crate::model::ids::KeyId;
use crate::model::{Subtree, Time};
use crate::store::accounts::storefront_keys::storefront;
use crate::store::{Db, Result};

/// How many keys are remembered at most, known and unknown ones.
const CAPACITY: u64 = 20_000;

/// The storefronts' keys seen lately.
#[derive(Clone)]
pub struct Storefronts {
    seen: Remembered<KeyId, Option<Arc<Storefront>>>,
}

impl Storefronts {
    #[expect(clippy::new_without_default, reason = "it is made once, by name")]
    pub fn new() -> Self {
        Self { seen: Remembered::new(CAPACITY) }
    }

    /// The key with its account; none if there is no such key.
    pub async fn find(&self, db: &Db, id: KeyId, now: Time) -> Result<Option<Arc<Storefront>>> {
        let load = async || {
            let mut conn = db.read(Subtree::everything()).await?;
            storefront(&mut conn, id).await.map(|found| found.map(Arc::new))
        };
        self.seen.find(id, now, load).await
    }

    /// Forgets all.
    pub fn forget(&self) {
        self.seen.forget();
    }
}
