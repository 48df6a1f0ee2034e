//! Addresses in the audit: sealed with a key of the account that came from there. The chain is over what is sealed, so
//! that it stays whole when the key is forgotten, and the addresses with it.

use std::sync::Arc;

use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use moka::future::Cache;
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::principals::MEMORY;
use super::random;
use super::seal::{Context, Sealer, decrypt, encrypt};
use crate::model::Subtree;
use crate::model::ids::AccountId;
use crate::store::{Db, Result, audit_keys};

/// How sealed addresses begin; those from before they were sealed do not.
const VERSION: &str = "a1.";
/// How many keys are remembered at most.
const CAPACITY: u64 = 10_000;

type Key = Arc<Zeroizing<[u8; 32]>>;

/// Seals and opens addresses.
#[derive(Clone)]
pub struct Veils {
    sealer: Arc<Sealer>,
    seen: Cache<AccountId, Key>,
}

impl Veils {
    pub fn new(sealer: Arc<Sealer>) -> Self {
        Self { sealer, seen: Cache::builder().max_capacity(CAPACITY).time_to_live(MEMORY).build() }
    }

    /// The address as the audit keeps it.
    pub async fn seal(&self, db: &Db, of: AccountId, address: &str) -> Result<String> {
        let key = match self.key(db, of).await? {
            Some(key) => key,
            None => self.new_key(db, of).await?,
        };
        let cipher = XChaCha20Poly1305::new((&**key).into());
        Ok(format!("{VERSION}{}", encrypt(&cipher, of.to_string().as_bytes(), address.as_bytes())))
    }

    /// The address; none if its account's key was forgotten.
    pub async fn open(&self, db: &Db, of: AccountId, kept: String) -> Result<Option<String>> {
        let Some(sealed) = kept.strip_prefix(VERSION) else { return Ok(Some(kept)) };
        let Some(key) = self.key(db, of).await? else { return Ok(None) };
        let cipher = XChaCha20Poly1305::new((&**key).into());
        let opened = decrypt(&cipher, of.to_string().as_bytes(), sealed);
        Ok(opened.ok().and_then(|address| String::from_utf8(address).ok()))
    }

    async fn key(&self, db: &Db, of: AccountId) -> Result<Option<Key>> {
        if let Some(key) = self.seen.get(&of).await {
            return Ok(Some(key));
        }
        let mut conn = db.read(Subtree::everything()).await?;
        let kept = audit_keys::find(&mut conn, of).await?;
        drop(conn);
        let account = of.to_string();
        let opened = kept.and_then(|kept| self.sealer.open(&context(&account), &kept).ok());
        let bytes = opened.and_then(|key| <[u8; 32]>::try_from(key.expose_secret()).ok());
        let Some(bytes) = bytes else { return Ok(None) };
        let key = Arc::new(Zeroizing::new(bytes));
        self.seen.insert(of, key.clone()).await;
        Ok(Some(key))
    }

    async fn new_key(&self, db: &Db, of: AccountId) -> Result<Key> {
        let account = of.to_string();
        let sealed = self.sealer.seal(&context(&account), &*Zeroizing::new(random::bytes::<32>()));
        let mut tx = db.write(Subtree::everything()).await?;
        audit_keys::insert(&mut tx, of, &sealed).await?;
        tx.commit().await?;
        // Another may have been faster.
        self.key(db, of).await?.ok_or(sqlx::Error::RowNotFound)
    }
}

fn context(account: &str) -> Context<'_> {
    Context { table: "audit_keys", column: "key", account_id: account, record_id: account }
}
