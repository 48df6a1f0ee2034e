//! What handlers need from the program around them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::broadcast;
use zeroize::Zeroizing;

use super::body::Schemas;
use super::document::Routes;
use crate::access::principals::Principals;
use crate::access::seal::Sealer;
use crate::access::signing::SigningKey;
use crate::access::tokens::{Claims, Verifier};
use crate::clock::Clock;
use crate::config::TrustedProxies;
use crate::delivery::guard::Guard;
use crate::model::connector::Register;
use crate::model::ids::OperationId;
use crate::store::Db;

/// How tokens are issued and told from others.
pub struct Tokens {
    pub issuer: String,
    pub signing: Arc<SigningKey>,
    pub verifier: Verifier,
    pub lifetime: Duration,
    /// Tokens whose signature was found right, by their SHA-256, until they expire.
    pub verified: Cache<[u8; 32], Arc<Claims>>,
}

/// Keys for what is told to callers and must come back unaltered.
pub struct Keys {
    pub fingerprint: Zeroizing<[u8; 32]>,
    pub cursor: Zeroizing<[u8; 32]>,
}

/// What the parts of one process tell each other.
#[derive(Clone)]
pub struct Signals {
    /// Says that something was queued for the workers.
    pub queued: Arc<dyn Fn() + Send + Sync>,
    /// Says that events were recorded.
    pub recorded: Arc<dyn Fn() + Send + Sync>,
    /// Where it is heard which operations end in this process.
    pub ended: broadcast::Sender<OperationId>,
}

/// Shared by all workers of the API.
pub struct State {
    pub db: Db,
    pub clock: Clock,
    pub connectors: Arc<dyn Register>,
    pub sealer: Arc<Sealer>,
    pub principals: Principals,
    pub tokens: Tokens,
    pub keys: Keys,
    pub guard: Guard,
    pub signals: Signals,
    pub trusted_proxies: TrustedProxies,
    pub replies_kept: Duration,
    pub schemas: Schemas,
    pub routes: Routes,
    /// Whether the server is about to stop, so that kept connections are given up.
    pub draining: Arc<AtomicBool>,
    /// The OpenAPI document as it is served.
    pub document: bytes::Bytes,
}
