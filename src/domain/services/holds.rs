//! Suspending and resuming: placing holds and lifting them.

use super::operations::{self, NewOperation};
use crate::domain::{Error, Object, Result, Work};
use crate::model::accounts::accounts::AccountType;
use crate::model::events::events::EventType;
use crate::model::ids::{AccountId, HoldId, OperationId, ServiceId, SubscriptionId};
use crate::model::scopes::Scope;
use crate::model::services::holds::{Effect, Hold, HoldScope, HoldStatus, ReasonClass, TargetType};
use crate::model::services::operations::{Action, Lane, OperationKind, Step, Task};
use crate::model::services::{Access, services::Lifecycle};
use crate::model::{Actor, Path, Time};
use crate::store;
use crate::store::Conn;

/// What a hold is to be on.
#[derive(Debug, Clone, Copy)]
pub enum On {
    Account(AccountId),
    Subscription(SubscriptionId),
    Service(ServiceId),
}

/// The thing held, as it was found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) target_type: TargetType,
    pub(super) id: String,
    account_id: AccountId,
    path: Path,
    /// What holds on it itself are found by, and what it itself and all that is above it.
    pub(super) own: Vec<String>,
    pub(super) targets: Vec<String>,
    service: Option<ServiceId>,
}

pub(super) async fn find(conn: &mut Conn, on: On) -> Result<Found> {
    let (target_type, id, account_id, path, mut targets, service) = match on {
        On::Account(id) => {
            let account = store::accounts::accounts::find(conn, id).await?.ok_or(Error::AccountNotFound)?;
            (TargetType::Account, id.to_string(), id, account.path, vec![id.to_string()], None)
        }
        On::Subscription(id) => {
            let found = store::commerce::subscriptions::find(conn, id)
                .await?
                .ok_or(Error::NotFound("subscription"))?;
            let own = vec![id.to_string()];
            (TargetType::Subscription, id.to_string(), found.account_id, found.path, own, None)
        }
        On::Service(id) => {
            let found = store::services::services::find(conn, id).await?.ok_or(Error::NotFound("service"))?;
            if matches!(found.lifecycle, Lifecycle::Purging | Lifecycle::Purged) {
                return Err(Error::State {
                    current: found.lifecycle.to_string(),
                    action: "A hold",
                    allowed: Vec::new(),
                });
            }
            let own = vec![id.to_string(), found.subscription_id.to_string()];
            (TargetType::Service, id.to_string(), found.account_id, found.path, own, Some(id))
        }
    };
    let own = match on {
        On::Account(_) => vec![path.to_string(), id.clone()],
        On::Subscription(_) | On::Service(_) => vec![id.clone()],
    };
    targets.extend(store::services::holds::targets_above(&path));
    Ok(Found { target_type, id, account_id, path, own, targets, service })
}

/// A hold as it was asked for.
#[derive(Debug, Clone)]
pub struct Placing {
    pub effect: Effect,
    pub scope: HoldScope,
    /// A reason class, or a word of the caller's own after the class and a dot: `payment.card_failed`.
    pub reason_code: String,
    pub reason: Option<String>,
    pub starts_at: Option<Time>,
    pub expires_at: Option<Time>,
}

/// What placing or lifting came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub target_type: TargetType,
    pub target_id: String,
    /// Whether any hold was placed or lifted by this call.
    pub changed: bool,
    pub access: Access,
    /// The work that brings the new access about; none when it is as it was.
    pub operation_id: Option<OperationId>,
    /// The holds placed or lifted, or, for an equal one, the one that was there.
    pub holds: Vec<Hold>,
    /// All that is in force on the target and above it now.
    pub remaining: Vec<Hold>,
}

/// The class that a reason code belongs to.
pub fn class_of(reason_code: &str) -> Result<ReasonClass> {
    let class = reason_code.split('.').next().unwrap_or_default();
    let placed = class.parse().ok().filter(|class| ReasonClass::PLACED.contains(class));
    placed.ok_or_else(|| {
        let known: Vec<_> = ReasonClass::PLACED.iter().map(|class| class.as_str()).collect();
        let detail =
            format!("must be one of {}, or one of them, a dot and a word of your own", known.join(", "));
        Error::invalid("/reason_code", "unknown_reason", detail)
    })
}

fn allowed(actor: &Actor, class: ReasonClass) -> Result<()> {
    match actor.hold_classes.contains(&class) {
        true => Ok(()),
        false => {
            let known: Vec<_> = actor.hold_classes.iter().map(|class| class.as_str()).collect();
            Err(Error::HoldClassDenied(known.join(", ")))
        }
    }
}

fn strongest(holds: &[Hold]) -> Access {
    holds.iter().map(|hold| hold.effect.access()).max().unwrap_or(Access::Full)
}

/// What the holds leave of the access of services.
pub(super) fn of_services(holds: &[Hold]) -> Access {
    let reaching = holds.iter().filter(|hold| hold.scope() == HoldScope::All);
    reaching.map(|hold| hold.effect.access()).max().unwrap_or(Access::Full)
}

/// A hold that leaves what an account has alone is on an account, and suspends it.
fn check_scope(on: On, placing: &Placing) -> Result<()> {
    let fits = matches!(on, On::Account(_)) && placing.effect == Effect::Suspend;
    match placing.scope == HoldScope::All || fits {
        true => Ok(()),
        false => {
            let detail = "account_only is for the suspension of an account";
            Err(Error::invalid("/scope", "not_applicable", detail))
        }
    }
}

/// Places a hold, or finds that an equal one is in force.
pub async fn place(
    work: &mut Work,
    actor: &Actor,
    principal_type: AccountType,
    on: On,
    placing: Placing,
) -> Result<Outcome> {
    let class = class_of(&placing.reason_code)?;
    let found = find(&mut work.tx, on).await?;
    allowed(actor, class)?;
    check_scope(on, &placing)?;
    if matches!(on, On::Account(_)) && found.path.depth() == 1 && placing.effect == Effect::Suspend {
        // Its keys could only read then, and nobody stands above it who could lift the hold.
        return Err(Error::State {
            current: "the operator's own account".into(),
            action: "A suspension",
            allowed: Vec::new(),
        });
    }
    let starts_later = placing.starts_at.is_some_and(|starts| starts > work.now);
    let ends_first = placing.starts_at.unwrap_or(work.now);
    if placing.expires_at.is_some_and(|expires| expires <= ends_first) {
        return Err(Error::invalid("/expires_at", "too_early", "must lie ahead, and after starts_at"));
    }
    let before = in_force(work, &found).await?;
    let mut hold = Hold {
        id: HoldId::new(),
        account_id: found.account_id,
        path: found.path.clone(),
        target_type: found.target_type,
        target_id: found.id.clone(),
        target: match placing.scope {
            HoldScope::All => found.own[0].clone(),
            HoldScope::AccountOnly => found.id.clone(),
        },
        status: if starts_later { HoldStatus::Scheduled } else { HoldStatus::Active },
        effect: placing.effect,
        reason_class: class,
        reason_code: placing.reason_code,
        reason: placing.reason,
        placed_by: actor.principal_id,
        placed_by_path: actor.principal_path.clone(),
        placed_by_type: principal_type,
        starts_at: placing.starts_at,
        expires_at: placing.expires_at,
        ended_at: None,
        ended_by: None,
        version: 1,
        created_at: work.now,
        updated_at: work.now,
    };
    let placed = store::services::holds::insert(&mut work.tx, &hold).await?;
    if placed {
        recorded(work, EventType::HoldPlaced, &hold);
    } else {
        let known = store::services::holds::find_equal(
            &mut work.tx,
            &hold.target,
            actor.principal_id,
            class,
            hold.effect,
        );
        hold = known.await?.ok_or(Error::Busy)?;
    }
    let mut remaining = before.clone();
    if placed && !starts_later {
        remaining.push(hold.clone());
    }
    let operation_id = match of_services(&remaining) != of_services(&before) {
        true => Some(bring_about(work, &actor.request_id.to_string(), &found).await?),
        false => None,
    };
    Ok(outcome(found, placed, operation_id, vec![hold], remaining))
}

/// Lifts the caller's own holds on the target, and those placed below the caller, for one reason or for all
/// that its key may lift. What others placed stays and is told.
pub async fn lift(work: &mut Work, actor: &Actor, on: On, reason_code: Option<&str>) -> Result<Outcome> {
    let found = find(&mut work.tx, on).await?;
    let classes = match reason_code {
        Some(code) => {
            let class = class_of(code)?;
            allowed(actor, class)?;
            vec![class]
        }
        None => actor.hold_classes.to_vec(),
    };
    let before = in_force(work, &found).await?;
    let mut scheduled = Vec::new();
    for own in &found.own {
        scheduled.extend(store::services::holds::scheduled(&mut work.tx, own).await?);
    }
    let mine = |hold: &Hold| {
        found.own.contains(&hold.target)
            && classes.contains(&hold.reason_class)
            && (actor.principal_path.covers(&hold.placed_by_path) || actor.has(Scope::HoldsOverride))
    };
    let lifted: Vec<_> = before.iter().chain(&scheduled).filter(|hold| mine(hold)).cloned().collect();
    let mut holds = Vec::new();
    let by = actor.key_id.to_string();
    for hold in lifted {
        holds.extend(end(work, &hold, HoldStatus::Released, Some(&by)).await?);
    }
    let remaining: Vec<_> = before
        .iter()
        .filter(|hold| !holds.iter().any(|lifted: &Hold| lifted.id == hold.id))
        .cloned()
        .collect();
    let operation_id = match of_services(&remaining) != of_services(&before) {
        true => Some(bring_about(work, &actor.request_id.to_string(), &found).await?),
        false => None,
    };
    let changed = !holds.is_empty();
    Ok(outcome(found, changed, operation_id, holds, remaining))
}

/// The holds in force on what was found and on all above it, which nobody changes until the transaction ends: of two calls
/// at once one sees what the other left, so that one of them brings the access about.
pub(super) async fn in_force(work: &mut Work, found: &Found) -> Result<Vec<Hold>> {
    let mut above: Vec<_> = found.targets.iter().filter(|target| **target != found.own[0]).cloned().collect();
    above.sort_by_key(|target| (!target.starts_with('/'), target.len()));
    store::services::holds::lock(&mut work.tx, &above, &found.own[0]).await?;
    Ok(store::services::holds::in_force(&mut work.tx, &found.targets).await?)
}

/// The holds in force on something at the place, by its identifier and those of what it is part of, and on all above it.
pub(super) async fn standing(conn: &mut Conn, mut targets: Vec<String>, place: &Path) -> Result<Vec<Hold>> {
    targets.extend(store::services::holds::targets_above(place));
    Ok(store::services::holds::in_force(conn, &targets).await?)
}

/// Ends a hold and has it recorded; tells it as it is then, or nothing if it had ended before.
pub(in crate::domain) async fn end(
    work: &mut Work,
    hold: &Hold,
    status: HoldStatus,
    by: Option<&str>,
) -> Result<Option<Hold>> {
    if !store::services::holds::end(&mut work.tx, hold.id, status, by, work.now).await? {
        return Ok(None);
    }
    let event = match status {
        HoldStatus::Expired => EventType::HoldExpired,
        _ => EventType::HoldReleased,
    };
    let ended = Hold { status, ended_at: Some(work.now), version: hold.version + 1, ..hold.clone() };
    recorded(work, event, &ended);
    Ok(Some(ended))
}

pub(super) fn recorded(work: &mut Work, event: EventType, hold: &Hold) {
    let view = hold.clone().seen_by(&hold.path);
    let object = Object::new(hold.id, hold.version, &view).because(&hold.reason_code);
    work.event(event, (hold.account_id, &hold.path), "hold", object);
}

fn outcome(
    found: Found,
    changed: bool,
    operation_id: Option<OperationId>,
    holds: Vec<Hold>,
    remaining: Vec<Hold>,
) -> Outcome {
    let access = strongest(&remaining);
    Outcome {
        target_type: found.target_type,
        target_id: found.id,
        changed,
        access,
        operation_id,
        holds,
        remaining,
    }
}

/// Queues the work that makes access what the holds say when it runs.
pub(super) async fn bring_about(work: &mut Work, request_id: &str, found: &Found) -> Result<OperationId> {
    let of = (found.account_id, &found.path);
    let new = match found.service {
        Some(service) => access_of(service, of),
        None => fan_out(found.id.clone(), of),
    };
    Ok(operations::start(work, request_id, new).await?.id)
}

/// What the holds on the account at the place and on all above it leave of the access of its services.
pub async fn access_at(conn: &mut Conn, place: &Path) -> Result<Access> {
    let targets = store::services::holds::targets_above(place);
    Ok(of_services(&store::services::holds::in_force(conn, &targets).await?))
}

/// Queues the work that makes the access of all that is in a target, an account with those below it or a subscription, what
/// the holds say.
pub async fn follow(
    work: &mut Work,
    request_id: &str,
    target: String,
    of: (AccountId, &Path),
) -> Result<OperationId> {
    Ok(operations::start(work, request_id, fan_out(target, of)).await?.id)
}

/// The work that brings about the access of all services that a hold on the target reaches.
fn fan_out(target: String, of: (AccountId, &Path)) -> NewOperation {
    NewOperation {
        steps: vec![Step::new(Action::FanOut, &target)],
        task: Task { target_id: Some(target), ..Task::default() },
        ..NewOperation::of(OperationKind::AccessFanout, of, Lane::Access)
    }
}

/// The work that brings about the access of one service.
pub fn access_of(service: ServiceId, of: (AccountId, &Path)) -> NewOperation {
    NewOperation {
        steps: vec![Step::new(Action::SetAccess, service)],
        service_id: Some(service),
        lock: Some(service.to_string()),
        ..NewOperation::of(OperationKind::ServiceAccess, of, Lane::Access)
    }
}

/// Puts holds in force whose time has come and ends those whose time is over; says how many.
pub async fn turn_the_clock(work: &mut Work, limit: i64) -> Result<usize> {
    let due = store::services::holds::due(&mut work.tx, work.now, limit).await?;
    let mut turned = 0;
    for hold in due {
        let moved = match hold.status {
            HoldStatus::Scheduled => {
                store::services::holds::start(&mut work.tx, hold.id, work.now).await? && {
                    recorded(
                        work,
                        EventType::HoldPlaced,
                        &Hold { status: HoldStatus::Active, ..hold.clone() },
                    );
                    true
                }
            }
            _ => end(work, &hold, HoldStatus::Expired, None).await?.is_some(),
        };
        if moved {
            turned += 1;
            if hold.effect.access() != Access::Full && hold.scope() == HoldScope::All {
                let found = Found {
                    target_type: hold.target_type,
                    id: hold.target_id.clone(),
                    account_id: hold.account_id,
                    path: hold.path.clone(),
                    own: vec![hold.target.clone()],
                    targets: vec![hold.target.clone()],
                    service: hold.target_id.parse().ok(),
                };
                bring_about(work, &hold.id.to_string(), &found).await?;
            }
        }
    }
    Ok(turned)
}

/// Where the account is whose the service, the account or the subscription is.
pub async fn path_of(conn: &mut Conn, on: On) -> Result<Path> {
    Ok(find(conn, on).await?.path)
}
