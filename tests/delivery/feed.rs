use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tenantry::model::Subtree;
use tenantry::model::events::events::EventView;
use tenantry::store::Db;
use tenantry::store::events::events;

use crate::on_both_engines;
use crate::receiver::{Receiver, status};
use crate::world::{World, resource, until, until_true};

on_both_engines! {
    /// WH-1, WH-5
    async fn every_event_arrives_signed_and_an_accounts_sequence_has_no_gap(world: &World) {
        let receiver = Receiver::start(|_, _| status(200)).await;
        let (endpoint, secret) = world.endpoint_for(&world.tenant, receiver.url("/hook"), Vec::new()).await;
        let running = world.deliver(&[&receiver]);
        world.happen(&world.tenant, 450).await;
        running.delivery.wake();
        // account.created came before the endpoint was there, its own creation with it.
        let expected: BTreeSet<String> = world.feed().await.iter()
            .filter(|event| event.account_id == world.tenant.id && event.sequence > 1)
            .map(|event| event.id.to_string())
            .collect();
        assert_eq!(expected.len(), 451);
        until_true(async || receiver.ids() == expected).await;
        running.stop().await;
        let received = receiver.received();
        assert_eq!(received.len(), 451, "nothing failed, so that nothing is sent twice");
        let now = world.clock.now().as_seconds();
        assert!(received.iter().all(|request| request.is_signed_with(&secret, now) && request.path == "/hook"));
        let mut sequences: Vec<i64> =
            received.iter().map(|request| request.json()["sequence"].as_i64().unwrap()).collect();
        sequences.sort_unstable();
        assert_eq!(sequences, (2..=452).collect::<Vec<_>>());
        let one = received.iter().find(|request| request.json()["sequence"] == 3).unwrap();
        assert_eq!(one.headers["content-type"], "application/json");
        assert_eq!(one.json()["id"], one.id());
        assert_eq!(one.json()["type"], "resource.created");
        assert_eq!(one.json()["data"]["object"], json!({ "number": 0 }));
        assert!(world.deliveries(&endpoint).await.iter().all(|row| row.status.as_str() == "delivered"));
    }

    async fn an_endpoint_hears_of_its_account_and_all_below_and_of_nobody_else(world: &World) {
        let receiver = Receiver::start(|_, _| status(204)).await;
        world.endpoint(&world.tenant, receiver.url("/tenant")).await;
        world.endpoint(&world.reseller, receiver.url("/reseller")).await;
        for account in [&world.root, &world.reseller, &world.tenant, &world.neighbour] {
            world.happen(account, 1).await;
        }
        let running = world.deliver(&[&receiver]);
        until_true(async || receiver.count() >= 4).await;
        running.stop().await;
        let of = |path: &str| -> BTreeSet<String> {
            let to = receiver.received().into_iter().filter(|request| request.path == path);
            to.map(|request| request.json()["account_id"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(of("/tenant"), BTreeSet::from([world.tenant.id.to_string()]));
        assert_eq!(
            of("/reseller"),
            [&world.reseller, &world.tenant, &world.neighbour].map(|account| account.id.to_string()).into()
        );
        assert_eq!(receiver.count(), 4);
    }

    /// WH-4
    async fn two_replicas_deliver_everything_and_share_the_work(world: &World) {
        let receiver = Receiver::start(|_, _| status(200)).await;
        let (endpoint, _) = world.endpoint(&world.tenant, receiver.url("/")).await;
        let other = match world.db() {
            Db::Postgres { .. } => Db::connect(&world.database.url, 6).await.unwrap(),
            // One process serves a SQLite file; two at work in it must share as well.
            Db::Sqlite { .. } => world.db().clone(),
        };
        let parts = world.parts(other.clone(), &[&receiver]);
        let second = crate::world::Running::start(tenantry::delivery::Delivery::new(parts));
        let first = world.deliver(&[&receiver]);
        world.happen(&world.tenant, 300).await;
        until_true(async || receiver.ids().len() == 300).await;
        first.stop().await;
        second.stop().await;
        assert_eq!(receiver.count(), 300, "no lease ran out, so that nothing is sent twice");
        assert_eq!(world.deliveries(&endpoint).await.len(), 300);
        if matches!(world.db(), Db::Postgres { .. }) {
            other.close().await;
        }
    }

    /// WH-4, WH-5
    async fn an_event_whose_transaction_began_first_and_ended_last_is_not_missed(world: &World) {
        let end = world.feed().await.last().map(|event| (event.position, event.id.to_string())).unwrap();
        let after = async |place: &(i64, String)| {
            let mut conn = world.db().read(Subtree::everything()).await.unwrap();
            events::after(&mut conn, place.0, &place.1, 100).await.unwrap()
        };
        let mut early = world.work().await;
        resource(&mut early, &world.tenant, &json!({ "name": "early" }));
        early.record(None).await.unwrap();
        let late = async {
            let mut late = world.work().await;
            resource(&mut late, &world.neighbour, &json!({ "name": "late" }));
            late.finish().await.unwrap();
        };
        let names = |page: &[tenantry::model::events::events::Event]| -> Vec<String> {
            page.iter().map(|event| event.body.data.object["name"].as_str().unwrap().to_owned()).collect()
        };
        match world.db() {
            Db::Postgres { .. } => {
                late.await;
                assert_eq!(names(&after(&end).await), [""; 0], "the early one's place would be passed");
                early.finish().await.unwrap();
            }
            // The one writer makes the late one wait.
            Db::Sqlite { .. } => {
                let commit = async {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    assert_eq!(names(&after(&end).await), [""; 0]);
                    early.finish().await.unwrap();
                };
                tokio::join!(late, commit);
            }
        }
        let seen = until(async || Some(names(&after(&end).await)).filter(|names| names.len() == 2)).await;
        assert_eq!(seen, ["early", "late"]);
    }

    /// WH-4
    async fn what_was_rolled_back_is_not_delivered(world: &World) {
        let receiver = Receiver::start(|_, _| status(200)).await;
        let (endpoint, _) = world.endpoint(&world.tenant, receiver.url("/")).await;
        let mut work = world.work().await;
        resource(&mut work, &world.tenant, &json!({ "name": "undone" }));
        work.record(None).await.unwrap();
        work.tx.undo().await.unwrap();
        world.happen(&world.tenant, 1).await;
        let running = world.deliver(&[&receiver]);
        until_true(async || receiver.count() == 1).await;
        running.stop().await;
        assert_eq!(receiver.received()[0].json()["data"]["object"], json!({ "number": 0 }));
        assert_eq!(world.deliveries(&endpoint).await.len(), 1);
    }

    /// WH-5
    async fn a_delivery_tells_what_the_feed_tells_with_sequence_and_version(world: &World) {
        let receiver = Receiver::start(|_, _| status(200)).await;
        world.endpoint_for(&world.tenant, receiver.url("/"), Vec::new()).await;
        world.happen(&world.tenant, 30).await;
        let running = world.deliver(&[&receiver]);
        until_true(async || receiver.count() == 31).await;
        running.stop().await;
        for event in world.feed().await.into_iter().filter(|event| event.account_id == world.tenant.id && event.sequence > 1) {
            let told = receiver.received().into_iter().find(|request| request.id() == event.id.to_string()).unwrap().json();
            assert_eq!(told, serde_json::to_value(EventView::from(event)).unwrap());
            assert!(told["sequence"].as_i64() > Some(1) && told["resource"]["version"].as_i64() == Some(1));
        }
    }

    /// WH-4, WH-5
    async fn an_endpoint_hears_what_is_committed_after_it_was_made_and_nothing_from_before(world: &World) {
        let receiver = Receiver::start(|_, _| status(200)).await;
        // Of another account, since the first would keep its own waiting.
        let of = |name: &str| if name == "early" { &world.tenant } else { &world.neighbour };
        let named = async |name: &str| {
            let mut work = world.work().await;
            resource(&mut work, of(name), &json!({ "name": name }));
            work
        };
        named("before").await.finish().await.unwrap();
        // On PostgreSQL this one has its place in the feed before the endpoint is made, and is committed after; one that
        // began still later is committed before.
        let postgres = matches!(world.db(), Db::Postgres { .. });
        let mut early = None;
        if postgres {
            let mut work = named("early").await;
            work.record(None).await.unwrap();
            early = Some(work);
            named("between").await.finish().await.unwrap();
        }
        world.endpoint(&world.reseller, receiver.url("/")).await;
        match early {
            Some(work) => work.finish().await.unwrap(),
            None => named("early").await.finish().await.unwrap(),
        }
        named("late").await.finish().await.unwrap();
        let running = world.deliver(&[&receiver]);
        until_true(async || receiver.count() >= 2).await;
        // Whatever else was to come is behind this one.
        named("last").await.finish().await.unwrap();
        let names = || -> BTreeSet<String> {
            let told = |request: &crate::receiver::Request| request.json()["data"]["object"]["name"].as_str().unwrap().to_owned();
            receiver.received().iter().map(told).collect()
        };
        until_true(async || names().contains("last")).await;
        running.stop().await;
        assert_eq!(names(), ["early", "late", "last"].map(String::from).into());
        assert_eq!(receiver.count(), 3);
    }
}
