//! The whole program in this process, and a client that speaks to it over HTTP as callers do.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tenantry::cli::{Flags, KeyOrder};
use tenantry::clock::Clock;
use tenantry::config::{Config, Timeouts};
use tenantry::model::accounts::accounts::Environment;
use tenantry::model::ids::EventId;
use tenantry::model::scopes::Bundle;
use tenantry::program::{Program, Roles, Running};
use tenantry::store::Db;
use tenantry::telemetry;

use super::Fresh;
pub use super::calls::{Answer, Call};

/// Writes each test once and runs it twice, against a program on SQLite and one on PostgreSQL:
/// `name::sqlite` and `name::postgres`. Behind the name of the place stands with what it is opened.
#[macro_export]
macro_rules! on_both_servers {
    ($($(#[$attribute:meta])* async fn $name:ident($site:ident: $with:expr) $body:block)+) => {$(
        mod $name {
            use super::*;
            $(#[$attribute])*
            async fn test($site: &$crate::common::api::Site) $body
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let site = $crate::common::api::Site::open($crate::common::Fresh::sqlite().await, $with).await;
                test(&site).await;
                site.close().await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let site = $crate::common::api::Site::open($crate::common::Fresh::postgres().await, $with).await;
                test(&site).await;
                site.close().await;
            }
        }
    )+};
}

/// With what a program is opened.
pub struct With {
    pub workers: bool,
    pub clock: Clock,
    /// Settings beside those that every test has, as environment variables.
    pub settings: &'static [(&'static str, &'static str)],
    pub timeouts: Timeouts,
}

impl With {
    pub fn workers() -> Self {
        Self { workers: true, clock: Clock::system(), settings: &[], timeouts: Timeouts::default() }
    }

    /// Nothing is worked on: what is queued stays queued.
    pub fn no_workers() -> Self {
        Self { workers: false, ..Self::workers() }
    }

    /// With a clock that stands until the test moves it.
    pub fn clock() -> Self {
        Self { clock: Clock::fixed(Clock::system().now()), ..Self::workers() }
    }
}

/// A program that serves, its database and its folder.
pub struct Site {
    pub clock: Clock,
    pub db: Db,
    pub folder: PathBuf,
    pub address: SocketAddr,
    /// A key of the operator's with every scope.
    pub operator_key: String,
    http: reqwest::Client,
    running: Running,
    settings: &'static [(&'static str, &'static str)],
    pub fresh: Fresh,
}

impl Site {
    pub async fn open(fresh: Fresh, with: With) -> Self {
        // It is there already where another test was first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(EventId::new().bare());
        let mut config = settings(&fresh, &folder, with.settings);
        config.server.timeouts = with.timeouts;
        let program = Program::open(config, with.clock.clone()).await.expect("the program opens");
        let order = KeyOrder {
            account: None,
            name: "test".into(),
            bundle: Some(Bundle::OperatorAdmin),
            scopes: Vec::new(),
            env: Environment::Live,
            expires_days: 365,
        };
        let key = program.create_key(&order).await.expect("the first key is made");
        let metrics = telemetry::detached_metrics().expect("metrics can be kept").handle();
        let roles = Roles { api: true, workers: with.workers };
        let running = program.start(roles, metrics).await.expect("the program starts");
        let operator_key = key.secret.expose_secret().to_owned();
        let (clock, settings) = (with.clock, with.settings);
        Self::of(running, fresh, clock, folder, operator_key, settings)
    }

    fn of(
        running: Running,
        fresh: Fresh,
        clock: Clock,
        folder: PathBuf,
        operator_key: String,
        settings: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self {
            clock,
            db: fresh.db.clone(),
            address: running.address.expect("the API listens"),
            folder,
            operator_key,
            http: reqwest::Client::builder()
                .no_proxy()
                .tls_certs_only([])
                .build()
                .expect("a client can be made"),
            running,
            settings,
            fresh,
        }
    }

    /// Another replica: a second program on the same database, with the same key-encryption key and clock.
    pub async fn beside(&self) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(EventId::new().bare());
        std::fs::create_dir(&folder).expect("a folder can be made");
        std::fs::copy(self.folder.join("kek"), folder.join("kek")).expect("the key can be copied");
        let fresh = self.fresh.again();
        let program = Program::open(settings(&fresh, &folder, &[]), self.clock.clone()).await;
        let metrics = telemetry::detached_metrics().expect("metrics can be kept").handle();
        let roles = Roles { api: true, workers: false };
        let running = program.expect("the program opens").start(roles, metrics).await;
        let running = running.expect("the program starts");
        Self::of(running, fresh, self.clock.clone(), folder, self.operator_key.clone(), self.settings)
    }

    /// Stops the program in order and removes what it has for itself; the database stays.
    pub async fn stop(self) {
        drop(self.http);
        self.running.stop().await;
        let _ = std::fs::remove_dir_all(self.folder);
    }

    /// Another replica, with a folder of its own, on the same database; it does nothing yet.
    pub async fn program(&self) -> Program {
        let kek = self.folder.join("kek").display().to_string();
        let more: Vec<_> =
            self.settings.iter().copied().chain([("TENANTRY_SECRETS__KEK_FILE", kek.as_str())]).collect();
        let config = settings(&self.fresh, &self.folder.join(EventId::new().bare()), &more);
        Program::open(config, self.clock.clone()).await.expect("the program opens")
    }

    /// Stops the program in order and removes all that it kept.
    pub async fn close(self) {
        drop(self.http);
        self.running.stop().await;
        self.fresh.remove().await;
        let _ = std::fs::remove_dir_all(self.folder);
    }

    pub fn call(&self, method: Method, path: &str) -> Call {
        self.at(self.address, method, path)
    }

    /// A call of another replica.
    pub fn at(&self, address: SocketAddr, method: Method, path: &str) -> Call {
        Call(self.http.request(method, format!("http://{address}{path}")))
    }

    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    pub fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    pub fn put(&self, path: &str) -> Call {
        self.call(Method::PUT, path)
    }

    pub fn patch(&self, path: &str) -> Call {
        self.call(Method::PATCH, path)
    }

    pub fn delete(&self, path: &str) -> Call {
        self.call(Method::DELETE, path)
    }

    /// All rows of a list, page by page.
    pub async fn all(&self, key: &str, path: &str, limit: usize) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut next = format!("{path}?limit={limit}");
        loop {
            let page = self.get(&next).key(key).send().await.is(200);
            let data = page.body["data"].as_array().expect("a list has data");
            assert!(data.len() <= limit, "a page of {} rows", data.len());
            rows.extend(data.iter().cloned());
            match page.body["next_cursor"].as_str() {
                Some(cursor) => next = format!("{path}?limit={limit}&cursor={cursor}"),
                None => return rows,
            }
        }
    }

    /// A key of the account's with a ready set of scopes.
    pub async fn key(&self, by: &str, account: &str, bundle: &str) -> String {
        let asked = json!({"account_id": account, "name": bundle, "bundle": bundle});
        self.post("/v1/keys").key(by).json(asked).send().await.is(201).text_at("secret")
    }

    /// A token of the key's, by its secret.
    pub async fn token(&self, key: &str) -> String {
        let id = format!("key_{}", key.split('_').nth(2).expect("a key names itself"));
        let grant = [("grant_type", "client_credentials")];
        self.post("/oauth/token").basic(&id, key).form(&grant).send().await.is(200).text_at("access_token")
    }

    /// An account directly below the caller's, and a key for all that such an account does.
    pub async fn account(&self, by: &str, account_type: &str, name: &str) -> Party {
        let asked = json!({"type": account_type, "name": name});
        let id = self.post("/v1/accounts").key(by).json(asked).send().await.is(201).id();
        let bundle = if account_type == "tenant" { "tenant_admin" } else { "reseller_admin" };
        let key = self.key(by, &id, bundle).await;
        Party { id, key }
    }

    /// The accounts and the catalogue that most tests begin with.
    pub async fn world(&self) -> World {
        let by = &self.operator_key;
        let me = self.get("/v1/me").key(by).send().await.is(200);
        let root = self.folder.join("served");
        std::fs::create_dir_all(&root).expect("the folder can be made");
        let server = json!({"name": "files-1", "connector": "files", "settings": {"root": root}});
        let server = self.post("/v1/servers").key(by).json(server).send().await.is(201).id();
        let placement: Vec<_> = ["mail", "dns", "web"]
            .iter()
            .map(|service_type| json!({"service_type": service_type, "server_id": server}))
            .collect();
        let combined = json!({"name": "shared-1", "placement": placement});
        let virtual_server =
            self.post("/v1/virtual_servers").key(by).json(combined).send().await.is(201).id();
        let plan = self.plan(&virtual_server, "hosted-mail", mail_quotas(1)).await;
        let reseller = self.account(by, "reseller", "Reseller").await;
        let tenant = self.account(&reseller.key, "tenant", "Tenant").await;
        let operator = Party { id: me.text_of("/account/id"), key: by.clone() };
        World { operator, reseller, tenant, server, virtual_server, plan }
    }

    /// A plan for mail and a zone of the operator's, on sale.
    pub async fn plan(&self, virtual_server: &str, code: &str, quotas: Value) -> String {
        let plan = json!({"code": code, "name": code, "terms": {
            "virtual_server_id": virtual_server,
            "services": [{"type": "mail"}, {"type": "dns"}],
            "quotas": quotas,
        }});
        self.post("/v1/plans").key(&self.operator_key).json(plan).send().await.is(201).id()
    }

    /// What is taken and what is the ceiling of an account's or subscription's quota, as it is shown.
    pub async fn quota(&self, key: &str, holder: &str, quota: &str) -> Option<Value> {
        let noun = if holder.starts_with("acc_") { "accounts" } else { "subscriptions" };
        let told = self.get(&format!("/v1/{noun}/{holder}/quotas")).key(key).send().await.is(200);
        told.body["data"].as_array()?.iter().find(|row| row["key"] == quota).cloned()
    }

    /// An order of the tenant's that has been made: a subscription with its domain.
    pub async fn ordered(&self, of: &Party, domain: &str, quantity: i64) -> Ordered {
        let order = add("hosted-mail", quantity, json!([{"type": "domain", "spec": {"name": domain}}]));
        let done = self.post("/v1/orders").key(&of.key).wait(20).json(order).send().await.is(201);
        assert_eq!(done.body["status"], "completed", "{}", done.text);
        let item = &done.body["items"][0];
        let service = |at: usize| item["service_ids"][at].as_str().expect("two services").to_owned();
        let text = |pointer: &str| item.pointer(pointer).and_then(Value::as_str).expect("an id").to_owned();
        Ordered {
            order: done.id(),
            subscription: text("/subscription_id"),
            mail: service(0),
            dns: service(1),
            domain: text("/resource_ids/0"),
        }
    }
}

/// The quotas of a plan for mail and a zone, with so many mailboxes for each unit.
pub fn mail_quotas(per_unit: i64) -> Value {
    json!([
        {"key": "mail.domains", "included": 1},
        {"key": "mail.mailboxes", "per_unit": per_unit},
        {"key": "mail.storage_mb", "per_unit": 25_600 * per_unit},
        {"key": "dns.zones", "included": 1},
        {"key": "dns.records", "included": 100},
    ])
}

/// An order for a new subscription.
pub fn add(plan: &str, quantity: i64, resources: Value) -> Value {
    json!({"items": [{"action": "add", "plan": plan, "quantity": quantity, "resources": resources}]})
}

/// An order that moves a subscription.
pub fn change(subscription: &str, to: Value) -> Value {
    let mut item = json!({"action": "change", "subscription_id": subscription});
    item.as_object_mut().expect("an object").extend(to.as_object().expect("an object").clone());
    json!({"items": [item]})
}

pub fn mailbox(address: &str) -> Value {
    json!({"type": "mailbox", "spec": {"address": address}})
}

/// An account and a key of its own.
#[derive(Debug, Clone)]
pub struct Party {
    pub id: String,
    pub key: String,
}

/// An operator with a server and a plan, a reseller below it and a tenant below that.
pub struct World {
    pub operator: Party,
    pub reseller: Party,
    pub tenant: Party,
    pub server: String,
    pub virtual_server: String,
    /// `hosted-mail`: one mailbox and its storage for each unit, one domain, one zone.
    pub plan: String,
}

/// What came of an order.
pub struct Ordered {
    pub order: String,
    pub subscription: String,
    pub mail: String,
    pub dns: String,
    pub domain: String,
}

/// How the settings of rate limits begin.
const LIMITS: &str = "TENANTRY_LIMITS__";

/// The settings that a test's program is opened with.
pub fn settings(fresh: &Fresh, folder: &std::path::Path, more: &[(&str, &str)]) -> Config {
    let flags = Flags {
        config: None,
        data_dir: Some(folder.to_owned()),
        database_url: None,
        listen: Some(([127, 0, 0, 1], 0).into()),
        log_format: None,
    };
    let given = [
        ("TENANTRY_DATABASE__URL", fresh.url.as_str()),
        ("TENANTRY_DATABASE__MAX_CONNECTIONS", "8"),
        ("TENANTRY_SERVER__ADMIN_LISTEN", ""),
        ("TENANTRY_SERVER__DRAIN_DELAY_SECONDS", "0"),
        ("TENANTRY_SERVER__HTTP_WORKERS", "1"),
        ("TENANTRY_WORKER__POLL_MILLISECONDS", "50"),
        // Only tests of shedding and of the limits, which set their own, meet any.
        ("TENANTRY_SERVER__LONGEST_WAIT_MILLISECONDS", "60000"),
        ("TENANTRY_LIMITS__KEY_PER_MINUTE", "1000000000"),
        ("TENANTRY_LIMITS__ACCOUNT_PER_MINUTE", "1000000000"),
        ("TENANTRY_LIMITS__SUBTREE_PER_MINUTE", "1000000000"),
        ("TENANTRY_LIMITS__ADDRESS_PER_MINUTE", "1000000000"),
        ("TENANTRY_LIMITS__ADDRESS_POSTS_PER_MINUTE", "1000000000"),
        ("TENANTRY_LIMITS__POSTS_PER_MINUTE", "1000000000"),
    ];
    let limited = more.iter().any(|(name, _)| name.starts_with(LIMITS));
    let is_set =
        |name: &str| more.iter().any(|(own, _)| *own == name) || (limited && name.starts_with(LIMITS));
    let given = given.iter().filter(|(name, _)| !is_set(name));
    let environment = given.chain(more).map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::from_sources(&flags, environment).expect("the settings are good")
}
