//! What the work on servers has come to: services and resources moved on, quota committed or given back,
//! and events. Each function is called in the transaction that records the work.

use serde_json::{Map, Value, json};

use super::holds::access_of;
use super::{operations, resources};
use crate::domain::{Object, Result, Work, commerce, quotas};
use crate::model::events::events::EventType;
use crate::model::ids::{ResourceId, ServiceId};
use crate::model::services::Access;
use crate::model::services::operations::{Operation, OperationKind};
use crate::model::services::resources::{Resource, ResourceLifecycle, ResourceView};
use crate::model::services::services::{Lifecycle, Service, ServiceView};
use crate::store;

/// The facts a connector saw.
pub type Facts = Map<String, Value>;

/// The work has been taken up for the first time.
pub async fn begun(work: &mut Work, operation: &Operation) -> Result<()> {
    match (operation.kind, operation.order_id, operation.resource_id) {
        (OperationKind::OrderProvision, Some(order), _) => commerce::outcomes::begun(work, order).await,
        (OperationKind::ResourceCreate, _, Some(resource)) => {
            Ok(store::services::resources::begin(&mut work.tx, &[resource], work.now).await?)
        }
        _ => Ok(()),
    }
}

/// A failed operation is taken up again: what it was to bring about is asked for again.
pub async fn reopened(work: &mut Work, operation: &Operation) -> Result<()> {
    match (operation.kind, operation.order_id, operation.resource_id) {
        (OperationKind::OrderProvision, Some(order), _) => commerce::outcomes::reopened(work, order).await,
        (OperationKind::ResourceCreate, _, Some(resource)) => resources::reopen(work, resource).await,
        (OperationKind::ResourceDelete, _, Some(resource)) => {
            let deleting = ResourceLifecycle::Deleting;
            let of = &mut work.tx;
            Ok(store::services::resources::set_lifecycle(of, resource, deleting, None, work.now).await?)
        }
        _ => Ok(()),
    }
}

/// The service is on its server with the access given. Says whether holds have changed that meanwhile: then
/// work to bring about what they say now has been queued.
pub async fn service_ensured(
    work: &mut Work,
    operation: &Operation,
    id: ServiceId,
    access: Access,
    facts: &Facts,
) -> Result<bool> {
    store::services::services::lock(&mut work.tx, id).await?;
    let Some(before) = store::services::services::find(&mut work.tx, id).await? else { return Ok(false) };
    let active = Lifecycle::Active;
    store::services::services::set_lifecycle(&mut work.tx, id, active, Some(facts), work.now).await?;
    store::services::services::set_applied_access(&mut work.tx, id, access, work.now).await?;
    if before.lifecycle != Lifecycle::Active {
        let after = store::services::services::find(&mut work.tx, id).await?.unwrap_or(before.clone());
        service_recorded(work, EventType::ServiceProvisioned, after);
    }
    follow_holds(work, operation, &before, access).await
}

/// Queues the work that makes access what the holds say now, where that is not what was brought about.
async fn follow_holds(
    work: &mut Work,
    operation: &Operation,
    service: &Service,
    access: Access,
) -> Result<bool> {
    if service.access() == access {
        return Ok(false);
    }
    let new = access_of(service.id, (service.account_id, &service.path));
    operations::start(work, &operation.request_id, new).await?;
    Ok(true)
}

/// The resource is on its server as it was to be, with the access given. Says whether holds have changed
/// that meanwhile: then work to bring about what they say now has been queued.
pub async fn resource_ensured(
    work: &mut Work,
    operation: &Operation,
    id: ResourceId,
    access: Access,
    facts: &Facts,
) -> Result<bool> {
    let Some(before) = store::services::resources::find(&mut work.tx, id).await? else { return Ok(false) };
    store::services::services::lock(&mut work.tx, before.service_id).await?;
    let service = store::services::services::find(&mut work.tx, before.service_id).await?;
    let active = ResourceLifecycle::Active;
    store::services::resources::set_lifecycle(&mut work.tx, id, active, Some(facts), work.now).await?;
    if operation.kind == OperationKind::ResourceUpdate {
        let wanted = operation.task.spec.clone().unwrap_or(before.spec.0.clone());
        let password_hash = operation.task.password_hash.as_deref();
        store::services::resources::set_spec(&mut work.tx, id, &wanted, password_hash, work.now).await?;
        let less: Vec<_> = resources::difference(&wanted, &before.spec)
            .into_iter()
            .filter(|(_, amount)| *amount > 0)
            .collect();
        if let Some(service) = &service {
            quotas::free(work, service.subscription_id, &service.path, &less).await?;
        }
        let previous = json!(before.spec.0);
        resource_recorded(work, EventType::ResourceUpdated, id, Some(previous)).await?;
    } else if before.lifecycle != ResourceLifecycle::Active {
        resource_recorded(work, EventType::ResourceCreated, id, None).await?;
    }
    match service {
        Some(service) => follow_holds(work, operation, &service, access).await,
        None => Ok(false),
    }
}

/// The resource and its data are gone from its server.
pub async fn resource_removed(work: &mut Work, id: ResourceId) -> Result<()> {
    let Some(resource) = store::services::resources::find(&mut work.tx, id).await? else { return Ok(()) };
    if resource.lifecycle == ResourceLifecycle::Deleted {
        return Ok(());
    }
    let deleted = ResourceLifecycle::Deleted;
    store::services::resources::set_lifecycle(&mut work.tx, id, deleted, None, work.now).await?;
    if let Some(service) = store::services::services::find(&mut work.tx, resource.service_id).await? {
        let takes = resource.spec.takes();
        quotas::free(work, service.subscription_id, &service.path, &takes).await?;
    }
    resource_recorded(work, EventType::ResourceDeleted, id, None).await
}

/// The service's access was brought about; none if it was not on its server to begin with. Says whether
/// that is what the holds say now.
pub async fn access_applied(
    work: &mut Work,
    operation: &Operation,
    id: ServiceId,
    applied: Option<Access>,
) -> Result<bool> {
    store::services::services::lock(&mut work.tx, id).await?;
    let Some(before) = store::services::services::find(&mut work.tx, id).await? else { return Ok(true) };
    let Some(applied) = applied else { return Ok(before.lifecycle != Lifecycle::Active) };
    if before.lifecycle != Lifecycle::Active {
        return Ok(true);
    }
    let says = before.access();
    if before.applied_access != applied {
        store::services::services::set_applied_access(&mut work.tx, id, applied, work.now).await?;
        let event = match applied {
            Access::Full => EventType::ServiceResumed,
            Access::Degraded => EventType::ServiceDegraded,
            Access::Suspended => EventType::ServiceSuspended,
        };
        let operation_id = before.operation_id.filter(|other| *other != operation.id || says != applied);
        let after = Service {
            applied_access: applied,
            version: before.version + 1,
            updated_at: work.now,
            operation_id,
            ..before
        };
        service_recorded(work, event, after);
    }
    Ok(says == applied)
}

/// The operation has brought about what it was to: what it had reserved is used from now on.
pub async fn succeeded(work: &mut Work, operation: &Operation) -> Result<()> {
    quotas::commit(work, &operation.reserved);
    if let (OperationKind::OrderProvision, Some(order)) = (operation.kind, operation.order_id) {
        commerce::outcomes::completed(work, order).await?;
    }
    operations::ended(work, operation);
    Ok(())
}

/// The operation has come to nothing: what it had reserved is free again.
pub async fn failed(work: &mut Work, operation: &Operation) -> Result<()> {
    quotas::release(work, &operation.reserved);
    match (operation.kind, operation.order_id, operation.resource_id) {
        (OperationKind::OrderProvision, Some(order), _) => {
            if let Some(error) = &operation.error {
                commerce::outcomes::failed(work, order, error, operation.retryable).await?;
            }
        }
        (OperationKind::ResourceCreate, _, Some(id)) => {
            let failed = ResourceLifecycle::Failed;
            store::services::resources::set_lifecycle(&mut work.tx, id, failed, None, work.now).await?;
            resource_recorded(work, EventType::ResourceFailed, id, None).await?;
        }
        (OperationKind::ResourceDelete, _, Some(id)) => {
            let active = ResourceLifecycle::Active;
            store::services::resources::set_lifecycle(&mut work.tx, id, active, None, work.now).await?;
        }
        _ => {}
    }
    operations::ended(work, operation);
    Ok(())
}

fn service_recorded(work: &mut Work, event: EventType, service: Service) {
    let (id, version, of) = (service.id, service.version, (service.account_id, service.path.clone()));
    let view = ServiceView::from(service);
    work.event(event, (of.0, &of.1), "service", Object::new(id, version, &view));
}

async fn resource_recorded(
    work: &mut Work,
    event: EventType,
    id: ResourceId,
    previous: Option<Value>,
) -> Result<()> {
    let found: Option<Resource> = store::services::resources::find(&mut work.tx, id).await?;
    let Some(resource) = found else { return Ok(()) };
    let (version, of) = (resource.version, (resource.account_id, resource.path.clone()));
    let view = ResourceView::from(resource);
    let object = Object::new(id, version, &view);
    let object = match previous {
        Some(previous) => object.instead_of(previous),
        None => object,
    };
    work.event(event, (of.0, &of.1), "resource", object);
    Ok(())
}
