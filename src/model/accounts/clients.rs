//! How keys authenticate as OAuth clients (RFC 7591 has the names).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::stored_as_text;

stored_as_text! {
    /// How a client proves who it is to the token endpoint.
    pub enum AuthMethod {
        ClientSecretBasic = "client_secret_basic",
        PrivateKeyJwt = "private_key_jwt",
    }
}

stored_as_text! {
    pub enum KeyType {
        OctetPair = "OKP",
        Elliptic = "EC",
    }
}

stored_as_text! {
    pub enum Curve {
        Ed25519 = "Ed25519",
        P256 = "P-256",
    }
}

stored_as_text! {
    /// What assertions are signed with. `EdDSA` with a key of Ed25519 and `Ed25519` are the same (RFC 9864).
    pub enum SignatureAlgorithm {
        EdDsa = "EdDSA",
        Ed25519 = "Ed25519",
        Es256 = "ES256",
    }
}

stored_as_text! {
    pub enum KeyUse {
        Signature = "sig",
    }
}

/// A public key of a client's (RFC 7517): Ed25519 (RFC 8037) or P-256 (RFC 7518).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Jwk {
    pub kty: KeyType,
    pub crv: Curve,
    /// 32 bytes in base64url without padding.
    #[schema(
        min_length = 43,
        max_length = 43,
        pattern = "^[A-Za-z0-9_-]*$",
        example = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    )]
    pub x: String,
    /// The same; of P-256 alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 43, max_length = 43, pattern = "^[A-Za-z0-9_-]*$")]
    pub y: Option<String>,
    /// By which an assertion's header names the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128, example = "2026-11")]
    pub kid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<SignatureAlgorithm>,
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub purpose: Option<KeyUse>,
}

impl Jwk {
    /// The names of the one algorithm that signatures with the key have; none if its members do not fit together.
    pub fn algorithms(&self) -> &'static [SignatureAlgorithm] {
        use SignatureAlgorithm::*;
        let names: &[_] = match (self.kty, self.crv, &self.y) {
            (KeyType::OctetPair, Curve::Ed25519, None) => &[EdDsa, Ed25519],
            (KeyType::Elliptic, Curve::P256, Some(_)) => &[Es256],
            _ => &[],
        };
        if self.alg.is_none_or(|alg| names.contains(&alg)) { names } else { &[] }
    }
}

/// A client's public keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Jwks {
    #[schema(min_items = 1, max_items = 10)]
    pub keys: Vec<Jwk>,
}
