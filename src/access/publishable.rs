//! The key of a storefront as its pages send it: `tnp_live_` or `tnp_test_`, then as an API key. It is no secret, but
//! nobody can make one up.

use subtle::ConstantTimeEq;

use super::random;
use super::secret::{SECRET, compose, parts};
use crate::model::accounts::accounts::Environment;
use crate::model::ids::KeyId;

/// What a scanner of source code finds these keys by, to tell them from secret ones.
pub const PATTERN: &str = "tnp_(live|test)_[0-9a-z]{26}_[0-9A-Za-z]{49}";
const MARK: &str = "tnp_";

/// A new key for the storefront key of that identifier.
pub fn generate(environment: Environment, id: KeyId) -> String {
    compose(MARK, environment, id, &random::base62(SECRET))
}

/// A key that was sent and whose checksum is right; nothing of it is proved.
pub struct Published<'a> {
    pub id: KeyId,
    pub environment: Environment,
    text: &'a str,
}

impl<'a> Published<'a> {
    /// Reads a key; none if it is no storefront key of ours or was cut, altered or mistyped.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (environment, id, _) = parts(MARK, text)?;
        Some(Self { id, environment, text })
    }

    /// Whether a text is to be read as such a key.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(MARK)
    }

    /// Whether it is this key.
    pub fn is(&self, key: &str) -> bool {
        key.as_bytes().ct_eq(self.text.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::access::secret::{Presented, SecretKey};

    /// KEY-1, KEY-2
    #[test]
    fn a_storefront_key_has_the_form_of_a_key_and_its_own_mark() {
        for environment in [Environment::Live, Environment::Test] {
            let id = KeyId::new();
            let key = generate(environment, id);
            let tail = key.strip_prefix(&format!("tnp_{environment}_{}_", id.bare())).unwrap();
            assert!(tail.len() == 49 && tail.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{PATTERN}");
            let read = Published::parse(&key).unwrap();
            assert!(read.id == id && read.environment == environment && read.is(&key));
            assert!(!read.is(&generate(environment, id)) && !read.is(""));
            for at in 0..key.len() {
                let mut altered = key.clone().into_bytes();
                altered[at] = if altered[at] == b'0' { b'1' } else { b'0' };
                assert!(Published::parse(std::str::from_utf8(&altered).unwrap()).is_none(), "at {at}");
                assert!(Published::parse(&key[..at]).is_none());
            }
            // Neither kind is taken for the other, whatever its checksum.
            assert!(Presented::parse(&key).is_none());
            assert!(Published::parse(SecretKey::generate(environment, id).text.expose_secret()).is_none());
        }
    }
}
