//! Workers that share a queue, die, lose their lease and shut down.

use super::*;

on_both_engines! {
    async fn two_engines_share_the_work_and_do_no_step_twice_at_once(db: Db) {
        let (world, recording) = begin(&db).await;
        let (service, order) = running_service(&world, &recording).await;
        recording.pace(Duration::from_millis(5));
        let mut asked = Vec::new();
        for n in 0..100 {
            asked.push(world.ask(service, mailbox(&format!("m{n}@acme.example"), 1)).await);
        }
        let before = recording.count(Method::EnsureResource);
        let (one, two) = (Running::start(&world, &recording), Running::start(&world, &recording));
        let (mut of_one, mut of_two) = (one.engine.ended(), two.engine.ended());
        for resource in &asked {
            world.ended(resource.operation_id.unwrap()).await;
        }
        one.stop().await;
        two.stop().await;
        assert_eq!(recording.count(Method::EnsureResource) - before, 100);
        assert!(!recording.overlapped());
        let (mut ended, mut other) = (0, 0);
        while of_one.try_recv().is_ok() { ended += 1; }
        while of_two.try_recv().is_ok() { other += 1; }
        assert_eq!(ended + other, 100);
        assert!(ended > 0 && other > 0, "{ended} {other}");
        assert_eq!(quota(&world, &order, QuotaKey::MailMailboxes).await, (100, 0));
    }

    async fn what_an_engine_that_died_had_begun_another_one_finishes(db: Db) {
        let (world, recording) = begin(&db).await;
        recording.play(Method::EnsureResource, 1, Trick::HangAfter);
        let order = world.order(&world.tenant, first_content()).await;
        let dying = Running::start(&world, &recording);
        until("it has called", async || !recording.resources().is_empty()).await;
        dying.kill().await;
        let taken = world.operation(order.operation_id.unwrap()).await;
        assert_eq!(taken.status, OperationStatus::Running);
        assert_eq!(taken.steps[0].status, StepStatus::Done);
        let other = Running::start(&world, &recording);
        let operation = world.ended(order.operation_id.unwrap()).await;
        assert_eq!(operation.status, OperationStatus::Succeeded);
        assert!(operation.fence > taken.fence);
        assert_eq!(recording.count(Method::EnsureService), 1);
        assert_eq!(recording.count(Method::EnsureResource), 3);
        assert_eq!(quota(&world, &order, QuotaKey::MailMailboxes).await, (1, 0));
        assert_eq!(quota(&world, &order, QuotaKey::MailDomains).await, (1, 0));
        other.stop().await;
    }

    async fn a_long_call_keeps_its_lease(db: Db) {
        let (world, recording) = begin(&db).await;
        recording.play(Method::EnsureService, 1, Trick::Pause(Duration::from_millis(2500)));
        let order = world.order(&world.tenant, Vec::new()).await;
        let (one, two) = (Running::start(&world, &recording), Running::start(&world, &recording));
        let operation = world.ended(order.operation_id.unwrap()).await;
        assert_eq!((operation.status, operation.fence), (OperationStatus::Succeeded, 1));
        assert_eq!(recording.count(Method::EnsureService), 1);
        one.stop().await;
        two.stop().await;
    }

    async fn a_worker_that_lost_its_lease_writes_nothing_and_stops(db: Db) {
        let (world, recording) = begin(&db).await;
        recording.play(Method::EnsureService, 1, Trick::Hang);
        let order = world.order(&world.tenant, Vec::new()).await;
        let id = order.operation_id.unwrap();
        let engine = Running::start(&world, &recording);
        until("the call is on its way", async || recording.count(Method::EnsureService) == 1).await;
        let mut tx = db.write(Subtree::everything()).await.unwrap();
        tx.query("UPDATE operations SET fence = fence + 1, status = 'queued', due_at = $1")
            .bind(Time::EPOCH)
            .execute()
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let operation = world.ended(id).await;
        assert_eq!((operation.status, operation.fence), (OperationStatus::Succeeded, 3));
        assert_eq!(recording.count(Method::EnsureService), 2);
        engine.stop().await;
    }

    async fn a_worker_whose_operation_another_one_took_cannot_write_any_more(db: Db) {
        let (world, recording) = begin(&db).await;
        recording.play(Method::EnsureService, 1, Trick::Pause(Duration::from_millis(300)));
        recording.play(Method::EnsureService, 2, Trick::Pause(Duration::from_millis(1200)));
        let order = world.order(&world.tenant, Vec::new()).await;
        let id = order.operation_id.unwrap();
        // So long a lease that the first worker does not notice before its call has ended.
        let patient = Settings { lease: Duration::from_secs(600), ..settings() };
        let engine = Running::with(&world, &recording, patient);
        until("the call is on its way", async || recording.count(Method::EnsureService) == 1).await;
        let mut tx = db.write(Subtree::everything()).await.unwrap();
        tx.query("UPDATE operations SET status = 'queued', due_at = $1").bind(Time::EPOCH).execute().await.unwrap();
        tx.commit().await.unwrap();
        until("another one has it", async || recording.count(Method::EnsureService) == 2).await;
        until("the first call has ended", async || !recording.services().is_empty()).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let operation = world.operation(id).await;
        assert_eq!((operation.status, operation.fence), (OperationStatus::Running, 2));
        assert_eq!(operation.steps[0].status, StepStatus::Pending);
        assert_eq!(world.ended(id).await.status, OperationStatus::Succeeded);
        engine.stop().await;
    }

    /// SHUT-1
    async fn an_engine_that_shuts_down_hands_back_what_it_has(db: Db) {
        let (world, recording) = begin(&db).await;
        recording.play(Method::EnsureService, 1, Trick::Hang);
        let order = world.order(&world.tenant, first_content()).await;
        let id = order.operation_id.unwrap();
        let patient = Settings { lease: Duration::from_secs(600), ..settings() };
        let engine = Running::with(&world, &recording, patient);
        until("the call is on its way", async || recording.count(Method::EnsureService) == 1).await;
        let held = world.operation(id).await.fence;
        engine.stop().await;
        let back = world.operation(id).await;
        assert_eq!((back.status, back.fence), (OperationStatus::Queued, held + 1));
        let due = tenantry::sql!("SELECT COUNT(*) FROM operations WHERE due_at <= " now);
        let (due,): (i64,) = world.db.read(Subtree::everything()).await.unwrap().query(due).one().await.unwrap();
        assert_eq!(due, 1, "it waits, although nobody has it");
        let other = Running::start(&world, &recording);
        assert_eq!(world.ended(id).await.status, OperationStatus::Succeeded);
        other.stop().await;
    }
}
