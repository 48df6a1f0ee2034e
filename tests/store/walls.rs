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

/// ISO-2
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

/// ISO-1
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

/// ISO-1, the check of what is written
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

/// ISO-2
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

/// AUD-4
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

/// Tables without an account: what the installation keeps for itself.
const OF_NOBODY: [&str; 8] = [
    "audit_checkpoints",
    "audit_keys",
    "audit_witnessed",
    "facts",
    "feed_readers",
    "revoked_tokens",
    "signing_keys",
    "used_assertions",
];
/// Whose column says to which account a row belongs, where it has another name.
const OWNERS: [(&str, &str); 3] =
    [("accounts", "id"), ("replies", "subject_id"), ("plan_versions", "plan_id")];
/// Unique beyond one account, and why: the tree itself, names that an outside system shares among all, and what is
/// about one object, which has one account.
const BEYOND_AN_ACCOUNT: [&str; 9] = [
    "accounts_path_key",
    "accounts_by_place",
    "accounts_one_root",
    "resources_by_name",
    "holds_once",
    "operations_running",
    "operations_in_flight",
    "events_by_position",
    "deliveries_once",
];

/// ISO-1: no table with an account is without its wall, and none is without an account but those that are named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_table_has_its_account_and_its_wall() {
    let fresh = Fresh::postgres().await;
    let plain = PgPool::connect(&fresh.url).await.unwrap();
    let statement = "SELECT c.relname::text, c.relrowsecurity AND c.relforcerowsecurity FROM pg_class c
         WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname NOT LIKE '\\_sqlx%'";
    let all: Vec<(String, bool)> = sqlx::query_as(statement).fetch_all(&plain).await.unwrap();
    assert!(all.len() >= 19, "{all:?}");
    for (table, walled) in all.iter().filter(|(table, _)| !OF_NOBODY.contains(&table.as_str())) {
        let owner = OWNERS.iter().find(|(of, _)| of == table).map_or("account_id", |(_, column)| column);
        let statement =
            "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = current_schema()
             AND table_name = $1 AND column_name IN ('path', $2) AND is_nullable = 'NO'";
        let columns: i64 =
            sqlx::query_scalar(statement).bind(table).bind(owner).fetch_one(&plain).await.unwrap();
        assert_eq!((columns, walled), (2, &true), "{table}: its path, its {owner} and its policies");
    }
    plain.close().await;
    fresh.remove().await;
}

/// AUTHZ-8: what has a place is given another one when its account is, but for the audit, which says where it was
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_table_with_places_is_one_that_moves() {
    let fresh = Fresh::postgres().await;
    let plain = PgPool::connect(&fresh.url).await.unwrap();
    let mut moved: Vec<_> = store::moves::MOVED.iter().map(|(table, _)| (*table).to_owned()).collect();
    moved.push("audit".into());
    moved.sort();
    moved.dedup();
    assert_eq!(moved, tables(&plain).await);
    plain.close().await;
    fresh.remove().await;
}

/// ISO-3: what callers choose is unique within their account, so that nobody learns of another's by a collision.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_callers_choose_is_unique_in_their_account_only() {
    let fresh = Fresh::postgres().await;
    let plain = PgPool::connect(&fresh.url).await.unwrap();
    let statement = "SELECT i.relname::text, a.attname::text FROM pg_index x
         JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
         JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = x.indkey[0]
         WHERE t.relnamespace = current_schema()::regnamespace AND x.indisunique AND NOT x.indisprimary";
    let unique: Vec<(String, String)> = sqlx::query_as(statement).fetch_all(&plain).await.unwrap();
    assert!(unique.len() > 10, "{unique:?}");
    for (index, first) in &unique {
        let within = ["account_id", "external_id_by"].contains(&first.as_str());
        assert!(within || BEYOND_AN_ACCOUNT.contains(&index.as_str()), "{index} begins with {first}");
    }
    for index in BEYOND_AN_ACCOUNT {
        assert!(unique.iter().any(|(known, _)| known == index), "there is no {index}");
    }
    plain.close().await;
    fresh.remove().await;
}

/// KEY-4, ISO-1: a subtree of several accounts, whatever the SQL
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrowed_subtree_shows_its_roots_its_owners_own_rows_and_what_stands_above() {
    let walls = Walls::new().await;
    let (operator, tenant) = (&walls.world.operator, &walls.world.tenant);
    let sub =
        World::open(&walls.fresh.db, &walls.world.actor(&walls.other), AccountType::Tenant, "Second").await;
    let narrowed = Subtree::narrowed([&tenant.path, &walls.foreign.path], &operator.path);
    let mut conn = walls.db.read(narrowed.clone()).await.unwrap();
    let mut seen: Vec<(String,)> = conn.query("SELECT id FROM accounts").all().await.unwrap();
    seen.sort();
    let above = [operator, &walls.world.reseller, &walls.other];
    let mut due: Vec<_> =
        above.iter().chain(&[tenant, &walls.foreign]).map(|a| (a.id.to_string(),)).collect();
    due.sort();
    assert_eq!(seen, due);
    let orders: Vec<(String,)> = conn.query("SELECT DISTINCT account_id FROM orders").all().await.unwrap();
    assert_eq!(orders.len(), 2);
    let counted: Vec<(String,)> = conn.query("SELECT id FROM services").all().await.unwrap();
    assert!(!counted.is_empty());
    drop(conn);
    // Of what stands above only the owner's own rows can be written, and a sibling's not at all.
    let mut tx = walls.db.write(narrowed).await.unwrap();
    for (account, changed) in [(operator, 1), (&walls.other, 0), (&sub, 0), (tenant, 1)] {
        let statement = "UPDATE accounts SET updated_at = updated_at WHERE id = $1";
        assert_eq!(
            tx.query(statement).bind(account.id).execute().await.unwrap(),
            changed,
            "{}",
            account.name
        );
    }
    tx.undo().await.unwrap();
    walls.remove().await;
}
