//! Envelope encryption of what the database must not tell: each text has a data key of its own, and that is
//! wrapped under the key-encryption key.
//!
//! A sealed text is `s1.<key>.<wrapped data key>.<content>`: the key that wraps has a name, so that texts under
//! an older one can be told apart and wrapped anew without touching their content.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::hkdf;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use secrecy::{SecretSlice, SecretString};
use zeroize::{Zeroize, Zeroizing};

use super::kek::{Kek, Keks};
use super::random;

const VERSION: &str = "s1";
const NONCE: usize = 24;
const TAG: usize = 16;

/// The one place a sealed text can be opened for.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub table: &'a str,
    pub column: &'a str,
    pub account_id: &'a str,
    pub record_id: &'a str,
}

impl Context<'_> {
    /// The context and what is encrypted there; each part is preceded by its length, so that no two can be confused.
    fn bound(&self, what: &str, key: &str) -> Vec<u8> {
        let parts = [VERSION, what, self.table, self.column, self.account_id, self.record_id, key];
        let mut bound = Vec::with_capacity(192);
        for part in parts {
            bound.extend((part.len() as u64).to_be_bytes());
            bound.extend(part.as_bytes());
        }
        bound
    }
}

/// Why a sealed text was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("not a sealed text")]
    Malformed,
    #[error("sealed under another key-encryption key")]
    OtherKey,
    #[error("altered, or sealed for another place")]
    Refused,
}

/// Seals texts for the database and opens them again.
///
/// It opens what lies under any of its keys, and seals under one of them, the current one.
pub struct Sealer {
    keys: Vec<Key>,
    current: AtomicUsize,
}

/// A key-encryption key and what follows from it.
struct Key {
    kek: Kek,
    name: String,
    wrap: XChaCha20Poly1305,
}

impl Key {
    fn new(kek: Kek) -> Self {
        let mut name = [0; 8];
        expand(&kek, "seal/name", &mut name);
        let mut key = Zeroizing::new([0; 32]);
        expand(&kek, "seal/wrap", key.as_mut());
        Self { wrap: XChaCha20Poly1305::new((&*key).into()), name: hex::encode(name), kek }
    }

    fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        expand(&self.kek, purpose, key.as_mut());
        key
    }

    fn check_value(&self) -> String {
        format!("{VERSION}.{}.{}", self.name, BASE64.encode(*self.derive("seal/check")))
    }
}

/// A sealed text, taken apart.
struct Parts<'a> {
    name: &'a str,
    wrapped: &'a str,
    content: &'a str,
}

impl<'a> Parts<'a> {
    fn of(sealed: &'a str) -> Result<Self, SealError> {
        let mut parts = sealed.split('.');
        match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(VERSION), Some(name), Some(wrapped), Some(content), None) => {
                Ok(Self { name, wrapped, content })
            }
            _ => Err(SealError::Malformed),
        }
    }
}

impl Sealer {
    /// With one key alone.
    pub fn new(kek: Kek) -> Self {
        Self::of(Keks { newest: kek, older: Vec::new() })
    }

    /// With all keys there are; the newest is the current one until [`Sealer::seal_under`] says otherwise.
    pub fn of(keks: Keks) -> Self {
        let keys = std::iter::once(keks.newest).chain(keks.older).map(Key::new).collect();
        Self { keys, current: AtomicUsize::new(0) }
    }

    fn current(&self) -> &Key {
        &self.keys[self.current.load(Ordering::Acquire)]
    }

    /// The names of the keys, the newest first. They tell nothing about the keys.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.name.as_str())
    }

    /// The name of the key that is sealed under.
    pub fn current_name(&self) -> &str {
        &self.current().name
    }

    /// Seals from now on under the key that has this check value; says whether it is one of the keys.
    pub fn seal_under(&self, check_value: &str) -> bool {
        let found = self.keys.iter().position(|key| key.check_value() == check_value);
        if let Some(at) = found {
            self.current.store(at, Ordering::Release);
        }
        found.is_some()
    }

    /// The text to keep in the place that `context` names. Two seals of one text have nothing in common.
    pub fn seal(&self, context: &Context, plaintext: &[u8]) -> String {
        let key = Zeroizing::new(random::bytes::<32>());
        let content =
            encrypt(&XChaCha20Poly1305::new((&*key).into()), &context.bound("content", ""), plaintext);
        wrapped(self.current(), context, key.as_ref(), &content)
    }

    /// The text with its data key wrapped under the current key, and its content as it is; none if it lies under that
    /// key already.
    pub fn rewrap(&self, context: &Context, sealed: &str) -> Result<Option<String>, SealError> {
        let parts = Parts::of(sealed)?;
        let current = self.current();
        if parts.name == current.name {
            return Ok(None);
        }
        let key = self.data_key(context, &parts)?;
        Ok(Some(wrapped(current, context, &key, parts.content)))
    }

    /// What was sealed, if the text is unaltered and stands where it was sealed for.
    pub fn open(&self, context: &Context, sealed: &str) -> Result<SecretSlice<u8>, SealError> {
        self.decrypt(context, sealed).map(SecretSlice::from)
    }

    /// What was sealed, as a text.
    pub fn open_text(&self, context: &Context, sealed: &str) -> Result<SecretString, SealError> {
        match String::from_utf8(self.decrypt(context, sealed)?) {
            Ok(text) => Ok(SecretString::from(text)),
            Err(other) => {
                other.into_bytes().zeroize();
                Err(SealError::Malformed)
            }
        }
    }

    fn decrypt(&self, context: &Context, sealed: &str) -> Result<Vec<u8>, SealError> {
        let parts = Parts::of(sealed)?;
        let key = self.data_key(context, &parts)?;
        let key = XChaCha20Poly1305::new_from_slice(&key).map_err(|_| SealError::Malformed)?;
        decrypt(&key, &context.bound("content", ""), parts.content)
    }

    fn data_key(&self, context: &Context, parts: &Parts<'_>) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let key = self.keys.iter().find(|key| key.name == parts.name).ok_or(SealError::OtherKey)?;
        decrypt(&key.wrap, &context.bound("key", parts.name), parts.wrapped).map(Zeroizing::new)
    }

    /// A text that only the current key-encryption key gives: kept at the first start and compared at every other.
    pub fn check_value(&self) -> String {
        self.current().check_value()
    }

    /// The check value of the newest key, the one that a rotation moves to.
    pub fn newest_check_value(&self) -> String {
        self.keys[0].check_value()
    }

    /// A key for one purpose, from the current key-encryption key; the keys of other purposes do not follow from it.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        self.current().derive(purpose)
    }
}

/// The sealed text of a content and the key it is encrypted with.
fn wrapped(under: &Key, context: &Context, key: &[u8], content: &str) -> String {
    let wrapped = encrypt(&under.wrap, &context.bound("key", &under.name), key);
    format!("{VERSION}.{}.{wrapped}.{content}", under.name)
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("key", &self.current_name()).finish_non_exhaustive()
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-SHA256 of the key-encryption key.
fn expand(kek: &Kek, purpose: &str, into: &mut [u8]) {
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"tenantry")
        .extract(kek.bytes())
        .expand(&[purpose.as_bytes()], Length(into.len()))
        .and_then(|derived| derived.fill(into))
        .expect("HKDF-SHA256 gives up to 8160 bytes, and no more than 32 are asked for");
}

/// Nonce, tag and cipher text in base64.
pub(super) fn encrypt(cipher: &XChaCha20Poly1305, bound: &[u8], plaintext: &[u8]) -> String {
    let nonce = random::bytes::<NONCE>();
    let mut sealed = vec![0; NONCE + TAG + plaintext.len()];
    sealed[..NONCE].copy_from_slice(&nonce);
    sealed[NONCE + TAG..].copy_from_slice(plaintext);
    let tag = cipher
        .encrypt_in_place_detached(XNonce::from_slice(&nonce), bound, &mut sealed[NONCE + TAG..])
        .expect("XChaCha20-Poly1305 takes up to 256 GiB, more than any column");
    sealed[NONCE..NONCE + TAG].copy_from_slice(&tag);
    BASE64.encode(sealed)
}

pub(super) fn decrypt(cipher: &XChaCha20Poly1305, bound: &[u8], sealed: &str) -> Result<Vec<u8>, SealError> {
    let sealed = BASE64.decode(sealed).map_err(|_| SealError::Malformed)?;
    let (nonce, rest) = sealed.split_at_checked(NONCE).ok_or(SealError::Malformed)?;
    let (tag, content) = rest.split_at_checked(TAG).ok_or(SealError::Malformed)?;
    // Of exactly this length, so that it becomes a secret without being copied.
    let mut plaintext = content.to_vec();
    cipher
        .decrypt_in_place_detached(XNonce::from_slice(nonce), bound, &mut plaintext, Tag::from_slice(tag))
        .map_err(|_| SealError::Refused)?;
    Ok(plaintext)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const HERE: Context<'static> =
        Context { table: "webhook_endpoints", column: "secret", account_id: "acc_1", record_id: "whk_1" };

    fn sealer() -> Sealer {
        Sealer::new(Kek::generate())
    }

    #[test]
    fn what_is_sealed_opens_as_itself_where_it_was_sealed_for() {
        let sealer = sealer();
        for text in ["", "whsec_abc", &"ä".repeat(5_000)] {
            let sealed = sealer.seal(&HERE, text.as_bytes());
            assert_eq!(sealer.open_text(&HERE, &sealed).unwrap().expose_secret(), text);
            assert_eq!(sealer.open(&HERE, &sealed).unwrap().expose_secret(), text.as_bytes());
        }
        let bytes = sealer.seal(&HERE, &[0xff, 0xfe]);
        assert_eq!(sealer.open_text(&HERE, &bytes).unwrap_err(), SealError::Malformed);
    }

    /// SEC-1
    #[test]
    fn a_text_moved_to_another_row_column_table_or_account_stays_shut() {
        let sealer = sealer();
        let sealed = sealer.seal(&HERE, b"secret");
        let elsewhere = [
            Context { table: "webhook_endpoint", ..HERE },
            Context { column: "secrets", ..HERE },
            Context { account_id: "acc_2", ..HERE },
            Context { record_id: "whk_2", ..HERE },
            // The same characters, cut at another place.
            Context { account_id: "acc_1w", record_id: "hk_1", ..HERE },
        ];
        for context in elsewhere {
            assert_eq!(sealer.open(&context, &sealed).unwrap_err(), SealError::Refused, "{context:?}");
        }
    }

    #[test]
    fn a_wrapped_key_or_content_taken_from_another_text_opens_nothing() {
        let sealer = sealer();
        let (one, two) = (sealer.seal(&HERE, b"one"), sealer.seal(&HERE, b"two"));
        let (one, two): (Vec<_>, Vec<_>) = (one.split('.').collect(), two.split('.').collect());
        let mixed = [one[0], one[1], one[2], two[3]].join(".");
        assert_eq!(sealer.open(&HERE, &mixed).unwrap_err(), SealError::Refused);
        let doubled = [one[0], one[1], one[3], one[3]].join(".");
        assert_eq!(sealer.open(&HERE, &doubled).unwrap_err(), SealError::Refused);
    }

    /// SEC-1
    #[test]
    fn every_altered_character_is_noticed() {
        let sealer = sealer();
        let sealed = sealer.seal(&HERE, b"secret");
        for at in 0..sealed.len() {
            let mut altered = sealed.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            assert!(sealer.open(&HERE, std::str::from_utf8(&altered).unwrap()).is_err(), "{at}");
            assert!(sealer.open(&HERE, &sealed[..at]).is_err(), "{at}");
        }
        assert!(sealer.open(&HERE, &format!("{sealed}.")).is_err());
    }

    #[test]
    fn another_key_opens_nothing_and_has_another_check_value() {
        let kek = Kek::generate();
        let again = Sealer::of(
            super::super::kek::parse(&SecretString::from(
                base64::engine::general_purpose::STANDARD.encode(kek.bytes()),
            ))
            .unwrap(),
        );
        let (sealer, other) = (Sealer::new(kek), sealer());
        let sealed = sealer.seal(&HERE, b"secret");
        assert_eq!(other.open(&HERE, &sealed).unwrap_err(), SealError::OtherKey);
        assert_ne!(sealer.check_value(), other.check_value());
        assert_eq!(sealer.check_value(), again.check_value());
        assert!(again.open(&HERE, &sealed).is_ok());
    }

    /// SEC-2
    #[test]
    fn a_text_wrapped_anew_opens_under_the_new_key_alone_and_its_content_stays_as_it_was() {
        let keks = |text: &str| super::super::kek::parse(&SecretString::from(text)).unwrap();
        let key = |byte| base64::engine::general_purpose::STANDARD.encode([byte; 32]);
        let (old, new) = (Sealer::of(keks(&key(1))), Sealer::of(keks(&key(2))));
        let both = Sealer::of(keks(&format!("{}\n{}\n", key(2), key(1))));
        let sealed = old.seal(&HERE, b"secret");
        assert!(both.seal_under(&old.check_value()) && !both.seal_under(&sealer().check_value()));
        assert_eq!(both.current_name(), old.current_name());
        assert!(old.open(&HERE, &both.seal(&HERE, b"secret")).is_ok());
        assert_eq!(both.rewrap(&HERE, &sealed), Ok(None));
        assert!(both.seal_under(&both.newest_check_value()));
        let moved = both.rewrap(&HERE, &sealed).unwrap().unwrap();
        assert_eq!(moved.split('.').next_back(), sealed.split('.').next_back());
        assert_eq!(both.open_text(&HERE, &moved).unwrap().expose_secret(), "secret");
        assert_eq!(new.open_text(&HERE, &moved).unwrap().expose_secret(), "secret");
        assert_eq!(old.open(&HERE, &moved).unwrap_err(), SealError::OtherKey);
        let elsewhere = Context { record_id: "whk_2", ..HERE };
        assert_eq!(both.rewrap(&elsewhere, &sealed).unwrap_err(), SealError::Refused);
        assert_eq!(both.rewrap(&HERE, &sealer().seal(&HERE, b"x")).unwrap_err(), SealError::OtherKey);
    }

    #[test]
    fn two_seals_of_one_text_have_nothing_in_common() {
        let sealer = sealer();
        let (one, two) = (sealer.seal(&HERE, b"same"), sealer.seal(&HERE, b"same"));
        assert!(one.split('.').skip(2).zip(two.split('.').skip(2)).all(|(one, two)| one != two));
    }

    #[test]
    fn each_purpose_has_a_key_of_its_own_that_stays_the_same() {
        let sealer = sealer();
        assert_eq!(sealer.derive("cursors"), sealer.derive("cursors"));
        assert_ne!(sealer.derive("cursors"), sealer.derive("fingerprints"));
        assert!(!sealer.check_value().contains(&BASE64.encode(*sealer.derive("cursors"))));
    }

    #[test]
    fn a_sealer_shows_the_name_of_its_key_and_nothing_else() {
        let sealer = sealer();
        assert_eq!(format!("{sealer:?}"), format!("Sealer {{ key: {:?}, .. }}", sealer.current_name()));
        assert!(!hex::encode(sealer.keys[0].kek.bytes()).contains(sealer.current_name()));
    }
}
