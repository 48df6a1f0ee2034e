//! What an order has made in a new subscription right away.

use std::collections::BTreeMap;

use super::orders::Job;
use crate::domain::services::resources::{self, NewResource};
use crate::domain::{Error, Fault, Result, Work, quotas};
use crate::model::Actor;
use crate::model::catalog::plans::PlanTerms;
use crate::model::ids::{ResourceId, SubscriptionId};
use crate::model::quotas::QuotaKey;
use crate::model::services::operations::{Action, Step};
use crate::model::services::services::Service;
use crate::model::services::specs::{ResourceSpec, ResourceType};

/// The resources that come with the order: what others stand on is made first.
pub(super) async fn first_resources(
    work: &mut Work,
    actor: &Actor,
    job: &mut Job<'_>,
    services: &[Service],
    subscription: SubscriptionId,
    mut new_resources: Vec<NewResource>,
) -> Result<Vec<ResourceId>> {
    new_resources.sort_by_key(|new| new.spec.resource_type().rank());
    let mut takes: BTreeMap<QuotaKey, i64> = BTreeMap::new();
    let mut ids = Vec::new();
    for new in new_resources {
        let of = new.spec.resource_type().service_type();
        let Some(service) = services.iter().find(|service| service.service_type == of) else { continue };
        for (key, amount) in new.spec.takes() {
            *takes.entry(key).or_default() += amount;
        }
        let resource = resources::insert(work, actor, service, new).await?;
        job.steps.push(Step::new(Action::EnsureResource, resource.id));
        ids.push(resource.id);
    }
    let takes: Vec<_> = takes.into_iter().collect();
    job.reserved.extend(quotas::charge(work, subscription, &job.account.path, &takes).await?);
    Ok(ids)
}

pub(super) fn check_resources(at: usize, terms: &PlanTerms, new_resources: &[NewResource]) -> Result<()> {
    let mut faults = Vec::new();
    for (n, new) in new_resources.iter().enumerate() {
        let of = new.spec.resource_type().service_type();
        if !terms.services.iter().any(|service| service.service_type == of) {
            let detail = format!("the plan gives no {of} service to put it in");
            faults.push(Fault::at(format!("/items/{at}/resources/{n}/type"), "not_in_plan", detail));
        }
        let has_domain = |domain: &str| {
            let is =
                |spec: &ResourceSpec| spec.resource_type() == ResourceType::Domain && spec.name() == domain;
            new_resources.iter().any(|other| is(&other.spec))
        };
        if new.spec.domain_of_address().is_some_and(|domain| !has_domain(domain)) {
            let detail = "its domain must be among the order's resources";
            faults.push(Fault::at(
                format!("/items/{at}/resources/{n}/spec/address"),
                "no_such_domain",
                detail,
            ));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
}
