//! A database of its own for each test.

use std::future::Future;
use std::str::FromStr;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tenantry::model::ids::EventId;
use tenantry::store::{Db, migrate};
use url::Url;

use super::template;

/// A migrated, empty database.
pub struct Fresh {
    pub db: Db,
    /// By which another program would open it.
    pub url: String,
    /// Of PostgreSQL, the database's name.
    name: Option<String>,
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

/// The URL of the same database for the role that owns it.
pub fn owner_of(url: &str) -> String {
    let (mut owner, url) = (Url::parse(&owner_url()).unwrap(), Url::parse(url).unwrap());
    owner.set_path(url.path());
    owner.set_query(url.query());
    owner.into()
}

/// The role that serves.
pub fn app_url() -> String {
    let default = "postgres://tenantry_app:tenantry@127.0.0.1:5432/tenantry_test";
    std::env::var("TEST_POSTGRES_APP").unwrap_or_else(|_| default.into())
}

impl Fresh {
    /// The same database for another program, which does not remove it.
    pub fn again(&self) -> Self {
        Self { db: self.db.clone(), url: self.url.clone(), name: None }
    }

    pub async fn sqlite() -> Self {
        let file = format!("{}/{}.db", env!("CARGO_TARGET_TMPDIR"), EventId::new().bare());
        let url = format!("sqlite://{file}?mode=rwc");
        let db = Db::connect(&url, 8).await.unwrap();
        migrate::sqlite(&db).await.unwrap();
        Self { db, url, name: None }
    }

    pub async fn postgres() -> Self {
        let (name, url) = template::copy().await;
        let db = Db::connect(&url, 8).await.unwrap();
        Self { db, url, name: Some(name) }
    }

    /// Runs the test and then removes the database; one that a failed test used stays to be looked at.
    pub async fn run<F: Future<Output = ()>>(self, test: impl FnOnce(Db) -> F) {
        test(self.db.clone()).await;
        self.remove().await;
    }

    /// Does what nobody should: statements on the tables themselves, past the program, as the owner of the database.
    pub async fn tamper(&self, statements: &str) {
        match &self.name {
            Some(_) => {
                let mut owner = PgConnection::connect(&owner_of(&self.url)).await.unwrap();
                run(&mut owner, format!("SET app.subtree = '/'; {statements}")).await.unwrap();
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
        match self.name {
            Some(name) => template::remove(&name).await,
            None => {
                let file = self.url.trim_start_matches("sqlite://").trim_end_matches("?mode=rwc");
                for end in ["", "-wal", "-shm"] {
                    let _ = std::fs::remove_file(format!("{file}{end}"));
                }
            }
        }
    }
}

pub async fn run(owner: &mut PgConnection, statement: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(owner).await.map(drop)
}
