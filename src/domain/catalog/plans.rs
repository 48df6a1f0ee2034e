//! Making plans and putting them on sale.

use std::collections::{BTreeMap, BTreeSet};

use super::price_lists::uncapped;
use crate::domain::accounts::accounts::open;
use crate::domain::{Error, Fault, Object, Result, Work, check_version};
use crate::model::catalog::components::{Billing, Component};
use crate::model::catalog::plans::{Plan, PlanStatus, PlanTerms};
use crate::model::commerce::subscriptions::Subscription;
use crate::model::events::events::EventType;
use crate::model::ids::PlanId;
use crate::model::quotas::QuotaKey;
use crate::model::{Actor, Json, Precondition, Subtree};
use crate::store;
use crate::store::Conn;
use crate::store::versions::Versioned;

/// A new plan as it was asked for.
#[derive(Debug, Clone)]
pub struct Draft {
    pub code: String,
    pub name: String,
    pub status: PlanStatus,
    pub terms: PlanTerms,
    pub metadata: BTreeMap<String, String>,
}

/// Makes a plan in its first version.
pub async fn create(work: &mut Work, actor: &Actor, draft: Draft) -> Result<Plan> {
    check_terms(work, actor, &draft.terms, "/terms").await?;
    let account = open(work, actor.subject_id).await?;
    let plan = Plan {
        id: PlanId::new(),
        account_id: account.id,
        path: account.path.clone(),
        code: draft.code,
        name: draft.name,
        status: draft.status,
        current: 1,
        metadata: Json(draft.metadata),
        version: 1,
        created_at: work.now,
        updated_at: work.now,
        terms: Json(draft.terms),
    };
    if !store::catalog::plans::insert(&mut work.tx, &plan).await? {
        return Err(Error::NameTaken { kind: "A plan with the code", name: plan.code });
    }
    let view = plan.clone().seen_by(&plan.path);
    work.event(EventType::PlanCreated, (account.id, &account.path), "plan", Object::new(plan.id, 1, &view));
    Ok(plan)
}

async fn check_terms(work: &mut Work, actor: &Actor, terms: &PlanTerms, at: &str) -> Result<()> {
    let known = store::catalog::servers::find_any_virtual(&mut work.tx, terms.virtual_server_id).await?;
    let reachable = known
        .filter(|server| actor.subject_path.covers(&server.path) || server.path.covers(&actor.subject_path));
    let Some(server) = reachable else {
        return Err(Error::invalid(
            format!("{at}/virtual_server_id"),
            "not_found",
            "there is no such virtual server here",
        ));
    };
    let mut faults = Vec::new();
    let mut types = BTreeSet::new();
    for (n, service) in terms.services.iter().enumerate() {
        if !types.insert(service.service_type) {
            let detail = format!("{} is in the plan twice", service.service_type);
            faults.push(Fault::at(format!("{at}/services/{n}/type"), "duplicate", detail));
        }
        if !server.placement.iter().any(|place| place.service_type == service.service_type) {
            let detail = format!("the virtual server places no {}", service.service_type);
            faults.push(Fault::at(format!("{at}/services/{n}/type"), "not_placed", detail));
        }
    }
    let usable: BTreeSet<_> = types.iter().flat_map(|service_type| service_type.quota_keys()).collect();
    let mut keys = BTreeSet::new();
    for (n, quota) in terms.quotas.iter().enumerate() {
        if !keys.insert(quota.key) {
            faults.push(Fault::at(format!("{at}/quotas/{n}/key"), "duplicate", "is in the plan twice"));
        }
        if !usable.contains(&quota.key) {
            let detail = "no service of the plan takes from it";
            faults.push(Fault::at(format!("{at}/quotas/{n}/key"), "not_used", detail));
        }
    }
    faults.extend(misplaced(&terms.components, &usable, at));
    if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
}

/// What is wrong with what a plan or add-on charges.
pub(super) fn misplaced(components: &[Component], usable: &BTreeSet<QuotaKey>, at: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut codes = BTreeSet::new();
    for (n, component) in components.iter().enumerate() {
        let mut fault = |member: &str, code, detail: &str| {
            faults.push(Fault::at(format!("{at}/components/{n}/{member}"), code, detail));
        };
        if !codes.insert(&component.code) {
            fault("code", "duplicate", "is there twice");
        }
        match (component.billing, component.measures) {
            (Billing::Usage, None) => {
                fault("measures", "missing", "says what is measured, where usage is charged")
            }
            (Billing::Usage, Some(key)) if !usable.contains(&key) => {
                fault("measures", "not_used", "no service of the plan takes from it");
            }
            (Billing::Usage, Some(_)) => {}
            (_, Some(_)) => fault("measures", "not_applicable", "is for what is charged by usage alone"),
            (_, None) if component.per != 1 => {
                fault("per", "not_applicable", "is for what is charged by usage alone");
            }
            (_, None) => {}
        }
    }
    faults
}

/// The terms that a subscription runs on. After a move they can be those of a plan that its account does not reach any more.
pub(in crate::domain) async fn terms_of(conn: &mut Conn, subscription: &Subscription) -> Result<PlanTerms> {
    let own = conn.turn(Subtree::everything()).await?;
    let (plan, version) = (subscription.plan_id, subscription.plan_version);
    let terms = store::catalog::plans::terms(conn, plan, version).await;
    conn.turn(own).await?;
    terms?.ok_or(Error::NotFound("plan"))
}

async fn find(work: &mut Work, id: PlanId, expected: &Precondition) -> Result<Plan> {
    let plan = store::catalog::plans::find(&mut work.tx, id).await?.ok_or(Error::NotFound("plan"))?;
    check_version(work, Versioned::Plan, id, plan.version, expected).await?;
    Ok(plan)
}

/// Gives the plan new terms: orders from now on get them, running subscriptions keep theirs.
pub async fn add_version(
    work: &mut Work,
    actor: &Actor,
    id: PlanId,
    terms: PlanTerms,
    expected: &Precondition,
) -> Result<Plan> {
    uncapped(actor)?;
    let mut plan = find(work, id, expected).await?;
    if plan.status == PlanStatus::Archived {
        return Err(state(&plan, "A new version"));
    }
    check_terms(work, actor, &terms, "").await?;
    plan.current += 1;
    plan.terms = Json(terms);
    let status = plan.status;
    save(work, plan, status, true).await
}

/// Puts the plan on sale, takes it off for a while, or for good.
pub async fn set_status(
    work: &mut Work,
    id: PlanId,
    status: PlanStatus,
    expected: &Precondition,
) -> Result<Plan> {
    let plan = find(work, id, expected).await?;
    if plan.status == status {
        return Ok(plan);
    }
    if plan.status == PlanStatus::Archived {
        return Err(state(&plan, "Any change"));
    }
    save(work, plan, status, false).await
}

fn state(plan: &Plan, action: &'static str) -> Error {
    Error::State { current: plan.status.to_string(), action, allowed: Vec::new() }
}

async fn save(work: &mut Work, mut plan: Plan, status: PlanStatus, new_version: bool) -> Result<Plan> {
    if !store::catalog::plans::update(&mut work.tx, &plan, status, work.now).await? {
        return Err(Error::Busy);
    }
    if new_version {
        store::catalog::plans::insert_version(&mut work.tx, &plan, work.now).await?;
    }
    plan.status = status;
    plan.version += 1;
    plan.updated_at = work.now;
    let view = plan.clone().seen_by(&plan.path);
    work.event(
        EventType::PlanUpdated,
        (plan.account_id, &plan.path),
        "plan",
        Object::new(plan.id, plan.version, &view),
    );
    Ok(plan)
}
