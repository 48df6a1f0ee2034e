//! Orders, step by step, and whatever may fail on the way.

use super::*;

on_both_engines! {
    async fn an_order_is_provisioned_to_the_end(db: Db) {
        let (world, recording) = begin(&db).await;
        let order = world.order(&world.tenant, first_content()).await;
        assert_eq!(quota(&world, &order, QuotaKey::MailMailboxes).await, (0, 1));
        let engine = Running::start(&world, &recording);
        let mut ended = engine.engine.ended();
        let operation = world.ended(order.operation_id.unwrap()).await;
        assert_eq!((operation.status, operation.outcome), (OperationStatus::Succeeded, Some(Outcome::Succeeded)));
        assert!(operation.steps.iter().all(|step| step.status == StepStatus::Done && step.attempts == 1
            && step.started_at.is_some() && step.finished_at.is_some()));
        assert_eq!(ended.recv().await.unwrap(), operation.id);

        let done = world.order_now(order.id).await;
        assert_eq!(done.status, OrderStatus::Completed);
        assert_eq!(done.items[0].status, ItemStatus::Done);
        assert_eq!(subscription_status(&world, &order).await, SubscriptionStatus::Active);
        let service = world.service(order.items[0].service_ids[0]).await;
        assert_eq!((service.lifecycle, service.applied_access), (Lifecycle::Active, Access::Full));
        assert_eq!(service.observed.0["seen"], true);
        for id in &order.items[0].resource_ids {
            assert_eq!(world.resource(*id).await.lifecycle, ResourceLifecycle::Active);
            assert!(recording.resource(*id).is_some());
        }
        assert_eq!(recording.credentials().as_deref(), Some(CREDENTIALS));
        assert_eq!(quota(&world, &order, QuotaKey::MailMailboxes).await, (1, 0));
        assert_eq!(quota(&world, &order, QuotaKey::MailStorageMb).await, (500, 0));
        let events = world.events().await;
        let told: Vec<_> = events.iter().skip_while(|event| *event != "order.created").collect();
        assert_eq!(told, ["order.created", "service.provisioned", "resource.created", "resource.created",
            "subscription.activated", "order.completed", "operation.succeeded"]);
        engine.stop().await;
    }

    async fn steps_whose_answers_are_lost_are_repeated_without_harm(db: Db) {
        let (world, recording) = begin(&db).await;
        recording.play(Method::EnsureService, 1, Trick::LoseAnswer);
        recording.play(Method::EnsureResource, 1, Trick::LoseAnswer);
        recording.play(Method::EnsureResource, 3, Trick::LoseAnswer);
        let order = world.order(&world.tenant, first_content()).await;
        let engine = Running::start(&world, &recording);
        let operation = world.ended(order.operation_id.unwrap()).await;
        assert_eq!(operation.status, OperationStatus::Succeeded);
        assert!(operation.steps.iter().all(|step| step.attempts == 2));
        assert_eq!((recording.services().len(), recording.resources().len()), (1, 2));
        assert_eq!(quota(&world, &order, QuotaKey::MailMailboxes).await, (1, 0));
        let events = world.events().await;
        assert_eq!(events.iter().filter(|event| *event == "resource.created").count(), 2);
        assert_eq!(events.iter().filter(|event| *event == "service.provisioned").count(), 1);
        engine.stop().await;
    }

    async fn a_failure_at_any_step_undoes_the_earlier_ones_and_leaves_no_quota_reserved(db: Db) {
        let (world, recording) = begin(&db).await;
        let engine = Running::start(&world, &recording);
        for (at, method) in STEPS.into_iter().enumerate() {
            let nth = recording.count(method) + if at == 2 { 2 } else { 1 };
            recording.play(method, nth, Trick::Fail(Fault::Invalid("the name is too long".into())));
            let order = world.order(&world.tenant, first_content()).await;
            engine.engine.wake();
            let operation = world.ended(order.operation_id.unwrap()).await;
            assert_eq!((operation.status, operation.outcome), (OperationStatus::Failed, Some(Outcome::RolledBack)));
            assert!(!operation.retryable);
            assert_eq!(operation.error.as_ref().unwrap().code, "connector_refused");
            let statuses: Vec<_> = operation.steps.iter().map(|step| step.status).collect();
            let expected: Vec<_> =
                (0..3).map(|n| if n <= at { StepStatus::Undone } else { StepStatus::Pending }).collect();
            assert_eq!(statuses, expected);
            assert!(recording.services().is_empty() && recording.resources().is_empty());
            nothing_reserved(&world, &order).await;
            let failed = world.order_now(order.id).await;
            assert_eq!((failed.status, failed.retryable), (OrderStatus::Failed, false));
            assert_eq!(failed.items[0].status, ItemStatus::Failed);
            assert_eq!(subscription_status(&world, &order).await, SubscriptionStatus::Cancelled);
            assert_eq!(world.service(order.items[0].service_ids[0]).await.lifecycle, Lifecycle::Failed);
            let events = world.events().await;
            assert!(events.ends_with(&["service.failed".into(), "order.failed".into(), "operation.failed".into()]));
        }
        engine.stop().await;
    }

    async fn faults_that_pass_are_waited_out(db: Db) {
        let (world, recording) = begin(&db).await;
        recording.play(Method::EnsureService, 1, Trick::Fail(Fault::unavailable("down")));
        recording.play(Method::EnsureService, 2, Trick::Fail(Fault::Denied("wrong password".into())));
        recording.play(Method::EnsureService, 3, Trick::Panic);
        recording.play(Method::EnsureResource, 1, Trick::Hang);
        let order = world.order(&world.tenant, first_content()).await;
        let short = Settings { call: Duration::from_millis(100), ..settings() };
        let engine = Running::with(&world, &recording, short);
        let operation = world.ended(order.operation_id.unwrap()).await;
        assert_eq!(operation.status, OperationStatus::Succeeded);
        let attempts: Vec<_> = operation.steps.iter().map(|step| step.attempts).collect();
        assert_eq!(attempts, [4, 2, 1]);
        assert_eq!(operation.waiting_on, None);
        engine.stop().await;
    }

    async fn a_server_that_asks_to_be_left_alone_is_waited_for_under_its_connectors_name(db: Db) {
        let (world, recording) = begin(&db).await;
        let retry_after = Some(Duration::from_secs(600));
        recording.always(Method::EnsureService, Fault::Unavailable { reason: "10.0.0.1 busy".into(), retry_after });
        let order = world.order(&world.tenant, first_content()).await;
        let engine = Running::start(&world, &recording);
        let id = order.operation_id.unwrap();
        until("it waits", async || world.operation(id).await.waiting_on.is_some()).await;
        let operation = world.operation(id).await;
        assert_eq!(operation.status, OperationStatus::Queued);
        assert_eq!(operation.waiting_on.as_deref(), Some("connector:recording"));
        let error = operation.steps[0].error.clone().unwrap();
        assert_eq!(error.code, "connector_unavailable");
        assert!(!error.detail.contains("10.0.0.1"), "{}", error.detail);
        assert!(operation.due_at.unwrap() > world.clock.now().plus(Duration::from_secs(500)));
        engine.stop().await;
    }

    async fn an_order_given_up_after_twelve_attempts_can_be_taken_up_again(db: Db) {
        let (world, recording) = begin(&db).await;
        recording.always(Method::EnsureResource, Fault::unavailable("down"));
        let order = world.order(&world.tenant, first_content()).await;
        let id = order.operation_id.unwrap();
        let engine = Running::start(&world, &recording);
        let operation = world.ended(id).await;
        assert_eq!((operation.status, operation.retryable), (OperationStatus::Failed, true));
        assert_eq!(recording.count(Method::EnsureResource), 12);
        assert!(recording.services().is_empty());
        nothing_reserved(&world, &order).await;

        recording.heal();
        let of = world.actor(&world.tenant);
        let again = act(&db, &of, async |work| orders::retry(work, order.id, &Precondition::NONE).await).await.unwrap();
        assert_eq!(again.status, OrderStatus::Queued);
        engine.engine.wake();
        assert_eq!(world.ended(id).await.status, OperationStatus::Succeeded);
        assert_eq!(world.order_now(order.id).await.status, OrderStatus::Completed);
        assert_eq!(subscription_status(&world, &order).await, SubscriptionStatus::Active);
        assert_eq!(quota(&world, &order, QuotaKey::MailStorageMb).await, (500, 0));
        assert_eq!(recording.resources().len(), 2);
        engine.stop().await;
    }

    async fn a_name_that_was_taken_meanwhile_keeps_a_failed_order_from_being_taken_up_again(db: Db) {
        let (world, recording) = begin(&db).await;
        recording.always(Method::EnsureService, Fault::unavailable("down"));
        let order = world.order(&world.tenant, first_content()).await;
        let engine = Running::start(&world, &recording);
        world.ended(order.operation_id.unwrap()).await;
        recording.heal();
        world.order(&world.tenant, vec![domain("acme.example")]).await;
        let of = world.actor(&world.tenant);
        let refused = act(&db, &of, async |work| orders::retry(work, order.id, &Precondition::NONE).await).await.unwrap_err();
        assert!(matches!(refused, tenantry::domain::Error::NameTaken { .. }), "{refused:?}");
        nothing_reserved(&world, &order).await;
        engine.stop().await;
    }

    async fn an_unknown_outcome_is_never_blindly_repeated(db: Db) {
        let (world, recording) = begin(&db).await;
        recording.play(Method::EnsureResource, 1, Trick::Fail(Fault::Unknown("no answer".into())));
        let order = world.order(&world.tenant, first_content()).await;
        let id = order.operation_id.unwrap();
        let engine = Running::start(&world, &recording);
        let operation = world.ended(id).await;
        assert_eq!((operation.status, operation.retryable), (OperationStatus::NeedsAttention, true));
        assert_eq!(operation.error.as_ref().unwrap().code, "outcome_unknown");
        assert_eq!(recording.count(Method::EnsureResource), 1);
        assert_eq!(recording.count(Method::RemoveService), 0);
        assert_eq!(world.order_now(order.id).await.status, OrderStatus::InProgress);
        assert_eq!(quota(&world, &order, QuotaKey::MailMailboxes).await, (0, 1));
        assert_eq!(world.events().await.last().unwrap(), "operation.needs_attention");

        let of = world.actor(&world.tenant);
        act(&db, &of, async |work| operations::retry(work, id).await).await.unwrap();
        assert_eq!(world.ended(id).await.status, OperationStatus::Succeeded);
        assert_eq!(recording.count(Method::EnsureService), 1);
        assert_eq!(quota(&world, &order, QuotaKey::MailMailboxes).await, (1, 0));
        engine.stop().await;
    }

    async fn a_lost_answer_of_a_connector_that_must_not_repeat_needs_attention(db: Db) {
        let (world, recording) = begin_with(&db, Recording::that_repeats(Repeat::Unsafe)).await;
        recording.play(Method::EnsureService, 1, Trick::HangAfter);
        let order = world.order(&world.tenant, Vec::new()).await;
        let short = Settings { call: Duration::from_millis(100), ..settings() };
        let engine = Running::with(&world, &recording, short);
        let operation = world.ended(order.operation_id.unwrap()).await;
        assert_eq!(operation.status, OperationStatus::NeedsAttention);
        assert_eq!(recording.count(Method::EnsureService), 1);
        engine.stop().await;
    }

    async fn what_cannot_be_undone_is_listed_and_needs_attention(db: Db) {
        let (world, recording) = begin(&db).await;
        recording.play(Method::EnsureResource, 2, Trick::Fail(Fault::Invalid("no".into())));
        recording.always(Method::RemoveService, Fault::Invalid("never".into()));
        let order = world.order(&world.tenant, first_content()).await;
        let engine = Running::start(&world, &recording);
        let operation = world.ended(order.operation_id.unwrap()).await;
        assert_eq!(
            (operation.status, operation.outcome, operation.retryable),
            (OperationStatus::NeedsAttention, Some(Outcome::LeftPartial), true)
        );
        let statuses: Vec<_> = operation.steps.iter().map(|step| step.status).collect();
        assert_eq!(statuses, [StepStatus::UndoFailed, StepStatus::Undone, StepStatus::Undone]);
        assert_eq!(operation.error.as_ref().unwrap().detail, "no");
        assert_eq!(quota(&world, &order, QuotaKey::MailMailboxes).await, (0, 1));
        engine.stop().await;
    }
}
