//! Settings that are or hold secrets, as they may be shown.

use secrecy::{ExposeSecret, SecretString};
use serde::Serializer;
use url::Url;

const STARS: &str = "***";

/// What may be told about a database in the query of its URL; all else might be a password.
const TOLD: &[&str] =
    &["sslmode", "ssl-mode", "mode", "cache", "application_name", "dbname", "host", "port", "user"];

pub(super) fn secret<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if secret.expose_secret().is_empty() { "" } else { STARS })
}

pub(super) fn url<S: Serializer>(url: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&without_password(url.expose_secret()))
}

/// The URL with stars for its password and for what its query might hide; stars alone for what is no URL.
pub(super) fn without_password(text: &str) -> String {
    // A SQLite URL names a file, and the first part of a relative path would be taken for a host.
    if text.is_empty() || text.starts_with("sqlite:") {
        return text.to_owned();
    }
    let Ok(mut url) = Url::parse(text) else { return STARS.to_owned() };
    if url.cannot_be_a_base() || url.password().is_some() && url.set_password(Some(STARS)).is_err() {
        return STARS.to_owned();
    }
    if url.query().is_some() {
        let pairs: Vec<(String, String)> = url
            .query_pairs()
            .map(|(name, value)| {
                let value = if TOLD.contains(&name.as_ref()) { value.into_owned() } else { STARS.to_owned() };
                (name.into_owned(), value)
            })
            .collect();
        url.query_pairs_mut().clear().extend_pairs(pairs);
    }
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CFG-2
    #[test]
    fn a_url_is_shown_without_what_opens_the_door() {
        let table = [
            ("", ""),
            ("sqlite://./data/tenantry.db", "sqlite://./data/tenantry.db"),
            (
                "postgres://app:hunter2@db:5432/x?sslmode=require",
                "postgres://app:***@db:5432/x?sslmode=require",
            ),
            ("postgres://app@db/x?password=hunter2", "postgres://app@db/x?password=***"),
            ("postgres://app:p%40ss@db/x#hunter2", "postgres://app:***@db/x"),
            ("redis://:hunter2@cache/0", "redis://:***@cache/0"),
            ("postgres//hunter2", "***"),
            ("hunter2:hunter2", "***"),
        ];
        for (url, shown) in table {
            assert_eq!(without_password(url), shown, "{url}");
        }
    }
}
