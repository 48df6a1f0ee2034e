//! Databases that the program refuses to serve from.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::common::database::owner_of;
use super::process::Installation;
use super::*;

/// The URL of the fresh database for the role that owns it.
pub fn as_owner(fresh: &Fresh) -> String {
    owner_of(&fresh.url)
}

pub async fn as_owner_run(fresh: &Fresh, statement: &str) {
    let mut owner = PgConnection::connect(&as_owner(fresh)).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut owner).await.unwrap();
    owner.close().await.unwrap();
}

/// Starts the program, which must refuse as its settings lead to what is not safe, and gives its reasons.
pub fn refused(installation: &Installation, arguments: &[&str]) -> String {
    let output = installation.run(arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{text}");
    text
}

/// ISO-1
#[tokio::test]
async fn it_does_not_serve_as_the_role_that_owns_the_tables() {
    let fresh = Fresh::postgres().await;
    let installation = Installation::on(&as_owner(&fresh));
    let text = refused(&installation, &["serve"]);
    assert!(text.contains("owns tables") && text.contains("database.migrate_url"), "{text}");
    installation.remove();
    fresh.remove().await;
}

/// ISO-1
#[tokio::test]
async fn it_does_not_serve_where_a_table_has_lost_its_wall() {
    let fresh = Fresh::postgres().await;
    as_owner_run(&fresh, "ALTER TABLE orders NO FORCE ROW LEVEL SECURITY").await;
    as_owner_run(&fresh, "ALTER TABLE holds DISABLE ROW LEVEL SECURITY").await;
    let installation = Installation::on(&fresh.url);
    let text = refused(&installation, &["serve"]);
    assert!(text.contains("not forced on: holds, orders"), "{text}");
    installation.remove();
    fresh.remove().await;
}

/// SEC-6
#[tokio::test]
async fn it_does_not_serve_with_another_key_than_its_secrets_lie_under() {
    let fresh = Fresh::postgres().await;
    let installation = Installation::on(&fresh.url);
    installation.key();
    let other = Installation::on(&fresh.url);
    let text = refused(&other, &["serve"]);
    assert!(text.contains("key-encryption key is not the one"), "{text}");
    installation.remove();
    other.remove();
    fresh.remove().await;
}
