use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tenantry::model::Subtree;
use tenantry::store::Db;
use tenantry::store::events::events;

use crate::on_both_engines;
use crate::receiver::{Receiver, status};
use crate::world::{World, resource, until, until_true};

on_both_engines! {
    async fn every_event_arrives_signed_and_an_accounts_sequence_has_no_gap(world: &World) {
        let receiver = Receiver::start(|_, _| status(200)).await;
        let (endpoint, secret) = world.endpoint_for(&world.tenant, receiver.url("/hook"), Vec::new()).await;
        let running = world.deliver(&[&receiver]);
        world.happen(&world.tenant, 450).await;
        running.delivery.wake();
        // account.created came before the endpoint was there, its own creation with it.
        let expected: BTreeSet<String> = world.feed().await.iter()
            .filter(|event| event.account_id == world.tenant.id)
            .map(|event| event.id.to_string())
            .collect();
        assert_eq!(expected.len(), 452);
        until_true(async || receiver.ids() == expected).await;
        running.stop().await;
        let received = receiver.received();
        assert_eq!(received.len(), 452, "nothing failed, so that nothing is sent twice");
        let now = world.clock.now().as_seconds();
        assert!(received.iter().all(|request| request.is_signed_with(&secret, now) && request.path == "/hook"));
        let mut sequences: Vec<i64> =
            received.iter().map(|request| request.json()["sequence"].as_i64().unwrap()).collect();
        sequences.sort_unstable();
        assert_eq!(sequences, (1..=452).collect::<Vec<_>>());
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

    async fn an_event_over_20_kb_is_sent_thin(world: &World) {
        let receiver = Receiver::start(|_, _| status(200)).await;
        let (_, secret) = world.endpoint(&world.tenant, receiver.url("/")).await;
        let mut work = world.work().await;
        resource(&mut work, &world.tenant, &json!({ "text": "a".repeat(20_480) }));
        resource(&mut work, &world.tenant, &json!({ "text": "a".repeat(19_000) }));
        work.finish().await.unwrap();
        let running = world.deliver(&[&receiver]);
        until_true(async || receiver.count() == 2).await;
        running.stop().await;
        let mut received = receiver.received();
        received.sort_by_key(|request| request.body.len());
        let keys = |at: usize| -> BTreeSet<String> {
            received[at].json().as_object().unwrap().keys().cloned().collect()
        };
        let thin = ["id", "type", "sequence", "account_id", "resource", "occurred_at"].map(String::from);
        assert_eq!(keys(0), BTreeSet::from(thin));
        assert!(received[1].body.len() > 19_000 && keys(1).contains("data"));
        let now = world.clock.now().as_seconds();
        assert!(received.iter().all(|request| request.is_signed_with(&secret, now)));
    }
}
