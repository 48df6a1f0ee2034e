//! Brings a database up to this program's schema. Each migration is one SQL text for both engines, or two
//! where they must differ; add new ones at the end, never edit an applied one.

use std::borrow::Cow;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqlSafeStr, SqliteConnection};

use super::engine::{Db, Sql};
use super::postgres;

/// A migration that the two engines write in two ways.
macro_rules! apart {
    ($name:literal) => {
        Sql {
            sqlite: include_str!(concat!("../../migrations/", $name, ".sqlite.sql")),
            postgres: include_str!(concat!("../../migrations/", $name, ".postgres.sql")),
        }
    };
}

const MIGRATIONS: &[(i64, &str, Sql)] = &[
    (1, "foundation", both(include_str!("../../migrations/0001_foundation.sql"))),
    (
        2,
        "row level security",
        postgres_alone(include_str!("../../migrations/0002_row_level_security.postgres.sql")),
    ),
    (
        3,
        "policies by prefix",
        postgres_alone(include_str!("../../migrations/0003_policies_by_prefix.postgres.sql")),
    ),
    (4, "keys", apart!("0004_keys")),
    (5, "audit chain", apart!("0005_audit_chain")),
    (6, "tokens", apart!("0006_tokens")),
    (7, "rate classes", both(include_str!("../../migrations/0007_rate_classes.sql"))),
    (9, "sealed replies", both(include_str!("../../migrations/0009_sealed_replies.sql"))),
    (10, "delegation", apart!("0010_delegation")),
    (11, "environments and storefronts", apart!("0011_storefronts")),
    (12, "requests", apart!("0012_requests")),
    (13, "clients", apart!("0013_clients")),
    (14, "audit checkpoints", apart!("0014_audit_checkpoints")),
    (15, "webhooks", apart!("0015_webhooks")),
    (16, "secrets by fingerprint", both(include_str!("../../migrations/0016_secrets_by_fingerprint.sql"))),
    (17, "client request ids", apart!("0017_client_request_ids")),
    (18, "roots", postgres_alone(include_str!("../../migrations/0018_roots.postgres.sql"))),
    (19, "secret headers", both(include_str!("../../migrations/0019_secret_headers.sql"))),
    (20, "moves", postgres_alone(include_str!("../../migrations/0020_moves.postgres.sql"))),
    (21, "price lists", apart!("0021_price_lists")),
    (22, "agreed prices", both(include_str!("../../migrations/0022_agreed_prices.sql"))),
    (23, "spend caps", apart!("0023_spend_caps")),
    (24, "quotes", apart!("0024_quotes")),
    (25, "the currency of caps", apart!("0025_cap_currency")),
    (26, "courses of subscriptions", apart!("0026_courses")),
    (27, "members", apart!("0027_members")),
    (28, "sign-ups", apart!("0028_signups")),
    (29, "add-ons", apart!("0029_addons")),
    (30, "console", apart!("0030_console")),
    (31, "approvals", both(include_str!("../../migrations/0031_approvals.sql"))),
    (32, "timelines", apart!("0032_timelines")),
    (33, "quota requests", apart!("0033_quota_requests")),
    (34, "branding", both(include_str!("../../migrations/0034_branding.sql"))),
    (
        35,
        "types of accounts",
        sqlite_alone(include_str!("../../migrations/0035_types_of_accounts.sqlite.sql")),
    ),
    (36, "batches", apart!("0036_batches")),
    (37, "reconcile runs", apart!("0037_reconcile_runs")),
];

const fn both(text: &'static str) -> Sql {
    Sql { sqlite: text, postgres: text }
}

const fn sqlite_alone(text: &'static str) -> Sql {
    Sql { sqlite: text, postgres: "SELECT 1" }
}

const fn postgres_alone(text: &'static str) -> Sql {
    Sql { sqlite: "SELECT 1", postgres: text }
}

/// Where a database stands against this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Current,
    /// So many migrations are to be applied.
    Behind(usize),
    /// A newer program has been here.
    Ahead,
}

/// The newest migration this program knows.
pub fn newest() -> i64 {
    MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or_default()
}

/// Brings a SQLite database up to date.
pub async fn sqlite(db: &Db) -> Result<(), MigrateError> {
    match db {
        Db::Sqlite { readers, .. } => {
            migrator(|sql| sql.sqlite).run(&mut beside(readers.file()).await?).await
        }
        Db::Postgres { .. } => unreachable!("a PostgreSQL database is migrated by its owner"),
    }
}

/// Brings a PostgreSQL database up to date as its owner, and lets `serving` use what is there: the role
/// that serves owns nothing, so that row-level security binds it. Of several that do so at once one does it,
/// and the others wait for it.
pub async fn postgres_as_owner(owner_url: &str, serving: &str) -> Result<(), MigrateError> {
    let mut owner = PgConnectOptions::from_str(owner_url)?.connect().await?;
    // In place of the migrator's own lock, which is for the whole database: other schemas need not wait. It lasts
    // as long as the session, so that what is granted is kept apart by it, too.
    sqlx::query("SELECT pg_advisory_lock(hashtextextended('tenantry migrate ' || current_schema(), 0))")
        .execute(&mut owner)
        .await?;
    migrator(|sql| sql.postgres).set_locking(false).run(&mut owner).await?;
    grant(&mut owner, serving).await?;
    owner.close().await?;
    Ok(())
}

async fn grant(owner: &mut PgConnection, serving: &str) -> Result<(), sqlx::Error> {
    let (schema, owner_name): (String, String) =
        sqlx::query_as("SELECT current_schema()::text, current_user::text").fetch_one(&mut *owner).await?;
    if owner_name == serving {
        return Ok(());
    }
    let (schema, role) = (quoted(&schema), quoted(serving));
    for statement in [
        format!("GRANT USAGE ON SCHEMA {schema} TO {role}"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"),
        format!("REVOKE UPDATE, DELETE, TRUNCATE ON {schema}.audit FROM {role}"),
        format!("REVOKE INSERT, UPDATE, DELETE ON {schema}.{TABLE} FROM {role}"),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *owner).await?;
    }
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// How the database stands; it is not changed.
pub async fn standing(db: &Db) -> Result<Standing, MigrateError> {
    let applied = match db {
        Db::Sqlite { readers, .. } => applied(&mut beside(readers.file()).await?).await?,
        Db::Postgres { pool, .. } => {
            let mut conn = postgres::lend(pool).await?;
            conn.run(async |conn| Ok(applied(conn).await)).await??
        }
    };
    Ok(match applied.iter().max() {
        Some(&version) if version > newest() => Standing::Ahead,
        _ => match MIGRATIONS.iter().filter(|(version, ..)| !applied.contains(version)).count() {
            0 => Standing::Current,
            missing => Standing::Behind(missing),
        },
    })
}

/// A connection to a SQLite file beside the store's own: sqlx keeps the list of what was applied.
async fn beside(file: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(Duration::from_secs(5));
    options.synchronous(SqliteSynchronous::Full).foreign_keys(true).connect().await
}

const TABLE: &str = "_sqlx_migrations";

async fn applied<C: Migrate>(conn: &mut C) -> Result<Vec<i64>, MigrateError> {
    match conn.list_applied_migrations(TABLE).await {
        Ok(applied) => Ok(applied.into_iter().map(|migration| migration.version).collect()),
        Err(error) if no_such_table(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Nothing was ever applied: the list of what was applied is not there either.
fn no_such_table(error: &MigrateError) -> bool {
    let (MigrateError::Execute(sqlx::Error::Database(error))
    | MigrateError::ExecuteMigration(sqlx::Error::Database(error), _)) = error
    else {
        return false;
    };
    error.code().is_some_and(|code| code == "42P01") || error.message().contains("no such table")
}

fn migrator(text: impl Fn(&Sql) -> &'static str) -> Migrator {
    let migration = |(version, name, sql): &(i64, &'static str, Sql)| {
        Migration::new(*version, Cow::Borrowed(name), MigrationType::Simple, text(sql).into_sql_str(), false)
    };
    Migrator::with_migrations(MIGRATIONS.iter().map(migration).collect())
}
