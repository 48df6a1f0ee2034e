//! Signatures after Standard Webhooks 1.0, by which receivers know that a delivery is ours.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::access::random;

const PREFIX: &str = "whsec_";
const PUBLIC_PREFIX: &str = "whpk_";

/// What an endpoint's deliveries are signed with.
#[derive(Debug, Clone)]
pub struct Secret(SecretSlice<u8>);

/// A text that is no webhook secret.
#[derive(Debug, thiserror::Error)]
#[error("a webhook secret is whsec_ and 24 to 64 bytes in base64")]
pub struct Malformed;

impl Secret {
    /// A new secret of 32 bytes.
    pub fn generate() -> Self {
        Self(SecretSlice::from(random::bytes::<32>().to_vec()))
    }

    /// Reads a secret as its endpoint holds it.
    pub fn parse(text: &SecretString) -> Result<Self, Malformed> {
        let digits = text.expose_secret().strip_prefix(PREFIX).ok_or(Malformed)?;
        let mut bytes = Zeroizing::new(BASE64.decode(digits).map_err(|_| Malformed)?);
        if !(24..=64).contains(&bytes.len()) {
            return Err(Malformed);
        }
        Ok(Self(SecretSlice::from(std::mem::take(&mut *bytes))))
    }

    /// The secret as it is told to its endpoint.
    pub fn text(&self) -> SecretString {
        let mut digits = BASE64.encode(self.0.expose_secret());
        let text = SecretString::from([PREFIX, &digits].concat());
        digits.zeroize();
        text
    }

    /// The signature of one attempt, for the header `webhook-signature`. `timestamp` is in seconds.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        format!("v1,{}", BASE64.encode(self.mac(id, timestamp, body).finalize().into_bytes()))
    }

    /// Whether one of the signatures in the header `webhook-signature` is ours, and the attempt no more than
    /// five minutes away from `now`, as a receiver has to check.
    pub fn verify(&self, id: &str, timestamp: i64, body: &[u8], signatures: &str, now: i64) -> bool {
        let signed =
            signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,")).any(|digits| {
                BASE64
                    .decode(digits)
                    .is_ok_and(|told| self.mac(id, timestamp, body).verify_slice(&told).is_ok())
            });
        signed && now.abs_diff(timestamp) <= 300
    }

    fn mac(&self, id: &str, timestamp: i64, body: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).expect("HMAC takes keys of any length");
        for part in [id.as_bytes(), b".", timestamp.to_string().as_bytes(), b".", body] {
            mac.update(part);
        }
        mac
    }
}

/// A key pair for signatures that whoever has the public half can check but not make.
#[derive(Debug)]
pub struct Pair(Ed25519KeyPair);

/// Bytes that are no Ed25519 key in PKCS#8.
#[derive(Debug, thiserror::Error)]
#[error("not an Ed25519 key in PKCS#8")]
pub struct MalformedPair;

impl Pair {
    /// A new private key in PKCS#8, to be sealed and kept.
    pub fn generate() -> SecretSlice<u8> {
        let document = Ed25519KeyPair::generate()
            .and_then(|key| key.to_pkcs8v1())
            .expect("a key pair that was just made can be written");
        SecretSlice::from(document.as_ref().to_vec())
    }

    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, MalformedPair> {
        Ed25519KeyPair::from_pkcs8(pkcs8).map(Self).map_err(|_| MalformedPair)
    }

    /// The public half as it is told to its endpoint.
    pub fn public(&self) -> String {
        [PUBLIC_PREFIX, &BASE64.encode(self.0.public_key())].concat()
    }

    /// The signature of one attempt, for the header `webhook-signature`.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let signed = [id.as_bytes(), b".", timestamp.to_string().as_bytes(), b".", body].concat();
        format!("v1a,{}", BASE64.encode(self.0.sign(&signed)))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn the_published_vector_is_met() {
        let secret = Secret::parse(&SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        assert_eq!(secret.sign(ID, 1_614_265_330, BODY), SIGNED);
    }

    #[test]
    fn a_receiver_takes_the_delivery_as_it_was_sent_and_nothing_else() {
        let (secret, other) = (Secret::generate(), Secret::generate());
        let at = 1_614_265_330;
        let header = format!("{} {}", other.sign(ID, at, BODY), secret.sign(ID, at, BODY));
        assert!(
            secret.verify(ID, at, BODY, &header, at + 300) && other.verify(ID, at, BODY, &header, at - 300)
        );
        assert!(!Secret::generate().verify(ID, at, BODY, &header, at));
        assert!(!secret.verify("msg_other", at, BODY, &header, at));
        assert!(!secret.verify(ID, at + 1, BODY, &header, at));
        assert!(!secret.verify(ID, at, b"{}", &header, at));
        assert!(!secret.verify(ID, at, BODY, &header, at + 301));
        assert!(!secret.verify(ID, at, BODY, &header.replace("v1,", "v1a,"), at));
        assert!(!secret.verify(ID, at, BODY, "v1,", at) && !secret.verify(ID, at, BODY, "", at));
    }

    #[test]
    fn a_secret_reads_back_from_what_its_endpoint_is_told() {
        let secret = Secret::generate();
        let text = secret.text();
        assert_eq!(text.expose_secret().len(), "whsec_".len() + 44);
        let again = Secret::parse(&text).unwrap();
        assert_eq!(again.sign(ID, 1, BODY), secret.sign(ID, 1, BODY));
        for wrong in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_?"] {
            assert!(Secret::parse(&SecretString::from(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(format!("{secret:?}"), "Secret(SecretBox<[u8]>([REDACTED]))");
    }

    /// WH-1
    #[test]
    fn a_pairs_signature_is_checked_with_its_public_half_alone() {
        let pkcs8 = Pair::generate();
        let pair = Pair::from_pkcs8(pkcs8.expose_secret()).unwrap();
        let told = BASE64.decode(pair.public().strip_prefix("whpk_").unwrap()).unwrap();
        assert_eq!(told.len(), 32);
        let signature = pair.sign(ID, 1_614_265_330, BODY);
        let signature = BASE64.decode(signature.strip_prefix("v1a,").unwrap()).unwrap();
        let public = UnparsedPublicKey::new(&ED25519, told);
        let signed = |body: &[u8]| [ID.as_bytes(), b".1614265330.", body].concat();
        assert!(public.verify(&signed(BODY), &signature).is_ok());
        assert!(public.verify(&signed(b"{}"), &signature).is_err());
        assert!(Pair::from_pkcs8(&[7; 48]).is_err());
    }
}
