use std::collections::BTreeSet;

use serde_json::json;
use tenantry::domain::events::webhooks::{Change, change};
use tenantry::model::Precondition;
use tenantry::model::events::events::EventType;
use tenantry::model::events::webhooks::Payload;

use crate::on_both_engines;
use crate::receiver::{Receiver, Request, status};
use crate::world::{World, resource, until_true};

const THIN: [&str; 6] = ["account_id", "id", "occurred_at", "resource", "sequence", "type"];

fn members(request: &Request) -> BTreeSet<String> {
    request.json().as_object().unwrap().keys().cloned().collect()
}

fn is_thin(request: &Request) -> bool {
    members(request) == THIN.map(String::from).into()
}

on_both_engines! {
    /// WH-9
    async fn a_body_over_20_kb_is_thin_and_one_up_to_it_is_full(world: &World) {
        let receiver = Receiver::start(|_, _| status(200)).await;
        let (_, secret) = world.endpoint(&world.tenant, receiver.url("/")).await;
        let running = world.deliver(&[&receiver]);
        let sent = async |length: usize| {
            let before = receiver.count();
            let mut work = world.work().await;
            resource(&mut work, &world.tenant, &json!({ "text": "a".repeat(length) }));
            work.finish().await.unwrap();
            until_true(async || receiver.count() > before).await;
            receiver.received().pop().unwrap()
        };
        let small = sent(1_000).await;
        let around = small.body.len() - 1_000;
        let full = sent(20 * 1_024 - around - 2).await;
        assert!(!is_thin(&full) && (20 * 1_024 - 4..=20 * 1_024).contains(&full.body.len()), "{}", full.body.len());
        let thin = sent(20 * 1_024 - around + 3).await;
        running.stop().await;
        assert!(is_thin(&thin) && thin.body.len() < 600);
        assert_eq!(thin.json()["resource"], json!({"type": "resource", "id": "res_1", "version": 1}));
        let now = world.clock.now().as_seconds();
        assert!([small, full, thin].iter().all(|request| request.is_signed_with(&secret, now)));
    }

    /// WH-2, WH-9
    async fn an_endpoint_that_wants_it_gets_thin_bodies_and_what_was_begun_stays_as_it_was(world: &World) {
        let receiver = Receiver::start(|_, before| status(if before == 0 { 500 } else { 200 })).await;
        let (mut new, _) = world.registration(&world.tenant, receiver.url("/"), vec![EventType::ResourceCreated]);
        new.payload = Payload::Thin;
        let endpoint = world.register(&world.tenant, new).await;
        world.happen(&world.tenant, 1).await;
        let running = world.deliver(&[&receiver]);
        world.tried(&endpoint, 1).await;
        let mut work = world.work().await;
        let full = Change { payload: Some(Payload::Full), ..Change::default() };
        change(&mut work, endpoint.id, full, &Precondition::NONE).await.unwrap();
        work.finish().await.unwrap();
        world.make_due().await;
        world.tried(&endpoint, 2).await;
        world.happen(&world.tenant, 1).await;
        until_true(async || receiver.count() == 3).await;
        running.stop().await;
        let received = receiver.received();
        assert!(is_thin(&received[0]) && received[0].body == received[1].body);
        assert!(!is_thin(&received[2]));
    }
}
