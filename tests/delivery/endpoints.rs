use std::time::Duration;

use tenantry::domain::events::webhooks::{Change, change};
use tenantry::model::Precondition;
use tenantry::model::events::events::EventType;
use tenantry::model::events::webhooks::{EndpointSwitch, WebhookEndpoint};

use tokio::sync::watch;

use crate::on_both_engines;
use crate::receiver::{Answer, Receiver, status, text};
use crate::world::{World, until_true};

async fn switch(world: &World, endpoint: &WebhookEndpoint, status: EndpointSwitch) {
    let mut work = world.work().await;
    let wanted = Change { switch: Some(status), ..Change::default() };
    change(&mut work, endpoint.id, wanted, &Precondition::NONE).await.unwrap();
    work.finish().await.unwrap();
}

async fn disablings(world: &World) -> usize {
    let feed = world.feed().await;
    feed.iter().filter(|event| event.event_type == EventType::WebhookEndpointDisabled).count()
}

on_both_engines! {
    /// WH-6
    async fn an_endpoint_that_is_gone_is_disabled_at_once_and_the_others_hear_of_it_once(world: &World) {
        let receiver = Receiver::start(|request, _| status(if request.path == "/gone" { 410 } else { 200 })).await;
        let (gone, _) = world.endpoint(&world.tenant, receiver.url("/gone")).await;
        world
            .endpoint_for(&world.reseller, receiver.url("/all"), vec![EventType::WebhookEndpointDisabled])
            .await;
        world.happen(&world.tenant, 6).await;
        let running = world.deliver(&[&receiver]);
        let to = |path: &'static str| {
            receiver.received().into_iter().filter(|request| request.path == path).collect::<Vec<_>>()
        };
        until_true(async || to("/all").len() == 1).await;
        until_true(async || {
            let rows = world.deliveries(&gone).await;
            rows.len() == 6 && rows.iter().all(|row| row.status.as_str() == "failed")
        }).await;
        running.stop().await;
        assert_eq!(world.endpoint_now(&gone).await.switch, EndpointSwitch::Disabled);
        assert_eq!(disablings(world).await, 1);
        assert_eq!(to("/all")[0].json()["data"]["object"]["id"], gone.id.to_string());
        assert!(to("/gone").len() <= 4, "what was not under way is not sent any more");
        assert!(world.deliveries(&gone).await.iter().all(|row| row.attempts.len() == 1));
    }

    /// WH-6
    async fn an_endpoint_with_five_days_of_failures_is_disabled(world: &World) {
        let receiver = Receiver::start(|_, _| status(500)).await;
        let (endpoint, _) = world.endpoint(&world.tenant, receiver.url("/")).await;
        world.happen(&world.tenant, 1).await;
        let running = world.deliver(&[&receiver]);
        world.tried(&endpoint, 1).await;
        world.clock.advance(Duration::from_secs(5 * 86_400 - 1));
        world.make_due().await;
        assert_eq!(world.tried(&endpoint, 2).await.status.as_str(), "pending");
        assert_eq!(world.endpoint_now(&endpoint).await.switch, EndpointSwitch::Enabled);
        world.clock.advance(Duration::from_secs(1));
        world.make_due().await;
        assert_eq!(world.tried(&endpoint, 3).await.status.as_str(), "failed");
        running.stop().await;
        assert_eq!(world.endpoint_now(&endpoint).await.switch, EndpointSwitch::Disabled);
        assert_eq!(disablings(world).await, 1);
    }

    async fn a_success_between_failures_starts_the_five_days_anew(world: &World) {
        let receiver = Receiver::start(|_, before| status(if before == 1 { 200 } else { 500 })).await;
        let (endpoint, _) = world.endpoint(&world.tenant, receiver.url("/")).await;
        world.happen(&world.tenant, 1).await;
        let running = world.deliver(&[&receiver]);
        world.tried(&endpoint, 1).await;
        world.make_due().await;
        world.tried(&endpoint, 2).await;
        world.clock.advance(Duration::from_secs(6 * 86_400));
        world.happen(&world.tenant, 1).await;
        world.tried(&endpoint, 1).await;
        until_true(async || receiver.count() == 3).await;
        running.stop().await;
        let now = world.endpoint_now(&endpoint).await;
        assert_eq!((now.switch, now.failing_since), (EndpointSwitch::Enabled, Some(world.clock.now())));
    }

    /// WH-4
    async fn what_waits_for_a_disabled_endpoint_is_visible_as_failed_and_can_be_sent_again(world: &World) {
        let receiver = Receiver::start(|_, before| status(if before == 0 { 500 } else { 200 })).await;
        let (endpoint, _) = world.endpoint(&world.tenant, receiver.url("/")).await;
        world.happen(&world.tenant, 1).await;
        let running = world.deliver(&[&receiver]);
        world.tried(&endpoint, 1).await;
        switch(world, &endpoint, EndpointSwitch::Disabled).await;
        world.make_due().await;
        let row = world.tried(&endpoint, 2).await;
        assert_eq!((row.status.as_str(), row.due_at), ("failed", None));
        assert_eq!(row.attempts[1].error.as_deref(), Some("endpoint_disabled"));
        assert_eq!(receiver.count(), 1);
        switch(world, &endpoint, EndpointSwitch::Enabled).await;
        let mut work = world.work().await;
        tenantry::domain::events::deliveries::resend(&mut work, row.id).await.unwrap();
        work.finish().await.unwrap();
        assert_eq!(world.tried(&endpoint, 3).await.status.as_str(), "delivered");
        running.stop().await;
    }

    async fn a_failure_that_comes_in_late_does_not_enable_what_its_owner_disabled(world: &World) {
        let (go, gone) = watch::channel(false);
        let receiver = Receiver::start(move |_, _| Answer::When(gone.clone(), text(500))).await;
        let (endpoint, _) = world.endpoint(&world.tenant, receiver.url("/")).await;
        world.happen(&world.tenant, 1).await;
        let running = world.deliver(&[&receiver]);
        until_true(async || receiver.count() == 1).await;
        switch(world, &endpoint, EndpointSwitch::Disabled).await;
        go.send(true).unwrap();
        world.tried(&endpoint, 1).await;
        running.stop().await;
        assert_eq!(world.endpoint_now(&endpoint).await.switch, EndpointSwitch::Disabled);
    }
}
