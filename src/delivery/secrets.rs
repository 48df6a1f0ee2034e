//! What lies sealed with an endpoint: what its deliveries are signed with, and the headers that are not shown.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::sign::{Pair, Secret};
use crate::access::digests::Digests;
use crate::access::seal::{Context, SealError, Sealer};
use crate::domain::events::webhooks::{SecretHeaders, Signing};
use crate::model::events::webhooks::{OldSecret, WebhookEndpoint};
use crate::model::ids::{AccountId, WebhookEndpointId};

/// The endpoint that something is sealed for.
#[derive(Debug, Clone)]
pub struct Place {
    account_id: String,
    record_id: String,
}

impl Place {
    pub fn of(account: AccountId, endpoint: WebhookEndpointId) -> Self {
        Self { account_id: account.to_string(), record_id: endpoint.to_string() }
    }

    fn secret_context(&self) -> Context<'_> {
        let (account_id, record_id) = (self.account_id.as_str(), self.record_id.as_str());
        Context { table: "webhook_endpoints", column: "secret", account_id, record_id }
    }

    fn signing_key_context(&self) -> Context<'_> {
        let (account_id, record_id) = (self.account_id.as_str(), self.record_id.as_str());
        Context { table: "webhook_endpoints", column: "signing_key", account_id, record_id }
    }

    fn headers_context(&self) -> Context<'_> {
        let (account_id, record_id) = (self.account_id.as_str(), self.record_id.as_str());
        Context { table: "webhook_endpoints", column: "secret_headers", account_id, record_id }
    }

    pub fn secret(&self, sealer: &Sealer, secret: &SecretString) -> String {
        sealer.seal(&self.secret_context(), secret.expose_secret().as_bytes())
    }

    /// A new key pair for the endpoint.
    pub fn pair(&self, sealer: &Sealer) -> Signing {
        let pkcs8 = Pair::generate();
        let pair = Pair::from_pkcs8(pkcs8.expose_secret()).expect("it was made a moment ago");
        let private = sealer.seal(&self.signing_key_context(), pkcs8.expose_secret());
        Signing { private, public: pair.public() }
    }

    /// The headers, sealed; none if there are none.
    pub fn headers(
        &self,
        sealer: &Sealer,
        digests: &Digests,
        headers: &BTreeMap<String, SecretString>,
    ) -> Option<SecretHeaders> {
        let told: BTreeMap<_, _> =
            headers.iter().map(|(name, value)| (name, value.expose_secret())).collect();
        let fingerprint = |(name, value): (&&String, &&str)| {
            ((*name).clone(), digests.fingerprint(&format!("{}/{name}", self.record_id), value))
        };
        let text = zeroize::Zeroizing::new(serde_json::to_vec(&told).expect("texts serialize"));
        (!headers.is_empty()).then(|| SecretHeaders {
            fingerprints: told.iter().map(fingerprint).collect(),
            sealed: sealer.seal(&self.headers_context(), &text),
        })
    }
}

/// What an endpoint's deliveries carry that is not to be shown.
#[derive(Debug)]
pub struct Secrets {
    secrets: Vec<Secret>,
    pairs: Vec<Pair>,
    pub headers: BTreeMap<String, SecretString>,
}

impl Secrets {
    /// Opens all of them: the endpoint's own first, then those before, of which one that cannot be opened is left out.
    pub fn open(sealer: &Sealer, endpoint: &WebhookEndpoint, old: &[OldSecret]) -> Result<Self, SealError> {
        let place = Place::of(endpoint.account_id, endpoint.id);
        let secret = |sealed: &str| {
            let text = sealer.open_text(&place.secret_context(), sealed)?;
            Secret::parse(&text).map_err(|_| SealError::Malformed)
        };
        let pair = |sealed: &str| {
            let pkcs8 = sealer.open(&place.signing_key_context(), sealed)?;
            Pair::from_pkcs8(pkcs8.expose_secret()).map_err(|_| SealError::Malformed)
        };
        let headers = match &endpoint.secret_headers {
            None => BTreeMap::new(),
            Some(sealed) => {
                let text = sealer.open_text(&place.headers_context(), sealed)?;
                serde_json::from_str(text.expose_secret()).map_err(|_| SealError::Malformed)?
            }
        };
        let mut secrets = vec![secret(&endpoint.secret)?];
        let mut pairs = endpoint.signing_key.iter().map(|key| pair(key)).collect::<Result<Vec<_>, _>>()?;
        for old in old {
            let kept = |error: &SealError| {
                tracing::error!(%error, endpoint = %endpoint.id, "a webhook secret of before cannot be opened");
            };
            secrets.extend(secret(&old.secret).inspect_err(kept));
            pairs.extend(old.signing_key.as_deref().map(pair).transpose().inspect_err(kept).ok().flatten());
        }
        Ok(Self { secrets, pairs, headers })
    }

    /// The header `webhook-signature`.
    pub fn signatures(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let shared = self.secrets.iter().map(|secret| secret.sign(id, timestamp, body));
        let own = self.pairs.iter().map(|pair| pair.sign(id, timestamp, body));
        shared.chain(own).collect::<Vec<_>>().join(" ")
    }

    /// A text without the values of the headers that are not shown, should the endpoint have told them.
    pub fn redacted(&self, mut text: String) -> String {
        for value in self.headers.values().map(ExposeSecret::expose_secret) {
            if !value.is_empty() && text.contains(value) {
                text = text.replace(value, "[redacted]");
            }
        }
        text
    }
}
