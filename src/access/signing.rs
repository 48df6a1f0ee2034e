//! The keys that access tokens are signed with.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::SecretSlice;

use super::tokens::{Claims, TYPE};
use crate::model::ids::SigningKeyId;

/// Bytes that are no Ed25519 key in PKCS#8.
#[derive(Debug, thiserror::Error)]
#[error("not an Ed25519 key in PKCS#8")]
pub struct MalformedKey;

/// What tokens are signed with.
pub struct SigningKey {
    public: PublicKey,
    pub(super) private: EncodingKey,
}

impl SigningKey {
    /// A new private key in PKCS#8, to be sealed and kept.
    pub fn generate() -> SecretSlice<u8> {
        let document = Ed25519KeyPair::generate()
            .and_then(|key| key.to_pkcs8v1())
            .expect("a key pair that was just made can be written");
        SecretSlice::from(document.as_ref().to_vec())
    }

    pub fn from_pkcs8(id: SigningKeyId, pkcs8: &[u8]) -> Result<Self, MalformedKey> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| MalformedKey)?;
        let bytes = pair.public_key().as_ref().try_into().map_err(|_| MalformedKey)?;
        Ok(Self { public: PublicKey { id, bytes }, private: EncodingKey::from_ed_der(pkcs8) })
    }

    /// What others need to verify its tokens.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The signed token.
    pub fn issue(&self, claims: &Claims) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(self.public.id.to_string());
        jsonwebtoken::encode(&header, claims, &self.private)
            .expect("the key was read once already, and claims are plain texts and numbers")
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.public.id).finish_non_exhaustive()
    }
}

/// The public half of a signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey {
    pub id: SigningKeyId,
    pub bytes: [u8; 32],
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn bytes_that_are_no_key_are_refused_and_a_key_is_never_shown() {
        assert!(SigningKey::from_pkcs8(SigningKeyId::new(), &[7; 48]).is_err());
        let pkcs8 = SigningKey::generate();
        let key = SigningKey::from_pkcs8(SigningKeyId::new(), pkcs8.expose_secret()).unwrap();
        assert_eq!(format!("{key:?}"), format!("SigningKey {{ id: {}, .. }}", key.public().id));
    }
}
