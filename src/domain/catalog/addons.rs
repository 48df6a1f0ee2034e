//! Making add-ons and putting them on sale.

use std::collections::{BTreeMap, BTreeSet};

use super::plans::misplaced;
use super::price_lists::uncapped;
use crate::domain::accounts::accounts::open;
use crate::domain::{Error, Fault, Object, Result, Work, check_version};
use crate::model::catalog::addons::{Addon, AddonTerms};
use crate::model::catalog::components::Billing;
use crate::model::catalog::plans::PlanStatus;
use crate::model::events::events::EventType;
use crate::model::ids::AddonId;
use crate::model::quotas::QuotaKey;
use crate::model::{Actor, Json, Precondition};
use crate::store;
use crate::store::versions::Versioned;

/// A new add-on as it was asked for.
#[derive(Debug, Clone)]
pub struct Draft {
    pub code: String,
    pub name: String,
    pub status: PlanStatus,
    pub terms: AddonTerms,
    pub metadata: BTreeMap<String, String>,
}

/// Makes an add-on for the account acted for and all below it.
pub async fn create(work: &mut Work, actor: &Actor, draft: Draft) -> Result<Addon> {
    uncapped(actor)?;
    let account = open(work, actor.subject_id).await?;
    check_terms(work, actor, &draft.terms).await?;
    let addon = Addon {
        id: AddonId::new(),
        account_id: account.id,
        path: account.path,
        code: draft.code,
        name: draft.name,
        status: draft.status,
        terms: Json(draft.terms),
        metadata: Json(draft.metadata),
        version: 1,
        created_at: work.now,
        updated_at: work.now,
    };
    if !store::catalog::addons::insert(&mut work.tx, &addon).await? {
        return Err(Error::NameTaken { kind: "An add-on with the code", name: addon.code });
    }
    tell(work, EventType::AddonCreated, &addon);
    Ok(addon)
}

/// What is to change of an add-on; what is none stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub name: Option<String>,
    pub status: Option<PlanStatus>,
    pub terms: Option<AddonTerms>,
    pub metadata: Option<BTreeMap<String, String>>,
}

/// Changes an add-on for orders from now on: subscriptions that have it keep what they ordered.
pub async fn change(
    work: &mut Work,
    actor: &Actor,
    id: AddonId,
    change: Change,
    expected: &Precondition,
) -> Result<Addon> {
    uncapped(actor)?;
    let found = store::catalog::addons::find(&mut work.tx, id).await?.ok_or(Error::NotFound("add-on"))?;
    check_version(work, Versioned::Addon, id, found.version, expected).await?;
    if let Some(terms) = &change.terms {
        check_terms(work, actor, terms).await?;
    }
    let addon = Addon {
        name: change.name.unwrap_or(found.name.clone()),
        status: change.status.unwrap_or(found.status),
        terms: change.terms.map_or(found.terms.clone(), Json),
        metadata: change.metadata.map_or(found.metadata.clone(), Json),
        ..found.clone()
    };
    if addon == found {
        return Ok(found);
    }
    if found.status == PlanStatus::Archived {
        let current = found.status.to_string();
        return Err(Error::State { current, action: "Any change", allowed: Vec::new() });
    }
    if !store::catalog::addons::update(&mut work.tx, &addon, work.now).await? {
        return Err(Error::Busy);
    }
    let addon = Addon { version: addon.version + 1, updated_at: work.now, ..addon };
    tell(work, EventType::AddonUpdated, &addon);
    Ok(addon)
}

async fn check_terms(work: &mut Work, actor: &Actor, terms: &AddonTerms) -> Result<()> {
    let mut faults = Vec::new();
    let mut keys = BTreeSet::new();
    for (n, quota) in terms.quotas.iter().enumerate() {
        if !keys.insert(quota.key) {
            faults.push(Fault::at(format!("/terms/quotas/{n}/key"), "duplicate", "is in the add-on twice"));
        }
    }
    let measured: BTreeSet<_> = QuotaKey::ALL.iter().copied().collect();
    faults.extend(misplaced(&terms.components, &measured, "/terms"));
    for (n, component) in terms.components.iter().enumerate() {
        if component.billing == Billing::Usage {
            let detail = "use is charged by the plan";
            faults.push(Fault::at(format!("/terms/components/{n}/billing"), "not_applicable", detail));
        }
    }
    for (n, plan) in terms.plan_ids.iter().enumerate() {
        let own = store::catalog::plans::find(&mut work.tx, *plan).await?.is_some();
        let above = async |work: &mut Work| {
            let id = plan.to_string();
            store::catalog::plans::offered(&mut work.tx, &actor.subject_path, &id, None).await
        };
        if !own && above(work).await?.is_none() {
            let detail = "there is no such plan here";
            faults.push(Fault::at(format!("/terms/plan_ids/{n}"), "not_found", detail));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
}

fn tell(work: &mut Work, event_type: EventType, addon: &Addon) {
    let view = addon.clone().seen_by(&addon.path);
    let object = Object::new(addon.id, addon.version, &view);
    work.event(event_type, (addon.account_id, &addon.path), "addon", object);
}
