//! A database of its own for each test.

use std::future::Future;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tenantry::clock::Clock;
use tenantry::model::ids::EventId;
use tenantry::store::{Db, migrate};
use tokio::sync::OnceCell;

/// After what time a schema that a failed test left behind is dropped, in seconds.
const LEFT_BEHIND: i64 = 3600;

/// A migrated, empty database.
pub struct Fresh {
    pub db: Db,
    /// By which another program would open it.
    pub url: String,
    schema: Option<String>,
}

pub async fn fresh_sqlite() -> Db {
    Fresh::sqlite().await.db
}

pub async fn fresh_postgres() -> Db {
    Fresh::postgres().await.db
}

/// The role that migrates.
pub fn owner_url() -> String {
    let default = "postgres://tenantry_owner:tenantry@127.0.0.1:5432/tenantry_test";
    std::env::var("TEST_POSTGRES_OWNER").unwrap_or_else(|_| default.into())
}

/// The role that serves.
pub fn app_url() -> String {
    let default = "postgres://tenantry_app:tenantry@127.0.0.1:5432/tenantry_test";
    std::env::var("TEST_POSTGRES_APP").unwrap_or_else(|_| default.into())
}

async fn owner() -> PgConnection {
    let options = PgConnectOptions::from_str(&owner_url()).expect("TEST_POSTGRES_OWNER is a URL");
    options.connect().await.expect("PostgreSQL answers; scripts/services starts it")
}

impl Fresh {
    pub async fn sqlite() -> Self {
        let file = format!("{}/{}.db", env!("CARGO_TARGET_TMPDIR"), EventId::new().bare());
        let url = format!("sqlite://{file}?mode=rwc");
        let db = Db::connect(&url, 8).await.unwrap();
        migrate::sqlite(&db).await.unwrap();
        Self { db, url, schema: None }
    }

    pub async fn postgres() -> Self {
        static SWEPT: OnceCell<()> = OnceCell::const_new();
        SWEPT.get_or_init(sweep).await;
        let schema = format!("t{}_{}", Clock::system().now().as_seconds(), EventId::new().bare());
        let mut owner = owner().await;
        run(&mut owner, format!("CREATE SCHEMA {schema}")).await.unwrap();
        owner.close().await.unwrap();
        let within = |url: String| {
            let joint = if url.contains('?') { '&' } else { '?' };
            format!("{url}{joint}options=-csearch_path%3D{schema}")
        };
        let url = within(app_url());
        let options = PgConnectOptions::from_str(&url).expect("TEST_POSTGRES_APP is a URL");
        migrate::postgres_as_owner(&within(owner_url()), options.get_username()).await.unwrap();
        let db = Db::connect(&url, 8).await.unwrap();
        Self { db, url, schema: Some(schema) }
    }

    /// Runs the test and then removes the database; one that a failed test used stays to be looked at.
    pub async fn run<F: Future<Output = ()>>(self, test: impl FnOnce(Db) -> F) {
        test(self.db.clone()).await;
        self.remove().await;
    }

    /// Does what nobody should: statements on the tables themselves, past the program, as the owner of the database.
    pub async fn tamper(&self, statements: &str) {
        match &self.schema {
            Some(schema) => {
                let mut owner = owner().await;
                let all = format!("SET search_path = {schema}; SET app.subtree = '/'; {statements}");
                run(&mut owner, all).await.unwrap();
                owner.close().await.unwrap();
            }
            None => {
                let mut conn = SqliteConnectOptions::from_str(&self.url).unwrap().connect().await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut conn).await.unwrap();
                conn.close().await.unwrap();
            }
        }
    }

    pub async fn remove(self) {
        let _ = tokio::time::timeout(std::time::Duration::from_secs(2), self.db.close()).await;
        match self.schema {
            Some(schema) => {
                let mut owner = owner().await;
                // What cannot be dropped now is swept away by a later run.
                let _ = drop_schema(&mut owner, &schema).await;
            }
            None => {
                let file = self.url.trim_start_matches("sqlite://").trim_end_matches("?mode=rwc");
                for end in ["", "-wal", "-shm"] {
                    let _ = std::fs::remove_file(format!("{file}{end}"));
                }
            }
        }
    }
}

async fn run(owner: &mut PgConnection, statement: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(owner).await.map(drop)
}

async fn drop_schema(owner: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    run(
        owner,
        format!(
            "SET client_min_messages = error; SET lock_timeout = '3s'; DROP SCHEMA IF EXISTS {schema} CASCADE"
        ),
    )
    .await
}

/// Drops what tests that failed long ago left behind.
async fn sweep() {
    let mut owner = owner().await;
    let names: Vec<(String,)> =
        sqlx::query_as("SELECT nspname::text FROM pg_namespace WHERE nspname ~ '^t[0-9]+_[0-9a-z]{26}$'")
            .fetch_all(&mut owner)
            .await
            .unwrap();
    let now = Clock::system().now().as_seconds();
    for (name,) in names {
        let made = name[1..].split('_').next().and_then(|made| made.parse::<i64>().ok());
        if made.is_some_and(|made| now - made > LEFT_BEHIND) {
            let _ = drop_schema(&mut owner, &name).await;
        }
    }
}
