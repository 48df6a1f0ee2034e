use std::time::Duration;

use tenantry::delivery::Delivery;

use crate::on_both_engines;
use crate::receiver::{Answer, Receiver, status};
use crate::world::{Running, World, until_true};

on_both_engines! {
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
}
