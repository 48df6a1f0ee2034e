use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tenantry::delivery::Delivery;

use crate::on_both_engines;
use crate::receiver::{Answer, Receiver, status};
use crate::world::{Running, World, until_true};

on_both_engines! {
    /// WH-10
    async fn an_endpoint_that_never_answers_does_not_delay_the_others(world: &World) {
        let hanging = Receiver::start(|_, _| Answer::Never).await;
        let sound = Receiver::start(|_, _| status(200)).await;
        world.endpoint(&world.tenant, hanging.url("/")).await;
        world.endpoint(&world.tenant, sound.url("/")).await;
        world.happen(&world.tenant, 100).await;
        let mut parts = world.parts(world.db().clone(), &[&hanging, &sound]);
        parts.concurrency = 6;
        let running = Running::start(Delivery::new(parts));
        let all = until_true(async || sound.count() == 100);
        tokio::time::timeout(Duration::from_secs(10), all).await.expect("before an attempt times out");
        assert_eq!(hanging.count(), 4);
        // The attempts that hang last 15 seconds: nobody waits for them here.
        drop(hanging);
        drop(running);
    }

    /// WH-10
    async fn an_account_whose_endpoints_all_hang_does_not_delay_another_account(world: &World) {
        let hanging = Receiver::start(|_, _| Answer::Never).await;
        let sound = Receiver::start(|_, _| status(200)).await;
        for _ in 0..12 {
            world.endpoint(&world.tenant, hanging.url("/")).await;
        }
        world.endpoint(&world.neighbour, sound.url("/")).await;
        world.happen(&world.tenant, 10).await;
        let mut parts = world.parts(world.db().clone(), &[&hanging, &sound]);
        parts.concurrency = 40;
        let running = Running::start(Delivery::new(parts));
        until_true(async || hanging.count() >= 32).await;
        world.happen(&world.neighbour, 50).await;
        let all = until_true(async || sound.count() == 50);
        tokio::time::timeout(Duration::from_secs(10), all).await.expect("before an attempt times out");
        assert_eq!(hanging.count(), 32);
        drop(hanging);
        drop(running);
    }

    /// WH-10
    async fn an_endpoint_that_fails_rests_and_is_tried_again_one_at_a_time(world: &World) {
        let well = Arc::new(AtomicBool::new(false));
        let asked = well.clone();
        let receiver = Receiver::start(move |_, _| status(if asked.load(Ordering::SeqCst) { 200 } else { 500 })).await;
        let sound = Receiver::start(|_, _| status(200)).await;
        world.endpoint(&world.tenant, receiver.url("/")).await;
        let running = world.deliver(&[&receiver, &sound]);
        world.happen(&world.tenant, 20).await;
        // Four are under way before any has failed; then it is one at a time, and none after the fifth failure.
        let rested = async || {
            let before = receiver.count();
            tokio::time::sleep(Duration::from_millis(300)).await;
            before > 4 && receiver.count() == before
        };
        until_true(rested).await;
        let before = receiver.count();
        assert!((5..=8).contains(&before), "{before}");
        // Others are served meanwhile, of the same account, too.
        world.endpoint(&world.tenant, sound.url("/")).await;
        world.happen(&world.tenant, 5).await;
        until_true(async || sound.count() == 5).await;
        assert_eq!(receiver.count(), before);
        well.store(true, Ordering::SeqCst);
        world.clock.advance(Duration::from_secs(300));
        world.make_due().await;
        until_true(async || receiver.ids().len() == 25).await;
        running.stop().await;
    }
}
