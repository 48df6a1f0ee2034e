//! The keys that tokens are signed with, one after another: when each is signed with, and for how long it is told.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::signing::SigningKey;
use super::tokens::{Claims, TokenFault, Verifier};
use crate::model::Time;
use crate::model::ids::SigningKeyId;

/// For how long a key is told to all before it is first signed with.
pub const AHEAD: Duration = Duration::from_secs(24 * 3600);
/// For how long a key is told after the next one was first signed with: no token lives longer than half of that, and
/// the rest is for clocks that are slow.
pub const AFTER: Duration = Duration::from_secs(2 * 3600);

/// A key's time. It follows from when keys were made alone, so that all replicas have the same idea of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    pub id: SigningKeyId,
    pub made: Time,
    /// From when on it is signed with, until the next one begins.
    pub begins: Time,
    /// From when on it is neither told nor taken; none while no other follows.
    pub ends: Option<Time>,
}

/// The terms of keys by when they were made, the oldest first. The oldest that is there is signed with at once.
pub fn terms(made: impl IntoIterator<Item = (SigningKeyId, Time)>) -> Vec<Term> {
    let mut terms: Vec<Term> =
        made.into_iter().map(|(id, made)| Term { id, made, begins: made.plus(AHEAD), ends: None }).collect();
    terms.sort_unstable_by_key(|term| (term.made, term.id));
    if let Some(first) = terms.first_mut() {
        first.begins = first.made;
    }
    for at in 1..terms.len() {
        terms[at - 1].ends = Some(terms[at].begins.plus(AFTER));
    }
    terms
}

/// Which of the terms is that of the key that is signed with.
pub fn current(terms: &[Term], now: Time) -> usize {
    terms.iter().rposition(|term| term.begins <= now).unwrap_or_default()
}

/// The keys of an installation at one time, for one issuer.
pub struct Keys {
    keys: Vec<SigningKey>,
    terms: Vec<Term>,
    verifier: Verifier,
    /// Tells these keys from others.
    name: [u8; 32],
}

impl Keys {
    /// Keys, at least one, each with when it was made.
    pub fn of(issuer: &str, made: Vec<(SigningKey, Time)>) -> Self {
        let terms = terms(made.iter().map(|(key, at)| (key.public().id, *at)));
        let mut keys: Vec<_> = made.into_iter().map(|(key, _)| key).collect();
        keys.sort_by_key(|key| terms.iter().position(|term| term.id == key.public().id));
        let told = keys.iter().zip(&terms).map(|(key, term)| (key.public(), term.ends));
        let verifier = Verifier::new(issuer, issuer, told);
        let mut name = Sha256::new();
        terms.iter().for_each(|term| name.update(term.id.to_string()));
        Self { keys, terms, verifier, name: name.finalize().into() }
    }

    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The token, signed with the key that is signed with now.
    pub fn issue(&self, claims: &Claims, now: Time) -> String {
        self.keys[current(&self.terms, now)].issue(claims)
    }

    /// What the token says, if it is ours and valid at `now`.
    pub fn verify(&self, token: &str, now: Time) -> Result<Claims, TokenFault> {
        self.verifier.verify(token, now)
    }

    /// By what it is remembered that these keys, and no others, found the token right.
    pub fn remembered_as(&self, token: &str) -> [u8; 32] {
        Sha256::new().chain_update(self.name).chain_update(token).finalize().into()
    }

    /// The key set that the world may see now.
    pub fn jwks(&self, now: Time) -> serde_json::Value {
        self.verifier.jwks(now)
    }
}

/// The keys as this process last saw them.
pub struct Keyring(RwLock<Arc<Keys>>);

impl Keyring {
    pub fn new(keys: Keys) -> Self {
        Self(RwLock::new(Arc::new(keys)))
    }

    pub fn keys(&self) -> Arc<Keys> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn replace(&self, keys: Keys) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// TOK-8
    #[test]
    fn a_key_is_told_a_day_ahead_and_two_hours_after_and_the_oldest_is_signed_with_at_once() {
        let at: Time = "2026-11-21T10:00:00Z".parse().unwrap();
        let (one, two) = (SigningKeyId::new(), SigningKeyId::new());
        let later = at.plus(HOUR * 100);
        let both = terms([(two, later), (one, at)]);
        assert_eq!(both[0], Term { id: one, made: at, begins: at, ends: Some(later.plus(HOUR * 26)) });
        assert_eq!(both[1], Term { id: two, made: later, begins: later.plus(HOUR * 24), ends: None });
        let micro = Duration::from_micros(1);
        assert_eq!(current(&both, later.plus(HOUR * 24).minus(micro)), 0);
        assert_eq!(current(&both, later.plus(HOUR * 24)), 1);
        assert_eq!(current(&both, at.minus(HOUR)), 0, "a clock that is slow signs with the oldest");
        assert_eq!(current(&terms([(two, later)]), later), 0);
    }
}
