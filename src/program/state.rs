//! What the API's handlers are given of an opened installation.

use std::sync::Arc;
use std::time::Instant;

use actix_web::web;
use moka::sync::Cache;

use super::{Program, Stop};
use crate::access::delegations::Delegations;
use crate::access::digests::Digests;
use crate::access::revocations::Revocations;
use crate::access::veils::Veils;
use crate::api::{self, Denials, Ending, Keys, Signals, State, Tokens, body::Schemas};
use crate::config::{Config, ServerConfig};
use crate::delivery::guard::Guard;
use crate::limits::load::Load;
use crate::limits::storefronts::Storefronts;
use crate::limits::{Limiter, Quotas, Shared};

/// How many verified tokens are remembered.
const TOKENS: u64 = 100_000;

pub(super) fn state(
    program: &Arc<Program>,
    guard: Guard,
    signals: Signals,
    (denials, requests): (Denials, Arc<api::RequestLog>),
    ending: Arc<Ending>,
    shared: Option<Arc<Shared>>,
) -> web::Data<State> {
    let document = api::document();
    let served = serde_json::to_vec(&document).expect("the document serializes");
    let issuer = program.config.server.public_url.clone();
    let lifetime = program.config.tokens.lifetime();
    let limits = &program.config.limits;
    let limiter = Limiter::new(
        Quotas {
            key: limits.key_classes(),
            account: limits.account_per_minute,
            subtree: limits.subtree_per_minute,
            address: limits.address_per_minute,
            address_posts: limits.address_posts_per_minute,
            posts: limits.posts_per_minute,
        },
        shared,
    );
    let server = &program.config.server;
    let capacity = server.http_workers * ServerConfig::REQUESTS_PER_WORKER;
    let load = Load::new(capacity, server.longest_wait(), Instant::now());
    let header = |text: String| text.try_into().expect("names and numbers make a header");
    let rate_policies = limiter.policy_headers().map(header).collect();
    web::Data::new(State {
        db: program.db.clone(),
        clock: program.clock.clone(),
        connectors: Arc::new(program.connectors.clone()),
        sealer: program.sealer.clone(),
        veils: Veils::new(program.sealer.clone()),
        principals: program.principals.clone(),
        delegations: Delegations::default(),
        withheld: program.config.delegation.withheld.clone(),
        keys_required: program.config.requests.require_idempotency_key.clone(),
        key_ends: program.config.keys.clone(),
        tokens: Tokens {
            issuer,
            ring: program.ring.clone(),
            lifetime,
            verified: Cache::builder().max_capacity(TOKENS).time_to_live(lifetime).build(),
            revocations: Revocations::new(),
            failures: api::Failures::new(),
        },
        keys: Keys {
            fingerprint: program.derived.fingerprints.clone(),
            cursor: program.derived.cursors.clone(),
            digests: Digests::new(program.derived.digests.clone()),
        },
        guard,
        signals,
        denials,
        requests,
        limiter,
        storefronts: Storefronts::new(),
        load,
        rate_policies,
        trusted_proxies: program.config.server.trusted_proxies.clone(),
        timeouts: program.config.server.timeouts,
        secure: program.config.server.is_secure(),
        replies_kept: program.config.tokens.idempotency_retention(),
        schemas: Schemas::of(&document),
        routes: api::Routes::of(&document),
        ending,
        document_tag: api::content_tag(&served),
        document: served.into(),
    })
}

/// Refuses settings that name an operation which is none: whoever mistypes one would have withheld or demanded nothing.
pub(super) fn check_operations(config: &Config) -> Result<(), Stop> {
    let (withheld, required) = (&config.delegation.withheld, &config.requests.require_idempotency_key);
    if withheld.is_empty() && required.is_empty() {
        return Ok(());
    }
    let routes = api::Routes::of(&api::document());
    let known = |name: &str| routes.all().any(|route| route.operation_id == name);
    let takes_key = |name: &str| routes.all().any(|route| route.operation_id == name && route.takes_key);
    if let Some(name) = withheld.iter().find(|name| !known(name)) {
        return Err(Stop::unsafe_to_run(format!("delegation.withheld: there is no operation {name}")));
    }
    match required.iter().find(|name| !takes_key(name)) {
        None => Ok(()),
        Some(name) => {
            let what = "requests.require_idempotency_key";
            let why = format!("{what}: there is no operation {name} that takes an Idempotency-Key");
            Err(Stop::unsafe_to_run(why))
        }
    }
}
