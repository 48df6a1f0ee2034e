//! Trying: whatever an operation would do, a dry run says, and leaves nothing of.

use std::collections::BTreeMap;
use std::str::FromStr;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use super::document::{operations, scopes, served};
use super::ground::Ground;
use super::table::By;
use super::walk::steps;
use super::*;
use crate::common::Fresh;
use crate::common::database::owner_of;

/// What is written beside requests: their log, and when a key was used last.
const BESIDE: &[&str] = &["requests", "api_keys"];

/// All rows of all tables, as texts.
type Rows = BTreeMap<String, Vec<String>>;

async fn rows(fresh: &Fresh) -> Rows {
    match fresh.url.starts_with("postgres") {
        true => rows_of_postgres(&owner_of(&fresh.url)).await,
        false => rows_of_sqlite(&fresh.url).await,
    }
}

async fn rows_of_postgres(url: &str) -> Rows {
    let mut conn = PgConnection::connect(url).await.unwrap();
    sqlx::query("SELECT set_config('app.subtree', '/', false)").execute(&mut conn).await.unwrap();
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut conn).await.unwrap();
    let mut all = Rows::new();
    for table in tables {
        let text = format!("SELECT t::text FROM \"{table}\" t ORDER BY 1");
        all.insert(table, sqlx::query_scalar(AssertSqlSafe(text)).fetch_all(&mut conn).await.unwrap());
    }
    conn.close().await.unwrap();
    all
}

async fn rows_of_sqlite(url: &str) -> Rows {
    let mut conn = SqliteConnectOptions::from_str(url).unwrap().connect().await.unwrap();
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut conn).await.unwrap();
    let mut all = Rows::new();
    for table in tables {
        let columns = format!(
            "SELECT group_concat('quote(\"' || name || '\")', ' || ') FROM pragma_table_info('{table}')"
        );
        let columns: String = sqlx::query_scalar(AssertSqlSafe(columns)).fetch_one(&mut conn).await.unwrap();
        let text = format!("SELECT {columns} FROM \"{table}\" ORDER BY 1");
        all.insert(table, sqlx::query_scalar(AssertSqlSafe(text)).fetch_all(&mut conn).await.unwrap());
    }
    conn.close().await.unwrap();
    all
}

/// The tables in which something else stands than before.
fn changed(before: &Rows, after: &Rows) -> Vec<String> {
    let differs =
        |table: &&String| !BESIDE.contains(&table.as_str()) && before.get(*table) != after.get(*table);
    after.keys().filter(differs).cloned().collect()
}

/// An answer without what is new each time: identifiers, times and secrets.
fn without_news(value: &Value) -> Value {
    let is_id = |text: &str| text.split_once('_').is_some_and(|(_, rest)| rest.len() == 26);
    let is_time = |text: &str| text.len() == 27 && text.ends_with('Z') && text.contains('T');
    let is_secret = |text: &str| text.starts_with("tn") && text.len() > 60 || text.starts_with("whsec_");
    match value {
        Value::String(text) if is_id(text) || is_time(text) || is_secret(text) => json!("…"),
        Value::Array(items) => items.iter().map(without_news).collect(),
        Value::Object(members) => {
            let is_link = |name: &str| ["fingerprint", "token"].contains(&name);
            let member = |(name, value): (&String, &Value)| {
                (name.clone(), if is_link(name) { json!("…") } else { without_news(value) })
            };
            Value::Object(members.iter().map(member).collect())
        }
        other => other.clone(),
    }
}

on_both_servers! {
    /// Every mutation takes `dry_run`.
    async fn a_dry_run_of_each_operation_leaves_no_row_and_says_what_the_real_run_then_does(site: With::no_workers()) {
        let document = served(site).await;
        let all = operations(&document);
        let ground = Ground::new(site, &scopes(&document)).await;
        let (mut tried, mut before) = (0, rows(&site.fresh).await);
        for step in steps(&all).into_iter().filter(|step| step.operation.mutates()) {
            let name = &step.operation.name;
            let key = match step.row.by {
                By::Owner => &ground.owner.key,
                By::Above => &ground.above.key,
            };
            let place = ground.place(step.operation, step.row.on.map(|object| ground.id(object)).unwrap_or_default());
            let body = (step.row.body)(&ground);
            let dry_place = format!("{place}{}dry_run=true", if place.contains('?') { '&' } else { '?' });
            let send = async |place: &str| {
                let call = step.operation.call(site, place).key(key).idem(&format!("dry-{name}"));
                if body.is_null() { call.send().await } else { call.json(body.clone()).send().await }
            };
            let mut dry = send(&dry_place).await;
            let mut after = rows(&site.fresh).await;
            // What is written beside it is written now and then; what it left itself it leaves again each time.
            for _ in 0..3 {
                if !changed(&before, &after).is_empty() {
                    before = after;
                    dry = send(&dry_place).await;
                    after = rows(&site.fresh).await;
                }
            }
            assert_eq!(changed(&before, &after), Vec::<String>::new(), "{name}");
            let real = send(&place).await;
            assert!((200..300).contains(&real.status), "{name}: {}", real.text);
            assert_eq!(real.header("idempotency-replayed"), None, "{name}: a dry run uses up no key");
            assert_eq!(dry.status, real.status, "{name}: {}", dry.text);
            assert_eq!(without_news(&dry.body), without_news(&real.body), "{name}");
            before = rows(&site.fresh).await;
            assert_ne!(changed(&after, &before), Vec::<String>::new(), "{name} changes something");
            tried += 1;
        }
        assert!(tried >= 68, "{tried}");
    }
}
