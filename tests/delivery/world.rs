//! An operator, a reseller and two tenants, and what tests do with them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tenantry::access::kek::Kek;
use tenantry::access::seal::Sealer;
use tenantry::clock::Clock;
use tenantry::delivery::client::Client;
use tenantry::delivery::guard::Guard;
use tenantry::delivery::secrets::Place;
use tenantry::delivery::sign::Secret;
use tenantry::delivery::{Delivery, Parts};
use tenantry::domain::accounts::accounts::{Opening, create, create_root};
use tenantry::domain::events::webhooks::{Registration, register};
use tenantry::domain::{Object, Work};
use tenantry::model::accounts::accounts::{Account, AccountType, Environment};
use tenantry::model::events::deliveries::Delivery as Row;
use tenantry::model::events::events::{Cause, Event, EventType};
use tenantry::model::events::webhooks::{Payload, WebhookEndpoint};
use tenantry::model::ids::{KeyId, RequestId, WebhookEndpointId};
use tenantry::model::{Actor, Subtree, Time};
use tenantry::store::Db;
use tenantry::store::events::{deliveries, events, webhooks};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::database::Fresh;
use crate::receiver::Receiver;

pub struct World {
    pub database: Fresh,
    pub clock: Clock,
    pub sealer: Arc<Sealer>,
    pub root: Account,
    pub reseller: Account,
    pub tenant: Account,
    pub neighbour: Account,
}

pub fn actor(account: &Account, now: Time) -> Actor {
    Actor {
        principal_id: account.id,
        principal_path: account.path.clone(),
        subject_id: account.id,
        subject_path: account.path.clone(),
        reach: Subtree::of(&account.path),
        actors: Arc::new([]),
        key_id: KeyId::new(),
        scopes: Arc::new([]),
        hold_classes: Arc::new([]),
        allowed_addresses: Arc::new([]),
        expires_at: None,
        spend_cap: None,
        member_id: None,
        is_public: false,
        batch_id: None,
        environment: Environment::Live,
        request_id: RequestId::new(),
        address: None,
        now,
    }
}

fn opening(account_type: AccountType, name: &str) -> Opening {
    Opening {
        parent_id: None,
        account_type,
        environment: None,
        name: name.into(),
        contact_email: None,
        country: None,
        locale: None,
        time_zone: None,
        currency: None,
        external_id: None,
        metadata: BTreeMap::new(),
        fingerprint: String::new(),
    }
}

/// A part of the program at work; it stops when it is told to.
pub struct Running {
    pub delivery: Delivery,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub fn start(delivery: Delivery) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(delivery.clone().run(async move { drop(stopped.await) }));
        Self { delivery, stop, task }
    }

    pub async fn stop(self) {
        drop(self.stop);
        self.task.await.unwrap();
    }
}

impl World {
    pub async fn new(database: Fresh) -> Self {
        let clock = Clock::fixed("2026-11-21T09:00:00Z".parse().unwrap());
        let mut work = work(&database.db, clock.now()).await;
        let root = create_root(&mut work, "Operator", Environment::Live).await.unwrap();
        let of_root = actor(&root, clock.now());
        let reseller = create(&mut work, &of_root, opening(AccountType::Reseller, "Reseller")).await.unwrap();
        let reseller = reseller.into_inner();
        let of_reseller = actor(&reseller, clock.now());
        let tenant = create(&mut work, &of_reseller, opening(AccountType::Tenant, "Tenant")).await.unwrap();
        let neighbour = create(&mut work, &of_reseller, opening(AccountType::Tenant, "Other")).await.unwrap();
        work.finish().await.unwrap();
        let (tenant, neighbour) = (tenant.into_inner(), neighbour.into_inner());
        let sealer = Arc::new(Sealer::new(Kek::generate()));
        Self { database, clock, sealer, root, reseller, tenant, neighbour }
    }

    pub async fn remove(self) {
        self.database.remove().await;
    }

    pub fn db(&self) -> &Db {
        &self.database.db
    }

    pub async fn work(&self) -> Work {
        work(self.db(), self.clock.now()).await
    }

    /// Registers an endpoint that hears of resources only, so that the accounts' own events do not count.
    pub async fn endpoint(&self, account: &Account, url: String) -> (WebhookEndpoint, Secret) {
        self.endpoint_for(account, url, vec![EventType::ResourceCreated]).await
    }

    pub async fn endpoint_for(
        &self,
        account: &Account,
        url: String,
        event_types: Vec<EventType>,
    ) -> (WebhookEndpoint, Secret) {
        let (new, secret) = self.registration(account, url, event_types);
        (self.register(account, new).await, secret)
    }

    /// An endpoint as it is asked for, to be changed before it is registered.
    pub fn registration(
        &self,
        account: &Account,
        url: String,
        event_types: Vec<EventType>,
    ) -> (Registration, Secret) {
        let (id, secret) = (WebhookEndpointId::new(), Secret::generate());
        let new = Registration {
            id,
            url,
            description: None,
            event_types,
            payload: Payload::Full,
            headers: BTreeMap::new(),
            secret_headers: None,
            secret: Place::of(account.id, id).secret(&self.sealer, &secret.text()),
            signing: None,
            challenge: None,
        };
        (new, secret)
    }

    pub async fn register(&self, account: &Account, new: Registration) -> WebhookEndpoint {
        let mut work = self.work().await;
        let endpoint = register(&mut work, &actor(account, self.clock.now()), new).await.unwrap();
        work.finish().await.unwrap();
        endpoint
    }

    /// Has so many events happen to the account, ten in a transaction.
    pub async fn happen(&self, account: &Account, count: usize) {
        for from in (0..count).step_by(10) {
            let mut work = self.work().await;
            for number in from..count.min(from + 10) {
                resource(&mut work, account, &json!({ "number": number }));
            }
            work.finish().await.unwrap();
        }
    }

    pub fn parts(&self, db: Db, allowed: &[&Receiver]) -> Parts {
        self.parts_to(db, allowed.iter().map(|receiver| receiver.port))
    }

    fn parts_to(&self, db: Db, ports: impl Iterator<Item = u16>) -> Parts {
        let allow = ports.map(|port| format!("127.0.0.1:{port}"));
        Parts {
            db,
            clock: self.clock.clone(),
            sealer: self.sealer.clone(),
            client: Client::new(Guard::new(allow, true, Vec::new())).unwrap(),
            concurrency: 16,
            poll: Duration::from_millis(30),
        }
    }

    pub fn deliver(&self, allowed: &[&Receiver]) -> Running {
        Running::start(Delivery::new(self.parts(self.db().clone(), allowed)))
    }

    /// The same to servers that are no [`Receiver`].
    pub fn deliver_to(&self, ports: &[u16]) -> Running {
        Running::start(Delivery::new(self.parts_to(self.db().clone(), ports.iter().copied())))
    }

    /// The endpoint's deliveries, the newest first.
    pub async fn deliveries(&self, endpoint: &WebhookEndpoint) -> Vec<Row> {
        let mut conn = self.db().read(Subtree::everything()).await.unwrap();
        deliveries::page(&mut conn, endpoint.id, None, 1_000).await.unwrap()
    }

    /// The endpoint's only delivery, once it has had so many attempts.
    pub async fn tried(&self, endpoint: &WebhookEndpoint, attempts: usize) -> Row {
        let done = async || {
            let row = self.deliveries(endpoint).await.into_iter().next();
            row.filter(|row| row.attempts.len() >= attempts)
        };
        until(done).await
    }

    pub async fn endpoint_now(&self, endpoint: &WebhookEndpoint) -> WebhookEndpoint {
        let mut conn = self.db().read(Subtree::everything()).await.unwrap();
        webhooks::find(&mut conn, endpoint.id).await.unwrap().unwrap()
    }

    /// Makes every waiting delivery due, whatever it waits for.
    pub async fn make_due(&self) {
        let mut tx = self.db().write(Subtree::everything()).await.unwrap();
        tx.query("UPDATE deliveries SET due_at = $1 WHERE due_at IS NOT NULL")
            .bind(Time::EPOCH)
            .execute()
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// The whole feed, once no transaction that began before its last event is open anywhere in the cluster:
    /// other tests run there too.
    pub async fn feed(&self) -> Vec<Event> {
        let complete = async || {
            let mut conn = self.db().read(Subtree::everything()).await.unwrap();
            let (kept,): (i64,) = conn.query("SELECT COUNT(*) AS kept FROM events").one().await.unwrap();
            let feed = events::after(&mut conn, 0, "", 10_000).await.unwrap();
            (feed.len() as i64 >= kept).then_some(feed)
        };
        until(complete).await
    }
}

async fn work(db: &Db, now: Time) -> Work {
    let cause = Cause { key_id: None, request_id: None, reason_code: None };
    Work::because(db.write(Subtree::everything()).await.unwrap(), cause, now)
}

pub fn resource(work: &mut Work, account: &Account, object: &Value) {
    let object = Object::new("res_1", 1, object);
    work.event(EventType::ResourceCreated, (account.id, &account.path), "resource", object);
}

/// Waits until there is something, for half a minute at most.
pub async fn until<T>(found: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..1_500 {
        if let Some(found) = found().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it did not come to pass");
}

pub async fn until_true(found: impl AsyncFn() -> bool) {
    until(async || found().await.then_some(())).await;
}
