//! Assertions by which clients prove who they are (RFC 7523): JWTs that they sign with keys of their own.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::tokens::{LEEWAY, MAX_LENGTH, Told};
use crate::model::Time;
use crate::model::accounts::clients::{Jwk, SignatureAlgorithm};
use crate::model::ids::KeyId;

/// How far ahead the end of an assertion may lie, in seconds.
const LONGEST: i64 = 300;
const LONGEST_JTI: usize = 256;
/// For how many seconds after its end it is remembered that an assertion was used, where clocks differ.
const REMEMBERED: i64 = 60;

/// What an assertion says. Times are in seconds.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    /// One audience: an assertion that is for somebody else as well could be used by them.
    aud: String,
    exp: i64,
    iat: Option<i64>,
    nbf: Option<i64>,
    jti: String,
}

/// An assertion that was read, and may be anybody's.
pub struct Assertion<'a> {
    header: Told,
    claims: Claims,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Assertion<'a> {
    pub fn read(text: &'a str) -> Option<Self> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let header = Told::read(text)?;
        let (signed, signature) = text.rsplit_once('.')?;
        let payload = BASE64.decode(signed.split_once('.')?.1).ok()?;
        Some(Self {
            header,
            claims: serde_json::from_slice(&payload).ok()?,
            signed,
            signature: BASE64.decode(signature).ok()?,
        })
    }

    /// Who it says that it is from.
    pub fn client(&self) -> Option<KeyId> {
        self.claims.iss.parse().ok()
    }

    /// Whether the client made it with one of those keys, for one of those audiences, to be used at `now`.
    pub fn proves(&self, client: KeyId, keys: &[Jwk], audiences: [&str; 2], now: Time) -> bool {
        let Claims { iss, sub, aud, exp, iat, nbf, jti } = &self.claims;
        let (now, client) = (now.as_seconds(), client.to_string());
        let is_jwt = self.header.typ.as_ref().is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"));
        let begins = iat.unwrap_or(now).max(nbf.unwrap_or(now));
        is_jwt
            && self.header.crit.is_none()
            && *iss == client
            && *sub == client
            && audiences.contains(&aud.as_str())
            && exp.saturating_add(LEEWAY) > now
            && *exp <= now.saturating_add(LONGEST)
            && begins <= now.saturating_add(LEEWAY)
            && (1..=LONGEST_JTI).contains(&jti.len())
            && keys.iter().any(|key| self.is_signed_with(key))
    }

    /// The key says which algorithm is right, and so does the header.
    fn is_signed_with(&self, key: &Jwk) -> bool {
        let named = self.header.kid.as_ref().zip(key.kid.as_ref()).is_none_or(|(kid, known)| kid == known);
        let fits = key.algorithms().iter().any(|algorithm| algorithm.as_str() == self.header.alg);
        named
            && fits
            && parts(key).is_some_and(|(algorithm, bytes)| {
                UnparsedPublicKey::new(algorithm, bytes)
                    .verify(self.signed.as_bytes(), &self.signature)
                    .is_ok()
            })
    }

    /// By what it is known again: no two of a client's assertions have the same `jti`.
    pub fn digest(&self) -> String {
        BASE64.encode(Sha256::digest(format!("{}\n{}", self.claims.iss, self.claims.jti)))
    }

    /// Until when it must be remembered.
    pub fn remembered_until(&self) -> Option<Time> {
        Time::from_seconds(self.claims.exp.saturating_add(REMEMBERED))
    }
}

/// Whether that is a public key.
pub fn is_key(key: &Jwk) -> bool {
    parts(key).is_some_and(|(algorithm, bytes)| ParsedPublicKey::new(algorithm, bytes).is_ok())
}

fn parts(key: &Jwk) -> Option<(&'static dyn VerificationAlgorithm, Vec<u8>)> {
    let coordinate = |text: &str| BASE64.decode(text).ok().filter(|bytes| bytes.len() == 32);
    let x = coordinate(&key.x)?;
    match key.algorithms().first()? {
        SignatureAlgorithm::EdDsa | SignatureAlgorithm::Ed25519 => Some((&ED25519, x)),
        SignatureAlgorithm::Es256 => {
            let y = coordinate(key.y.as_ref()?)?;
            Some((&ECDSA_P256_SHA256_FIXED, [vec![4], x, y].concat()))
        }
    }
}
