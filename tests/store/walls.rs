//! The second wall between accounts: what PostgreSQL itself shows and lets change, whatever the SQL.

use deadpool::managed::Object;
use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};
use tenantry::model::Path;
use tenantry::model::accounts::accounts::{Account, AccountType};
use tenantry::store;
use tenantry::store::postgres::Manager;

use super::common::world::{act, domain};
use super::common::{Recording, World};
use super::*;

/// Two resellers, each with a tenant that has ordered, seen through a pool of one connection.
struct Walls {
    fresh: Fresh,
    db: Db,
    /// The same database for the same role, without the store.
    plain: PgPool,
    world: World,
    /// The other reseller and its tenant.
    other: Account,
    foreign: Account,
}

impl Walls {
    async fn new() -> Self {
        let fresh = Fresh::postgres().await;
        let world = World::new(&fresh.db, &Recording::default()).await;
        let other =
            World::open(&fresh.db, &world.actor(&world.operator), AccountType::Reseller, "Other").await;
        let foreign = World::open(&fresh.db, &world.actor(&other), AccountType::Tenant, "Foreign").await;
        for (account, name) in [(&world.tenant, "acme.example"), (&foreign, "foreign.example")] {
            world.order(account, vec![domain(name)]).await;
        }
        let db = Db::connect(&fresh.url, 1).await.unwrap();
        let plain = PgPool::connect(&fresh.url).await.unwrap();
        Self { fresh, db, plain, world, other, foreign }
    }

    /// The store's one connection.
    async fn conn(&self) -> Object<Manager> {
        let Db::Postgres { pool, .. } = &self.db else { unreachable!() };
        pool.get().await.unwrap()
    }

    /// A transaction of plain sqlx that declares a subtree.
    async fn declared(&self, path: &Path) -> Transaction<'static, Postgres> {
        let mut tx = self.plain.begin().await.unwrap();
        let declare = "SELECT set_config('app.subtree', $1, true)";
        sqlx::query(declare).bind(path.as_str()).execute(&mut *tx).await.unwrap();
        tx
    }

    async fn remove(self) {
        self.db.close().await;
        self.plain.close().await;
        self.fresh.remove().await;
    }
}

/// The tables whose rows belong to accounts.
async fn tables(pool: &PgPool) -> Vec<String> {
    let statement = "SELECT table_name::text FROM information_schema.columns
         WHERE table_schema = current_schema() AND column_name = 'path' ORDER BY table_name";
    let rows: Vec<(String,)> = sqlx::query_as(statement).fetch_all(pool).await.unwrap();
    rows.into_iter().map(|(name,)| name).collect()
}

async fn count(executor: impl sqlx::PgExecutor<'_>, from: &str) -> i64 {
    let statement = format!("SELECT COUNT(*) FROM {from}");
    sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(executor).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_seen_where_nothing_was_declared() {
    let walls = Walls::new().await;
    let tables = tables(&walls.plain).await;
    assert!(tables.len() >= 19, "{tables:?}");
    let unseen = async || {
        for table in &tables {
            assert_eq!(count(&mut *walls.conn().await, table).await, 0, "{table}");
        }
    };
    unseen().await;
    // Once it was declared in this session, the setting is no longer NULL but empty.
    let mut conn = read(&walls.db).await;
    let seen = store::accounts::accounts::page(&mut conn, None, 10).await.unwrap();
    assert_eq!(seen.len(), 5);
    drop(conn);
    let empty = "SELECT current_setting('app.subtree', true) = ''";
    assert!(sqlx::query_scalar::<_, bool>(empty).fetch_one(&mut *walls.conn().await).await.unwrap());
    unseen().await;
    let tx = write(&walls.db).await.unwrap();
    tx.commit().await.unwrap();
    unseen().await;
    let update = sqlx::query("UPDATE accounts SET name = 'mine'");
    let changed = update.execute(&mut *walls.conn().await).await.unwrap();
    assert_eq!(changed.rows_affected(), 0);
    walls.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_siblings_rows_are_neither_seen_nor_changed_with_any_sql() {
    let walls = Walls::new().await;
    let (own, foreign) = (&walls.world.reseller.path, &walls.other.path);
    let tables = tables(&walls.plain).await;
    let mut everything = walls.plain.begin().await.unwrap();
    sqlx::query("SELECT set_config('app.subtree', '/', true)").execute(&mut *everything).await.unwrap();
    let mut filled = Vec::new();
    for table in tables {
        let theirs = format!("{table} WHERE path LIKE '{foreign}%'");
        if count(&mut *everything, &theirs).await > 0 {
            filled.push((table, theirs));
        }
    }
    everything.rollback().await.unwrap();
    let names: Vec<&str> = filled.iter().map(|(table, _)| table.as_str()).collect();
    for table in [
        "accounts",
        "account_counters",
        "orders",
        "subscriptions",
        "services",
        "resources",
        "operations",
        "events",
        "quotas",
    ] {
        assert!(names.contains(&table), "{table} has no row to be hidden; {names:?}");
    }
    for (table, theirs) in &filled {
        let mut tx = walls.declared(own).await;
        assert_eq!(count(&mut *tx, theirs).await, 0, "{table}");
        if table != "audit" {
            let update = format!("UPDATE {table} SET path = path WHERE path LIKE '{foreign}%'");
            let changed = sqlx::query(AssertSqlSafe(update)).execute(&mut *tx).await.unwrap();
            assert_eq!(changed.rows_affected(), 0, "{table}");
            let delete = format!("DELETE FROM {theirs}");
            let deleted = sqlx::query(AssertSqlSafe(delete)).execute(&mut *tx).await.unwrap();
            assert_eq!(deleted.rows_affected(), 0, "{table}");
        }
        tx.rollback().await.unwrap();
    }
    // What stands above is seen and not changed.
    let mut tx = walls.declared(own).await;
    let operator = format!("accounts WHERE id = '{}'", walls.world.operator.id);
    assert_eq!(count(&mut *tx, &operator).await, 1);
    let update = format!("UPDATE accounts SET name = 'mine' WHERE id = '{}'", walls.world.operator.id);
    assert_eq!(sqlx::query(AssertSqlSafe(update)).execute(&mut *tx).await.unwrap().rows_affected(), 0);
    tx.rollback().await.unwrap();
    walls.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_can_be_put_or_moved_into_a_foreign_subtree() {
    let walls = Walls::new().await;
    let refused = |error: sqlx::Error| {
        let code = error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned());
        assert_eq!(code.as_deref(), Some("42501"), "{error}");
    };
    let own = Subtree::of(&walls.world.reseller.path);
    let mut tx = walls.db.write(own.clone()).await.unwrap();
    let id = tenantry::model::ids::AccountId::new();
    let smuggled = Account {
        id,
        path: walls.other.path.child(id),
        parent_id: Some(walls.other.id),
        ..walls.foreign.clone()
    };
    refused(store::accounts::accounts::insert(&mut tx, &smuggled).await.unwrap_err());
    tx.undo().await.unwrap();
    // What goes together with a later statement is refused with it.
    let mut tx = walls.db.write(own.clone()).await.unwrap();
    let line = store::audit::Line { path: walls.foreign.path.clone(), ..line(&walls.world.tenant) };
    store::audit::append(&mut tx, &line).await.unwrap();
    refused(tx.commit().await.unwrap_err());
    let mut tx = walls.db.write(own.clone()).await.unwrap();
    store::audit::append(&mut tx, &line).await.unwrap();
    refused(tx.flush().await.unwrap_err());
    tx.undo().await.unwrap();
    let mut tx = walls.db.write(own).await.unwrap();
    let moved = tx.query("UPDATE orders SET path = $1").bind(&walls.foreign.path).execute().await;
    refused(moved.unwrap_err());
    tx.undo().await.unwrap();
    walls.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_read_declares_its_own_subtree_and_no_other() {
    let walls = Walls::new().await;
    let statement = "SELECT path FROM orders ORDER BY path";
    // On one connection, and often enough for the server to keep one plan for all.
    for round in 0..30 {
        for own in [&walls.world.tenant, &walls.foreign] {
            let mut conn = walls.db.read(Subtree::of(&own.path)).await.unwrap();
            let seen: Vec<(Path,)> = conn.query(statement).all().await.unwrap();
            assert_eq!(seen, [(own.path.clone(),)], "round {round}");
        }
        let mut conn = walls.db.read(Subtree::of(&walls.world.operator.path)).await.unwrap();
        assert_eq!(conn.query(statement).all::<(Path,)>().await.unwrap().len(), 2, "round {round}");
    }
    walls.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_line_cannot_be_changed_by_the_role_that_serves() {
    let walls = Walls::new().await;
    let of = walls.world.actor(&walls.world.tenant);
    act(&walls.fresh.db, &of, async |_| Ok(())).await.unwrap();
    for statement in ["UPDATE audit SET action = 'nothing'", "DELETE FROM audit"] {
        let mut tx = walls.declared(&walls.world.operator.path).await;
        let refused = sqlx::query(statement).execute(&mut *tx).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{refused}");
    }
    walls.remove().await;
}
