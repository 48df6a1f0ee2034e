use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tenantry::domain::Error;
use tenantry::domain::events::deliveries::{self, recover, resend};
use tenantry::domain::events::webhooks::{Change, change, verify};
use tenantry::model::events::events::EventType;
use tenantry::model::events::webhooks::{EndpointStatus, WebhookEndpoint};
use tenantry::model::{Precondition, Time};

use crate::on_both_engines;
use crate::receiver::{Answer, Receiver, Request, status};
use crate::world::{World, until_true};

const SILENT: u8 = 0;
const TEXT: u8 = 1;
const MEMBER: u8 = 2;

/// A receiver that answers challenges in one of these ways.
async fn receiver(way: &Arc<AtomicU8>) -> Receiver {
    let way = way.clone();
    Receiver::start(move |request, _| {
        let challenge = request.json()["data"]["object"]["challenge"].as_str().map(str::to_owned);
        let said = match (way.load(Ordering::SeqCst), challenge) {
            (TEXT, Some(challenge)) => challenge,
            (MEMBER, Some(challenge)) => format!("{{\"challenge\":\"{challenge}\"}}"),
            _ => "ok".to_owned(),
        };
        Answer::Now(format!(
            "HTTP/1.1 200 X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{said}",
            said.len()
        ))
    })
    .await
}

async fn pending(world: &World, receiver: &Receiver) -> WebhookEndpoint {
    let (mut new, _) = world.registration(&world.tenant, receiver.url("/"), vec![EventType::ResourceCreated]);
    new.challenge = Some("first".into());
    world.register(&world.tenant, new).await
}

fn live(receiver: &Receiver) -> Vec<Request> {
    let is_live = |request: &Request| request.json()["type"] == "resource.created";
    receiver.received().into_iter().filter(is_live).collect()
}

async fn ask_again(world: &World, endpoint: &WebhookEndpoint, challenge: &str) {
    let mut work = world.work().await;
    verify(&mut work, endpoint.id, challenge.into()).await.unwrap();
    work.finish().await.unwrap();
}

async fn is(world: &World, endpoint: &WebhookEndpoint, status: EndpointStatus) -> bool {
    world.endpoint_now(endpoint).await.status() == status
}

on_both_engines! {
    /// WH-12
    async fn no_event_flows_before_the_challenge_is_answered_and_all_do_after(world: &World) {
        let way = Arc::new(AtomicU8::new(SILENT));
        let receiver = receiver(&way).await;
        let endpoint = pending(world, &receiver).await;
        world.happen(&world.tenant, 2).await;
        let running = world.deliver(&[&receiver]);
        until_true(async || world.deliveries(&endpoint).await.len() == 3).await;
        until_true(async || world.deliveries(&endpoint).await.iter().all(|row| !row.attempts.is_empty())).await;
        let rows = world.deliveries(&endpoint).await;
        let errors: Vec<_> = rows.iter().map(|row| row.attempts[0].error.as_deref().unwrap()).collect();
        assert_eq!(errors, ["endpoint_unverified", "endpoint_unverified", "challenge"]);
        assert!(is(world, &endpoint, EndpointStatus::Pending).await && live(&receiver).is_empty());
        // Neither a test nor a recovery goes there.
        let mut work = world.work().await;
        assert!(matches!(deliveries::test(&mut work, endpoint.id).await, Err(Error::State { .. })));
        let (since, until) = (Time::EPOCH, Time::END);
        assert!(matches!(recover(&mut work, endpoint.id, since, until).await, Err(Error::State { .. })));
        assert!(matches!(resend(&mut work, rows[2].id).await, Err(Error::State { .. })));
        resend(&mut work, rows[0].id).await.unwrap();
        work.finish().await.unwrap();
        until_true(async || world.deliveries(&endpoint).await[0].attempts.len() == 2).await;
        assert!(live(&receiver).is_empty());

        way.store(TEXT, Ordering::SeqCst);
        ask_again(world, &endpoint, "second").await;
        until_true(async || is(world, &endpoint, EndpointStatus::Enabled).await).await;
        world.happen(&world.tenant, 1).await;
        until_true(async || live(&receiver).len() == 1).await;
        // What it missed is recovered.
        let mut work = world.work().await;
        assert_eq!(recover(&mut work, endpoint.id, since, until).await.unwrap(), (2, false));
        work.finish().await.unwrap();
        until_true(async || live(&receiver).len() == 3).await;
        running.stop().await;
        let mut asked: Vec<_> = receiver.received().iter()
            .filter(|request| request.json()["type"] == "webhook_endpoint.verify")
            .map(|request| request.json()["data"]["object"]["challenge"].as_str().unwrap().to_owned())
            .collect();
        // What was not answered is asked once more where the machine takes its time.
        asked.dedup();
        assert_eq!(asked, ["first", "second"]);
        assert!(world.feed().await.iter().all(|event| event.event_type != EventType::WebhookEndpointVerify));
        assert_eq!(world.endpoint_now(&endpoint).await.failing_since, None);
    }

    /// WH-12
    async fn an_endpoint_that_moves_is_asked_anew_and_one_that_never_had_to_answer_is_not(world: &World) {
        let way = Arc::new(AtomicU8::new(MEMBER));
        let receiver = receiver(&way).await;
        let asked = pending(world, &receiver).await;
        let (free, _) = world.endpoint(&world.tenant, receiver.url("/free")).await;
        let running = world.deliver(&[&receiver]);
        until_true(async || is(world, &asked, EndpointStatus::Enabled).await).await;
        way.store(SILENT, Ordering::SeqCst);
        for endpoint in [&asked, &free] {
            let mut work = world.work().await;
            let moved = Change { url: Some(receiver.url("/moved")), challenge: "third".into(), ..Change::default() };
            change(&mut work, endpoint.id, moved, &Precondition::NONE).await.unwrap();
            work.finish().await.unwrap();
        }
        world.happen(&world.tenant, 1).await;
        until_true(async || live(&receiver).len() == 1).await;
        running.stop().await;
        assert!(is(world, &asked, EndpointStatus::Pending).await && is(world, &free, EndpointStatus::Enabled).await);
        let told = world.feed().await.into_iter().filter(|event| event.event_type == EventType::WebhookEndpointUpdated);
        let statuses: Vec<_> = told.map(|event| event.body.data.object["status"].as_str().unwrap().to_owned()).collect();
        assert_eq!(statuses, ["enabled", "pending", "enabled"]);
    }

    async fn the_answer_to_a_challenge_that_was_given_up_verifies_nothing(world: &World) {
        let (go, gone) = tokio::sync::watch::channel(false);
        let receiver = Receiver::start(move |request, before| {
            let challenge = request.json()["data"]["object"]["challenge"].as_str().unwrap_or_default().to_owned();
            let answer = format!("HTTP/1.1 200 X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{challenge}", challenge.len());
            if before == 0 { Answer::When(gone.clone(), answer) } else { status(200) }
        }).await;
        let endpoint = pending(world, &receiver).await;
        let running = world.deliver(&[&receiver]);
        until_true(async || receiver.count() == 1).await;
        ask_again(world, &endpoint, "second").await;
        until_true(async || receiver.count() == 2).await;
        go.send(true).unwrap();
        running.stop().await;
        assert!(is(world, &endpoint, EndpointStatus::Pending).await);
    }
}
