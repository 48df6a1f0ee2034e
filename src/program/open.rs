//! Opening an installation, and refusing to where it would not be safe.

use std::str::FromStr;

use secrecy::ExposeSecret;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnectOptions;

use super::{Program, Stop, secrets, signing};
use crate::access::principals::Principals;
use crate::clock::Clock;
use crate::config::Config;
use crate::connectors::Connectors;
use crate::folder::{Folder, FolderError};
use crate::store::facts;
use crate::store::migrate::{self, Standing};
use crate::store::{Db, migrate::newest};

impl Program {
    /// Opens the installation that the settings describe; a new one is made where there is none.
    pub async fn open(config: Config, clock: Clock) -> Result<Self, Stop> {
        Folder::open(&config.data.dir).map_err(folder)?;
        let sealer = secrets::sealer(&config)?;
        let db = Db::connect(config.database.url.expose_secret(), config.database.max_connections)
            .await
            .map_err(|error| Stop::failed(format!("the database cannot be opened: {error}")))?;
        if config.database.auto_migrate() {
            migrate(&config, &db).await?;
        }
        check_schema(&db).await?;
        check_role(&db).await?;
        let derived = secrets::unlock(&db, &sealer).await?;
        let ring = signing::ring(&db, &sealer, &clock, &config.server.public_url).await?;
        let connectors = Connectors::standard();
        Ok(Self { config, db, clock, sealer, connectors, principals: Principals::new(), ring, derived })
    }
}

pub(super) fn folder(error: FolderError) -> Stop {
    let code = match error {
        FolderError::InUse(..) => crate::cli::exit::IN_USE,
        _ => crate::cli::exit::IO,
    };
    Stop::because(code, error)
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
