//! Access tokens: JWTs after RFC 9068, signed with Ed25519 and nothing else.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};

use super::signing::PublicKey;
use crate::model::Time;
use crate::model::ids::{AccountId, KeyId, SigningKeyId};

pub(super) const TYPE: &str = "at+jwt";
pub(super) const MAX_LENGTH: usize = 8 * 1024;
/// How far the clocks of two replicas may differ, in seconds.
pub(super) const LEEWAY: i64 = 10;

/// What a token says. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued the token: the configured issuer, byte for byte.
    pub iss: String,
    /// On whose behalf it was issued.
    pub sub: String,
    /// What it is for.
    pub aud: String,
    pub exp: i64,
    pub iat: i64,
    pub nbf: i64,
    /// The token's own name, by which it is revoked.
    pub jti: String,
    pub client_id: KeyId,
    /// The scopes granted, separated by spaces.
    pub scope: String,
    /// The account the token acts for.
    pub acct: AccountId,
    /// Who acts, when it is not the account itself (RFC 8693, 4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Act>,
    /// Who alone may act with it further down (RFC 8693, 4.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_act: Option<MayAct>,
    /// The tokens that it was exchanged from, by their `jti`, the first one first: it ends with each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
}

impl Claims {
    /// The accounts that act through each other, the one that acts now first; none without a delegation.
    pub fn actors(&self) -> Vec<AccountId> {
        std::iter::successors(self.act.as_ref(), |act| act.act.as_deref()).map(|act| act.sub).collect()
    }
}

/// An account that acts for another, and for whom it was acted before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(no_recursion)]
pub struct Act {
    pub sub: AccountId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Act>>,
}

/// An account that may act for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MayAct {
    pub sub: AccountId,
}

/// Why a token is not taken. Callers are told `invalid_token` whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    #[error("longer than 8 KiB")]
    TooLong,
    #[error("not a JWT with the claims of an access token")]
    Malformed,
    #[error("not of the type at+jwt")]
    WrongType,
    #[error("its header demands an extension")]
    Critical,
    #[error("signed with a key that is not ours, or with none")]
    UnknownKey,
    #[error("its algorithm is not that of the key")]
    WrongAlgorithm,
    #[error("its signature is wrong")]
    WrongSignature,
    #[error("of another issuer")]
    WrongIssuer,
    #[error("for another audience")]
    WrongAudience,
    #[error("expired")]
    Expired,
    #[error("not valid yet")]
    NotYet,
}

/// Tells our own tokens from all others.
pub struct Verifier {
    issuer: String,
    audience: String,
    keys: BTreeMap<SigningKeyId, Known>,
    validation: Validation,
}

/// A key that tokens may be signed with, until its end.
struct Known {
    key: PublicKey,
    decoding: DecodingKey,
    ends: Option<Time>,
}

impl Known {
    fn is_over(&self, now: Time) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }
}

impl Verifier {
    /// Takes tokens of that issuer, for that audience, signed with one of those keys before its end.
    pub fn new(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        keys: impl IntoIterator<Item = (PublicKey, Option<Time>)>,
    ) -> Self {
        // What remains for the library is the signature: it would compare times with the system's clock.
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let known =
            |(key, ends): (PublicKey, _)| Known { key, decoding: DecodingKey::from_ed_der(&key.bytes), ends };
        let keys = keys.into_iter().map(known).map(|known| (known.key.id, known)).collect();
        Self { issuer: issuer.into(), audience: audience.into(), keys, validation }
    }

    /// What the token says, if it is ours and valid at `now`. Only the key says which algorithm is right; keys and
    /// addresses of keys in the token's header are ignored.
    pub fn verify(&self, token: &str, now: Time) -> Result<Claims, TokenFault> {
        if token.len() > MAX_LENGTH {
            return Err(TokenFault::TooLong);
        }
        let header = Told::read(token).ok_or(TokenFault::Malformed)?;
        if header.typ.as_deref() != Some(TYPE) {
            return Err(TokenFault::WrongType);
        }
        if header.crit.is_some() {
            return Err(TokenFault::Critical);
        }
        if header.alg != "EdDSA" {
            return Err(TokenFault::WrongAlgorithm);
        }
        let id: Option<SigningKeyId> = header.kid.and_then(|kid| kid.parse().ok());
        let known = id.and_then(|id| self.keys.get(&id)).filter(|known| !known.is_over(now));
        let known = known.ok_or(TokenFault::UnknownKey)?;
        let claims = jsonwebtoken::decode::<Claims>(token, &known.decoding, &self.validation)
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::InvalidSignature => TokenFault::WrongSignature,
                _ => TokenFault::Malformed,
            })?
            .claims;
        self.judge(&claims, now.as_seconds())?;
        Ok(claims)
    }

    fn judge(&self, claims: &Claims, now: i64) -> Result<(), TokenFault> {
        if claims.iss != self.issuer {
            return Err(TokenFault::WrongIssuer);
        }
        if claims.aud != self.audience {
            return Err(TokenFault::WrongAudience);
        }
        if claims.exp.saturating_add(LEEWAY) <= now {
            return Err(TokenFault::Expired);
        }
        if claims.nbf.max(claims.iat) > now.saturating_add(LEEWAY) {
            return Err(TokenFault::NotYet);
        }
        Ok(())
    }

    /// The key set that the world may see (RFC 7517), oldest key first, without those that have ended.
    pub fn jwks(&self, now: Time) -> serde_json::Value {
        let keys = self.keys.values().filter(|known| !known.is_over(now)).map(|Known { key, .. }| {
            serde_json::json!({
                "kty": "OKP",
                "crv": "Ed25519",
                "use": "sig",
                "alg": "EdDSA",
                "kid": key.id,
                "x": BASE64.encode(key.bytes),
            })
        });
        serde_json::json!({ "keys": keys.collect::<Vec<_>>() })
    }
}

/// What of a token's header is looked at.
#[derive(Deserialize)]
pub(super) struct Told {
    pub alg: String,
    pub typ: Option<String>,
    pub kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub crit: Option<serde::de::IgnoredAny>,
}

/// So that `"crit": null` counts as well.
fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<serde::de::IgnoredAny>, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(Some)
}

impl Told {
    pub fn read(token: &str) -> Option<Self> {
        let (header, rest) = token.split_once('.')?;
        let parts = rest.split('.').count();
        let header = BASE64.decode(header).ok()?;
        (parts == 2).then(|| serde_json::from_slice(&header).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jsonwebtoken::{EncodingKey, Header};
    use secrecy::ExposeSecret;
    use serde_json::{Value, json};

    use super::*;
    use crate::access::signing::SigningKey;

    const ISSUER: &str = "https://api.example.test";
    const AUDIENCE: &str = "https://api.example.test/v1";

    fn now() -> Time {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    fn claims() -> Claims {
        let client_id = KeyId::new();
        Claims {
            iss: ISSUER.into(),
            sub: client_id.to_string(),
            aud: AUDIENCE.into(),
            exp: now().as_seconds() + 900,
            iat: now().as_seconds(),
            nbf: now().as_seconds(),
            jti: "one".into(),
            client_id,
            scope: "services:read".into(),
            acct: AccountId::new(),
            act: None,
            may_act: None,
            origins: Vec::new(),
        }
    }

    fn signing_key() -> SigningKey {
        SigningKey::from_pkcs8(SigningKeyId::new(), SigningKey::generate().expose_secret()).unwrap()
    }

    fn verifier(keys: &[&SigningKey]) -> Verifier {
        Verifier::new(ISSUER, AUDIENCE, keys.iter().map(|key| (key.public(), None)))
    }

    /// A token of any header and payload, signed with the key.
    fn forged(key: &SigningKey, header: &Value, payload: &Value) -> String {
        let message = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(payload.to_string()));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &key.private, Algorithm::EdDSA).unwrap();
        format!("{message}.{signature}")
    }

    /// TOK-5, TOK-8
    #[test]
    fn a_token_is_taken_by_a_cold_replica_that_has_only_the_public_key() {
        let key = signing_key();
        let claims = claims();
        let token = key.issue(&claims);
        assert_eq!(verifier(&[&signing_key(), &key]).verify(&token, now()).unwrap(), claims);
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!(
            serde_json::to_value(&header).unwrap(),
            json!({"typ": "at+jwt", "alg": "EdDSA", "kid": key.public().id})
        );
    }

    /// TOK-6
    #[test]
    fn every_forged_token_is_refused() {
        let (key, foreign) = (signing_key(), signing_key());
        let verifier = verifier(&[&key]);
        let header = json!({"typ": "at+jwt", "alg": "EdDSA", "kid": key.public().id});
        let payload = serde_json::to_value(claims()).unwrap();
        let at = now().as_seconds();
        let with = |name: &str, value: Value| {
            let mut altered = header.clone();
            altered[name] = value;
            forged(&key, &altered, &payload)
        };
        let saying = |name: &str, value: Value| {
            let mut altered = payload.clone();
            altered[name] = value;
            forged(&key, &header, &altered)
        };
        let lacking = |name: &str| {
            let mut altered = payload.clone();
            altered.as_object_mut().unwrap().remove(name).unwrap();
            forged(&key, &header, &altered)
        };
        let good = forged(&key, &header, &payload);
        assert!(verifier.verify(&good, now()).is_ok());
        let parts: Vec<&str> = good.split('.').collect();

        let hs256 = {
            let mut header = Header::new(Algorithm::HS256);
            (header.typ, header.kid) = (Some(TYPE.into()), Some(key.public().id.to_string()));
            jsonwebtoken::encode(&header, &payload, &EncodingKey::from_secret(&key.public().bytes)).unwrap()
        };
        let none = {
            let header = json!({"typ": "at+jwt", "alg": "none", "kid": key.public().id});
            format!("{}.{}.", BASE64.encode(header.to_string()), parts[1])
        };
        let altered = {
            let mut altered = payload.clone();
            altered["scope"] = json!("services:purge");
            format!("{}.{}.{}", parts[0], BASE64.encode(altered.to_string()), parts[2])
        };
        let embedded = {
            let mut header = header.clone();
            header["jwk"] =
                json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(foreign.public().bytes)});
            forged(&foreign, &header, &payload)
        };
        use TokenFault::*;
        let table = [
            ("alg none", none, WrongAlgorithm),
            ("HS256 with the public key as its secret", hs256, WrongAlgorithm),
            ("another algorithm in the header", with("alg", json!("ES256")), WrongAlgorithm),
            ("an algorithm in other letters", with("alg", json!("eddsa")), WrongAlgorithm),
            ("an ID token", with("typ", json!("JWT")), WrongType),
            ("no type", with("typ", Value::Null), WrongType),
            ("another issuer", saying("iss", json!("https://api.example.test/")), WrongIssuer),
            ("another audience", saying("aud", json!("https://other.example.test")), WrongAudience),
            ("several audiences", saying("aud", json!([AUDIENCE])), Malformed),
            ("expired", saying("exp", json!(at - LEEWAY)), Expired),
            ("from the future", saying("iat", json!(at + 61)), NotYet),
            ("not valid yet", saying("nbf", json!(at + 61)), NotYet),
            ("a time that is no whole number", saying("exp", json!("tomorrow")), Malformed),
            ("no end", lacking("exp"), Malformed),
            ("no issuer", lacking("iss"), Malformed),
            ("no audience", lacking("aud"), Malformed),
            ("no account", lacking("acct"), Malformed),
            ("an altered payload", altered, WrongSignature),
            ("no signature", format!("{}.{}.", parts[0], parts[1]), WrongSignature),
            ("a foreign key's signature", forged(&foreign, &header, &payload), WrongSignature),
            ("a foreign key in the header", embedded, WrongSignature),
            ("a foreign kid", foreign.issue(&claims()), UnknownKey),
            ("no kid", with("kid", Value::Null), UnknownKey),
            ("a kid that is a path", with("kid", json!("../../dev/null")), UnknownKey),
            ("an unknown extension", with("crit", json!(["b64"])), Critical),
            ("an empty list of extensions", with("crit", json!([])), Critical),
            ("null for extensions", with("crit", Value::Null), Critical),
            ("oversized", saying("scope", json!("x".repeat(MAX_LENGTH))), TooLong),
            ("four parts", format!("{good}.{}", parts[2]), Malformed),
            ("nothing", String::new(), Malformed),
        ];
        for (what, token, fault) in table {
            assert_eq!(verifier.verify(&token, now()), Err(fault), "{what}");
        }
    }

    /// TOK-6
    #[test]
    fn addresses_of_keys_in_the_header_change_nothing() {
        let key = signing_key();
        let header = json!({
            "typ": "at+jwt", "alg": "EdDSA", "kid": key.public().id,
            "jku": "https://evil.example.test/jwks", "x5u": "https://evil.example.test/x5u",
        });
        let token = forged(&key, &header, &serde_json::to_value(claims()).unwrap());
        assert!(verifier(&[&key]).verify(&token, now()).is_ok());
    }

    /// TOK-6
    #[test]
    fn clocks_may_differ_by_ten_seconds_and_no_more() {
        let key = signing_key();
        let verifier = verifier(&[&key]);
        let token = key.issue(&claims());
        let seconds = Duration::from_secs;
        assert!(verifier.verify(&token, now().minus(seconds(10))).is_ok());
        assert_eq!(verifier.verify(&token, now().minus(seconds(11))), Err(TokenFault::NotYet));
        assert!(verifier.verify(&token, now().plus(seconds(909))).is_ok());
        assert_eq!(verifier.verify(&token, now().plus(seconds(910))), Err(TokenFault::Expired));
    }

    /// TOK-8
    #[test]
    fn a_key_that_has_ended_is_neither_told_nor_taken() {
        let key = signing_key();
        let token = key.issue(&claims());
        let ending = |ends| Verifier::new(ISSUER, AUDIENCE, [(key.public(), Some(ends))]);
        let later = now().plus(Duration::from_micros(1));
        assert!(ending(later).verify(&token, now()).is_ok());
        assert_eq!(ending(now()).verify(&token, now()), Err(TokenFault::UnknownKey));
        assert_eq!(ending(later).jwks(now())["keys"].as_array().unwrap().len(), 1);
        assert_eq!(ending(now()).jwks(now())["keys"], json!([]));
    }

    /// TOK-8
    #[test]
    fn the_key_set_shows_public_parts_from_which_others_verify() {
        let pkcs8 = SigningKey::generate();
        let key = SigningKey::from_pkcs8(SigningKeyId::new(), pkcs8.expose_secret()).unwrap();
        let jwks = verifier(&[&key]).jwks(now());
        assert_eq!(jwks["keys"].as_array().unwrap().len(), 1);
        assert_eq!(jwks["keys"][0]["d"], Value::Null);
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(jwks["keys"][0].clone()).unwrap();
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.validate_exp = false;
        let decoding = DecodingKey::from_jwk(&jwk).unwrap();
        assert!(jsonwebtoken::decode::<Claims>(key.issue(&claims()), &decoding, &validation).is_ok());
        assert_eq!(pkcs8.expose_secret().len(), 48);
        assert_eq!(
            jwk,
            jsonwebtoken::jwk::Jwk {
                common: jwk.common.clone(),
                ..jsonwebtoken::jwk::Jwk::from_encoding_key(&key.private, Algorithm::EdDSA).unwrap()
            }
        );
    }
}
