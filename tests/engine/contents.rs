//! Single resources and servers.

use super::*;

on_both_engines! {
    async fn what_belongs_to_somebody_else_on_the_server_is_left_alone(db: Db) {
        let (world, recording) = begin(&db).await;
        let (service, order) = running_service(&world, &recording).await;
        recording.always(Method::EnsureResource, Fault::Foreign("the address is not ours".into()));
        let resource = world.ask(service, mailbox("bob@acme.example", 10)).await;
        let engine = Running::start(&world, &recording);
        let operation = world.ended(resource.operation_id.unwrap()).await;
        assert_eq!(operation.error.as_ref().unwrap().code, "name_taken");
        assert_eq!(operation.status, OperationStatus::Failed);
        assert_eq!(recording.count(Method::RemoveResource), 0);
        assert_eq!(world.resource(resource.id).await.lifecycle, ResourceLifecycle::Failed);
        assert_eq!(quota(&world, &order, QuotaKey::MailMailboxes).await, (0, 0));
        assert!(world.events().await.contains(&"resource.failed".to_owned()));
        engine.stop().await;
    }

    async fn resources_are_changed_and_deleted_and_their_quota_follows(db: Db) {
        let (world, recording) = begin(&db).await;
        let (service, order) = running_service(&world, &recording).await;
        let resource = world.ask(service, mailbox("bob@acme.example", 100)).await;
        let engine = Running::start(&world, &recording);
        world.ended(resource.operation_id.unwrap()).await;
        let of = world.actor(&world.tenant);
        for (quota_mb, reserved) in [(300, 200), (50, 0)] {
            let before = quota(&world, &order, QuotaKey::MailStorageMb).await.0;
            recording.play(Method::EnsureResource, recording.count(Method::EnsureResource) + 1, Trick::Pause(Duration::from_millis(200)));
            let change = resources::Change {
                quota_mb: Some(quota_mb),
                password_hash: Some("{BLF-CRYPT}other".into()),
                ..resources::Change::default()
            };
            let asked = act(&db, &of, async |work| resources::change(work, &of, resource.id, change, &Precondition::NONE).await);
            let id = asked.await.unwrap().operation_id.unwrap();
            assert_eq!(quota(&world, &order, QuotaKey::MailStorageMb).await, (before, reserved));
            let operation = world.ended(id).await;
            assert_eq!(operation.status, OperationStatus::Succeeded);
            assert_eq!(operation.task.password_hash, None);
            assert_eq!(quota(&world, &order, QuotaKey::MailStorageMb).await, (quota_mb, 0));
            let goal = recording.resource(resource.id).unwrap();
            assert_eq!(goal.spec, world.resource(resource.id).await.spec.0);
            assert_eq!(goal.password_hash.as_deref(), Some("{BLF-CRYPT}other"));
        }
        assert_eq!(world.events().await.iter().filter(|event| *event == "resource.updated").count(), 2);

        let asked = act(&db, &of, async |work| resources::delete(work, &of, resource.id, &Precondition::NONE).await);
        let id = asked.await.unwrap().operation_id.unwrap();
        assert_eq!(world.ended(id).await.status, OperationStatus::Succeeded);
        assert_eq!(world.resource(resource.id).await.lifecycle, ResourceLifecycle::Deleted);
        assert!(recording.resource(resource.id).is_none());
        assert_eq!(quota(&world, &order, QuotaKey::MailMailboxes).await, (0, 0));
        assert_eq!(quota(&world, &order, QuotaKey::MailStorageMb).await, (0, 0));
        assert!(world.events().await.contains(&"resource.deleted".to_owned()));
        engine.stop().await;
    }

    async fn a_change_or_deletion_that_fails_leaves_the_resource_as_it_was(db: Db) {
        let (world, recording) = begin(&db).await;
        let (service, order) = running_service(&world, &recording).await;
        let resource = world.ask(service, mailbox("bob@acme.example", 100)).await;
        let engine = Running::start(&world, &recording);
        world.ended(resource.operation_id.unwrap()).await;
        recording.always(Method::EnsureResource, Fault::Invalid("no".into()));
        recording.always(Method::RemoveResource, Fault::Invalid("no".into()));
        let of = world.actor(&world.tenant);
        let before = world.resource(resource.id).await;
        let change = resources::Change { quota_mb: Some(900), ..resources::Change::default() };
        let asked = act(&db, &of, async |work| resources::change(work, &of, resource.id, change, &Precondition::NONE).await);
        let operation = world.ended(asked.await.unwrap().operation_id.unwrap()).await;
        assert_eq!((operation.status, operation.retryable), (OperationStatus::Failed, false));
        assert_eq!(world.resource(resource.id).await.spec, before.spec);
        assert_eq!(quota(&world, &order, QuotaKey::MailStorageMb).await, (100, 0));

        let asked = act(&db, &of, async |work| resources::delete(work, &of, resource.id, &Precondition::NONE).await);
        let id = asked.await.unwrap().operation_id.unwrap();
        let operation = world.ended(id).await;
        assert_eq!((operation.status, operation.retryable), (OperationStatus::Failed, true));
        assert_eq!(world.resource(resource.id).await.lifecycle, ResourceLifecycle::Active);
        recording.heal();
        act(&db, &of, async |work| operations::retry(work, id).await).await.unwrap();
        assert_eq!(world.resource(resource.id).await.lifecycle, ResourceLifecycle::Deleting);
        assert_eq!(world.ended(id).await.status, OperationStatus::Succeeded);
        assert_eq!(quota(&world, &order, QuotaKey::MailMailboxes).await, (0, 0));
        engine.stop().await;
    }

    async fn a_server_says_how_it_stands_to_its_operator(db: Db) {
        let (world, recording) = begin(&db).await;
        let engine = Running::start(&world, &recording);
        let of = world.actor(&world.operator);
        let test = async || {
            let asked = act(&db, &of, async |work| servers::test(work, &of, world.server.id).await).await;
            engine.engine.wake();
            world.ended(asked.unwrap().id).await
        };
        let well = test().await;
        assert_eq!(well.status, OperationStatus::Succeeded);
        assert_eq!(well.steps[0].facts.as_ref().unwrap()["seen"], true);
        recording.always(Method::Test, Fault::Denied("the password is wrong".into()));
        let unwell = test().await;
        assert_eq!(unwell.status, OperationStatus::Failed);
        assert_eq!(recording.count(Method::Test), 2);
        let error = unwell.error.unwrap().0;
        assert_eq!((error.code.as_str(), error.detail.as_str()), ("connector_denied", "the password is wrong"));
        engine.stop().await;
    }
}
