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

#[derive(Args)]
pub struct Settings {
    #[arg(long)]
    listen: SocketAddr,
    /// `sqlite:` and a file, or `postgres:`
    #[arg(long)]
    database: String,
}

/// Connections, as many as the product opens.
const CONNECTIONS: u32 = 8;

#[derive(Clone)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// The product's time, as sqlx reads it from either engine.
#[derive(Serialize)]
#[serde(transparent)]
struct Time(model::Time);

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
struct Account {
    id: String,
    #[serde(rename = "type")]
    #[sqlx(rename = "type")]
    account_type: String,
    parent_id: Option<String>,
    name: String,
    environment: String,
    status: String,
    #[sqlx(default)]
    suspended: bool,
    contact_email: Option<String>,
    country: Option<String>,
    locale: Option<String>,
    time_zone: Option<String>,
    currency: Option<String>,
    external_id: Option<String>,
    metadata: Json<BTreeMap<String, String>>,
    created_at: Time,
    updated_at: Time,
    #[serde(skip)]
    path: String,
}

#[derive(Serialize)]
struct Accounts {
    data: Vec<Account>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct After {
    path: String,
}

macro_rules! columns {
    () => {
        "SELECT id, type, parent_id, name, environment, status, contact_email, country, locale, time_zone, currency,
             external_id, metadata, created_at, updated_at, path FROM accounts "
    };
}

const ONE: &str = concat!(columns!(), "WHERE id = $1");
const PAGE: &str = concat!(columns!(), "WHERE (path, id) > ($1, '') ORDER BY path, id LIMIT 50");

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
