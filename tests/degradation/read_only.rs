//! A PostgreSQL that reads and does not write, as one does that another has taken over from.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tenantry::model::ids::EventId;

use super::common::database::{app_url, owner_url};
use super::hosting::Hosting;
use super::proxy::Proxy;
use super::*;

/// A database of the test's own, not only a schema: what is set for a database is set for all in it.
struct Own(String);

impl Own {
    async fn make() -> Self {
        let own = Self(format!("tenantry_test_{}", EventId::new().bare()));
        run(&owner_url(), &format!("CREATE DATABASE {}", own.0)).await;
        own
    }

    fn url(&self, of: &str) -> String {
        let mut url = url::Url::parse(of).unwrap();
        url.set_path(&self.0);
        url.to_string()
    }

    /// Whether sessions that begin from now on may write.
    async fn writable(&self, writable: bool) {
        let set = if writable { "off" } else { "on" };
        let statement = format!("ALTER DATABASE {} SET default_transaction_read_only = {set}", self.0);
        // The owner's own session begins in another database.
        run(&owner_url(), &statement).await;
    }

    async fn remove(self) {
        run(&owner_url(), &format!("DROP DATABASE {} WITH (FORCE)", self.0)).await;
    }
}

async fn run(url: &str, statement: &str) {
    let mut conn = PgConnectOptions::from_str(url).unwrap().connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

/// DEG (PostgreSQL read-only / failover), DEG-2, IDEM-9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_only_reads_is_read_from_and_written_to_once_it_writes_again() {
    let own = Own::make().await;
    let (proxy, url) = Proxy::before(&own.url(&app_url())).await;
    // Nothing writes in this process but what is asked of it: it must find out by itself.
    let installation = Installation::on(&url)
        .with("DATABASE__MIGRATE_URL", own.url(&owner_url()))
        .with("REQUESTS__RECORD", "none");
    let migrated = installation.run(&["migrate"]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let key = installation.key();
    let process = installation.serve_with(&["serve", "--no-workers"]).await;
    let working = installation.beside();
    let worker = working.serve_with(&["work"]).await;
    let hosting = Hosting::new(&installation, &key).await;
    let caller = hosting.caller.clone();
    hosting.place(&[installation.listen], "domain-before").await;
    hosting.completed().await;

    // All sessions end, as they do when a server is taken over from.
    own.writable(false).await;
    proxy.cut().await;
    let reads = async || get(&caller, "/orders").await.status == 200;
    let after = until("it can be read again", reads).await;
    println!("read again after {after:?}");
    order(&caller, &hosting.tenant, "domain-meanwhile").await.unwrap().is_refused("read_only");
    for _ in 0..10 {
        assert_eq!(get(&caller, "/orders").await.status, 200);
        order(&caller, &hosting.tenant, "domain-meanwhile").await.unwrap().is_refused("read_only");
    }
    let body = json!({"type": "tenant", "name": "Nobody"});
    let made = told(caller.call(Method::POST, "/accounts").json(&body).send().await.unwrap()).await;
    made.is_refused("read_only");
    assert_eq!(caller.list("/orders").await.len(), 1);
    assert_eq!(probe(installation.admin, "readyz").await.status, 200);

    // No session ends: those that began while it only read go on reading only, and must be given up.
    own.writable(true).await;
    let what = "an order is accepted";
    let after = until(what, async || {
        order(&caller, &hosting.tenant, "domain-meanwhile").await.unwrap().status == 202
    })
    .await;
    println!("written again after {after:?}");
    assert!(after < Duration::from_secs(10));
    let orders = hosting.completed().await;
    assert_eq!(orders.len(), 2);
    hosting.agrees(&orders).await;
    process.kill();
    worker.kill();
    installation.remove();
    own.remove().await;
}
