//! The same rows as the product serves, with nothing around the statement: no key, no scope, no subtree, no holds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::str::FromStr;

use actix_web::error::{ErrorInternalServerError, ErrorNotFound};
use actix_web::{App, HttpResponse, HttpServer, get, web};
use clap::Args;
use serde::{Deserialize, Serialize};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgTypeInfo, PgValueRef};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteTypeInfo, SqliteValueRef,
};
use sqlx::types::Json;
use sqlx::{Decode, Postgres, Sqlite, Type};
use tenantry::model;

use crate::{inline, stored};

#[derive(Args)]
pub struct Settings {
    #[arg(long)]
    pub listen: SocketAddr,
    /// `sqlite:` and a file, or `postgres:`
    #[arg(long)]
    pub database: String,
    /// Have SQLite's statements run in the worker's thread, by rusqlite, rather than through sqlx
    #[arg(long)]
    inline: bool,
    /// Read through the product's store, as the role of its that serves
    #[arg(long, conflicts_with = "inline")]
    stored: bool,
}

/// Connections, as many as the product opens.
pub const CONNECTIONS: u32 = 8;

#[derive(Clone)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// The product's time, as sqlx reads it from either engine.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Time(pub model::Time);

impl Type<Sqlite> for Time {
    fn type_info() -> SqliteTypeInfo {
        <str as Type<Sqlite>>::type_info()
    }
    fn compatible(_: &SqliteTypeInfo) -> bool {
        true
    }
}

impl<'r> Decode<'r, Sqlite> for Time {
    fn decode(value: SqliteValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(<&str as Decode<Sqlite>>::decode(value)?.parse()?))
    }
}

impl Type<Postgres> for Time {
    fn type_info() -> PgTypeInfo {
        <model::Time as Type<Postgres>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for Time {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        <model::Time as Decode<Postgres>>::decode(value).map(Self)
    }
}

/// The members that the product shows of an account.
#[derive(Serialize, sqlx::FromRow)]
pub struct Account {
    pub id: String,
    #[serde(rename = "type")]
    #[sqlx(rename = "type")]
    pub account_type: String,
    pub parent_id: Option<String>,
    pub name: String,
    pub environment: String,
    pub status: String,
    #[sqlx(default)]
    pub suspended: bool,
    pub contact_email: Option<String>,
    pub country: Option<String>,
    pub locale: Option<String>,
    pub time_zone: Option<String>,
    pub currency: Option<String>,
    pub external_id: Option<String>,
    pub metadata: Json<BTreeMap<String, String>>,
    pub created_at: Time,
    pub updated_at: Time,
    #[serde(skip)]
    pub path: String,
}

#[derive(Serialize)]
pub struct Accounts {
    pub data: Vec<Account>,
    pub next_cursor: Option<String>,
}

#[derive(Deserialize)]
pub struct After {
    pub path: String,
}

macro_rules! columns {
    () => {
        "SELECT id, type, parent_id, name, environment, status, contact_email, country, locale, time_zone, currency,
             external_id, metadata, created_at, updated_at, path FROM accounts "
    };
}

pub const ONE: &str = concat!(columns!(), "WHERE id = $1");
pub const PAGE: &str = concat!(columns!(), "WHERE (path, id) > ($1, '') ORDER BY path, id LIMIT 50");

#[get("/accounts/{id}")]
async fn account(pool: web::Data<Pool>, id: web::Path<String>) -> actix_web::Result<HttpResponse> {
    let id = id.into_inner();
    let found: Option<Account> = match pool.get_ref() {
        Pool::Sqlite(pool) => sqlx::query_as(ONE).bind(id).fetch_optional(pool).await,
        Pool::Postgres(pool) => sqlx::query_as(ONE).bind(id).fetch_optional(pool).await,
    }
    .map_err(ErrorInternalServerError)?;
    Ok(HttpResponse::Ok().json(found.ok_or_else(|| ErrorNotFound("no such account"))?))
}

#[get("/accounts")]
async fn accounts(pool: web::Data<Pool>, after: web::Query<After>) -> actix_web::Result<HttpResponse> {
    let path = after.into_inner().path;
    let data: Vec<Account> = match pool.get_ref() {
        Pool::Sqlite(pool) => sqlx::query_as(PAGE).bind(path).fetch_all(pool).await,
        Pool::Postgres(pool) => sqlx::query_as(PAGE).bind(path).fetch_all(pool).await,
    }
    .map_err(ErrorInternalServerError)?;
    let next_cursor = data.last().map(|last| last.path.clone());
    Ok(HttpResponse::Ok().json(Accounts { data, next_cursor }))
}

pub fn serve(settings: Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        if settings.inline {
            return inline::serve(settings).await;
        }
        if settings.stored {
            return stored::serve(settings).await;
        }
        let pool = open(&settings.database).await?;
        let server = HttpServer::new(move || {
            App::new().app_data(web::Data::new(pool.clone())).service(account).service(accounts)
        });
        Ok(server.workers(1).bind(settings.listen)?.run().await?)
    })
}

async fn open(database: &str) -> anyhow::Result<Pool> {
    if database.starts_with("sqlite:") {
        let options = SqliteConnectOptions::from_str(database)?
            .journal_mode(SqliteJournalMode::Wal)
            .statement_cache_capacity(512)
            .read_only(true);
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
        return Ok(Pool::Sqlite(pool.connect_with(options).await?));
    }
    let options = PgConnectOptions::from_str(database)?.statement_cache_capacity(512);
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
    Ok(Pool::Postgres(pool.connect_with(options).await?))
}
