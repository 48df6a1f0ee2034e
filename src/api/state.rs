//! What handlers need from the program around them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use actix_web::http::header::HeaderValue;
use moka::sync::Cache;
use tokio::sync::broadcast;
use zeroize::Zeroizing;

use super::body::Schemas;
use super::denials::Denials;
use super::oauth::Failures;
use super::request_log::RequestLog;
use super::routes::Routes;
use crate::access::delegations::Delegations;
use crate::access::digests::Digests;
use crate::access::keyring::Keyring;
use crate::access::principals::Principals;
use crate::access::revocations::Revocations;
use crate::access::seal::Sealer;
use crate::access::tokens::Claims;
use crate::access::veils::Veils;
use crate::clock::Clock;
use crate::config::{KeysConfig, Timeouts, TrustedProxies};
use crate::delivery::guard::Guard;
use crate::limits::Limiter;
use crate::limits::load::Load;
use crate::limits::storefronts::Storefronts;
use crate::model::connector::Register;
use crate::model::ids::OperationId;
use crate::store::Db;

/// How tokens are issued and told from others.
pub struct Tokens {
    pub issuer: String,
    pub ring: Arc<Keyring>,
    pub lifetime: Duration,
    /// Tokens whose signature was found right, by their SHA-256 and that of the keys, until they expire.
    pub verified: Cache<[u8; 32], Arc<Claims>>,
    pub revocations: Revocations,
    /// The clients that failed to authenticate of late.
    pub failures: Failures,
}

/// Keys for what is told to callers and must come back unaltered, or must not be guessed from.
pub struct Keys {
    pub fingerprint: Zeroizing<[u8; 32]>,
    pub cursor: Zeroizing<[u8; 32]>,
    pub digests: Digests,
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

/// How far a server is on its way to its end; it goes forward only.
#[derive(Debug, Default)]
pub struct Ending(AtomicU8);

impl Ending {
    /// Balancers are given time to look elsewhere: all is answered, and kept connections are given up.
    pub fn drain(&self) {
        self.0.fetch_max(1, Ordering::Relaxed);
    }

    /// What is asked from now on is refused.
    pub fn close(&self) {
        self.0.fetch_max(2, Ordering::Relaxed);
    }

    pub fn is_draining(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    pub fn is_closed(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 1
    }
}

/// Shared by all workers of the API.
pub struct State {
    pub db: Db,
    pub clock: Clock,
    pub connectors: Arc<dyn Register>,
    pub sealer: Arc<Sealer>,
    pub veils: Veils,
    pub principals: Principals,
    pub delegations: Delegations,
    /// The operations that the operator has taken from all sellers, in the accounts below them.
    pub withheld: Vec<String>,
    /// The operations that the operator wants an `Idempotency-Key` with.
    pub keys_required: Vec<String>,
    /// How long a key may last.
    pub key_ends: KeysConfig,
    pub tokens: Tokens,
    pub keys: Keys,
    pub guard: Guard,
    pub signals: Signals,
    /// Where refusals go that the audit is to have.
    pub denials: Denials,
    pub requests: Arc<RequestLog>,
    pub limiter: Limiter,
    /// The limits of storefronts' keys.
    pub storefronts: Storefronts,
    /// What is worked on at once.
    pub load: Arc<Load>,
    /// The header `RateLimit-Policy` for each class of keys.
    pub rate_policies: Vec<HeaderValue>,
    pub trusted_proxies: TrustedProxies,
    pub replies_kept: Duration,
    pub timeouts: Timeouts,
    /// Whether callers reach us through TLS.
    pub secure: bool,
    pub schemas: Schemas,
    pub routes: Routes,
    /// How far the server is on its way to its end.
    pub ending: Arc<Ending>,
    /// The OpenAPI document as it is served, and its entity tag.
    pub document: bytes::Bytes,
    pub document_tag: String,
}

impl State {
    /// Forgets who may come in and what it may do: a key, an account or a hold was changed through this replica.
    pub fn forget(&self) {
        self.principals.forget();
        self.delegations.forget();
    }
}
