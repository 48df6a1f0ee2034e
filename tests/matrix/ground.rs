//! A channel with one of everything in the middle of it: whose all is, and who stands around it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tenantry::access::kek::Kek;
use tenantry::access::seal::Sealer;
use tenantry::delivery::client::Client;
use tenantry::delivery::guard::Guard;
use tenantry::delivery::{self, Delivery};
use tenantry::engine::{Engine, Parts};
use tenantry::model::connector::{Connector, Fault};
use tenantry::model::ids::EventId;
use tenantry::model::{Subtree, Time};
use tenantry::program::Roles;
use tenantry::telemetry;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::document::Operation;
use super::*;
use common::engines::settings;
use common::{Method as Called, Recording};

/// From when on a price is to be that nobody sees in force.
const LATER: &str = "2199-01-01T00:00:00.000000Z";

/// Who is who, and what is there.
pub struct Ground {
    /// A reseller, whose all the objects are.
    pub owner: Party,
    /// The distributor above it.
    pub above: Party,
    /// Another reseller of the same distributor.
    pub sibling: Party,
    /// A reseller of another distributor.
    pub other: Party,
    /// A tenant of the owner's.
    pub below: Party,
    /// The owner's objects, by noun and role: `orders.queued`.
    pub ids: BTreeMap<&'static str, String>,
    /// For each scope, a key of the owner's that has all but this one.
    pub lacking: BTreeMap<String, String>,
    /// For each scope, keys that have this one alone: of the owner and of the account above it.
    pub alone: BTreeMap<String, (String, String)>,
}

/// An identifier of the same noun that names nothing.
pub fn nothing(id: &str) -> String {
    let (noun, _) = id.split_once('_').expect("an identifier has a prefix");
    format!("{noun}_{}", EventId::new().bare())
}

impl Ground {
    /// Where the operation is called on an object, with whatever else its path names.
    pub fn place(&self, operation: &Operation, object: &str) -> String {
        let path = operation.path.replace("{id}", object).replace("{key}", "mail.mailboxes");
        let query = match operation.name.as_str() {
            "prices_withdraw" => format!("?valid_from={LATER}"),
            "search_find" => "?q=owner".to_owned(),
            _ => String::new(),
        };
        path.replace("{item_id}", self.id("plans.own")) + &query
    }

    pub fn id(&self, of: &str) -> &str {
        self.ids.get(of).unwrap_or_else(|| panic!("there is no {of} on the ground"))
    }

    pub async fn new(site: &Site, scopes: &[String]) -> Self {
        let root = &site.operator_key;
        let above = account(site, root, "distributor", "Above").await;
        let apart = account(site, root, "distributor", "Apart").await;
        let owner = account(site, &above.key, "reseller", "Owner").await;
        let sibling = account(site, &above.key, "reseller", "Sibling").await;
        let other = account(site, &apart.key, "reseller", "Other").await;
        let below = account(site, &owner.key, "tenant", "Below").await;
        let mut ground = Self {
            owner,
            above,
            sibling,
            other,
            below,
            ids: BTreeMap::new(),
            lacking: BTreeMap::new(),
            alone: BTreeMap::new(),
        };
        ground.keys(site, scopes).await;
        ground.catalogue(site).await;
        ground.batches(site).await;
        ground.work(site).await;
        ground.webhooks(site).await;
        ground.quotas(site).await;
        let moved = account(site, &ground.owner.key, "tenant", "Moved").await;
        let leaving = account(site, &ground.owner.key, "tenant", "Leaving").await;
        let shelf = account(site, &ground.owner.key, "reseller", "Shelf").await;
        ground.ids.extend([
            ("accounts.owner", ground.owner.id.clone()),
            ("accounts.moved", moved.id),
            ("accounts.leaving", leaving.id),
            ("accounts.shelf", shelf.id),
        ]);
        ground
    }

    async fn keys(&mut self, site: &Site, scopes: &[String]) {
        let make = async |account: &str, scopes: Vec<&String>| {
            let asked = json!({"account_id": account, "name": "walks", "scopes": scopes});
            site.post("/v1/keys").key(&site.operator_key).json(asked).send().await.is(201)
        };
        for scope in scopes {
            let rest = scopes.iter().filter(|other| *other != scope).collect();
            let lacking = make(&self.owner.id, rest).await.text_at("secret");
            self.lacking.insert(scope.clone(), lacking);
            let own = make(&self.owner.id, vec![scope]).await.text_at("secret");
            let above = make(&self.above.id, vec![scope]).await.text_at("secret");
            self.alone.insert(scope.clone(), (own, above));
        }
        let asked = json!({"name": "spare", "scopes": ["keys:write"], "hold_classes": []});
        let spare = site.post("/v1/keys").key(&self.owner.key).json(asked).send().await.is(201);
        let request = spare.header("x-request-id").expect("a request has an identifier").to_owned();
        until("the log of requests has it", async || {
            site.get(&format!("/v1/requests/{request}")).key(&self.owner.key).send().await.status == 200
        })
        .await;
        let asked =
            json!({"role": "peer", "name": "Own", "email": "own@own.example", "scopes": ["members:write"]});
        let member = site.post("/v1/members").key(&self.owner.key).json(asked).send().await.is(201).id();
        let asked = json!({"name": "shop", "origins": ["https://own.example"]});
        let shop =
            site.post("/v1/storefront_keys").key(&self.owner.key).json(asked).send().await.is(201).id();
        self.ids.extend([
            ("keys.spare", spare.id()),
            ("members.own", member),
            ("requests.own", request),
            ("storefront_keys.own", shop),
        ]);
    }

    async fn catalogue(&mut self, site: &Site) {
        let by = &self.owner.key;
        let root = site.folder.join("served");
        std::fs::create_dir_all(&root).expect("the folder can be made");
        let make = async |noun: &str, asked: Value| {
            site.post(&format!("/v1/{noun}")).key(by).json(asked).send().await.is(201).id()
        };
        let server = json!({"name": "files-1", "connector": "files", "settings": {"root": root}});
        let server = make("servers", server).await;
        let placement: Vec<_> =
            ["mail", "dns"].map(|kind| json!({"service_type": kind, "server_id": server})).into();
        let virtual_server = make("virtual_servers", json!({"name": "all", "placement": placement})).await;
        let plan = make("plans", plan(&virtual_server, "own-mail")).await;
        let addon = make("addons", addon("own-extra")).await;
        let list =
            make("price_lists", json!({"name": "own", "currency": "EUR", "buyer_id": self.below.id})).await;
        let price = json!({"rule": {"kind": "taken_over"}, "valid_from": LATER});
        site.put(&format!("/v1/price_lists/{list}/prices/{plan}"))
            .anyway()
            .key(by)
            .json(price)
            .send()
            .await
            .is(200);
        let signup = async |email: &str| make("signups", signup(&plan, email)).await;
        let sent = signup("sent@own.example").await;
        let issue = site.post(&format!("/v1/signups/{sent}/verification_token")).key(by).send().await.is(201);
        self.ids.extend([
            ("signups.waiting", signup("waiting@own.example").await),
            ("signups.unwanted", signup("unwanted@own.example").await),
            ("signups.sent", sent),
            ("tokens.sent", issue.text_at("token")),
        ]);
        let asked = json!({"items": [{"action": "add", "plan": plan}]});
        self.ids.extend([
            ("quotes.own", make("quotes", asked).await),
            ("servers.own", server),
            ("virtual_servers.own", virtual_server),
            ("plans.own", plan),
            ("addons.own", addon),
            ("price_lists.own", list),
        ]);
    }

    /// A batch that was refused, one that nobody has begun, a comparison that is done and one that is open.
    async fn batches(&mut self, site: &Site) {
        let by = &self.owner.key;
        let refused = json!({"method": "POST", "path": format!("/v1/orders/{}/cancel", nothing("ord_"))});
        let leave = async || {
            let asked = json!({"items": [refused]});
            site.post("/v1/batches").key(by).json(asked).send().await.is(202).id()
        };
        let metrics = telemetry::detached_metrics().unwrap().handle();
        let roles = Roles { api: false, workers: true };
        let worker = site.program().await.start(roles, metrics).await.unwrap();
        let batch = leave().await;
        until("the batch has ended", async || {
            let found = site.get(&format!("/v1/batches/{batch}")).key(by).send().await.is(200);
            found.body["status"] == "completed"
        })
        .await;
        let run = async || site.post("/v1/reconcile_runs").key(by).send().await.is(201).id();
        let compared = run().await;
        site.post(&format!("/v1/reconcile_runs/{compared}/compare")).key(by).send().await.is(202);
        until("the run is compared", async || {
            let found = site.get(&format!("/v1/reconcile_runs/{compared}")).key(by).send().await.is(200);
            found.body["status"] == "compared"
        })
        .await;
        worker.stop().await;
        self.ids.extend([("reconcile_runs.compared", compared), ("reconcile_runs.open", run().await)]);
        // Of what is none and stays none.
        let request = json!({"method": "POST", "path": "/v1/services/{id}/suspend"});
        let asked = json!({"plan": "there-is-none", "request": request});
        let seen = site.post("/v1/batches/preview").key(by).json(asked).send().await.is(200);
        self.ids.extend([
            ("batches.refused", batch),
            ("batches.queued", leave().await),
            ("batches.token", seen.text_at("preview_token")),
        ]);
    }

    /// Ceilings that nothing comes near, and what was asked for beyond them.
    async fn quotas(&mut self, site: &Site) {
        let ask = async |key: &str| {
            let path = format!("/v1/accounts/{}/quotas/{key}", self.owner.id);
            let ceiling = json!({"ceiling": 1_000_000_000});
            site.put(&path).anyway().key(&self.above.key).json(ceiling).send().await.is(200);
            let asked = json!({"key": key, "ceiling": 2_000_000_000_i64});
            site.post("/v1/quota_requests").key(&self.owner.key).json(asked).send().await.is(201).id()
        };
        let spare = ask("web.sites").await;
        let path = format!("/v1/quota_requests/{spare}/withdraw");
        site.post(&path).key(&self.owner.key).send().await.is(200);
        self.ids.extend([
            ("quota_requests.given", ask("web.storage_mb").await),
            ("quota_requests.refused", ask("dns.records").await),
            ("quota_requests.withdrawn", ask("mail.storage_mb").await),
        ]);
    }

    /// Work that has ended, well and badly, and work that nobody has begun.
    async fn work(&mut self, site: &Site) {
        let by = &self.owner.key;
        let order = async |domain: &str| {
            let mut resources = vec![json!({"type": "domain", "spec": {"name": domain}})];
            resources.extend(["changed", "locked", "gone"].map(|name| mailbox(&format!("{name}@{domain}"))));
            let asked = json!({"items": [{"action": "add", "plan": "own-mail", "quantity": 3, "resources": resources}]});
            site.post("/v1/orders").key(by).json(asked).send().await.is(202)
        };
        let recording = Arc::new(Recording::default());
        let engine = Worker::start(site, &recording);
        let done = order("done.example").await;
        engine.ended(site, by, &done.text_at("operation_id"), "succeeded").await;
        recording.always(Called::EnsureService, Fault::unavailable("away"));
        let (failed, broken) = (order("failed.example").await, order("broken.example").await);
        for order in [&failed, &broken] {
            engine.ended(site, by, &order.text_at("operation_id"), "failed").await;
        }
        engine.stop().await;
        let queued = order("queued.example").await;
        let asks = async |policy: Value| {
            let path = format!("/v1/accounts/{}", self.above.id);
            let asked = json!({"order_policy": policy});
            site.patch(&path).key(&self.above.key).json(asked).send().await.is(200);
        };
        asks(json!({"approval": true})).await;
        let (waiting, unwanted) = (order("waiting.example").await, order("unwanted.example").await);
        asks(Value::Null).await;
        let item = |at: &str| done.text_of(&format!("/items/0/{at}"));
        let path = format!("/v1/services/{}/resources", item("service_ids/0"));
        let more = site.post(&path).key(by).json(mailbox("second@done.example")).send().await.is(202);
        self.ids.extend([
            ("orders.done", done.id()),
            ("orders.failed", failed.id()),
            ("orders.queued", queued.id()),
            ("orders.waiting", waiting.id()),
            ("orders.unwanted", unwanted.id()),
            ("operations.done", done.text_at("operation_id")),
            ("operations.failed", broken.text_at("operation_id")),
            ("operations.queued", more.text_at("operation_id")),
            ("subscriptions.own", item("subscription_id")),
            ("services.mail", item("service_ids/0")),
            ("resources.changed", item("resource_ids/1")),
            ("resources.locked", item("resource_ids/2")),
            ("resources.gone", item("resource_ids/3")),
        ]);
    }

    /// An endpoint, and a delivery to it.
    async fn webhooks(&mut self, site: &Site) {
        let by = &self.owner.key;
        let asked = json!({"url": "https://hooks.example/in"});
        let endpoint = site.post("/v1/webhook_endpoints").key(by).json(asked).send().await.is(201).id();
        let asked = json!({"url": "https://hooks.example/pending", "verify": true});
        let pending = site.post("/v1/webhook_endpoints").key(by).json(asked).send().await.is(201).id();
        let delivery = Delivery::new(delivery::Parts {
            db: site.db.clone(),
            clock: site.clock.clone(),
            sealer: Arc::new(Sealer::new(Kek::generate())),
            client: Client::new(Guard::new(std::iter::empty::<String>(), false, Vec::new())).unwrap(),
            concurrency: 1,
            poll: Duration::from_millis(20),
        });
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(delivery.run(async move { drop(stopped.wait_for(|stop| *stop).await) }));
        let place = format!("/v1/webhook_endpoints/{endpoint}/deliveries");
        let sent = || async { site.get(&place).key(by).send().await.is(200).ids().into_iter().next() };
        until("something is delivered", async || sent().await.is_some()).await;
        stop.send_replace(true);
        task.await.unwrap();
        let sent = sent().await.expect("it is still there");
        self.ids.extend([
            ("webhook_endpoints.own", endpoint),
            ("webhook_endpoints.pending", pending),
            ("deliveries.sent", sent),
        ]);
    }
}

pub fn mailbox(address: &str) -> Value {
    json!({"type": "mailbox", "spec": {"address": address, "quota_mb": 100}})
}

/// Somebody who wants to become a customer.
pub fn signup(plan: &str, email: &str) -> Value {
    json!({"account": {"name": "New"}, "administrator": {"name": "New", "email": email}, "plan": plan})
}

/// A plan for mail and a zone.
pub fn plan(virtual_server: &str, code: &str) -> Value {
    json!({"code": code, "name": code, "terms": terms(virtual_server)})
}

pub fn terms(virtual_server: &str) -> Value {
    json!({
        "virtual_server_id": virtual_server,
        "services": [{"type": "mail"}, {"type": "dns"}],
        "quotas": mail_quotas(2),
        "components": [{"code": "seat", "name": "Seat", "billing": "per_seat"}],
    })
}

pub fn addon(code: &str) -> Value {
    json!({"code": code, "name": code, "terms": {"quotas": [{"key": "mail.mailboxes", "per_unit": 1}]}})
}

/// An account with a key that has every scope there is: nothing but the tree stands in its way.
async fn account(site: &Site, by: &str, account_type: &str, name: &str) -> Party {
    let asked = json!({"type": account_type, "name": name});
    let id = site.post("/v1/accounts").key(by).json(asked).send().await.is(201).id();
    let key = site.key(&site.operator_key, &id, "operator_admin").await;
    Party { id, key }
}

/// An engine at work on what the site queues; every server is the recording's.
struct Worker {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Worker {
    fn start(site: &Site, recording: &Arc<Recording>) -> Self {
        let connector: Arc<dyn Connector> = recording.clone();
        let engine = Engine::new(Parts {
            db: site.db.clone(),
            clock: site.clock.clone(),
            connectors: Arc::new(move |_| Some(connector.clone())),
            sealer: Arc::new(Sealer::new(Kek::generate())),
            settings: settings(),
        });
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(async move { engine.run(stopped).await }) }
    }

    /// Waits for the operation's end; what waits for its next attempt needs not wait.
    async fn ended(&self, site: &Site, by: &str, operation: &str, status: &str) {
        let path = format!("/v1/operations/{operation}");
        until("the operation ends", async || {
            let mut tx = site.db.write(Subtree::everything()).await.unwrap();
            let due = tx.query("UPDATE operations SET due_at = $1 WHERE due_at > $1 AND status = 'queued'");
            due.bind(Time::EPOCH).execute().await.unwrap();
            tx.commit().await.unwrap();
            site.get(&path).key(by).send().await.is(200).body["status"] == status
        })
        .await;
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}
