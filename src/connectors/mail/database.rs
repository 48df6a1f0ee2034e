//! One hosting database, whichever engine it is: the same texts with bound values, and what its refusals mean.

use std::str::FromStr;
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlRow};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow};
use sqlx::{AssertSqlSafe, Encode, FromRow, MySqlPool, PgPool, SqlitePool, Type};

use super::refusals::{Refusal, refusal};
use super::settings::Installation;
use crate::model::connector::Fault;

/// How long any one statement may take, waiting for a connection counted.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection may take to be had.
const CONNECT: Duration = Duration::from_secs(5);
/// How long SQLite waits for another writer.
const BUSY: Duration = Duration::from_secs(5);
/// A hosting database is shared with the mail servers: we take few of its connections.
const CONNECTIONS: u32 = 4;

/// The connections to one hosting database.
pub enum Database {
    Sqlite(SqlitePool),
    MySql(MySqlPool),
    Postgres(PgPool),
}

/// A value bound into a statement.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    Text(&'a str),
    Absent,
    Whole(i64),
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Value::Absent, Value::Text)
    }
}

/// Runs the same call on whichever engine it is; PostgreSQL numbers the values that the others mark `?`.
macro_rules! on_engine {
    ($database:expr, $sql:expr, |$text:ident, $pool:ident| $call:expr) => {
        match $database {
            Database::Sqlite($pool) => {
                let $text = $sql;
                within($call).await
            }
            Database::MySql($pool) => {
                let $text = $sql;
                within($call).await
            }
            Database::Postgres($pool) => {
                // Only the marks of one of our own texts are rewritten.
                let $text = AssertSqlSafe(numbered($sql));
                within($call).await
            }
        }
    };
}

impl Database {
    /// Opens the database and finds that it answers.
    pub async fn open(installation: &Installation) -> Result<Self, Fault> {
        let url = installation.database.as_str();
        let secrets = &installation.secrets;
        let user = secrets.database_user.as_deref();
        let password = secrets.database_password.as_ref().map(ExposeSecret::expose_secret);
        let opened = match installation.database.scheme() {
            "sqlite" => {
                let options = SqliteConnectOptions::from_str(url)
                    .map_err(refusal)?
                    .journal_mode(SqliteJournalMode::Wal)
                    .busy_timeout(BUSY);
                let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(CONNECT);
                within(pool.connect_with(options)).await.map(Self::Sqlite)
            }
            "mysql" | "mariadb" => {
                let mut options = MySqlConnectOptions::from_str(url).map_err(refusal)?;
                if let Some(user) = user {
                    options = options.username(user);
                }
                if let Some(password) = password {
                    options = options.password(password);
                }
                let pool = MySqlPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(CONNECT);
                within(pool.connect_with(options)).await.map(Self::MySql)
            }
            "postgres" | "postgresql" => {
                let mut options = PgConnectOptions::from_str(url).map_err(refusal)?;
                if let Some(user) = user {
                    options = options.username(user);
                }
                if let Some(password) = password {
                    options = options.password(password);
                }
                let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(CONNECT);
                within(pool.connect_with(options)).await.map(Self::Postgres)
            }
            other => {
                return Err(Fault::Denied(format!(
                    "the server's setting `database` begins with {other}:, not with sqlite:, mysql: or \
                     postgres:"
                )));
            }
        };
        Ok(opened?)
    }

    /// The engine's name, for an operator.
    pub fn engine(&self) -> &'static str {
        match self {
            Database::Sqlite(_) => "sqlite",
            Database::MySql(_) => "mysql",
            Database::Postgres(_) => "postgres",
        }
    }

    /// How many rows the statement touched.
    pub async fn execute(&self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, Refusal> {
        on_engine!(self, sql, |text, pool| async {
            Ok(bind(sqlx::query(text), values).execute(pool).await?.rows_affected())
        })
    }

    pub async fn rows<T>(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<T>, Refusal>
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, MySqlRow> + for<'r> FromRow<'r, PgRow>,
        T: Send + Unpin,
    {
        on_engine!(self, sql, |text, pool| {
            bind(sqlx::query(text), values).try_map(|row| T::from_row(&row)).fetch_all(pool)
        })
    }
}

async fn within<T>(call: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Refusal> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(answer) => answer.map_err(refusal),
        Err(_) => Err(Fault::unavailable("the hosting database did not answer within 10 seconds").into()),
    }
}

fn bind<'q, D: sqlx::Database>(
    query: Query<'q, D, D::Arguments>,
    values: &[Value<'_>],
) -> Query<'q, D, D::Arguments>
where
    for<'v> String: Encode<'v, D> + Type<D>,
    for<'v> Option<String>: Encode<'v, D> + Type<D>,
    for<'v> i64: Encode<'v, D> + Type<D>,
{
    values.iter().fold(query, |query, value| match *value {
        Value::Text(text) => query.bind(text.to_owned()),
        Value::Absent => query.bind(None::<String>),
        Value::Whole(number) => query.bind(number),
    })
}

/// The text with `$1`, `$2` … where it has `?`.
fn numbered(sql: &str) -> String {
    let mut parts = sql.split('?');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.enumerate().fold(first, |text, (at, part)| format!("{text}${}{part}", at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_gets_its_marks_numbered_in_order() {
        assert_eq!(numbered("a = ? AND b = ?"), "a = $1 AND b = $2");
        assert_eq!(numbered("a"), "a");
    }
}
