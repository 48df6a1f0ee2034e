//! What a server's settings and credentials say, checked once.

use std::fmt;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::model::connector::{Fault, Target};

/// Where a hosting database and its Dovecot are, and with what they are opened.
pub struct Installation {
    pub database: Url,
    pub doveadm: Url,
    pub secrets: Secrets,
    fingerprint: [u8; 32],
}

/// The credentials of a server, as its operator gives them in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    pub doveadm_api_key: SecretString,
    pub database_user: Option<String>,
    pub database_password: Option<SecretString>,
}

impl Installation {
    pub fn of(target: &Target) -> Result<Self, Fault> {
        let database = url(target, "database")?;
        if database.password().is_some() {
            return Err(Fault::Denied(
                "the server's setting `database` has a password in it; it belongs in the credentials".into(),
            ));
        }
        let doveadm = url(target, "doveadm_url")?;
        if !matches!(doveadm.scheme(), "http" | "https") {
            return Err(Fault::Denied("the server's setting `doveadm_url` is no HTTP address".into()));
        }
        let credentials = target.credentials.as_ref().ok_or_else(|| {
            Fault::Denied("the server has no credentials; doveadm needs its API key".into())
        })?;
        // The parser's own words would repeat what it read.
        let secrets = serde_json::from_str(credentials.expose_secret()).map_err(|_| {
            Fault::Denied(
                "the server's credentials are no JSON object with `doveadm_api_key` and, where the database \
                 asks for them, `database_user` and `database_password`"
                    .into(),
            )
        })?;
        let mut hash = Sha256::new();
        hash.update(database.as_str());
        hash.update([0]);
        hash.update(credentials.expose_secret());
        Ok(Self { database, doveadm, secrets, fingerprint: hash.finalize().into() })
    }

    /// The same for equal database and credentials, and telling neither.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}

impl fmt::Debug for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Installation").field("doveadm", &self.doveadm.as_str()).finish_non_exhaustive()
    }
}

fn url(target: &Target, name: &str) -> Result<Url, Fault> {
    Url::parse(target.text(name)?)
        .map_err(|error| Fault::Denied(format!("the server's setting `{name}` is no URL: {error}")))
}
