use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tenantry::delivery::Delivery;
use tenantry::domain::events::deliveries::resend;
use tenantry::model::Subtree;
use tenantry::store::{Db, facts};

use tokio::sync::watch;

use crate::on_both_engines;
use crate::receiver::{Answer, Receiver, status, text};
use crate::world::{Running, World, until_true};

async fn database_time(world: &World) -> tenantry::model::Time {
    let mut conn = world.db().read(Subtree::everything()).await.unwrap();
    facts::database_time(&mut conn).await.unwrap()
}

on_both_engines! {
    /// WH-2
    async fn what_fails_is_sent_again_with_the_same_id_and_body_until_it_is_taken(world: &World) {
        let refusal = "HTTP/1.1 500 X\r\nContent-Length: 6\r\nConnection: close\r\n\r\nno\0pe!";
        let receiver = Receiver::start(move |_, before| {
            if before < 2 { Answer::Now(refusal.to_owned()) } else { status(200) }
        }).await;
        let (endpoint, secret) = world.endpoint(&world.tenant, receiver.url("/")).await;
        world.happen(&world.tenant, 1).await;
        let running = world.deliver(&[&receiver]);
        let row = world.tried(&endpoint, 1).await;
        assert_eq!(row.status.as_str(), "pending");
        let wait = row.due_at.unwrap().since(database_time(world).await);
        assert!(wait <= Duration::from_secs(6), "{wait:?}");
        assert!(world.endpoint_now(&endpoint).await.failing_since.is_some());
        for attempts in 2..=3 {
            world.clock.advance(Duration::from_secs(1_000));
            world.make_due().await;
            running.delivery.wake();
            world.tried(&endpoint, attempts).await;
        }
        running.stop().await;
        let row = world.tried(&endpoint, 3).await;
        assert_eq!((row.status.as_str(), row.due_at), ("delivered", None));
        let told: Vec<_> = row.attempts.iter()
            .map(|attempt| (attempt.status.unwrap(), attempt.error.as_deref(), attempt.body.as_deref().unwrap()))
            .collect();
        assert_eq!(told, [
            (500, Some("status"), "no\u{fffd}pe!"), (500, Some("status"), "no\u{fffd}pe!"), (200, None, "ok"),
        ]);
        let received = receiver.received();
        assert_eq!(received.len(), 3);
        assert!(received.iter().all(|request| request.id() == row.event_id.to_string()));
        assert!(received.iter().all(|request| request.body == received[0].body));
        for (request, seconds) in received.iter().zip([2_000, 1_000, 0]) {
            assert!(request.is_signed_with(&secret, world.clock.now().as_seconds() - seconds));
        }
        assert_eq!(world.endpoint_now(&endpoint).await.failing_since, None);
    }

    /// WH-4, WH-6
    async fn after_the_tenth_attempt_a_delivery_has_failed_and_can_be_sent_again_by_hand(world: &World) {
        let well = Arc::new(AtomicBool::new(false));
        let asked = well.clone();
        let receiver = Receiver::start(move |_, _| {
            status(if asked.load(Ordering::SeqCst) { 200 } else { 503 })
        }).await;
        let (endpoint, _) = world.endpoint(&world.tenant, receiver.url("/")).await;
        world.happen(&world.tenant, 1).await;
        let running = world.deliver(&[&receiver]);
        for attempts in 1..=10 {
            let row = world.tried(&endpoint, attempts).await;
            assert_eq!(row.due_at.is_some(), attempts < 10);
            // Past the rest that an endpoint is given after some failures.
            world.clock.advance(Duration::from_secs(300));
            world.make_due().await;
            running.delivery.wake();
        }
        let failed = world.tried(&endpoint, 10).await;
        assert_eq!(failed.status.as_str(), "failed");
        well.store(true, Ordering::SeqCst);
        let mut work = world.work().await;
        assert_eq!(resend(&mut work, failed.id).await.unwrap().status.as_str(), "pending");
        work.finish().await.unwrap();
        running.delivery.wake();
        assert_eq!(world.tried(&endpoint, 11).await.status.as_str(), "delivered");
        running.stop().await;
        assert_eq!((receiver.count(), receiver.ids().len()), (11, 1));
    }

    /// WH-6
    async fn a_pause_that_the_endpoint_asks_for_is_kept(world: &World) {
        let busy = "HTTP/1.1 429 X\r\nRetry-After: 900\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let receiver = Receiver::start(move |_, _| Answer::Now(busy.to_owned())).await;
        let (endpoint, _) = world.endpoint(&world.tenant, receiver.url("/")).await;
        world.happen(&world.tenant, 1).await;
        let running = world.deliver(&[&receiver]);
        let row = world.tried(&endpoint, 1).await;
        running.stop().await;
        let wait = row.due_at.unwrap().since(database_time(world).await);
        assert!((Duration::from_secs(870)..=Duration::from_secs(900)).contains(&wait), "{wait:?}");
    }

    /// WH-6
    async fn a_redirect_is_a_failure_and_is_not_followed(world: &World) {
        let away = "HTTP/1.1 302 X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let receiver = Receiver::start(move |_, _| Answer::Now(away.to_owned())).await;
        let (endpoint, _) = world.endpoint(&world.tenant, receiver.url("/")).await;
        world.happen(&world.tenant, 1).await;
        let running = world.deliver(&[&receiver]);
        let row = world.tried(&endpoint, 1).await;
        running.stop().await;
        assert_eq!((row.status.as_str(), row.attempts[0].status), ("pending", Some(302)));
        assert_eq!(receiver.count(), 1);
    }

    /// WH-7
    async fn a_private_address_is_refused_unless_the_operator_names_it(world: &World) {
        let receiver = Receiver::start(|_, _| status(200)).await;
        let (by_address, _) = world.endpoint(&world.tenant, receiver.url("/")).await;
        let by_name = format!("http://localhost:{}/", receiver.port);
        let (by_name, _) = world.endpoint(&world.tenant, by_name).await;
        world.happen(&world.tenant, 1).await;
        let running = world.deliver(&[]);
        for endpoint in [&by_address, &by_name] {
            let row = world.tried(endpoint, 1).await;
            assert_eq!(row.attempts[0].error.as_deref(), Some("blocked_address"));
            assert_eq!((row.status.as_str(), row.attempts[0].status), ("pending", None));
        }
        running.stop().await;
        assert_eq!(receiver.count(), 0);
        world.make_due().await;
        let running = world.deliver(&[&receiver]);
        assert_eq!(world.tried(&by_address, 2).await.status.as_str(), "delivered");
        running.stop().await;
    }

    /// WH-4
    async fn a_process_killed_after_the_post_leaves_the_delivery_to_be_sent_again(world: &World) {
        let receiver = Receiver::start(|_, before| if before == 0 { Answer::Never } else { status(200) }).await;
        let (endpoint, secret) = world.endpoint(&world.tenant, receiver.url("/")).await;
        world.happen(&world.tenant, 1).await;
        let killed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (url, own) = (world.database.url.clone(), killed.handle().clone());
        let db = own.spawn(async move { Db::connect(&url, 4).await.unwrap() }).await.unwrap();
        let delivery = Delivery::new(world.parts(db, &[&receiver]));
        own.spawn(delivery.run(std::future::pending()));
        until_true(async || receiver.count() == 1).await;
        killed.shutdown_background();
        assert_eq!(world.tried(&endpoint, 0).await.attempts.len(), 0);
        // As if the lease had run out.
        world.make_due().await;
        let running = world.deliver(&[&receiver]);
        let row = world.tried(&endpoint, 1).await;
        running.stop().await;
        assert_eq!(row.status.as_str(), "delivered");
        let received = receiver.received();
        assert_eq!(received.len(), 2);
        assert_eq!((received[0].id(), &received[0].body), (received[1].id(), &received[1].body));
        assert!(received[1].is_signed_with(&secret, world.clock.now().as_seconds()));
    }

    async fn who_lost_a_delivery_to_another_records_nothing(world: &World) {
        let (go, gone) = watch::channel(false);
        let receiver = Receiver::start(move |_, before| {
            if before == 0 { Answer::When(gone.clone(), text(500)) } else { status(200) }
        }).await;
        let (endpoint, _) = world.endpoint(&world.tenant, receiver.url("/")).await;
        world.happen(&world.tenant, 1).await;
        let running = world.deliver(&[&receiver]);
        until_true(async || receiver.count() == 1).await;
        world.make_due().await;
        assert_eq!(world.tried(&endpoint, 1).await.status.as_str(), "delivered");
        go.send(true).unwrap();
        running.stop().await;
        let row = world.tried(&endpoint, 1).await;
        assert_eq!((row.status.as_str(), row.attempts.len()), ("delivered", 1));
        assert_eq!(world.endpoint_now(&endpoint).await.failing_since, None);
    }

    async fn what_is_under_way_at_shutdown_is_finished_and_recorded(world: &World) {
        let (go, gone) = watch::channel(false);
        let receiver = Receiver::start(move |_, _| Answer::When(gone.clone(), text(200))).await;
        let (endpoint, _) = world.endpoint(&world.tenant, receiver.url("/")).await;
        world.happen(&world.tenant, 1).await;
        let running: Running = world.deliver(&[&receiver]);
        until_true(async || receiver.count() == 1).await;
        let stopped = tokio::spawn(running.stop());
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!stopped.is_finished());
        go.send(true).unwrap();
        stopped.await.unwrap();
        assert_eq!(world.deliveries(&endpoint).await[0].status.as_str(), "delivered");
    }
}
