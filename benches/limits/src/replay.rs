//! An order's statements and nothing else: bare `rusqlite`, one thread, no HTTP, no domain. What remains is what
//! SQLite takes for the rows, their indexes, the log and its syncs.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, Statement};
use tenantry::clock::Clock;
use tenantry::model::ids::{EventId, OperationId, OrderId, RequestId, ServiceId, SubscriptionId};

use crate::figures::{Figures, own_cpu};

#[derive(Args)]
pub struct Settings {
    /// A SQLite database of the product's with tenants, resellers and the plan `hosted-mail`
    #[arg(long)]
    database: PathBuf,
    /// A file with a line for each order: anything, a tab, the account's identifier
    #[arg(long)]
    items: PathBuf,
    /// How many orders share a commit; the product's share one when they come within 10 ms
    #[arg(long, default_value_t = 32)]
    group: usize,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

const ORDER: &str = include_str!("order.sql");
/// As the product's writer is set.
const WRITER: &str = "PRAGMA temp_store = memory; PRAGMA cache_size = -32768; PRAGMA journal_mode = WAL;
     PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 8000;
     PRAGMA journal_size_limit = 67108864";
/// Which statement counts the audit line and the event, whose rows then tell the next ones their sequences.
const COUNTING: usize = 9;
const QUOTAS: [(&str, u32); 3] = [("mail.domains", 1), ("mail.mailboxes", 5), ("mail.storage_mb", 5120)];

pub fn run(settings: Settings) -> anyhow::Result<()> {
    let conn = Connection::open(&settings.database)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.execute_batch(WRITER)?;
    let tenants = tenants(&conn, &std::fs::read_to_string(&settings.items)?)?;
    let mut replay = Replay::new(&conn, &tenants)?;
    // The first orders fill caches and are not counted.
    replay.for_a_while(settings.group, Duration::from_millis(300))?;
    let (begun, cpu) = (Instant::now(), own_cpu()?);
    let figures = replay.for_a_while(settings.group, Duration::from_secs_f64(settings.seconds))?;
    let (took, cpu) = (begun.elapsed(), own_cpu()? - cpu);
    let each = cpu as f64 / figures.requests() as f64;
    println!("{}", figures.line(took, Some(each))?);
    Ok(())
}

/// Who orders, and below whom.
struct Tenant {
    id: String,
    path: String,
    seller: String,
    seller_path: String,
}

fn tenants(conn: &Connection, items: &str) -> anyhow::Result<Vec<Tenant>> {
    let mut find = conn.prepare(
        "SELECT a.id, a.path, p.id, p.path FROM accounts a JOIN accounts p ON p.id = a.parent_id WHERE a.id = ?",
    )?;
    let mut found = Vec::new();
    for line in items.lines() {
        let id = line.split('\t').nth(1).context("an item has no second column")?;
        found.push(find.query_row([id], |row| {
            Ok(Tenant { id: row.get(0)?, path: row.get(1)?, seller: row.get(2)?, seller_path: row.get(3)? })
        })?);
    }
    Ok(found)
}

/// A statement with the names of its parameters.
struct Prepared<'c> {
    statement: Statement<'c>,
    names: Vec<String>,
}

struct Replay<'c> {
    conn: &'c Connection,
    statements: Vec<Prepared<'c>>,
    tenants: &'c [Tenant],
    placed: usize,
    plan: String,
    server: String,
}

impl<'c> Replay<'c> {
    fn new(conn: &'c Connection, tenants: &'c [Tenant]) -> anyhow::Result<Self> {
        let mut statements = Vec::new();
        for text in ORDER.split(";\n").map(str::trim).filter(|text| !text.is_empty()) {
            let statement = conn.prepare(text)?;
            let names = (1..=statement.parameter_count())
                .map(|at| statement.parameter_name(at).map(|name| name[1..].to_owned()))
                .collect::<Option<_>>()
                .context("a parameter has no name")?;
            statements.push(Prepared { statement, names });
        }
        let one = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0));
        let plan = one("SELECT id FROM plans WHERE code = 'hosted-mail'")?;
        let server = one("SELECT id FROM servers LIMIT 1")?;
        Ok(Self { conn, statements, tenants, placed: 0, plan, server })
    }

    fn for_a_while(&mut self, group: usize, span: Duration) -> anyhow::Result<Figures> {
        let (until, mut figures) = (Instant::now() + span, Figures::default());
        while Instant::now() < until {
            self.conn.execute_batch("BEGIN IMMEDIATE")?;
            for _ in 0..group {
                let begun = Instant::now();
                self.conn.prepare_cached("SAVEPOINT unit")?.raw_execute()?;
                self.place()?;
                self.conn.prepare_cached("RELEASE unit")?.raw_execute()?;
                figures.add(begun.elapsed(), 200, b"");
            }
            self.conn.execute_batch("COMMIT")?;
        }
        Ok(figures)
    }

    fn place(&mut self) -> anyhow::Result<()> {
        let mut values = Values::of(self);
        self.placed += 1;
        let seller = self.tenants[(self.placed - 1) % self.tenants.len()].seller.clone();
        for (at, Prepared { statement, names }) in self.statements.iter_mut().enumerate() {
            for (place, name) in names.iter().enumerate() {
                statement.raw_bind_parameter(place + 1, values.get(name)?)?;
            }
            let columns = statement.column_count();
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next()? {
                for column in 0..columns {
                    std::hint::black_box(row.get_ref(column)?);
                }
                if at == COUNTING {
                    match row.get::<_, String>(0)? == seller {
                        true => values.set("sequence", Value::Integer(row.get(2)?)),
                        false => values.event(row.get(1)?),
                    }
                }
            }
        }
        Ok(())
    }
}

/// An order's values by their names in the statements.
struct Values(Vec<(&'static str, Value)>);

impl Values {
    fn of(replay: &Replay<'_>) -> Self {
        let tenant = &replay.tenants[replay.placed % replay.tenants.len()];
        let Tenant { id: account, path, seller, seller_path } = tenant;
        let now = Clock::system().now().to_string();
        let (order, operation) = (OrderId::new().to_string(), OperationId::new().to_string());
        let (subscription, service) = (SubscriptionId::new().to_string(), ServiceId::new().to_string());
        let levels = [path.as_str(), seller_path, &seller_path[..14]];
        let each = |one: &dyn Fn(&str, &str, u32) -> String| {
            let rows = levels.iter().flat_map(|level| QUOTAS.map(|(key, more)| one(level, key, more)));
            format!("[{}]", rows.collect::<Vec<_>>().join(","))
        };
        let grants =
            QUOTAS.map(|(key, more)| format!(r#"{{"key":"{key}","mode":"allocated","ceiling":{more}}}"#));
        let bought =
            format!(r#""subscription_id":"{subscription}","service_ids":["{service}"],"resource_ids":[]"#);
        let reply = format!(
            r#"{{"id":"{order}","account_id":"{account}","status":"queued","items":[{{"action":"add","status":"pending","plan":"hosted-mail","quantity":5,{bought}}}],"operation_id":"{operation}","outcome":null,"retryable":false,"error":null,"external_id":null,"metadata":{{}},"created_at":"{now}","updated_at":"{now}"}}"#
        );
        let line = "6d122255e3d37302".repeat(4);
        let text = |text: &str| Value::Text(text.to_owned());
        Self(vec![
            ("principal", text(seller)),
            ("key", Value::Text(format!("replay-{}-{}", std::process::id(), replay.placed))),
            ("principal_path", text(seller_path)),
            ("principal_end", Value::Text(format!("{}0", &seller_path[..seller_path.len() - 1]))),
            ("request", text(&line)),
            ("fingerprint", text(&"d340163b3e0fbac8".repeat(4))),
            ("account", text(account)),
            ("path", text(path)),
            ("plan_code", text("hosted-mail")),
            ("plan", text(&replay.plan)),
            ("server", text(&replay.server)),
            ("holders", Value::Text(format!(r#"["{}","{}","{}"]"#, levels[0], levels[1], levels[2]))),
            ("quota_keys", Value::Text(format!("{:?}", QUOTAS.map(|(key, _)| key)))),
            ("grants", Value::Text(format!("[{}]", grants.join(",")))),
            (
                "items",
                Value::Text(format!(
                    r#"[{{"request":{{"action":"add","plan":"hosted-mail","quantity":5,"resources":[]}},"status":"pending",{bought}}}]"#
                )),
            ),
            (
                "steps",
                Value::Text(format!(
                    r#"[{{"action":"ensure_service","target_id":"{service}","status":"pending","attempts":0,"error":null,"started_at":null,"finished_at":null}}]"#
                )),
            ),
            (
                "reserved",
                Value::Text(each(&|level, key, more| {
                    format!(r#"{{"holder":"{level}","key":"{key}","amount":{more}}}"#)
                })),
            ),
            (
                "shifts",
                Value::Text(each(&|level, key, more| {
                    format!(r#"{{"holder":"{level}","key":"{key}","used":0,"reserved":{more}}}"#)
                })),
            ),
            (
                "counts",
                Value::Text(format!(
                    r#"[{{"account_id":"{seller}","events":0,"line":"{line}"}},{{"account_id":"{account}","events":1,"line":null}}]"#
                )),
            ),
            ("location", Value::Text(format!("/v1/operations/{operation}"))),
            ("etag", text("\"v1\"")),
            ("reply", Value::Text(reply)),
            ("due", text("1970-01-01T00:00:00.000000Z")),
            ("key_id", text("key_01m89xzdwje0hbgbdmnr8zb5pr")),
            ("request_id", Value::Text(RequestId::new().to_string())),
            ("order", Value::Text(order)),
            ("operation", Value::Text(operation)),
            ("subscription", Value::Text(subscription)),
            ("service", Value::Text(service)),
            ("now", Value::Text(now)),
        ])
    }

    fn get(&self, name: &str) -> anyhow::Result<&Value> {
        match self.0.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => Ok(value),
            None => bail!("no value for :{name}"),
        }
    }

    fn set(&mut self, name: &'static str, value: Value) {
        self.0.push((name, value));
    }

    /// The event of the order, as the tenant's one of that number.
    fn event(&mut self, sequence: i64) {
        let told = |name| match self.get(name) {
            Ok(Value::Text(text)) => text.as_str(),
            _ => "",
        };
        let (id, reply) = (EventId::new(), told("reply"));
        let body = format!(
            r#"[{{"id":"{id}","account_id":"{}","path":"{}","sequence":{sequence},"type":"order.created","body":{{"resource":{{"type":"order","id":"{}","version":1}},"data":{{"object":{reply}}},"cause":{{"key_id":"{}","request_id":"{}"}}}}}}]"#,
            told("account"),
            told("path"),
            told("order"),
            told("key_id"),
            told("request_id"),
        );
        self.set("events", Value::Text(body));
    }
}
