//! The key that the audit's checkpoints are signed with. It signs nothing else.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use super::signing::MalformedKey;

/// What checkpoints are signed with.
pub struct Witness(Ed25519KeyPair);

impl Witness {
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, MalformedKey> {
        Ed25519KeyPair::from_pkcs8(pkcs8).map(Self).map_err(|_| MalformedKey)
    }

    /// What others need to verify its signatures.
    pub fn public(&self) -> PublicWitness {
        PublicWitness(self.0.public_key().as_ref().try_into().expect("an Ed25519 key has 32 bytes"))
    }

    /// The signature over a text, in hexadecimal.
    pub fn sign(&self, text: &str) -> String {
        hex::encode(self.0.sign(text.as_bytes()))
    }
}

/// The public half of a witness's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicWitness([u8; 32]);

impl PublicWitness {
    /// The name that checkpoints give it: the first half of its SHA-256, in hexadecimal.
    pub fn name(&self) -> String {
        hex::encode(&Sha256::digest(self.0)[..16])
    }

    /// Whether the text was signed with it.
    pub fn has_signed(&self, text: &str, signature: &str) -> bool {
        let Ok(signature) = hex::decode(signature) else { return false };
        UnparsedPublicKey::new(&ED25519, &self.0).verify(text.as_bytes(), &signature).is_ok()
    }
}

/// In hexadecimal.
impl std::fmt::Display for PublicWitness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::str::FromStr for PublicWitness {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| "must be 64 hexadecimal digits".into())
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::super::signing::SigningKey;
    use super::*;

    #[test]
    fn only_the_text_that_was_signed_with_the_very_key_is_vouched_for() {
        let new = || Witness::from_pkcs8(SigningKey::generate().expose_secret()).unwrap();
        let (one, other) = (new(), new());
        let public = one.public();
        let signature = one.sign("text");
        assert!(public.has_signed("text", &signature));
        assert!(!public.has_signed("texts", &signature));
        assert!(!public.has_signed("text", &other.sign("text")));
        assert!(!public.has_signed("text", "no signature"));
        assert_eq!(public.to_string().parse(), Ok(public));
        assert_ne!(public.name(), other.public().name());
        assert!("ab".parse::<PublicWitness>().is_err());
    }
}
