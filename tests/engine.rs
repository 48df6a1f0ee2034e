//! What the provisioning engine promises, whatever fails.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::engines::settings;
use common::world::{CREDENTIALS, act, domain, mailbox};
use common::{Method, Recording, Running, Trick, World, until};
use sqlx::types::Json;
use tenantry::clock::Clock;
use tenantry::domain::catalog::servers;
use tenantry::domain::commerce::orders;
use tenantry::domain::services::holds::{self, On};
use tenantry::domain::services::{operations, resources};
use tenantry::engine::Settings;
use tenantry::model::accounts::accounts::AccountType;
use tenantry::model::commerce::orders::{ItemStatus, Order, OrderStatus};
use tenantry::model::commerce::subscriptions::SubscriptionStatus;
use tenantry::model::connector::{Fault, Repeat};
use tenantry::model::ids::ServiceId;
use tenantry::model::quotas::QuotaKey;
use tenantry::model::services::operations::{OperationStatus, Outcome, StepStatus};
use tenantry::model::services::resources::ResourceLifecycle;
use tenantry::model::services::services::{Lifecycle, Service};
use tenantry::model::services::{Access, Effect};
use tenantry::model::{Subtree, Time};
use tenantry::store::{self, Db};

const HOUR: Duration = Duration::from_secs(3600);
const STEPS: [Method; 3] = [Method::EnsureService, Method::EnsureResource, Method::EnsureResource];

async fn begin(db: &Db) -> (World, Arc<Recording>) {
    begin_with(db, Recording::default()).await
}

async fn begin_with(db: &Db, recording: Recording) -> (World, Arc<Recording>) {
    let recording = Arc::new(recording);
    (World::new(db, &*recording).await, recording)
}

fn first_content() -> Vec<resources::NewResource> {
    vec![mailbox("alice@acme.example", 500), domain("acme.example")]
}

/// A tenant's mail service that runs, with the domain acme.example.
async fn running_service(world: &World, recording: &Arc<Recording>) -> (ServiceId, Order) {
    let order = world.order(&world.tenant, vec![domain("acme.example")]).await;
    let engine = Running::start(world, recording);
    assert_eq!(world.ended(order.operation_id.unwrap()).await.status, OperationStatus::Succeeded);
    engine.stop().await;
    (order.items[0].service_ids[0], order)
}

/// All that is used and reserved of the order's subscription.
async fn quota(world: &World, order: &Order, key: QuotaKey) -> (i64, i64) {
    world.quota(order.items[0].subscription_id, key).await
}

async fn nothing_reserved(world: &World, order: &Order) {
    for row in world.quotas(&order.items[0].subscription_id.to_string()).await {
        assert_eq!((row.used, row.reserved), (0, 0), "{}", row.key);
    }
}

async fn subscription_status(world: &World, order: &Order) -> SubscriptionStatus {
    let mut conn = world.db.read(Subtree::everything()).await.unwrap();
    let id = order.items[0].subscription_id;
    store::commerce::subscriptions::find(&mut conn, id).await.unwrap().unwrap().status
}

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
        let again = act(&db, &of, async |work| orders::retry(work, order.id).await).await.unwrap();
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
        let refused = act(&db, &of, async |work| orders::retry(work, order.id).await).await.unwrap_err();
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
            let asked = act(&db, &of, async |work| resources::change(work, &of, resource.id, change, None).await);
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

        let asked = act(&db, &of, async |work| resources::delete(work, &of, resource.id, None).await);
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
        let asked = act(&db, &of, async |work| resources::change(work, &of, resource.id, change, None).await);
        let operation = world.ended(asked.await.unwrap().operation_id.unwrap()).await;
        assert_eq!((operation.status, operation.retryable), (OperationStatus::Failed, false));
        assert_eq!(world.resource(resource.id).await.spec, before.spec);
        assert_eq!(quota(&world, &order, QuotaKey::MailStorageMb).await, (100, 0));

        let asked = act(&db, &of, async |work| resources::delete(work, &of, resource.id, None).await);
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

    async fn a_suspension_overtakes_the_work_that_waits(db: Db) {
        let (world, recording) = begin(&db).await;
        let (service, _) = running_service(&world, &recording).await;
        let mut waiting = Vec::new();
        for n in 0..5 {
            let resource = world.ask(service, mailbox(&format!("m{n}@acme.example"), 1)).await;
            waiting.push(resource.operation_id.unwrap());
        }
        let before = recording.calls().len();
        let suspended = world.suspend(&world.reseller, On::Service(service)).await;
        let one = Settings { slots: 1, ..settings() };
        let engine = Running::with(&world, &recording, one);
        assert_eq!(world.ended(suspended.operation_id.unwrap()).await.status, OperationStatus::Succeeded);
        assert_eq!(recording.calls()[before].0, Method::SetAccess);
        assert_eq!(world.service(service).await.applied_access, Access::Suspended);
        for id in waiting {
            world.ended(id).await;
        }
        // What was made in a suspended service is as closed as the service.
        assert!(recording.resources().iter().all(|goal| goal.service.access == Access::Suspended));
        let resumed = world.resume(&world.reseller, On::Service(service)).await;
        world.ended(resumed.operation_id.unwrap()).await;
        assert!(recording.resources().iter().all(|goal| goal.service.access == Access::Full));
        let events = world.events().await;
        for event in ["service.suspended", "service.resumed"] {
            assert_eq!(events.iter().filter(|told| *told == event).count(), 1, "{event}");
        }
        engine.stop().await;
    }

    async fn a_suspension_during_provisioning_wins(db: Db) {
        let (world, recording) = begin(&db).await;
        let engine = Running::start(&world, &recording);
        for (round, (method, nth)) in
            [(Method::EnsureService, 1), (Method::EnsureResource, 3), (Method::EnsureResource, 6)].into_iter().enumerate()
        {
            recording.play(method, nth, Trick::Pause(Duration::from_millis(300)));
            let domain_name = format!("acme{round}.example");
            let content = vec![domain(&domain_name), mailbox(&format!("alice@{domain_name}"), 5)];
            let order = world.order(&world.tenant, content).await;
            engine.engine.wake();
            until("the call is on its way", async || recording.count(method) == nth).await;
            let service = order.items[0].service_ids[0];
            let hold = world.suspend(&world.reseller, On::Service(service)).await;
            engine.engine.wake();
            world.ended(hold.operation_id.unwrap()).await;
            world.ended(order.operation_id.unwrap()).await;
            let closed = async || {
                let row = world.service(service).await;
                row.applied_access == Access::Suspended && row.operation_id.is_none()
            };
            until("the service is closed", closed).await;
            assert_eq!(recording.service(service).unwrap().access, Access::Suspended);
            for id in &order.items[0].resource_ids {
                assert_eq!(recording.resource(*id).unwrap().service.access, Access::Suspended, "round {round}");
            }
        }
        engine.stop().await;
    }

    async fn a_hold_on_an_account_reaches_every_service_below_and_lifting_it_each_one_again(db: Db) {
        let (world, recording) = begin(&db).await;
        let (first, order) = running_service(&world, &recording).await;
        let model = world.service(first).await;
        let of = world.actor(&world.reseller);
        let second = World::open(&db, &of, AccountType::Tenant, "Second").await;
        let mut tx = db.write(Subtree::everything()).await.unwrap();
        for n in 0..249 {
            let account = if n % 2 == 0 { &world.tenant } else { &second };
            let service = Service {
                id: ServiceId::new(),
                account_id: account.id,
                path: account.path.clone(),
                subscription_id: order.items[0].subscription_id,
                operation_id: None,
                held: None,
                settings: Json(model.settings.0.clone()),
                ..model.clone()
            };
            store::services::services::insert(&mut tx, &service).await.unwrap();
        }
        tx.commit().await.unwrap();
        // The one failure on the way is made good by a second attempt.
        recording.play(Method::SetAccess, 77, Trick::Fail(Fault::unavailable("down")));
        let engine = Running::with(&world, &recording, Settings { slots: 8, ..settings() });
        let hold = world.suspend(&world.operator, On::Account(world.reseller.id)).await;
        let operation = world.ended(hold.operation_id.unwrap()).await;
        assert_eq!(operation.status, OperationStatus::Succeeded);
        assert_eq!(recording.count(Method::SetAccess), 251);
        assert_eq!(recording.services().len(), 250);
        assert!(recording.services().iter().all(|goal| goal.access == Access::Suspended));
        let lifted = world.resume(&world.operator, On::Account(world.reseller.id)).await;
        assert_eq!(world.ended(lifted.operation_id.unwrap()).await.status, OperationStatus::Succeeded);
        assert!(recording.services().iter().all(|goal| goal.access == Access::Full));
        engine.stop().await;
    }

    async fn a_fan_out_that_failed_in_part_is_whole_once_it_is_taken_up_again(db: Db) {
        let (world, recording) = begin(&db).await;
        let (service, _) = running_service(&world, &recording).await;
        recording.always(Method::SetAccess, Fault::Invalid("no".into()));
        let engine = Running::start(&world, &recording);
        let id = world.suspend(&world.operator, On::Account(world.reseller.id)).await.operation_id.unwrap();
        let operation = world.ended(id).await;
        assert_eq!((operation.status, operation.retryable), (OperationStatus::Failed, true));
        recording.heal();
        let of = world.actor(&world.operator);
        act(&db, &of, async |work| operations::retry(work, id).await).await.unwrap();
        assert_eq!(world.ended(id).await.status, OperationStatus::Succeeded);
        assert_eq!(recording.service(service).unwrap().access, Access::Suspended);
        engine.stop().await;
    }

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

    async fn an_engine_that_shuts_down_hands_back_what_it_has(db: Db) {
        let (world, recording) = begin(&db).await;
        recording.play(Method::EnsureService, 1, Trick::Hang);
        let order = world.order(&world.tenant, first_content()).await;
        let id = order.operation_id.unwrap();
        let patient = Settings { lease: Duration::from_secs(600), ..settings() };
        let engine = Running::with(&world, &recording, patient);
        until("the call is on its way", async || recording.count(Method::EnsureService) == 1).await;
        engine.stop().await;
        assert_eq!(world.operation(id).await.status, OperationStatus::Queued);
        let other = Running::start(&world, &recording);
        assert_eq!(world.ended(id).await.status, OperationStatus::Succeeded);
        other.stop().await;
    }

    async fn a_hold_begins_and_ends_by_the_clock(db: Db) {
        let (world, recording) = begin(&db).await;
        let (service, _) = running_service(&world, &recording).await;
        let world = World { clock: Clock::fixed(world.clock.now()), ..world };
        let of = world.actor(&world.reseller);
        let placing = holds::Placing {
            effect: Effect::Degrade,
            reason_code: "payment.promise".into(),
            reason: None,
            starts_at: Some(of.now.plus(HOUR)),
            expires_at: Some(of.now.plus(3 * HOUR)),
        };
        let (by, on) = (AccountType::Reseller, On::Service(service));
        let placed = act(&db, &of, async |work| holds::place(work, &of, by, on, placing).await).await;
        assert_eq!(placed.unwrap().operation_id, None);
        let engine = Running::start(&world, &recording);
        for access in [Access::Degraded, Access::Full] {
            world.clock.advance(2 * HOUR);
            let applied = async || world.service(service).await.applied_access == access;
            until("the hold is turned", applied).await;
            assert_eq!(recording.service(service).unwrap().access, access);
        }
        let events = world.events().await;
        for event in ["hold.placed", "service.degraded", "hold.expired", "service.resumed"] {
            assert!(events.iter().any(|told| told == event), "{event}");
        }
        engine.stop().await;
    }
}
