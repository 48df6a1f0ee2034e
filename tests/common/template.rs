//! Databases of PostgreSQL, each a copy of one that is migrated already: to migrate takes far longer.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tenantry::clock::Clock;
use tenantry::model::ids::EventId;
use tenantry::store::migrate;
use url::Url;

use super::database::{app_url, owner_of, owner_url, run};

/// The schema that the tables are in, which is not the one that every database has.
const SCHEMA: &str = "tenantry";
/// After what time a database that a failed test left behind is dropped, in seconds.
const LEFT_BEHIND: i64 = 3600;

/// Makes a database for a test; its name and its URL.
pub async fn copy() -> (String, String) {
    let template = format!("tenantry_template_{:016x}", fingerprint());
    let name = format!("tenantry_t{}_{}", Clock::system().now().as_seconds(), EventId::new().bare());
    let mut owner = owner().await;
    let statement = format!("CREATE DATABASE {name} TEMPLATE {template}");
    if let Err(error) = run(&mut owner, statement.clone()).await {
        // There is no such database.
        assert_eq!(
            error.as_database_error().and_then(|error| error.code()).as_deref(),
            Some("3D000"),
            "{error}"
        );
        make(&mut owner, &template).await;
        run(&mut owner, statement).await.unwrap();
    }
    owner.close().await.unwrap();
    let url = at(&name);
    (name, url)
}

/// Drops a database that [`copy`] made. While somebody is connected with it it stays, to be swept away later.
pub async fn remove(name: &str) {
    let mut owner = owner().await;
    let _ = run(&mut owner, format!("DROP DATABASE {name}")).await;
    owner.close().await.unwrap();
}

/// Makes the template, which nobody may connect with, unless another test is faster; and drops what tests that failed
/// long ago left behind.
async fn make(owner: &mut PgConnection, template: &str) {
    run(owner, "SELECT pg_advisory_lock(hashtextextended('tenantry tests', 0))".into()).await.unwrap();
    let exists = sqlx::query("SELECT FROM pg_database WHERE datname = $1").bind(template);
    if exists.fetch_optional(&mut *owner).await.unwrap().is_none() {
        sweep(owner).await;
        let unready = format!("{template}_unready");
        run(owner, format!("DROP DATABASE IF EXISTS {unready}")).await.unwrap();
        run(owner, format!("CREATE DATABASE {unready}")).await.unwrap();
        let (url, options) = (at(&unready), PgConnectOptions::from_str(&app_url()).unwrap());
        let mut within = PgConnection::connect(&owner_of(&url)).await.unwrap();
        run(&mut within, format!("CREATE SCHEMA {SCHEMA}")).await.unwrap();
        within.close().await.unwrap();
        migrate::postgres_as_owner(&owner_of(&url), options.get_username()).await.unwrap();
        run(owner, format!("ALTER DATABASE {unready} ALLOW_CONNECTIONS false")).await.unwrap();
        run(owner, format!("ALTER DATABASE {unready} RENAME TO {template}")).await.unwrap();
    }
    run(owner, "SELECT pg_advisory_unlock(hashtextextended('tenantry tests', 0))".into()).await.unwrap();
}

/// Templates of other migrations go as well; whoever still needs one makes it again.
async fn sweep(owner: &mut PgConnection) {
    let names = "SELECT datname::text FROM pg_database WHERE datname ~ '^tenantry_(t[0-9]+_[0-9a-z]{26}|template_[0-9a-f]{16})$'";
    let names: Vec<(String,)> = sqlx::query_as(names).fetch_all(&mut *owner).await.unwrap();
    let now = Clock::system().now().as_seconds();
    for (name,) in names {
        let made =
            name.strip_prefix("tenantry_t").and_then(|name| name.split('_').next()?.parse::<i64>().ok());
        if made.is_none_or(|made| now - made > LEFT_BEHIND) {
            // Somebody may be using it.
            let _ = run(owner, format!("DROP DATABASE {name}")).await;
        }
    }
}

/// The URL of a database for the role that serves.
fn at(name: &str) -> String {
    let mut url = Url::parse(&app_url()).expect("TEST_POSTGRES_APP is a URL");
    url.set_path(name);
    let options = format!("options=-csearch_path%3D{SCHEMA}");
    let query = url.query().map_or(options.clone(), |query| format!("{query}&{options}"));
    url.set_query(Some(&query));
    url.into()
}

/// Of all that makes the template what it is.
fn fingerprint() -> u64 {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut hasher = DefaultHasher::new();
    (app_url(), owner_url(), migrate::newest()).hash(&mut hasher);
    for file in files {
        (file.file_name(), std::fs::read(&file).unwrap()).hash(&mut hasher);
    }
    hasher.finish()
}

async fn owner() -> PgConnection {
    PgConnection::connect(&owner_url()).await.expect("PostgreSQL answers; scripts/services starts it")
}
