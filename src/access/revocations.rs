//! Which access tokens were revoked, remembered for as long as API keys are.

use std::sync::Arc;

use super::fresh::Remembered;
use crate::model::{Subtree, Time};
use crate::store::{Db, Result, tokens};

/// How many tokens are remembered at most.
const CAPACITY: u64 = 100_000;

/// The tokens seen lately, and whether they were revoked.
#[derive(Clone)]
pub struct Revocations {
    seen: Remembered<Arc<str>, bool>,
}

impl Revocations {
    #[expect(clippy::new_without_default, reason = "it is made once, by name")]
    pub fn new() -> Self {
        Self { seen: Remembered::new(CAPACITY) }
    }

    /// Whether the token of that `jti` was revoked.
    pub async fn has(&self, db: &Db, jti: &str, now: Time) -> Result<bool> {
        let load = async || {
            let mut conn = db.read(Subtree::everything()).await?;
            tokens::is_revoked(&mut conn, jti).await
        };
        self.seen.find(jti.into(), now, load).await
    }

    /// Forgets all: a token was revoked through this replica.
    pub fn forget(&self) {
        self.seen.forget();
    }
}
