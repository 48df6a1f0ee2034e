//! The same rows by `rusqlite`, in the worker's own thread: the least that SQLite itself allows.

use std::cell::RefCell;

use actix_web::error::{ErrorInternalServerError, ErrorNotFound};
use actix_web::{App, HttpResponse, HttpServer, get, web};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Row};
use sqlx::types::Json;

use crate::limit::{Account, Accounts, After, ONE, PAGE, Settings, Time};

type Own = web::Data<RefCell<Connection>>;

fn read(row: &Row<'_>) -> rusqlite::Result<Account> {
    let metadata: String = row.get(12)?;
    Ok(Account {
        id: row.get(0)?,
        account_type: row.get(1)?,
        parent_id: row.get(2)?,
        name: row.get(3)?,
        environment: row.get(4)?,
        status: row.get(5)?,
        suspended: false,
        contact_email: row.get(6)?,
        country: row.get(7)?,
        locale: row.get(8)?,
        time_zone: row.get(9)?,
        currency: row.get(10)?,
        external_id: row.get(11)?,
        metadata: Json(serde_json::from_str(&metadata).unwrap_or_default()),
        created_at: Time(row.get(13)?),
        updated_at: Time(row.get(14)?),
        path: row.get(15)?,
    })
}

fn rows(conn: &Own, sql: &str, value: &str) -> rusqlite::Result<Vec<Account>> {
    let conn = conn.borrow();
    let mut statement = conn.prepare_cached(sql)?;
    statement.query_map([value], read)?.collect()
}

#[get("/accounts/{id}")]
async fn account(conn: Own, id: web::Path<String>) -> actix_web::Result<HttpResponse> {
    let found = rows(&conn, ONE, &id).map_err(ErrorInternalServerError)?.pop();
    Ok(HttpResponse::Ok().json(found.ok_or_else(|| ErrorNotFound("no such account"))?))
}

#[get("/accounts")]
async fn accounts(conn: Own, after: web::Query<After>) -> actix_web::Result<HttpResponse> {
    let data = rows(&conn, PAGE, &after.path).map_err(ErrorInternalServerError)?;
    let next_cursor = data.last().map(|last| last.path.clone());
    Ok(HttpResponse::Ok().json(Accounts { data, next_cursor }))
}

pub async fn serve(settings: Settings) -> anyhow::Result<()> {
    let file = settings.database.trim_start_matches("sqlite://").to_owned();
    let server = HttpServer::new(move || {
        let conn = open(&file).expect("the database opens");
        App::new().app_data(web::Data::new(RefCell::new(conn))).service(account).service(accounts)
    });
    Ok(server.workers(1).bind(settings.listen)?.run().await?)
}

/// Set as the product's readers are.
fn open(file: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(file, flags)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.execute_batch("PRAGMA mmap_size = 1073741824")?;
    Ok(conn)
}
