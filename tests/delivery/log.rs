use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use tenantry::access::digests::Digests;
use tenantry::delivery::Delivery;
use tenantry::delivery::secrets::Place;
use tenantry::domain::Error;
use tenantry::domain::events::deliveries::{recover, resend, test};
use tenantry::domain::events::webhooks::{Change, change};
use tenantry::model::events::deliveries::{Delivery as Row, DeliveryView};
use tenantry::model::events::events::EventType;
use tenantry::model::events::webhooks::{EndpointSwitch, WebhookEndpoint};
use tenantry::model::{Precondition, Time};
use zeroize::Zeroizing;

use crate::on_both_engines;
use crate::receiver::{Answer, Receiver, status};
use crate::world::{World, until_true};

async fn changed(world: &World, endpoint: &WebhookEndpoint, wanted: Change) {
    let mut work = world.work().await;
    change(&mut work, endpoint.id, wanted, &Precondition::NONE).await.unwrap();
    work.finish().await.unwrap();
}

async fn switch(world: &World, endpoint: &WebhookEndpoint, switch: EndpointSwitch) {
    changed(world, endpoint, Change { switch: Some(switch), ..Change::default() }).await;
}

async fn tested(world: &World, endpoint: &WebhookEndpoint) -> Row {
    let mut work = world.work().await;
    let delivery = test(&mut work, endpoint.id).await.unwrap();
    work.finish().await.unwrap();
    delivery
}

async fn recovered(
    world: &World,
    endpoint: &WebhookEndpoint,
    since: Time,
    until: Time,
) -> Result<(u64, bool), Error> {
    let mut work = world.work().await;
    match recover(&mut work, endpoint.id, since, until).await {
        Ok(done) => {
            work.finish().await?;
            Ok(done)
        }
        Err(error) => {
            work.tx.undo().await?;
            Err(error)
        }
    }
}

fn failed(rows: &[Row], why: &str) -> bool {
    rows.iter().all(|row| {
        row.status.as_str() == "failed"
            && row.due_at.is_none()
            && row.attempts[0].error.as_deref() == Some(why)
    })
}

on_both_engines! {
    /// WH-11
    async fn a_test_is_sent_once_even_to_a_disabled_endpoint_and_counts_for_nothing(world: &World) {
        let answer = "HTTP/1.1 503 X\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwell";
        let receiver = Receiver::start(move |_, _| Answer::Now(answer.to_owned())).await;
        let (endpoint, secret) = world.endpoint(&world.tenant, receiver.url("/")).await;
        let running = world.deliver(&[&receiver]);
        let test = tested(world, &endpoint).await;
        let row = world.tried(&endpoint, 1).await;
        assert_eq!((row.id, row.status.as_str(), row.due_at), (test.id, "failed", None));
        let told = DeliveryView::from(row);
        let attempt = &told.attempts[0];
        assert_eq!((attempt.status, attempt.body.as_deref(), attempt.at), (Some(503), Some("well"), world.clock.now()));
        let request = &receiver.received()[0];
        assert!(request.is_signed_with(&secret, world.clock.now().as_seconds()));
        assert_eq!(request.json()["type"], "webhook_endpoint.test");
        assert_eq!(request.json()["id"], request.id());
        assert_eq!(world.endpoint_now(&endpoint).await.failing_since, None);
        switch(world, &endpoint, EndpointSwitch::Disabled).await;
        tested(world, &endpoint).await;
        until_true(async || receiver.count() == 2).await;
        // By hand the same one goes out again, as it was.
        let mut work = world.work().await;
        resend(&mut work, test.id).await.unwrap();
        work.finish().await.unwrap();
        until_true(async || receiver.count() == 3).await;
        running.stop().await;
        let received = receiver.received();
        assert_eq!((received[2].id(), &received[2].body), (received[0].id(), &received[0].body));
        assert!(world.feed().await.iter().all(|event| event.event_type != EventType::WebhookEndpointTest));
    }

    /// WH-4, WH-6, WH-11
    async fn what_an_endpoint_missed_while_it_was_disabled_is_seen_and_recovered_by_its_period(world: &World) {
        let receiver = Receiver::start(|_, _| status(200)).await;
        let (endpoint, _) = world.endpoint(&world.tenant, receiver.url("/")).await;
        switch(world, &endpoint, EndpointSwitch::Disabled).await;
        let running = world.deliver(&[&receiver]);
        let (begin, hour) = (world.clock.now(), Duration::from_secs(3_600));
        for count in [3, 6, 9] {
            world.happen(&world.tenant, 3).await;
            until_true(async || world.deliveries(&endpoint).await.len() == count).await;
            world.clock.advance(hour);
        }
        assert!(failed(&world.deliveries(&endpoint).await, "endpoint_disabled"));
        let period = (begin.plus(hour), begin.plus(hour * 2));
        let refused = recovered(world, &endpoint, period.0, period.1).await;
        assert!(matches!(refused, Err(Error::State { .. })), "{refused:?}");
        switch(world, &endpoint, EndpointSwitch::Enabled).await;
        assert!(matches!(recovered(world, &endpoint, period.1, period.0).await, Err(Error::Invalid(_))));
        assert_eq!(recovered(world, &endpoint, period.0, period.1).await.unwrap(), (3, false));
        until_true(async || receiver.count() == 3).await;
        assert_eq!(recovered(world, &endpoint, period.0, period.1).await.unwrap(), (0, false));
        running.stop().await;
        let rows = world.deliveries(&endpoint).await;
        let told: Vec<_> = rows.iter().map(|row| (row.status.as_str(), row.created_at)).collect();
        let row = |status, hours| (status, begin.plus(hour * hours));
        assert_eq!(told[0..3], [row("failed", 2); 3]);
        assert_eq!(told[3..6], [row("delivered", 1); 3]);
        assert_eq!(told[6..9], [row("failed", 0); 3]);
    }

    /// WH-6
    async fn a_long_period_is_recovered_in_parts(world: &World) {
        let (endpoint, _) = world.endpoint(&world.tenant, "http://127.0.0.1:9/".into()).await;
        switch(world, &endpoint, EndpointSwitch::Disabled).await;
        world.happen(&world.tenant, 1_200).await;
        let running = world.deliver(&[]);
        until_true(async || world.deliveries(&endpoint).await.len() == 1_000).await;
        until_true(async || {
            let mut conn = world.db().read(tenantry::model::Subtree::everything()).await.unwrap();
            let (kept,): (i64,) = conn.query("SELECT COUNT(*) AS kept FROM deliveries").one().await.unwrap();
            kept == 1_200
        }).await;
        running.stop().await;
        switch(world, &endpoint, EndpointSwitch::Enabled).await;
        let (since, until) = (Time::EPOCH, world.clock.now().plus(Duration::from_secs(1)));
        assert_eq!(recovered(world, &endpoint, since, until).await.unwrap(), (1_000, true));
        assert_eq!(recovered(world, &endpoint, since, until).await.unwrap(), (200, false));
    }

    /// WH-11
    async fn deliveries_that_ended_are_kept_for_thirty_days_and_those_that_wait_for_as_long_as_they_do(world: &World) {
        let receiver = Receiver::start(|request, _| status(if request.path == "/good" { 200 } else { 500 })).await;
        let (good, _) = world.endpoint(&world.tenant, receiver.url("/good")).await;
        let (bad, _) = world.endpoint(&world.tenant, receiver.url("/bad")).await;
        world.happen(&world.tenant, 2).await;
        let running = world.deliver(&[&receiver]);
        until_true(async || receiver.count() == 4).await;
        until_true(async || world.deliveries(&good).await.iter().all(|row| row.status.as_str() == "delivered")).await;
        running.stop().await;
        let delivery = Delivery::new(world.parts(world.db().clone(), &[]));
        let left = async || (world.deliveries(&good).await.len(), world.deliveries(&bad).await.len());
        world.clock.advance(Duration::from_secs(30 * 86_400));
        delivery.tidy().await;
        assert_eq!(left().await, (2, 2));
        world.clock.advance(Duration::from_micros(1));
        delivery.tidy().await;
        assert_eq!(left().await, (0, 2));
    }

    /// WH-8, WH-11
    async fn secret_headers_are_sent_and_are_not_in_the_log_though_the_endpoint_tells_them(world: &World) {
        let receiver = Receiver::start(|request, _| {
            let said = format!("{:?}", request.headers);
            Answer::Now(format!("HTTP/1.1 200 X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{said}", said.len()))
        }).await;
        let (mut new, _) = world.registration(&world.tenant, receiver.url("/"), vec![EventType::ResourceCreated]);
        let secret = BTreeMap::from([("authorization".to_owned(), SecretString::from("Bearer sesame"))]);
        new.headers = BTreeMap::from([("x-tenant".to_owned(), "acme".to_owned())]);
        new.secret_headers = Place::of(world.tenant.id, new.id).headers(&world.sealer, &Digests::new(Zeroizing::new([7; 32])), &secret);
        let endpoint = world.register(&world.tenant, new).await;
        world.happen(&world.tenant, 1).await;
        let running = world.deliver(&[&receiver]);
        let row = world.tried(&endpoint, 1).await;
        running.stop().await;
        let request = &receiver.received()[0];
        assert_eq!((&*request.headers["authorization"], &*request.headers["x-tenant"]), ("Bearer sesame", "acme"));
        let body = row.attempts[0].body.as_deref().unwrap();
        assert!(!body.contains("sesame") && body.contains("[redacted]") && body.contains("acme"), "{body}");
        let told: Vec<_> = world.feed().await.into_iter().map(|event| format!("{event:?}")).collect();
        assert!(!told.iter().any(|event| event.contains("sesame")));
        assert_eq!(endpoint.secret_header_names.0, ["authorization"]);
    }
}
