//! What is told of secrets that are written and never read back.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Time;

/// A secret that is written and never read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Secret)]
pub struct SecretView {
    /// Whether there is one.
    pub set: bool,
    /// Tells one value from another, and nothing that the value could be guessed by; none if it was set before
    /// fingerprints were kept.
    #[schema(example = "sha256:ab12cd34")]
    pub fingerprint: Option<String>,
    /// When it was set last.
    pub updated_at: Option<Time>,
}

/// What is kept of a secret beside its sealed value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretMark {
    pub fingerprint: String,
    pub set_at: Time,
}

impl SecretView {
    /// One that is there; those that are older than marks have none.
    pub fn set(mark: Option<SecretMark>) -> Self {
        let (fingerprint, updated_at) = mark.map(|mark| (mark.fingerprint, mark.set_at)).unzip();
        Self { set: true, fingerprint, updated_at }
    }
}
