//! Accounts that move while work is done for them.

use tenantry::domain::accounts::moves;
use tenantry::domain::quotas;
use tenantry::model::accounts::accounts::Account;
use tenantry::model::ids::RequestId;
use tenantry::model::quotas::Mode;
use tenantry::model::services::operations::Task;
use tenantry::store::audit::Line;

use super::*;

const KEY: QuotaKey = QuotaKey::MailMailboxes;

async fn moved(world: &World, account: &Account, to: &Account) -> Account {
    let of = world.actor(&world.operator);
    let anyway = Precondition::NONE;
    loop {
        let below = async |work: &mut _| moves::below(work, &of, account.id, to.id, &anyway).await;
        match act(&world.db, &of, below).await {
            Ok(moved) => return moved.account,
            // Two wait for each other, or for longer than anybody is to wait.
            Err(tenantry::domain::Error::Store(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Rows of a table that do not stand where their account does.
async fn astray(world: &World, table: &str) -> i64 {
    let mut conn = world.db.read(Subtree::everything()).await.unwrap();
    let statement = format!(
        "SELECT COUNT(*) FROM {table} t JOIN accounts a ON a.id = t.account_id WHERE a.path <> t.path"
    );
    let (count,): (i64,) = conn.query(&*statement.leak()).one().await.unwrap();
    count
}

async fn other_reseller(world: &World) -> Account {
    World::open(&world.db, &world.actor(&world.operator), AccountType::Reseller, "Other").await
}

on_both_engines! {
    /// AUTHZ-8
    async fn what_a_worker_has_in_hand_is_counted_and_told_at_the_new_place(db: Db) {
        let (world, recording) = begin(&db).await;
        let other = other_reseller(&world).await;
        let of = world.actor(&world.operator);
        for account in [&world.operator, &world.reseller, &other] {
            let put = async |work: &mut _| quotas::put(work, &of, account.id, KEY, Some(1000), Mode::Shared, &Precondition::NONE).await;
            act(&db, &of, put).await.unwrap();
        }
        let stays = World::open(&db, &world.actor(&world.reseller), AccountType::Tenant, "Stays").await;
        // Of both orders something is reserved until both have been told to go on.
        for nth in [1, 2] {
            recording.play(Method::EnsureService, nth, Trick::Pause(Duration::from_millis(1500)));
        }
        let orders = [world.order(&world.tenant, first_content()).await, world.order(&stays, vec![domain("stays.example")]).await];
        let engine = Running::start(&world, &recording);
        until("both calls are on their way", async || recording.count(Method::EnsureService) == 2).await;
        let tenant = moved(&world, &world.tenant, &other).await;
        assert!(recording.services().is_empty(), "it was moved meanwhile");
        for (account, due) in [(&world.reseller, 200), (&other, 200), (&world.operator, 400)] {
            assert_eq!(world.quota(&account.path, KEY).await, (0, due), "{}", account.name);
        }
        for order in &orders {
            let ended = world.ended(order.operation_id.unwrap()).await;
            assert_eq!((ended.status, ended.attempts), (OperationStatus::Succeeded, 1));
        }
        engine.stop().await;
        assert_eq!(world.operation(orders[0].operation_id.unwrap()).await.path, tenant.path);
        for (account, due) in [(&world.reseller, 200), (&other, 200), (&world.operator, 400)] {
            assert_eq!(world.quota(&account.path, KEY).await, (due, 0), "{}", account.name);
        }
        assert_eq!(astray(&world, "events").await, 0);
        let mut conn = db.read(Subtree::of(&other.path)).await.unwrap();
        let told = "SELECT COUNT(*) FROM events e WHERE e.type = 'operation.succeeded' AND e.path >= $1 AND e.path < $2";
        let (told,): (i64,) = conn.query(told).within().one().await.unwrap();
        assert_eq!(told, 1);
    }

    async fn a_move_waits_for_whoever_has_begun_to_write(db: Db) {
        let (world, _) = begin(&db).await;
        let other = other_reseller(&world).await;
        let begun = db.write(Subtree::of(&world.tenant.path)).await.unwrap();
        let mut moving = std::pin::pin!(moved(&world, &world.tenant, &other));
        let early = tokio::time::timeout(Duration::from_millis(300), &mut moving).await;
        assert!(early.is_err(), "somebody may yet write where the account stands no more");
        begun.undo().await.unwrap();
        assert_eq!(moving.await.path, other.path.child(world.tenant.id));
    }

    async fn a_hold_reaches_every_service_of_an_account_that_moves_meanwhile(db: Db) {
        let (world, recording) = begin(&db).await;
        let sellers = [world.reseller.clone(), other_reseller(&world).await];
        let mut services = Vec::new();
        for n in 0..12 {
            let order = world.order(&world.tenant, vec![domain(&format!("acme{n}.example"))]).await;
            services.push(order.items[0].service_ids[0]);
        }
        let engine = Running::start(&world, &recording);
        until("all are there", async || {
            engine.engine.wake();
            recording.services().len() == services.len()
        }).await;
        for round in 0..8 {
            let on = On::Account(world.tenant.id);
            let due = if round % 2 == 0 { Access::Suspended } else { Access::Full };
            let outcome = match due {
                Access::Suspended => world.suspend(&world.operator, on).await,
                _ => world.resume(&world.operator, on).await,
            };
            engine.engine.wake();
            for n in 0..4 {
                moved(&world, &world.tenant, &sellers[(n + 1) % 2]).await;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            if let Some(id) = outcome.operation_id {
                world.ended(id).await;
            }
            for id in &services {
                let so = async || world.service(*id).await.applied_access == due;
                until(&format!("round {round}: {due:?}"), so).await;
            }
            assert_eq!(astray(&world, "operations").await, 0, "round {round}");
        }
        engine.stop().await;
    }

    async fn a_hold_that_has_come_half_way_begins_again_where_the_account_stands(db: Db) {
        let (world, recording) = begin(&db).await;
        let (one, other) = (world.reseller.clone(), other_reseller(&world).await);
        // From the later place to the earlier one, so that what comes after the old place is nothing.
        let (later, earlier) = if one.path > other.path { (one, other) } else { (other, one) };
        let (service, _) = running_service(&world, &recording).await;
        let tenant = moved(&world, &world.tenant, &later).await;
        let held = world.suspend(&world.operator, On::Account(tenant.id)).await;
        let operation = world.operation(held.operation_id.unwrap()).await;
        let task = Task { after: Some((tenant.path, service)), ..operation.task.0 };
        let mut tx = db.write(Subtree::everything()).await.unwrap();
        tx.query("UPDATE operations SET task = $2 WHERE id = $1").bind(operation.id).bind(Json(task)).execute().await.unwrap();
        tx.commit().await.unwrap();
        moved(&world, &world.tenant, &earlier).await;
        let engine = Running::start(&world, &recording);
        assert_eq!(world.ended(operation.id).await.status, OperationStatus::Succeeded);
        assert_eq!(world.service(service).await.applied_access, Access::Suspended);
        engine.stop().await;
    }

    /// AUTHZ-8: what somebody knew before the move is not written down after it
    async fn events_stand_where_their_account_does_and_a_caller_who_stood_elsewhere_begins_again(db: Db) {
        let (world, recording) = begin(&db).await;
        let other = other_reseller(&world).await;
        let order = world.order(&world.tenant, vec![domain("acme.example")]).await;
        let stale = world.operation(order.operation_id.unwrap()).await;
        let of = world.actor(&world.tenant);
        moved(&world, &world.tenant, &other).await;
        let cause = tenantry::model::events::events::Cause { key_id: None, request_id: None, reason_code: None };
        let work = async || {
            let tx = db.write(Subtree::everything()).await.unwrap();
            tenantry::domain::Work::because(tx, cause.clone(), world.clock.now())
        };
        let mut told = work().await;
        operations::ended(&mut told, &stale);
        told.finish().await.unwrap();
        assert_eq!(astray(&world, "events").await, 0);
        let line = Line {
            account_id: of.subject_id,
            sequence: 0,
            path: of.subject_path.clone(),
            principal_id: of.principal_id,
            key_id: of.key_id,
            action: "orders_place".into(),
            resource: None,
            request_id: RequestId::new().to_string(),
            address: None,
            outcome: "done".into(),
            detail: Json(serde_json::Map::new()),
            occurred_at: world.clock.now(),
            hash: String::new(),
        };
        let refused = work().await.finish_with(Some(line)).await.unwrap_err();
        assert!(matches!(refused, tenantry::domain::Error::Busy), "{refused}");
        drop(recording);
    }
}
