//! What the provisioning engine promises, whatever fails.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod contents;
mod housekeeping;
mod moves;
mod provisioning;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use common::engines::settings;
use common::world::{CREDENTIALS, act, domain, mailbox};
use common::{Method, Recording, Running, Trick, World, until};
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
use tenantry::model::{Json, Precondition, Subtree, Time};
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
