//! The statements of batches and reconcile runs, for those who look at what the database makes of them.

use std::collections::BTreeSet;
use std::slice::from_ref;
use std::time::Duration;

use tenantry::model::Json;
use tenantry::model::bulk::{
    Batch, BatchItemStatus, BatchMethod, BatchStatus, Believed, BelievedStatus, Counts, Difference,
    DifferenceKind, Progress, ReconcileRun, ReconcileStatus, item_id,
};
use tenantry::model::ids::{BatchId, KeyId, ReconcileRunId, SubscriptionId};
use tenantry::store::Tx;
use tenantry::store::bulk::batches::{Answered, NewBatchItem, Next, Turned};
use tenantry::store::bulk::{batches, reconciles};
use tenantry::store::commerce::subscriptions;

use super::common::World;

/// Leaves a batch and has it worked on.
pub async fn batches(tx: &mut Tx, world: &World) {
    let (of, now) = (&world.operator, world.clock.now());
    let left = Batch {
        id: BatchId::new(),
        account_id: of.id,
        path: of.path.clone(),
        principal_id: of.id,
        key_id: KeyId::new(),
        claims: None,
        body: None,
        dry_run: false,
        good_until: now,
        status: BatchStatus::Running,
        total: 1,
        succeeded: 0,
        failed: 0,
        cancelled: 0,
        fence: 0,
        version: 1,
        created_at: now,
        started_at: None,
        ended_at: None,
        updated_at: now,
    };
    let item = NewBatchItem {
        id: item_id(left.id, 0),
        place: 0,
        method: BatchMethod::Delete,
        target: "/v1/members/own".into(),
        subject_id: None,
        if_match: None,
        body: None,
    };
    batches::insert(tx, &left).await.unwrap();
    batches::insert_items(tx, &left, &[item]).await.unwrap();
    assert!(batches::under_way(tx, of.id).await.unwrap() > 0);
    assert!(!batches::page(tx, None, 5).await.unwrap().is_empty());
    // A worker's claim reads all that wait, which are few.
    let batch = left;
    assert_eq!(batches::items(tx, batch.id, None, None, 5).await.unwrap().len(), 1);
    let pending = Some(BatchItemStatus::Pending);
    let items = batches::items(tx, batch.id, pending, None, 5).await.unwrap();
    let told = Answered {
        status: BatchItemStatus::Failed,
        answer_status: 404,
        resource_id: None,
        operation_id: None,
        problem: None,
    };
    batches::answer(tx, &items[0], &told).await.unwrap();
    let next = Next::On(60);
    assert_eq!(batches::count(tx, &batch, 0, 1, next, now).await.unwrap(), Some(BatchStatus::Running));
    let (from, to) = (BatchItemStatus::Failed, BatchItemStatus::Cancelled);
    assert_eq!(batches::turn_items(tx, batch.id, from, to).await.unwrap(), 1);
    batches::end(tx, &batch, BatchStatus::Completed, 0, now).await.unwrap().expect("it is the worker's");
    let ended = batches::find(tx, batch.id).await.unwrap().unwrap();
    let again = Turned { status: BatchStatus::Queued, failed: 0 };
    assert!(batches::turn(tx, &ended, again, now).await.unwrap());
    let later = now.plus(Duration::from_secs(1));
    let again = batches::find(tx, batch.id).await.unwrap().unwrap();
    assert!(
        batches::end(tx, &again, BatchStatus::Completed, 0, later).await.unwrap().is_none(),
        "nobody has it"
    );
    assert_eq!(batches::forget(tx, now, 5).await.unwrap(), 0);
}

/// Has what is believed of a subscription compared with what is.
pub async fn reconciles(tx: &mut Tx, world: &World, subscription: SubscriptionId) {
    let (of, now) = (&world.operator, world.clock.now());
    let run = ReconcileRun {
        id: ReconcileRunId::new(),
        account_id: of.id,
        path: of.path.clone(),
        compared_id: of.id,
        principal_id: of.id,
        status: ReconcileStatus::Comparing,
        row_count: 0,
        counts: Json(Counts::default()),
        progress: Json(Progress::Tidying),
        fence: 0,
        version: 1,
        created_at: now,
        compared_at: None,
        updated_at: now,
    };
    reconciles::insert(tx, &run).await.unwrap();
    assert!(reconciles::under_way(tx, of.id).await.unwrap() > 0);
    assert!(!reconciles::page(tx, None, 5).await.unwrap().is_empty());
    assert!(reconciles::find(tx, run.id).await.unwrap().is_some());
    let name = subscription.to_string();
    let status = BelievedStatus::Active;
    let row = Believed { subscription: name.clone(), status, plan: None, quantity: Some(1) };
    assert_eq!(reconciles::add_rows(tx, &run, &[&row]).await.unwrap(), 1);
    assert_eq!(reconciles::add_rows(tx, &run, &[&row]).await.unwrap(), 0, "it is there");
    assert_eq!(reconciles::rows_after(tx, run.id, "", 5).await.unwrap(), from_ref(&row));
    let names = BTreeSet::from([name.as_str()]);
    assert_eq!(subscriptions::called(tx, &names).await.unwrap().len(), 1);
    reconciles::payment_holds(tx, &BTreeSet::from([name.clone()])).await.unwrap();
    reconciles::note_found(tx, run.id, &[(name.clone(), subscription)]).await.unwrap();
    assert_eq!(
        reconciles::listed(tx, run.id, &[subscription]).await.unwrap(),
        BTreeSet::from([name.clone()])
    );
    let difference = Difference {
        place: 0,
        kind: DifferenceKind::Quantity,
        name: Some(name),
        subscription_id: Some(subscription),
        theirs: Some(Json(row)),
        ours: None,
        repair: None,
    };
    reconciles::add_differences(tx, &run, from_ref(&difference)).await.unwrap();
    for kind in [None, Some(DifferenceKind::Quantity)] {
        let found = reconciles::differences(tx, run.id, kind, -1, 5).await.unwrap();
        assert_eq!(found, from_ref(&difference), "it comes back as it was");
    }
    let advanced = reconciles::advance(tx, &run, &Counts::default(), &Progress::Tidying, None, now).await;
    let compared = advanced.unwrap().expect("it is the worker's");
    assert_eq!((compared.status, compared.compared_at), (ReconcileStatus::Compared, Some(now)));
    assert!(reconciles::turn(tx, &compared, 1, ReconcileStatus::Open, now).await.unwrap());
    assert_eq!(reconciles::drop_rows(tx, run.id, 5).await.unwrap(), 1);
}
