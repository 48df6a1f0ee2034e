//! Things inside services: asking for them, changing them, having them removed.

use std::collections::BTreeMap;

use serde_json::Map;

use super::operations::{self, NewOperation};
use crate::domain::accounts::accounts::Made;
use crate::domain::{Error, Result, Work, check_version, quotas};
use crate::model::ids::{ResourceId, ServiceId};
use crate::model::quotas::QuotaKey;
use crate::model::services::holds::{Effect, ReasonClass};
use crate::model::services::operations::{Action, Lane, OperationKind, Step, Task};
use crate::model::services::resources::{Resource, ResourceLifecycle};
use crate::model::services::services::{Lifecycle, Service};
use crate::model::services::specs::{ResourceSpec, ResourceType};
use crate::model::{Actor, Json, Precondition};
use crate::store;
use crate::store::versions::Versioned;

/// A new resource as it was asked for; its password was hashed at the edge.
#[derive(Debug, Clone)]
pub struct NewResource {
    pub spec: ResourceSpec,
    pub password_hash: Option<String>,
    pub external_id: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// Of the creating body, without the password.
    pub fingerprint: String,
}

/// The service in the caller's reach.
pub async fn service(work: &mut Work, id: ServiceId) -> Result<Service> {
    store::services::services::find(&mut work.tx, id).await?.ok_or(Error::NotFound("service"))
}

/// Asks for a resource in a service; it is made by an operation.
pub async fn create(
    work: &mut Work,
    actor: &Actor,
    service_id: ServiceId,
    new: NewResource,
) -> Result<Made<Resource>> {
    let service = service(work, service_id).await?;
    if let Some(external_id) = &new.external_id {
        let known =
            store::services::resources::find_by_external_id(&mut work.tx, actor.principal_id, external_id);
        if let Some(known) = known.await? {
            if known.fingerprint != new.fingerprint {
                return Err(Error::ExternalIdConflict { id: known.id.to_string() });
            }
            return Ok(Made::Existing(known));
        }
    }
    check_changeable(work, &service, Doing::Change).await?;
    check_fits(work, &service, &new.spec).await?;
    let taken = quotas::charge(work, service.subscription_id, &service.path, &new.spec.takes()).await?;
    let resource = insert(work, actor, &service, new).await?;
    let operation = NewOperation {
        steps: vec![Step::new(Action::EnsureResource, resource.id)],
        reserved: taken,
        service_id: Some(service.id),
        resource_id: Some(resource.id),
        lock: Some(resource.id.to_string()),
        exclusive: true,
        ..NewOperation::of(
            OperationKind::ResourceCreate,
            (service.account_id, &service.path),
            Lane::Interactive,
        )
    };
    let operation = operations::start(work, &actor.request_id.to_string(), operation).await?;
    Ok(Made::New(Resource { operation_id: Some(operation.id), ..resource }))
}

/// Adds the resource's row, or refuses because its name is taken.
pub(in crate::domain) async fn insert(
    work: &mut Work,
    actor: &Actor,
    service: &Service,
    new: NewResource,
) -> Result<Resource> {
    let resource = Resource {
        id: ResourceId::new(),
        account_id: service.account_id,
        path: service.path.clone(),
        service_id: service.id,
        resource_type: new.spec.resource_type(),
        name: new.spec.name().to_owned(),
        lifecycle: ResourceLifecycle::Requested,
        spec: Json(new.spec),
        observed: Json(Map::new()),
        password_hash: new.password_hash,
        external_id_by: new.external_id.is_some().then_some(actor.principal_id),
        external_id: new.external_id,
        fingerprint: new.fingerprint,
        metadata: Json(new.metadata),
        version: 1,
        created_at: work.now,
        updated_at: work.now,
        operation_id: None,
    };
    if !store::services::resources::insert(&mut work.tx, &resource).await? {
        return Err(Error::NameTaken { kind: noun(resource.resource_type), name: resource.name });
    }
    Ok(resource)
}

/// Asks again for a resource that failed, or refuses because its name was taken meanwhile.
pub(in crate::domain) async fn reopen(work: &mut Work, id: ResourceId) -> Result<()> {
    if store::services::resources::reopen(&mut work.tx, id, work.now).await? {
        return Ok(());
    }
    match store::services::resources::find(&mut work.tx, id).await? {
        Some(resource) => Err(Error::NameTaken { kind: noun(resource.resource_type), name: resource.name }),
        None => Err(Error::NotFound("resource")),
    }
}

fn noun(resource_type: ResourceType) -> &'static str {
    match resource_type {
        ResourceType::Domain => "The mail domain",
        ResourceType::Mailbox => "The address",
        ResourceType::Zone => "The zone",
        ResourceType::Site => "The site",
    }
}

/// What is to be done with a resource. What is in a subscription that has ended can only be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Change,
    Remove,
}

/// Whether that can be done with resources of the service now.
async fn check_changeable(work: &mut Work, service: &Service, doing: Doing) -> Result<()> {
    if service.lifecycle != Lifecycle::Active {
        return Err(Error::State {
            current: service.lifecycle.to_string(),
            action: "A change of its resources",
            allowed: Vec::new(),
        });
    }
    let mut targets = store::services::holds::targets_above(&service.path);
    targets.extend([service.id.to_string(), service.subscription_id.to_string()]);
    let holds = store::services::holds::in_force(&mut work.tx, &targets).await?;
    if holds.iter().any(|hold| hold.effect == Effect::FreezeChanges) {
        return Err(Error::ChangesFrozen);
    }
    let has_ended = holds.iter().any(|hold| hold.reason_class == ReasonClass::Ended);
    match has_ended && doing == Doing::Change {
        true => Err(Error::State {
            current: "of a subscription that has ended".into(),
            action: "A change of its resources",
            allowed: vec!["renew"],
        }),
        false => Ok(()),
    }
}

async fn check_fits(work: &mut Work, service: &Service, spec: &ResourceSpec) -> Result<()> {
    if spec.resource_type().service_type() != service.service_type {
        let detail = format!("a {} service has no {}", service.service_type, spec.resource_type());
        return Err(Error::invalid("/type", "not_in_service", detail));
    }
    let Some(domain) = spec.domain_of_address() else { return Ok(()) };
    let known =
        store::services::resources::find_by_name(&mut work.tx, service.id, ResourceType::Domain, domain)
            .await?;
    match known {
        Some(known) if known.lifecycle != ResourceLifecycle::Deleting => Ok(()),
        _ => {
            let detail = format!("the service has no domain {domain}; make it first");
            Err(Error::invalid("/spec/address", "no_such_domain", detail))
        }
    }
}

/// What is to change of a resource.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub quota_mb: Option<i64>,
    pub display_name: Option<Option<String>>,
    pub records: Option<Vec<crate::model::services::specs::Record>>,
    pub password_hash: Option<String>,
}

async fn changeable(
    work: &mut Work,
    id: ResourceId,
    expected: &Precondition,
    doing: Doing,
) -> Result<(Resource, Service)> {
    let resource =
        store::services::resources::find(&mut work.tx, id).await?.ok_or(Error::NotFound("resource"))?;
    check_version(work, Versioned::Resource, id, resource.version, expected).await?;
    let service = service(work, resource.service_id).await?;
    check_changeable(work, &service, doing).await?;
    if resource.lifecycle != ResourceLifecycle::Active {
        return Err(Error::State {
            current: resource.lifecycle.to_string(),
            action: "This change",
            allowed: Vec::new(),
        });
    }
    Ok((resource, service))
}

/// Asks for a resource to be changed. More quota is taken at once, less is given back when it is done.
pub async fn change(
    work: &mut Work,
    actor: &Actor,
    id: ResourceId,
    change: Change,
    expected: &Precondition,
) -> Result<Resource> {
    let (resource, service) = changeable(work, id, expected, Doing::Change).await?;
    let wanted = changed(resource.spec.0.clone(), &change)?;
    let growth: Vec<(QuotaKey, i64)> =
        difference(&resource.spec, &wanted).into_iter().filter(|(_, amount)| *amount > 0).collect();
    let taken = quotas::charge(work, service.subscription_id, &service.path, &growth).await?;
    let operation = NewOperation {
        steps: vec![Step::new(Action::EnsureResource, resource.id)],
        task: Task { spec: Some(wanted), password_hash: change.password_hash, ..Task::default() },
        reserved: taken,
        service_id: Some(service.id),
        resource_id: Some(resource.id),
        lock: Some(resource.id.to_string()),
        exclusive: true,
        ..NewOperation::of(
            OperationKind::ResourceUpdate,
            (service.account_id, &service.path),
            Lane::Interactive,
        )
    };
    let operation = operations::start(work, &actor.request_id.to_string(), operation).await?;
    Ok(Resource { operation_id: Some(operation.id), ..resource })
}

/// How much more (or less) of each key the second takes.
pub fn difference(from: &ResourceSpec, to: &ResourceSpec) -> Vec<(QuotaKey, i64)> {
    let mut amounts: BTreeMap<QuotaKey, i64> = to.takes().into_iter().collect();
    for (key, amount) in from.takes() {
        *amounts.entry(key).or_default() -= amount;
    }
    amounts.into_iter().filter(|(_, amount)| *amount != 0).collect()
}

fn changed(spec: ResourceSpec, change: &Change) -> Result<ResourceSpec> {
    let refuse = |place: &str, resource_type: ResourceType| {
        let detail = format!("a {resource_type} has no such member");
        Err(Error::invalid(format!("/spec/{place}"), "unknown_field", detail))
    };
    let resource_type = spec.resource_type();
    if change.records.is_some() && resource_type != ResourceType::Zone {
        return refuse("records", resource_type);
    }
    if change.quota_mb.is_some() && !matches!(resource_type, ResourceType::Mailbox | ResourceType::Site) {
        return refuse("quota_mb", resource_type);
    }
    if change.display_name.is_some() && resource_type != ResourceType::Mailbox {
        return refuse("display_name", resource_type);
    }
    Ok(match spec {
        ResourceSpec::Domain(spec) => ResourceSpec::Domain(spec),
        ResourceSpec::Mailbox(mut spec) => {
            spec.quota_mb = change.quota_mb.unwrap_or(spec.quota_mb);
            spec.display_name = change.display_name.clone().unwrap_or(spec.display_name);
            ResourceSpec::Mailbox(spec)
        }
        ResourceSpec::Zone(mut spec) => {
            spec.records = change.records.clone().unwrap_or(spec.records);
            ResourceSpec::Zone(spec)
        }
        ResourceSpec::Site(mut spec) => {
            spec.quota_mb = change.quota_mb.unwrap_or(spec.quota_mb);
            ResourceSpec::Site(spec)
        }
    })
}

/// Asks for a resource and its data to be removed.
pub async fn delete(
    work: &mut Work,
    actor: &Actor,
    id: ResourceId,
    expected: &Precondition,
) -> Result<Resource> {
    let (mut resource, service) = changeable(work, id, expected, Doing::Remove).await?;
    if resource.resource_type == ResourceType::Domain {
        check_empty(work, &resource).await?;
    }
    let deleting = ResourceLifecycle::Deleting;
    store::services::resources::set_lifecycle(&mut work.tx, id, deleting, None, work.now).await?;
    resource.lifecycle = deleting;
    resource.version += 1;
    let operation = NewOperation {
        steps: vec![Step::new(Action::RemoveResource, resource.id)],
        service_id: Some(service.id),
        resource_id: Some(resource.id),
        lock: Some(resource.id.to_string()),
        exclusive: true,
        ..NewOperation::of(
            OperationKind::ResourceDelete,
            (service.account_id, &service.path),
            Lane::Interactive,
        )
    };
    let operation = operations::start(work, &actor.request_id.to_string(), operation).await?;
    Ok(Resource { operation_id: Some(operation.id), ..resource })
}

/// A domain goes only once no address is left in it.
async fn check_empty(work: &mut Work, domain: &Resource) -> Result<()> {
    let left = store::services::resources::present(&mut work.tx, domain.service_id).await?;
    match left.iter().any(|other| other.spec.domain_of_address() == Some(domain.name.as_str())) {
        false => Ok(()),
        true => Err(Error::State {
            current: "still holding mailboxes".into(),
            action: "Deleting the domain",
            allowed: Vec::new(),
        }),
    }
}
