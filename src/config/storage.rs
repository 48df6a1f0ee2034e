use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use serde::{Deserialize, Serialize};

use super::faults::Checks;
use super::hidden;

/// Where files are kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// The folder of the SQLite file, of the key-encryption key and of the connectors' files.
    pub dir: PathBuf,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { dir: "./data".into() }
    }
}

/// The database, SQLite or PostgreSQL.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// Where the database is: `sqlite://` and a file, or `postgres://user:password@host/name`.
    #[serde(serialize_with = "hidden::url")]
    pub url: SecretString,
    /// The same PostgreSQL database under the role that owns its tables, for migrations; empty if it is the one of `url`.
    #[serde(serialize_with = "hidden::url")]
    pub migrate_url: SecretString,
    /// How many connections are opened at most.
    pub max_connections: u32,
    /// Whether the schema is brought up to date at the start, rather than by `tenantry migrate`.
    auto_migrate: Option<bool>,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: SecretString::default(),
            migrate_url: SecretString::default(),
            max_connections: 8,
            auto_migrate: None,
        }
    }
}

impl DatabaseConfig {
    /// Whether the database is SQLite; else it is PostgreSQL.
    pub fn is_sqlite(&self) -> bool {
        self.url.expose_secret().starts_with("sqlite:")
    }

    /// Whether the schema is brought up to date at the start.
    pub fn auto_migrate(&self) -> bool {
        self.auto_migrate.unwrap_or_else(|| self.is_sqlite())
    }

    /// The URL to migrate with.
    pub fn url_of_owner(&self) -> &SecretString {
        if self.migrate_url.expose_secret().is_empty() { &self.url } else { &self.migrate_url }
    }

    pub(super) fn settle(&mut self, data: &DataConfig, checks: &mut Checks<'_>) {
        if self.url.expose_secret().is_empty() {
            let file = data.dir.join("tenantry.db").display().to_string();
            let file = file.replace('%', "%25").replace('?', "%3F");
            self.url = format!("sqlite://{file}").into();
        }
        self.auto_migrate = Some(self.auto_migrate());
        if !self.is_sqlite() && !is_postgres(&self.url) {
            checks.refuse("database.url", "must begin with sqlite: or postgres://");
        }
        if !self.migrate_url.expose_secret().is_empty() {
            if self.is_sqlite() {
                checks.refuse("database.migrate_url", "has no meaning with SQLite");
            } else if !is_postgres(&self.migrate_url) {
                checks.refuse("database.migrate_url", "must begin with postgres://");
            }
        }
        checks.within("database.max_connections", self.max_connections.into(), 1..=1000);
    }
}

fn is_postgres(url: &SecretString) -> bool {
    let url = url.expose_secret();
    (url.starts_with("postgres://") || url.starts_with("postgresql://")) && url::Url::parse(url).is_ok()
}

/// Redis, over which replicas share their rate limits.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://` or, with TLS, `rediss://`; empty if there is none.
    #[serde(serialize_with = "hidden::url")]
    url: SecretString,
}

impl RedisConfig {
    /// Where Redis is, if there is one.
    pub fn url(&self) -> Option<&SecretString> {
        (!self.url.expose_secret().is_empty()).then_some(&self.url)
    }

    pub(super) fn settle(&self, checks: &mut Checks<'_>) {
        let shaped = |url: &str| {
            (url.starts_with("redis://") || url.starts_with("rediss://")) && redis::Client::open(url).is_ok()
        };
        if self.url().is_some_and(|url| !shaped(url.expose_secret())) {
            checks
                .refuse("redis.url", "must be redis:// or rediss://, a host, and maybe a port and a number");
        }
    }
}

/// The key-encryption key, under which every secret in the database lies.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecretsConfig {
    /// The key itself: 32 bytes in base64. Empty if it is in a file. While secrets move to another key both stand here,
    /// the new one first.
    #[serde(serialize_with = "hidden::secret")]
    kek: SecretString,
    /// The file that holds the key, 32 bytes in base64; or several, one a line, the newest first. If empty, `kek` in the data folder, made when it is missing.
    kek_file: String,
    #[serde(skip)]
    default_file: PathBuf,
}

/// Where the key-encryption key comes from.
#[derive(Debug, Clone)]
pub enum KekSource {
    /// It was given as a setting, in base64.
    Given(SecretString),
    /// It is in this file, which must be there.
    File(PathBuf),
    /// It is in this file, which is to be made with a new key if it is not there.
    FileOrNew(PathBuf),
}

/// Whether a text is from one to four keys, each of exactly 32 bytes in base64, with blanks or ends of lines between.
pub fn holds_keks(text: &str) -> bool {
    let is_key = |word| {
        let bytes = STANDARD.decode(word).map(|bytes| SecretBox::new(Box::new(bytes)));
        bytes.is_ok_and(|bytes| bytes.expose_secret().len() == 32)
    };
    let words = text.split_ascii_whitespace();
    (1..=4).contains(&words.clone().count()) && words.into_iter().all(is_key)
}

impl SecretsConfig {
    /// Where the key-encryption key comes from.
    pub fn kek(&self) -> KekSource {
        if !self.kek.expose_secret().is_empty() {
            KekSource::Given(self.kek.clone())
        } else if !self.kek_file.is_empty() {
            KekSource::File(PathBuf::from(&self.kek_file))
        } else {
            KekSource::FileOrNew(self.default_file.clone())
        }
    }

    pub(super) fn settle(&mut self, data: &DataConfig, checks: &mut Checks<'_>) {
        self.default_file = data.dir.join("kek");
        if !self.kek.expose_secret().is_empty() && !self.kek_file.is_empty() {
            checks.refuse("secrets.kek", "must be empty if secrets.kek_file is set");
        }
        if !self.kek.expose_secret().is_empty() && !holds_keks(self.kek.expose_secret()) {
            checks
                .refuse("secrets.kek", "must be 32 bytes in base64 (or several such keys, the newest first), as `openssl rand -base64 32` makes them");
        }
        if !self.kek_file.is_empty() {
            match std::fs::read_to_string(&self.kek_file).map(SecretString::from) {
                Ok(text) if holds_keks(text.expose_secret()) => {}
                Ok(_) => checks.refuse("secrets.kek_file", "the file must hold 32 bytes in base64"),
                Err(error) => checks.refuse("secrets.kek_file", format!("the file cannot be read: {error}")),
            }
        }
    }
}
