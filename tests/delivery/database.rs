//! An empty database for one test, on each engine.

use std::path::PathBuf;

use sqlx::{AssertSqlSafe, ConnectOptions, Executor, postgres::PgConnectOptions};
use tenantry::model::ids::AccountId;
use tenantry::store::{Db, migrate};

#[derive(Debug, Clone, Copy)]
pub enum Engine {
    Sqlite,
    Postgres,
}

pub struct Database {
    pub db: Db,
    pub url: String,
    place: Place,
}

enum Place {
    File(PathBuf),
    Schema(String),
}

fn owner() -> String {
    std::env::var("TEST_POSTGRES_OWNER")
        .unwrap_or_else(|_| "postgres://tenantry_owner:tenantry@127.0.0.1:5432/tenantry_test".into())
}

fn app() -> String {
    std::env::var("TEST_POSTGRES_APP")
        .unwrap_or_else(|_| "postgres://tenantry_app:tenantry@127.0.0.1:5432/tenantry_test".into())
}

async fn as_owner(statement: String) {
    let mut owner = owner().parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    owner.execute(AssertSqlSafe(statement)).await.unwrap();
}

impl Database {
    pub async fn new(engine: Engine) -> Self {
        let name = format!("delivery_{}", AccountId::new().bare());
        match engine {
            Engine::Sqlite => {
                let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.db"));
                let url = format!("sqlite:{}", file.display());
                let db = Db::connect(&url, 4).await.unwrap();
                migrate::sqlite(&db).await.unwrap();
                Self { db, url, place: Place::File(file) }
            }
            Engine::Postgres => {
                as_owner(format!("CREATE SCHEMA {name}")).await;
                let within = format!("?options=-csearch_path%3D{name}");
                migrate::postgres_as_owner(&format!("{}{within}", owner()), "tenantry_app").await.unwrap();
                let url = format!("{}{within}", app());
                let db = Db::connect(&url, 6).await.unwrap();
                Self { db, url, place: Place::Schema(name) }
            }
        }
    }

    pub async fn remove(self) {
        self.db.close().await;
        match self.place {
            Place::File(file) => {
                for end in ["", "-wal", "-shm"] {
                    let _ = std::fs::remove_file(format!("{}{end}", file.display()));
                }
            }
            Place::Schema(name) => as_owner(format!("DROP SCHEMA {name} CASCADE")).await,
        }
    }
}

/// Makes each function a test on SQLite and a test on PostgreSQL.
#[macro_export]
macro_rules! on_both_engines {
    ($($(#[$attribute:meta])* async fn $name:ident($world:ident: &World) $body:block)+) => {$(
        mod $name {
            use super::*;

            async fn test($world: &World) $body

            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                let world = World::new($crate::database::Engine::Sqlite).await;
                test(&world).await;
                world.remove().await;
            }

            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                let world = World::new($crate::database::Engine::Postgres).await;
                test(&world).await;
                world.remove().await;
            }
        }
    )+};
}
