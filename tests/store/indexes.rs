//! What PostgreSQL makes of the statements behind row-level security: each finds its rows by an index. In a small
//! database nobody would notice that one does not.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use tenantry::domain::services::holds::On;
use tenantry::model::Json;
use tenantry::model::accounts::members::{Member, MemberRole};
use tenantry::model::catalog::addons::Addon;
use tenantry::model::catalog::items::ItemId;
use tenantry::model::catalog::plans::PlanStatus;
use tenantry::model::catalog::price_lists::{Adjustment, Offers, Plain, Price, PriceList, Rule};
use tenantry::model::commerce::orders::Order;
use tenantry::model::ids::{AccountId, AddonId, KeyId, MemberId, PriceListId};
use tenantry::store::Tx;
use tenantry::store::replies::Slot;
use tenantry::store::{accounts, audit, catalog, commerce, events, moves, replies, services};

use super::bulk;
use super::common::world::domain;
use super::common::{Recording, World};
use super::*;

/// Does once what callers do most, all of it on the one connection of the world's database.
async fn everyday(world: &World, name: &str, sequence: i64) {
    let (tenant, operator) = (&world.tenant, &world.operator);
    let order = world.order(tenant, vec![domain(name)]).await;
    let service = order.items[0].service_ids[0];
    let subscription = order.items[0].subscription_id;
    let now = world.clock.now();

    let mut tx = world.db.write(Subtree::of(&operator.path)).await.unwrap();
    let slot = Slot { principal_id: operator.id, subject_id: operator.id, path: &operator.path, key: name };
    assert_eq!(replies::begin(&mut tx, &slot, "request", now).await.unwrap(), None);
    let reply = replies::find(&mut tx, &slot).await.unwrap().unwrap();
    replies::finish(&mut tx, &slot, &reply).await.unwrap();
    audit::append(&mut tx, &audit::Line { sequence, ..line(operator) }).await.unwrap();
    catalog::plans::offered(&mut tx, &tenant.path, "mail", None).await.unwrap().unwrap();
    prices(&mut tx, world, &order).await;
    addons(&mut tx, world, name).await;
    members(&mut tx, world, name).await;
    bulk::batches(&mut tx, world).await;
    bulk::reconciles(&mut tx, world, subscription).await;
    let path = &tenant.path;
    commerce::transfers::in_flight(&mut tx, path, &[service]).await.unwrap();
    commerce::transfers::forget_failures(&mut tx, path, &[service]).await.unwrap();
    commerce::transfers::forget_names(&mut tx, &[service], &[operator.id]).await.unwrap();
    let services = &[service];
    let gift = commerce::transfers::Gift {
        subscription,
        services,
        to: tenant.id,
        path,
        cancelled_above: None,
        keeps_name: true,
    };
    commerce::transfers::give(&mut tx, gift, now).await.unwrap();
    let [from, to] = [(); 2].map(|()| operator.path.child(AccountId::new()));
    moves::rewrite(&mut tx, &moves::Places { from, to }).await.unwrap();
    tx.commit().await.unwrap();

    let mut conn = world.db.read(Subtree::of(&operator.path)).await.unwrap();
    accounts::accounts::find(&mut conn, tenant.id).await.unwrap().unwrap();
    accounts::accounts::children(&mut conn, operator.id, None, 50).await.unwrap();
    accounts::accounts::find_by_external_id(&mut conn, operator.id, "none").await.unwrap();
    accounts::keys::credential(&mut conn, KeyId::new()).await.unwrap();
    commerce::orders::find(&mut conn, order.id).await.unwrap().unwrap();
    commerce::subscriptions::find(&mut conn, subscription).await.unwrap().unwrap();
    services::services::find(&mut conn, service).await.unwrap().unwrap();
    services::services::of_subscription(&mut conn, subscription).await.unwrap();
    services::holds::in_force(&mut conn, &[tenant.path.to_string()]).await.unwrap();
    services::operations::find(&mut conn, order.operation_id.unwrap()).await.unwrap().unwrap();
    // A cursor, so that a page has where to begin.
    let after = Some((operator.path.clone(), operator.id));
    accounts::accounts::page(&mut conn, after.as_ref(), 50).await.unwrap();
    accounts::console::troubled(&mut conn, after.as_ref(), 50).await.unwrap();
    accounts::console::untroubled(&mut conn, after.as_ref(), 50).await.unwrap();
    accounts::console::troubles(&mut conn, std::slice::from_ref(&tenant.path)).await.unwrap();
    for called in [name, "none"] {
        accounts::search::accounts_named(&mut conn, called, 50).await.unwrap();
        accounts::search::accounts_called(&mut conn, operator.id, called, 50).await.unwrap();
        accounts::search::subscriptions_called(&mut conn, called, 50).await.unwrap();
        accounts::search::orders_called(&mut conn, operator.id, called, 50).await.unwrap();
        accounts::search::resources_named(&mut conn, called, 50).await.unwrap();
        accounts::search::resources_called(&mut conn, operator.id, called, 50).await.unwrap();
    }
    commerce::orders::page(&mut conn, None, 50).await.unwrap();
    commerce::subscriptions::page(&mut conn, None, 50).await.unwrap();
    services::services::page(&mut conn, None, 50).await.unwrap();
    events::events::after(&mut conn, 0, "", 50).await.unwrap();
    audit::after(&mut conn, AccountId::new(), 0, 50).await.unwrap();
}

/// A price of the plan that was ordered, and how it is found.
async fn prices(tx: &mut Tx, world: &World, order: &Order) {
    let (operator, tenant) = (&world.operator, &world.tenant);
    let subscription =
        commerce::subscriptions::find(tx, order.items[0].subscription_id).await.unwrap().unwrap();
    let way: Vec<_> = tenant.path.upwards().map(|place| place.label().to_owned()).collect();
    let mut lists = catalog::price_lists::along(tx, &operator.path, &way).await.unwrap();
    if lists.is_empty() {
        let list = PriceList {
            id: PriceListId::new(),
            account_id: operator.id,
            path: operator.path.clone(),
            name: "List".into(),
            currency: "EUR".parse().unwrap(),
            buyer_id: None,
            offers: Offers::All,
            adjustment: Json(Adjustment::TakenOver(Plain {})),
            exchange_rate: None,
            metadata: Json(Default::default()),
            version: 1,
            created_at: world.clock.now(),
            updated_at: world.clock.now(),
        };
        assert!(catalog::price_lists::insert(tx, &list).await.unwrap());
        lists.push(list);
    }
    let price = Price {
        price_list_id: lists[0].id,
        item_id: ItemId::Plan(subscription.plan_id),
        valid_from: world.clock.now(),
        account_id: operator.id,
        path: operator.path.clone(),
        rule: Json(Rule::TakenOver(Plain {})),
        created_at: world.clock.now(),
    };
    catalog::prices::put(tx, &price).await.unwrap();
    let found = catalog::prices::at(tx, &[lists[0].id], &[price.item_id], price.valid_from).await.unwrap();
    assert_eq!(found.len(), 1);
}

/// An add-on of the operator's, and how it is found.
async fn addons(tx: &mut Tx, world: &World, code: &str) {
    let (operator, now) = (&world.operator, world.clock.now());
    let terms = json!({"quotas": [{"key": "mail.mailboxes", "per_unit": 1}]});
    let addon = Addon {
        id: AddonId::new(),
        account_id: operator.id,
        path: operator.path.clone(),
        code: code.to_owned(),
        name: "Add-on".into(),
        status: PlanStatus::Active,
        terms: Json(serde_json::from_value(terms).unwrap()),
        metadata: Json(Default::default()),
        version: 1,
        created_at: now,
        updated_at: now,
    };
    assert!(catalog::addons::insert(tx, &addon).await.unwrap());
    assert!(catalog::addons::find(tx, addon.id).await.unwrap().is_some());
    assert!(catalog::addons::offered(tx, &world.tenant.path, code).await.unwrap().is_some());
    assert!(catalog::addons::update(tx, &addon, now).await.unwrap());
}

/// Somebody of the operator's, and how he is found.
async fn members(tx: &mut Tx, world: &World, name: &str) {
    let (operator, now) = (&world.operator, world.clock.now());
    let member = Member {
        id: MemberId::new(),
        account_id: operator.id,
        path: operator.path.clone(),
        role: MemberRole::Viewer,
        name: name.to_owned(),
        email: format!("somebody@{name}"),
        scopes: Json(Vec::new()),
        metadata: Json(Default::default()),
        version: 1,
        created_at: now,
        updated_at: now,
        account_type: operator.account_type,
    };
    assert!(accounts::members::insert(tx, &member).await.unwrap());
    assert!(accounts::members::find(tx, member.id).await.unwrap().is_some());
    assert!(accounts::members::with_address(tx, operator.id, &member.email).await.unwrap().is_some());
    accounts::members::owners(tx, operator.id).await.unwrap();
    accounts::keys::of_member(tx, member.id).await.unwrap();
}

/// Each table's row, whatever it is, three thousand times more, in accounts of their own.
const MULTIPLIED: &[(&str, &str)] = &[
    ("accounts", "'id', 'acc_' || lpad(n::text, 26, '0'), 'path', path || lpad(n::text, 12, '0') || '/'"),
    ("account_counters", "'account_id', 'acc_' || lpad(n::text, 26, '0')"),
    ("servers", "'id', 'srv_' || lpad(n::text, 26, '0')"),
    ("virtual_servers", "'id', 'vsv_' || lpad(n::text, 26, '0')"),
    (
        "plans",
        "'id', 'pln_' || lpad(n::text, 26, '0'), 'code', n::text, 'account_id', 'acc_' || lpad(n::text, 26, '0')",
    ),
    (
        "price_lists",
        "'id', 'prl_' || lpad(n::text, 26, '0'), 'account_id', 'acc_' || lpad(n::text, 26, '0'), 'path', path || lpad(n::text, 12, '0') || '/'",
    ),
    ("prices", "'price_list_id', 'prl_' || lpad(n::text, 26, '0')"),
    (
        "addons",
        "'id', 'add_' || lpad(n::text, 26, '0'), 'code', n::text, 'account_id', 'acc_' || lpad(n::text, 26, '0')",
    ),
    (
        "members",
        "'id', 'mbr_' || lpad(n::text, 26, '0'), 'email', n::text, 'account_id', 'acc_' || lpad(n::text, 26, '0')",
    ),
    ("plan_versions", "'plan_id', 'pln_' || lpad(n::text, 26, '0')"),
    ("orders", "'id', 'ord_' || lpad(n::text, 26, '0')"),
    ("subscriptions", "'id', 'sub_' || lpad(n::text, 26, '0')"),
    (
        "services",
        "'id', 'svc_' || lpad(n::text, 26, '0'), 'subscription_id', 'sub_' || lpad(n::text, 26, '0')",
    ),
    (
        "resources",
        "'id', 'res_' || lpad(n::text, 26, '0'), 'service_id', 'svc_' || lpad(n::text, 26, '0'), 'name', n::text",
    ),
    ("operations", "'id', 'opn_' || lpad(n::text, 26, '0'), 'lock', n::text"),
    (
        "events",
        "'id', 'evt_' || lpad(n::text, 26, '0'), 'account_id', 'acc_' || lpad(n::text, 26, '0'), 'position', n",
    ),
    ("quotas", "'holder', 'sub_' || lpad(n::text, 26, '0')"),
    (
        "holds",
        "'id', 'hld_' || lpad(n::text, 26, '0'), 'target_id', 'acc_' || lpad(n::text, 26, '0'), 'status', 'active', 'target', path || lpad(n::text, 12, '0') || '/'",
    ),
    ("audit", "'account_id', 'acc_' || lpad(n::text, 26, '0')"),
    ("replies", "'key', n::text"),
];

/// Fills the tables as their owner, so that reading one whole is never the cheapest.
async fn multiply(fresh: &Fresh) {
    let owner = PgPool::connect(&super::common::database::owner_of(&fresh.url)).await.unwrap();
    let mut tx = owner.begin().await.unwrap();
    sqlx::raw_sql("SELECT set_config('app.subtree', '/', true)").execute(&mut *tx).await.unwrap();
    for (table, changed) in MULTIPLIED {
        let columns = "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns
             WHERE table_schema = current_schema() AND table_name = $1 AND is_generated = 'NEVER'";
        let columns: String = sqlx::query_scalar(columns).bind(table).fetch_one(&mut *tx).await.unwrap();
        let statement = format!(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM (SELECT (jsonb_populate_record(NULL::{table}, to_jsonb(one) || jsonb_build_object({changed}))).*
             FROM (SELECT * FROM {table} ORDER BY path DESC LIMIT 1) AS one, generate_series(1, 3000) AS n) AS more"
        );
        let added = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *tx).await;
        assert_eq!(added.unwrap_or_else(|error| panic!("{table}: {error}")).rows_affected(), 3000, "{table}");
    }
    let keys = "INSERT INTO api_keys (id, account_id, path, environment, name, secret_hash, scopes, hold_classes, status,
             created_by, created_at, version)
         SELECT 'key' || substr(id, 4), id, path, environment, 'key', '', '[]', '[]', 'active', id, created_at, 1 FROM accounts";
    sqlx::raw_sql(keys).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    sqlx::raw_sql("ANALYZE").execute(&owner).await.unwrap();
    owner.close().await;
}

/// The statements that the pool's connection has prepared, each with the plan that PostgreSQL keeps for all values.
async fn plans(conn: &mut PgConnection) -> Vec<(String, Value)> {
    let prepared =
        "SELECT name, statement, COALESCE(array_length(parameter_types, 1), 0) FROM pg_prepared_statements
         WHERE statement ~ '^(SELECT|WITH|INSERT|UPDATE|DELETE)' AND statement !~ 'pg_prepared_statements'";
    let prepared: Vec<(String, String, i32)> = sqlx::query_as(prepared).fetch_all(&mut *conn).await.unwrap();
    let mut plans = Vec::new();
    for (name, statement, parameters) in prepared {
        let values = match parameters {
            0 => String::new(),
            n => format!("({})", vec!["NULL"; usize::try_from(n).unwrap()].join(", ")),
        };
        let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE \"{name}\" {values}");
        let plan = sqlx::query_scalar(AssertSqlSafe(explain)).fetch_one(&mut *conn).await.unwrap();
        plans.push((statement, plan));
    }
    plans
}

/// The tables that a plan reads from end to end.
fn read_whole(plan: &Value, found: &mut Vec<String>) {
    match plan {
        Value::Array(parts) => parts.iter().for_each(|part| read_whole(part, found)),
        Value::Object(node) => {
            let kind = node.get("Node Type").and_then(Value::as_str).unwrap_or_default();
            let whole = kind == "Seq Scan" || kind.contains("Index") && !node.contains_key("Index Cond");
            if whole {
                let of = node.get("Relation Name").or(node.get("Index Name"));
                found.push(of.and_then(Value::as_str).unwrap_or(kind).to_owned());
            }
            node.values().for_each(|part| read_whole(part, found));
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everyday_statements_find_their_rows_by_an_index_behind_row_level_security() {
    let fresh = Fresh::postgres().await;
    let mut world = World::new(&fresh.db, &Recording::default()).await;
    everyday(&world, "first.example", 1_000).await;
    world.suspend(&world.reseller, On::Account(world.tenant.id)).await;
    world.resume(&world.reseller, On::Account(world.tenant.id)).await;
    multiply(&fresh).await;
    let db = Db::connect(&fresh.url, 1).await.unwrap();
    let Db::Postgres { pool, .. } = &db else { unreachable!() };
    world.db = db.clone();
    everyday(&world, "second.example", 1_001).await;
    let plans = plans(&mut pool.get().await.unwrap()).await;
    assert!(plans.len() >= 25, "{} statements", plans.len());
    let mut whole = Vec::new();
    for (statement, plan) in &plans {
        let mut found = Vec::new();
        read_whole(plan, &mut found);
        if !found.is_empty() {
            whole.push(format!("{found:?} by {statement}\n{plan}"));
        }
    }
    assert!(whole.is_empty(), "read whole: {}", whole.join("\n\n"));
    db.close().await;
    fresh.remove().await;
}
