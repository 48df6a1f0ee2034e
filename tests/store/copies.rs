//! Every list that is read page by page gives the same rows in the same order on both engines: behind
//! PostgreSQL's declaration as without it.

use std::collections::BTreeMap;

use tenantry::domain::services::holds::On;
use tenantry::model::accounts::accounts::{Account, AccountType};
use tenantry::model::accounts::clients::AuthMethod;
use tenantry::model::accounts::keys::{Key, KeyStatus};
use tenantry::model::catalog::plans::Plan;
use tenantry::model::catalog::servers::{Server, VirtualServer};
use tenantry::model::commerce::orders::Order;
use tenantry::model::commerce::subscriptions::Subscription;
use tenantry::model::events::deliveries::{Delivery, DeliveryStatus};
use tenantry::model::events::webhooks::{EndpointSwitch, Payload, WebhookEndpoint};
use tenantry::model::ids::{DeliveryId, KeyId, PlanId, ServerId, VirtualServerId, WebhookEndpointId};
use tenantry::model::services::holds::Hold;
use tenantry::model::services::operations::Operation;
use tenantry::model::services::resources::Resource;
use tenantry::model::services::services::Service;
use tenantry::model::{Json, Path};
use tenantry::store::accounts::{accounts, keys};
use tenantry::store::catalog::{plans, servers};
use tenantry::store::commerce::{orders, subscriptions};
use tenantry::store::events::{deliveries, events, webhooks};
use tenantry::store::services::{holds, operations, resources, services};

use super::common::world::{domain, mailbox};
use super::common::{Recording, World};
use super::*;

/// Everything of one noun in the order of its list.
macro_rules! all {
    ($db:expr, $page:path) => {
        $page(&mut read($db).await, None, 10_000).await.unwrap()
    };
}

/// Walks a list on both engines in pages of three and compares each; says how many rows there were.
macro_rules! same {
    ($what:literal, $dbs:expr, $subtree:expr, |$conn:ident, $after:ident| $page:expr, $place:expr) => {{
        let (sqlite, postgres): (&Db, &Db) = $dbs;
        let subtree: &Subtree = $subtree;
        let (mut place, mut rows) = (None, 0);
        loop {
            let page = async |db: &Db| {
                let mut conn = db.read(subtree.clone()).await.unwrap();
                let ($conn, $after) = (&mut conn, place.clone());
                $page.await.unwrap()
            };
            let (one, other) = (page(sqlite).await, page(postgres).await);
            assert_eq!(one, other, "{} of {subtree:?} after {place:?}", $what);
            let Some(last) = one.last() else { break rows };
            place = Some($place(last));
            rows += one.len();
        }
    }};
}

/// A world in which every list has more than a page.
async fn filled(db: &Db) -> World {
    let world = World::new(db, &Recording::default()).await;
    let mut below = vec![world.reseller.clone()];
    for n in 0..5 {
        let of = world.actor(&below[n / 2 % 2]);
        let kind = if n % 2 == 0 { AccountType::Reseller } else { AccountType::Tenant };
        below.push(World::open(db, &of, kind, &format!("Below {n}")).await);
    }
    let mut services = Vec::new();
    for (n, account) in below.iter().chain([&world.tenant, &world.tenant]).enumerate() {
        let name = format!("d{n}.example");
        let content = vec![domain(&name), mailbox(&format!("a@{name}"), 5), mailbox(&format!("b@{name}"), 5)];
        let order = world.order(account, content).await;
        services.push(order.items[0].service_ids[0]);
    }
    world.suspend(&world.operator, On::Service(services[1])).await;
    for (by, n) in [(&world.operator, 0), (&world.reseller, 0)] {
        world.suspend(by, On::Service(services[n])).await;
    }
    world.suspend(&world.reseller, On::Account(below[2].id)).await;
    let mut tx = write(db).await.unwrap();
    let mut endpoints = Vec::new();
    for (n, account) in below.iter().enumerate() {
        keys::insert(&mut tx, &key(account, n)).await.unwrap();
        let endpoint = endpoint(account);
        webhooks::insert(&mut tx, &endpoint).await.unwrap();
        endpoints.push(endpoint);
        let server = Server { id: ServerId::new(), name: format!("S{n}"), ..world.server.clone() };
        servers::insert(&mut tx, &Server { account_id: account.id, path: account.path.clone(), ..server })
            .await
            .unwrap();
        let group = VirtualServer {
            id: VirtualServerId::new(),
            account_id: account.id,
            path: account.path.clone(),
            ..world.virtual_server.clone()
        };
        servers::insert_virtual(&mut tx, &group).await.unwrap();
        let plan = Plan {
            id: PlanId::new(),
            account_id: account.id,
            path: account.path.clone(),
            ..world.plan.clone()
        };
        assert!(plans::insert(&mut tx, &plan).await.unwrap());
    }
    let told = events::after(&mut tx, 0, "", 10_000).await.unwrap();
    let queued: Vec<_> = told
        .iter()
        .map(|event| deliveries::NewDelivery {
            id: DeliveryId::new(),
            account_id: endpoints[0].account_id,
            path: endpoints[0].path.clone(),
            endpoint_id: endpoints[0].id,
            event_id: event.id,
            event_type: event.event_type,
            thin: false,
            status: DeliveryStatus::Pending,
            attempts: Vec::new(),
        })
        .collect();
    deliveries::queue(&mut tx, &queued, world.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    world
}

fn key(account: &Account, n: usize) -> Key {
    Key {
        id: KeyId::new(),
        account_id: account.id,
        path: account.path.clone(),
        environment: account.environment,
        name: format!("Key {n}"),
        secret_hash: "none".into(),
        former_hash: None,
        former_until: None,
        scopes: Json(Vec::new()),
        auth_method: AuthMethod::ClientSecretBasic,
        jwks: Json(Vec::new()),
        hold_classes: Json(Vec::new()),
        allowed_addresses: Json(Vec::new()),
        roots: Json(Vec::new()),
        status: KeyStatus::Active,
        created_by: "test".into(),
        created_at: account.created_at,
        not_before: None,
        expires_at: Some(account.updated_at),
        revoked_at: None,
        last_used_at: None,
        last_used_ip: None,
        rate_class: "standard".into(),
        spend_cap: None,
        member_id: None,
        version: 1,
    }
}

fn endpoint(account: &Account) -> WebhookEndpoint {
    WebhookEndpoint {
        id: WebhookEndpointId::new(),
        account_id: account.id,
        path: account.path.clone(),
        url: "https://hooks.example/".into(),
        description: None,
        event_types: Json(Vec::new()),
        payload: Payload::Full,
        headers: Json(BTreeMap::new()),
        secret_headers: None,
        secret_header_names: Json(Vec::new()),
        secret_header_marks: Json(BTreeMap::new()),
        secret: "sealed".into(),
        signing_key: None,
        public_key: None,
        old_secrets_until: None,
        switch: EndpointSwitch::Enabled,
        verify: false,
        challenge: None,
        failing_since: None,
        version: 1,
        created_at: account.created_at,
        updated_at: account.updated_at,
    }
}

/// Writes all rows of one database into another, through the store.
async fn copy(from: &Db, to: &Db, world: &World) {
    let mut unit = write(to).await.unwrap();
    let tx = &mut unit;
    for account in all!(from, accounts::page) {
        accounts::insert(tx, &account).await.unwrap();
    }
    for key in all!(from, keys::page) {
        keys::insert(tx, &key).await.unwrap();
    }
    for server in all!(from, servers::page) {
        servers::insert(tx, &server).await.unwrap();
    }
    for group in all!(from, servers::page_virtual) {
        servers::insert_virtual(tx, &group).await.unwrap();
    }
    let operator = &world.operator.path;
    for plan in plans::visible(&mut read(from).await, operator, None, 10_000).await.unwrap() {
        assert!(plans::insert(tx, &plan).await.unwrap());
    }
    for order in all!(from, orders::page) {
        assert!(orders::insert(tx, &order).await.unwrap());
    }
    for subscription in all!(from, subscriptions::page) {
        subscriptions::insert(tx, &subscription).await.unwrap();
    }
    for service in all!(from, services::page) {
        services::insert(tx, &service).await.unwrap();
        for hold in holds::page(&mut read(from).await, &service.id.to_string(), None, 1000).await.unwrap() {
            assert!(holds::insert(tx, &hold).await.unwrap());
        }
    }
    for account in all!(from, accounts::page) {
        for hold in holds::page(&mut read(from).await, &account.id.to_string(), None, 1000).await.unwrap() {
            assert!(holds::insert(tx, &hold).await.unwrap());
        }
    }
    for resource in all!(from, resources::page_all) {
        assert!(resources::insert(tx, &resource).await.unwrap());
    }
    for operation in all!(from, operations::page) {
        assert!(operations::insert(tx, &operation).await.unwrap());
    }
    for endpoint in all!(from, webhooks::page) {
        webhooks::insert(tx, &endpoint).await.unwrap();
        for delivery in deliveries::page(&mut read(from).await, endpoint.id, None, 10_000).await.unwrap() {
            let queued = deliveries::NewDelivery {
                id: delivery.id,
                account_id: delivery.account_id,
                path: delivery.path,
                endpoint_id: delivery.endpoint_id,
                event_id: delivery.event_id,
                event_type: delivery.event_type,
                thin: delivery.thin,
                status: delivery.status,
                attempts: delivery.attempts.0,
            };
            deliveries::queue(tx, &[queued], delivery.created_at).await.unwrap();
        }
    }
    unit.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_list_gives_the_same_rows_in_the_same_order_on_both_engines() {
    let (one, other) = (Fresh::sqlite().await, Fresh::postgres().await);
    let dbs = (&one.db, &other.db);
    let world = filled(dbs.0).await;
    copy(dbs.0, dbs.1, &world).await;
    let operator = Subtree::of(&world.operator.path);
    let accounts = all!(dbs.0, accounts::page);
    assert!(accounts.iter().any(|account| account.held.is_some()));
    for viewer in &accounts {
        let below = &Subtree::of(&viewer.path);
        let path: &Path = &viewer.path;
        let rows = [
            same!(
                "accounts",
                dbs,
                below,
                |conn, after| accounts::page(conn, after.as_ref(), 3),
                |row: &Account| (row.path.clone(), row.id)
            ),
            same!(
                "children",
                dbs,
                below,
                |conn, after| accounts::children(conn, viewer.id, after, 3),
                |row: &Account| row.id
            ),
            same!("keys", dbs, below, |conn, after| keys::page(conn, after.as_ref(), 3), |row: &Key| (
                row.path.clone(),
                row.id
            )),
            same!(
                "servers",
                dbs,
                below,
                |conn, after| servers::page(conn, after.as_ref(), 3),
                |row: &Server| (row.path.clone(), row.id)
            ),
            same!(
                "virtual servers",
                dbs,
                below,
                |conn, after| servers::page_virtual(conn, after.as_ref(), 3),
                |row: &VirtualServer| (row.path.clone(), row.id)
            ),
            same!(
                "plans",
                dbs,
                below,
                |conn, after| plans::visible(conn, path, after.as_ref(), 3),
                |row: &Plan| (row.path.clone(), row.id)
            ),
            same!(
                "orders",
                dbs,
                below,
                |conn, after| orders::page(conn, after.as_ref(), 3),
                |row: &Order| (row.path.clone(), row.id)
            ),
            same!(
                "subscriptions",
                dbs,
                below,
                |conn, after| subscriptions::page(conn, after.as_ref(), 3),
                |row: &Subscription| (row.path.clone(), row.id)
            ),
            same!(
                "services",
                dbs,
                below,
                |conn, after| services::page(conn, after.as_ref(), 3),
                |row: &Service| (row.path.clone(), row.id)
            ),
            same!(
                "resources",
                dbs,
                below,
                |conn, after| resources::page_all(conn, after.as_ref(), 3),
                |row: &Resource| (row.path.clone(), row.id)
            ),
            same!(
                "operations",
                dbs,
                below,
                |conn, after| operations::page(conn, after.as_ref(), 3),
                |row: &Operation| (row.path.clone(), row.id)
            ),
            same!(
                "endpoints",
                dbs,
                below,
                |conn, after| webhooks::page(conn, after.as_ref(), 3),
                |row: &WebhookEndpoint| (row.path.clone(), row.id)
            ),
            same!(
                "holds",
                dbs,
                below,
                |conn, after| holds::page(conn, &viewer.id.to_string(), after, 3),
                |row: &Hold| row.id
            ),
        ];
        if viewer.id == world.operator.id {
            println!("rows of each list: {rows:?}");
            assert!(rows.iter().filter(|rows| **rows > 3).count() >= 11, "{rows:?}");
        }
    }
    let mut held = 0;
    for service in all!(dbs.0, services::page) {
        let id = service.id.to_string();
        held +=
            same!("holds", dbs, &operator, |conn, after| holds::page(conn, &id, after, 3), |row: &Hold| row
                .id);
        same!(
            "contents",
            dbs,
            &operator,
            |conn, after| resources::page(conn, service.id, after, 2),
            |row: &Resource| row.id
        );
    }
    assert!(held >= 3);
    let mut sent = 0;
    for endpoint in all!(dbs.0, webhooks::page) {
        sent += same!(
            "deliveries",
            dbs,
            &operator,
            |conn, before| deliveries::page(conn, endpoint.id, before, 3),
            |row: &Delivery| row.id
        );
    }
    assert!(sent > 20);
    one.remove().await;
    other.remove().await;
}
