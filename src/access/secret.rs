//! The API key as callers hold it: `tnk_live_` or `tnk_test_`, the key's identifier, a secret and a checksum.

use std::fmt;

use secrecy::SecretString;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::random::{self, BASE62};
use crate::model::Time;
use crate::model::accounts::accounts::Environment;
use crate::model::accounts::keys::Key;
use crate::model::ids::KeyId;

/// What a scanner of source code finds our keys by.
pub const PATTERN: &str = "tnk_(live|test)_[0-9a-z]{26}_[0-9A-Za-z]{49}";

const ID: usize = 26;
/// 43 digits of base62 are a little more than 256 bits.
pub(super) const SECRET: usize = 43;
const CHECKSUM: usize = 6;

/// With what a key begins.
const MARK: &str = "tnk_";

/// The text of a credential: its mark, environment, identifier and secret, and a checksum over all of it.
pub(super) fn compose(mark: &str, environment: Environment, id: KeyId, secret: &str) -> String {
    let mut text = String::with_capacity(mark.len() + 5 + ID + 1 + SECRET + CHECKSUM);
    for part in [mark, environment.as_str(), "_", &id.bare(), "_", secret] {
        text.push_str(part);
    }
    let checksum = checksum(&text);
    text.extend(checksum.map(char::from));
    text
}

/// The parts of a credential with this mark, if it has the form and the checksum is right.
pub(super) fn parts<'a>(mark: &str, text: &'a str) -> Option<(Environment, KeyId, &'a str)> {
    let (environment, rest) = text.strip_prefix(mark)?.split_once('_')?;
    let environment: Environment = environment.parse().ok()?;
    let (id, rest) = rest.split_once('_')?;
    let digits = rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if id.len() != ID || rest.len() != SECRET + CHECKSUM || !digits {
        return None;
    }
    let (secret, told) = rest.split_at(SECRET);
    if checksum(&text[..text.len() - CHECKSUM]) != told.as_bytes() {
        return None;
    }
    let id = format!("{}_{id}", KeyId::PREFIX).parse().ok()?;
    Some((environment, id, secret))
}

/// A key that has just been made.
pub struct SecretKey {
    /// The credential, to be told once.
    pub text: SecretString,
    /// The SHA-256 of its secret in hexadecimal, to be kept.
    pub hash: String,
}

impl SecretKey {
    /// A new credential for the key of that identifier; its secret is drawn from the system's generator.
    pub fn generate(environment: Environment, id: KeyId) -> Self {
        let mut secret = random::base62(SECRET);
        let text = compose(MARK, environment, id, &secret);
        let hash = hex::encode(Sha256::digest(&secret));
        secret.zeroize();
        Self { text: SecretString::from(text), hash }
    }
}

/// What a presented credential says of itself, once its checksum is found right; nothing of it is proved.
#[derive(Clone)]
pub struct Presented {
    pub id: KeyId,
    pub environment: Environment,
    hash: [u8; 32],
}

impl Presented {
    /// Reads a credential; none if it is no key of ours or was cut, altered or mistyped.
    pub fn parse(text: &str) -> Option<Self> {
        let (environment, id, secret) = parts(MARK, text)?;
        Some(Self { id, environment, hash: Sha256::digest(secret).into() })
    }

    /// The SHA-256 of the secret, under which a verdict can be remembered.
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Whether the secret is the key's own, or the one before it while that still works.
    pub fn opens(&self, key: &Key, now: Time) -> bool {
        let current = self.matches(&key.secret_hash);
        let former = self.matches(key.former_hash.as_deref().unwrap_or_default());
        current | (former & key.former_until.is_some_and(|until| now < until))
    }

    /// Whether the secret is the one whose hash was kept; it takes the same time for every secret.
    pub fn matches(&self, kept: &str) -> bool {
        let mut hash = [0; 32];
        hex::decode_to_slice(kept, &mut hash).is_ok() && hash.ct_eq(&self.hash).into()
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").field("id", &self.id).field("environment", &self.environment).finish()
    }
}

/// CRC-32 of the text in six base62 digits.
fn checksum(text: &str) -> [u8; CHECKSUM] {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM];
    for place in digits.iter_mut().rev() {
        *place = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    /// KEY-3
    #[test]
    fn a_key_reads_back_and_matches_its_own_hash_and_no_other() {
        let id = KeyId::new();
        let (key, other) =
            (SecretKey::generate(Environment::Live, id), SecretKey::generate(Environment::Live, id));
        let text = key.text.expose_secret();
        let presented = Presented::parse(text).unwrap();
        assert_eq!((presented.id, presented.environment), (id, Environment::Live));
        assert!(presented.matches(&key.hash));
        assert!(!presented.matches(&other.hash) && !presented.matches("") && !presented.matches(text));
        assert_eq!(hex::encode(presented.hash()), key.hash);
    }

    /// KEY-1
    #[test]
    fn a_key_has_the_published_form() {
        for environment in [Environment::Live, Environment::Test] {
            let id = KeyId::new();
            let key = SecretKey::generate(environment, id);
            let text = key.text.expose_secret();
            let head = format!("tnk_{environment}_{}_", id.bare());
            let tail = text.strip_prefix(&head).unwrap();
            assert!(tail.len() == 49 && tail.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{PATTERN}");
        }
    }

    #[test]
    fn the_checksum_is_the_common_crc_32() {
        // 0xcbf43926 is the check value of CRC-32.
        let digits =
            checksum("123456789").map(|digit| BASE62.iter().position(|&known| known == digit).unwrap());
        let number = digits.iter().fold(0_u64, |number, &digit| number * 62 + digit as u64);
        assert_eq!(number, 0xcbf4_3926);
    }

    #[test]
    fn what_is_shown_of_a_presented_key_has_nothing_of_its_secret() {
        let id = KeyId::new();
        let presented =
            Presented::parse(SecretKey::generate(Environment::Test, id).text.expose_secret()).unwrap();
        assert_eq!(format!("{presented:?}"), format!("Presented {{ id: {id}, environment: Test }}"));
    }

    proptest! {
        /// KEY-2
        #[test]
        fn a_key_with_one_character_changed_is_no_key(at in 0usize..85, to in any::<char>()) {
            let key = SecretKey::generate(Environment::Live, KeyId::new());
            let text = key.text.expose_secret();
            let mut altered: Vec<char> = text.chars().collect();
            prop_assume!(altered[at] != to);
            altered[at] = to;
            prop_assert!(Presented::parse(&altered.iter().collect::<String>()).is_none());
        }

        #[test]
        fn no_text_makes_the_reader_stumble(text in "(tnk_)?(live_|test_)?\\PC{0,90}") {
            prop_assert!(Presented::parse(&text).is_none());
        }

        #[test]
        fn a_key_that_was_cut_is_no_key(length in 0usize..85) {
            let key = SecretKey::generate(Environment::Test, KeyId::new());
            prop_assert!(Presented::parse(&key.text.expose_secret()[..length]).is_none());
        }
    }
}
