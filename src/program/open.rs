//! Opening an installation, and refusing to where it would not be safe.

use std::str::FromStr;
use std::sync::Arc;

use secrecy::ExposeSecret;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnectOptions;

use super::{Program, Stop};
use crate::access::kek::{self, Kek};
use crate::access::principals::Principals;
use crate::access::seal::{Context, Sealer};
use crate::access::signing::SigningKey;
use crate::clock::Clock;
use crate::config::{Config, KekSource};
use crate::connectors::Connectors;
use crate::folder::{Folder, FolderError};
use crate::model::Subtree;
use crate::model::ids::SigningKeyId;
use crate::store::facts::{self, SigningKeyRow};
use crate::store::migrate::{self, Standing};
use crate::store::{Db, migrate::newest};

/// The name under which the key-encryption key's check value is kept.
const CHECK: &str = "kek_check";
/// The name under which it is kept which signing key was the first.
const FIRST_KEY: &str = "first_signing_key";

impl Program {
    /// Opens the installation that the settings describe; a new one is made where there is none.
    pub async fn open(config: Config, clock: Clock) -> Result<Self, Stop> {
        Folder::open(&config.data.dir).map_err(folder)?;
        let sealer = Arc::new(Sealer::new(kek(&config)?));
        let db = Db::connect(config.database.url.expose_secret(), config.database.max_connections)
            .await
            .map_err(|error| Stop::failed(format!("the database cannot be opened: {error}")))?;
        if config.database.auto_migrate() {
            migrate(&config, &db).await?;
        }
        check_schema(&db).await?;
        check_role(&db).await?;
        check_kek(&db, &sealer).await?;
        let signing = signing_keys(&db, &sealer, &clock).await?;
        let connectors = Connectors::standard();
        Ok(Self { config, db, clock, sealer, connectors, principals: Principals::new(), signing })
    }

    pub(super) fn signing(&self) -> &[Arc<SigningKey>] {
        &self.signing
    }
}

pub(super) fn folder(error: FolderError) -> Stop {
    let code = match error {
        FolderError::InUse(..) => crate::cli::exit::IN_USE,
        _ => crate::cli::exit::IO,
    };
    Stop::because(code, error)
}

/// The key under which the database's secrets lie.
pub fn kek(config: &Config) -> Result<Kek, Stop> {
    let refused = |path: &std::path::Path, error: std::io::Error| {
        Stop::unsafe_to_run(format!("the key-encryption key {}: {error}", path.display()))
    };
    match config.secrets.kek() {
        KekSource::Given(text) => {
            kek::parse(&text).map_err(|error| Stop::unsafe_to_run(format!("secrets.kek: {error}")))
        }
        KekSource::File(path) => kek::load(&path).map_err(|error| refused(&path, error)),
        KekSource::FileOrNew(path) => kek::load_or_create(&path).map_err(|error| refused(&path, error)),
    }
}

/// Brings the database up to this program's schema.
pub async fn migrate(config: &Config, db: &Db) -> Result<(), Stop> {
    let failed = |error| match error {
        MigrateError::VersionMissing(_) => newer(),
        error => Stop::failed(format!("migrating the database failed: {error}")),
    };
    if config.database.is_sqlite() {
        return migrate::sqlite(db).await.map_err(failed);
    }
    let serving = PgConnectOptions::from_str(config.database.url.expose_secret())?;
    let owner = config.database.url_of_owner().expose_secret();
    migrate::postgres_as_owner(owner, serving.get_username()).await.map_err(failed)
}

async fn check_schema(db: &Db) -> Result<(), Stop> {
    let standing = migrate::standing(db)
        .await
        .map_err(|error| Stop::failed(format!("the database's schema cannot be read: {error}")))?;
    match standing {
        Standing::Current => Ok(()),
        Standing::Behind(missing) => Err(Stop::failed(format!(
            "the database lacks {missing} of this program's migrations; run `tenantry migrate`"
        ))),
        Standing::Ahead => Err(newer()),
    }
}

fn newer() -> Stop {
    Stop::unsafe_to_run(format!(
        "the database's schema is newer than this program, which knows migrations up to {}; run the newer program",
        newest()
    ))
}

/// On PostgreSQL the role that serves must be bound by row-level security: it is no superuser, owns no
/// table, and every table with accounts' rows has its policy.
async fn check_role(db: &Db) -> Result<(), Stop> {
    let Some(role) = facts::serving_role(db).await? else { return Ok(()) };
    let name = &role.name;
    let mut reasons = Vec::new();
    if role.superuser {
        reasons
            .push(format!("the database role {name} is a superuser, whom row-level security does not bind"));
    }
    if role.bypasses {
        reasons.push(format!("the database role {name} has BYPASSRLS"));
    }
    if role.owns {
        reasons.push(format!("the database role {name} owns tables: serve with another role than the one that migrates (database.migrate_url)"));
    }
    if !role.unguarded.is_empty() {
        reasons.push(format!("row-level security is not forced on: {}", role.unguarded));
    }
    match reasons.is_empty() {
        true => Ok(()),
        false => Err(Stop { code: crate::cli::exit::CONFIG, reasons }),
    }
}

/// A key that is not the one the database's secrets lie under would be noticed only later.
async fn check_kek(db: &Db, sealer: &Sealer) -> Result<(), Stop> {
    let value = sealer.check_value();
    let known = facts::find(&mut db.read(Subtree::everything()).await?, CHECK).await?;
    let known = match known {
        Some(known) => known,
        None => {
            let mut tx = db.write(Subtree::everything()).await?;
            facts::insert(&mut tx, CHECK, &value).await?;
            tx.commit().await?;
            facts::find(&mut db.read(Subtree::everything()).await?, CHECK).await?.unwrap_or_default()
        }
    };
    match known == value {
        true => Ok(()),
        false => Err(Stop::unsafe_to_run(
            "the key-encryption key is not the one this database's secrets lie under (secrets.kek, secrets.kek_file)",
        )),
    }
}

/// The keys that tokens are signed with, the newest first; a new installation makes its first.
async fn signing_keys(db: &Db, sealer: &Sealer, clock: &Clock) -> Result<Vec<Arc<SigningKey>>, Stop> {
    let mut rows = facts::signing_keys(&mut db.read(Subtree::everything()).await?).await?;
    if rows.is_empty() {
        let id = SigningKeyId::new();
        let record = id.to_string();
        let pkcs8 = SigningKey::generate();
        let row = SigningKeyRow {
            id,
            algorithm: "EdDSA".into(),
            private_key: sealer.seal(&context(&record), pkcs8.expose_secret()),
            created_at: clock.now(),
        };
        // Of several replicas that start at once, one makes the key.
        let mut tx = db.write(Subtree::everything()).await?;
        match facts::insert(&mut tx, FIRST_KEY, &record).await? {
            true => {
                facts::insert_signing_key(&mut tx, &row).await?;
                tx.commit().await?;
            }
            false => tx.undo().await?,
        }
        rows = facts::signing_keys(&mut db.read(Subtree::everything()).await?).await?;
    }
    rows.iter()
        .map(|row| {
            let record = row.id.to_string();
            let pkcs8 = sealer.open(&context(&record), &row.private_key).map_err(|error| {
                Stop::unsafe_to_run(format!("the signing key {record} cannot be opened: {error}"))
            })?;
            SigningKey::from_pkcs8(row.id, pkcs8.expose_secret())
                .map(Arc::new)
                .map_err(|error| Stop::failed(format!("the signing key {record}: {error}")))
        })
        .collect()
}

fn context(record: &str) -> Context<'_> {
    Context { table: "signing_keys", column: "private_key", account_id: "", record_id: record }
}
