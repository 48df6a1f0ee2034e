//! What the end of the work means for an order, its subscriptions and what is in them.

use super::orders::dismantle;
use super::subscriptions;
use crate::domain::accounts::accounts::open;
use crate::domain::{Error, Object, Result, Work};
use crate::model::Json;
use crate::model::commerce::orders::{ItemStatus, Order, OrderStatus, OrderView};
use crate::model::commerce::subscriptions::SubscriptionStatus;
use crate::model::events::events::EventType;
use crate::model::ids::OrderId;
use crate::model::services::operations::{OperationError, Outcome};
use crate::model::services::services::{Lifecycle, ServiceView};
use crate::store;

/// How often an order is read again because somebody else changed it at the same moment.
const TRIES: usize = 5;

/// Reads the order, changes it and writes it, again if it was changed by others in between.
async fn moved(work: &mut Work, id: OrderId, change: impl Fn(&mut Order)) -> Result<Order> {
    for _ in 0..TRIES {
        let found = store::commerce::orders::find(&mut work.tx, id).await?;
        let mut order = found.ok_or(Error::NotFound("order"))?;
        change(&mut order);
        if store::commerce::orders::update(&mut work.tx, &order, work.now).await? {
            order.version += 1;
            order.updated_at = work.now;
            return Ok(order);
        }
    }
    Err(Error::Busy)
}

fn recorded(work: &mut Work, event: EventType, order: Order) {
    let (id, version, of) = (order.id, order.version, (order.account_id, order.path.clone()));
    let view = OrderView::from(order);
    work.event(event, (of.0, &of.1), "order", Object::new(id, version, &view));
}

/// The work on the order has begun.
pub async fn begun(work: &mut Work, id: OrderId) -> Result<()> {
    let order = moved(work, id, |order| {
        if order.status == OrderStatus::Queued {
            order.status = OrderStatus::InProgress;
        }
    })
    .await?;
    let services: Vec<_> = order.items.iter().flat_map(|item| item.service_ids.clone()).collect();
    let resources: Vec<_> = order.items.iter().flat_map(|item| item.resource_ids.clone()).collect();
    store::services::services::begin(&mut work.tx, &services, work.now).await?;
    store::services::resources::begin(&mut work.tx, &resources, work.now).await?;
    Ok(())
}

/// All that the order asked for is there.
pub async fn completed(work: &mut Work, id: OrderId) -> Result<()> {
    let order = moved(work, id, |order| {
        order.status = OrderStatus::Completed;
        order.outcome = Some(Outcome::Succeeded);
        order.retryable = false;
        order.error = None;
        for item in &mut order.items.0 {
            item.status = ItemStatus::Done;
        }
    })
    .await?;
    for item in &order.items.0 {
        subscriptions::begin(work, item.subscription_id).await?;
    }
    recorded(work, EventType::OrderCompleted, order);
    Ok(())
}

/// The order came to nothing, and what had been made was removed again.
pub async fn failed(work: &mut Work, id: OrderId, error: &OperationError, retryable: bool) -> Result<()> {
    let order = moved(work, id, |order| {
        order.status = OrderStatus::Failed;
        order.outcome = Some(Outcome::RolledBack);
        order.retryable = retryable;
        order.error = Some(Json(error.clone()));
        for item in &mut order.items.0 {
            item.status = ItemStatus::Failed;
        }
    })
    .await?;
    for item in &order.items.0 {
        dismantle(work, item).await?;
        for id in &item.service_ids {
            if let Some(service) = store::services::services::find(&mut work.tx, *id).await? {
                let of = (service.account_id, service.path.clone());
                let version = service.version;
                let view = ServiceView::from(service);
                let object = Object::new(id, version, &view);
                work.event(EventType::ServiceFailed, (of.0, &of.1), "service", object);
            }
        }
    }
    recorded(work, EventType::OrderFailed, order);
    Ok(())
}

/// A failed order is asked for again: what it had opened is opened again, if the names are still free.
pub async fn reopened(work: &mut Work, id: OrderId) -> Result<()> {
    let order = moved(work, id, |order| {
        order.status = OrderStatus::Queued;
        order.retryable = false;
        order.outcome = None;
        order.error = None;
        for item in &mut order.items.0 {
            item.status = ItemStatus::Pending;
        }
    })
    .await?;
    open(work, order.account_id).await?;
    for item in &order.items.0 {
        let pending = SubscriptionStatus::Pending;
        let id = item.subscription_id;
        store::commerce::subscriptions::set_status(&mut work.tx, id, pending, work.now).await?;
        for id in &item.service_ids {
            let requested = Lifecycle::Requested;
            store::services::services::set_lifecycle(&mut work.tx, *id, requested, None, work.now).await?;
        }
        for id in &item.resource_ids {
            crate::domain::services::resources::reopen(work, *id).await?;
        }
    }
    Ok(())
}
