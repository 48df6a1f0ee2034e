//! Suspending and resuming: access follows the holds, whatever else goes on.

use super::*;

on_both_engines! {
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

    async fn a_hold_begins_and_ends_by_the_clock(db: Db) {
        let (world, recording) = begin(&db).await;
        let (service, _) = running_service(&world, &recording).await;
        let world = World { clock: Clock::fixed(world.clock.now()), ..world };
        let of = world.actor(&world.reseller);
        let placing = holds::Placing {
            scope: tenantry::model::services::holds::HoldScope::All,
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
