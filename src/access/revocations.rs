//! Which access tokens were revoked, remembered for a few seconds so that most requests ask the database nothing.

use std::sync::Arc;

use moka::future::Cache;

use super::principals::MEMORY;
use crate::model::Subtree;
use crate::store::{Db, Result, tokens};

/// How many tokens are remembered at most.
const CAPACITY: u64 = 100_000;

/// The tokens seen lately, and whether they were revoked.
#[derive(Clone)]
pub struct Revocations {
    seen: Cache<Arc<str>, bool>,
}

impl Revocations {
    #[expect(clippy::new_without_default, reason = "it is made once, by name")]
    pub fn new() -> Self {
        Self { seen: Cache::builder().max_capacity(CAPACITY).time_to_live(MEMORY).build() }
    }

    /// Whether the token of that `jti` was revoked; on another replica, up to [`MEMORY`] ago may go unnoticed.
    pub async fn has(&self, db: &Db, jti: &str) -> Result<bool> {
        if let Some(revoked) = self.seen.get(jti).await {
            return Ok(revoked);
        }
        let load = async {
            let mut conn = db.read(Subtree::everything()).await?;
            tokens::is_revoked(&mut conn, jti).await
        };
        self.seen.try_get_with(jti.into(), load).await.map_err(|error| {
            Arc::try_unwrap(error).unwrap_or_else(|shared| sqlx::Error::Protocol(shared.to_string()))
        })
    }

    /// Notes that the token was revoked through this replica.
    pub async fn note(&self, jti: &str) {
        self.seen.insert(jti.into(), true).await;
    }
}
