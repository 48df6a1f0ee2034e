//! What a billing system believes of subscriptions, compared with what is. Nothing is changed by that; the repairs are
//! requests, which a batch sends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::batches::{check_reach, not_theirs};
use crate::domain::accounts::accounts::open;
use crate::domain::{Error, Object, Result, Work};
use crate::model::bulk::{
    Believed, BelievedStatus, Counts, Difference, DifferenceKind, Ours, Progress, ReconcileRun,
    ReconcileRunView, ReconcileStatus, Unpaid,
};
use crate::model::commerce::subscriptions::Subscription;
use crate::model::events::events::EventType;
use crate::model::ids::{AccountId, ReconcileRunId, SubscriptionId};
use crate::model::{Actor, Json, Path, Subtree, Time};
use crate::store;
use crate::store::Conn;
use crate::store::versions::{self, Versioned};

/// How many rows a run can have.
const LARGEST: i64 = 200_000;
/// How many runs of one account may be open or on their way.
const UNDER_WAY: i64 = 5;
/// For how long what was compared can be acted on.
const VALID: Duration = Duration::from_secs(60 * 60);
/// How many repairs one batch has at most.
const REPAIRS: i64 = 10_000;
/// How many rows or subscriptions are looked at in one transaction.
const PAGE: i64 = 500;

/// Begins a run, of the subscriptions at and below an account; the caller's if none is named.
pub async fn create(work: &mut Work, actor: &Actor, account: Option<AccountId>) -> Result<ReconcileRun> {
    check_reach(actor)?;
    let compared = open(work, account.unwrap_or(actor.subject_id)).await?;
    let under_way = store::bulk::reconciles::under_way(&mut work.tx, actor.subject_id).await?;
    if under_way >= UNDER_WAY {
        return Err(Error::State {
            current: format!("waiting for {under_way} runs of the account"),
            action: "A further run",
            allowed: Vec::new(),
        });
    }
    let run = ReconcileRun {
        id: ReconcileRunId::new(),
        account_id: actor.subject_id,
        path: actor.subject_path.clone(),
        compared_id: compared.id,
        principal_id: actor.principal_id,
        status: ReconcileStatus::Open,
        row_count: 0,
        counts: Json(Counts::default()),
        progress: Json(Progress::Rows(String::new())),
        fence: 0,
        version: 1,
        created_at: work.now,
        compared_at: None,
        updated_at: work.now,
    };
    store::bulk::reconciles::insert(&mut work.tx, &run).await?;
    Ok(run)
}

/// The run, which nobody else changes until the transaction ends: one of the caller's own account.
async fn locked(
    work: &mut Work,
    actor: &Actor,
    id: ReconcileRunId,
    action: &'static str,
) -> Result<ReconcileRun> {
    versions::lock(&mut work.tx, Versioned::ReconcileRun, &id.to_string()).await?;
    let found = store::bulk::reconciles::find(&mut work.tx, id).await?;
    let run = found.ok_or(Error::NotFound("reconcile run"))?;
    check_own(actor, &run, action)?;
    Ok(run)
}

/// What another account believes is not for this one to say, nor to act on.
fn check_own(actor: &Actor, run: &ReconcileRun, action: &'static str) -> Result<()> {
    match run.principal_id == actor.principal_id {
        true => Ok(()),
        false => Err(not_theirs(action)),
    }
}

/// Keeps what is believed of some subscriptions. Of two rows of one name the later one is kept.
pub async fn add_rows(
    work: &mut Work,
    actor: &Actor,
    id: ReconcileRunId,
    rows: &[Believed],
) -> Result<ReconcileRun> {
    let run = locked(work, actor, id, "Adding rows").await?;
    if run.status != ReconcileStatus::Open {
        let (current, action) = (run.status.to_string(), "Adding rows");
        return Err(Error::State { current, action, allowed: Vec::new() });
    }
    // One statement does not write a row twice.
    let last: BTreeMap<_, _> = rows.iter().map(|row| (&row.subscription, row)).collect();
    let rows: Vec<_> = last.into_values().collect();
    let added = store::bulk::reconciles::add_rows(&mut work.tx, &run, &rows).await?;
    let count = run.row_count + added;
    if count > LARGEST {
        let detail =
            format!("the run would have more than {LARGEST} rows; begin one for each part of the tree");
        return Err(Error::invalid("/rows", "too_many", detail));
    }
    turned(work, run, count, ReconcileStatus::Open).await
}

/// Has the rows compared with what is.
pub async fn compare(work: &mut Work, actor: &Actor, id: ReconcileRunId) -> Result<ReconcileRun> {
    let run = locked(work, actor, id, "A comparison").await?;
    match run.status {
        ReconcileStatus::Comparing | ReconcileStatus::Compared => Ok(run),
        ReconcileStatus::Open => {
            let count = run.row_count;
            turned(work, run, count, ReconcileStatus::Comparing).await
        }
    }
}

async fn turned(
    work: &mut Work,
    run: ReconcileRun,
    row_count: i64,
    status: ReconcileStatus,
) -> Result<ReconcileRun> {
    if !store::bulk::reconciles::turn(&mut work.tx, &run, row_count, status, work.now).await? {
        return Err(Error::Busy);
    }
    Ok(ReconcileRun { row_count, status, version: run.version + 1, updated_at: work.now, ..run })
}

/// The differences of the kinds that have a repair, of a run that was compared lately, and until when they are good.
pub async fn repairs(
    conn: &mut Conn,
    actor: &Actor,
    id: ReconcileRunId,
    kinds: &BTreeSet<DifferenceKind>,
) -> Result<(ReconcileRun, Vec<Difference>, Time)> {
    let found = store::bulk::reconciles::find(conn, id).await?;
    let run = found.ok_or(Error::NotFound("reconcile run"))?;
    let action = "A repair";
    check_own(actor, &run, action)?;
    let Some(compared_at) = run.compared_at else {
        return Err(Error::State { current: run.status.to_string(), action, allowed: vec!["compare"] });
    };
    let good_until = compared_at.plus(VALID);
    if good_until <= actor.now {
        let current = "compared more than an hour ago".into();
        return Err(Error::State { current, action, allowed: Vec::new() });
    }
    let mut repairs = Vec::new();
    for kind in kinds {
        let mut after = -1;
        loop {
            let page = store::bulk::reconciles::differences(conn, id, Some(*kind), after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.place;
            repairs.extend(page.into_iter().filter(|difference| difference.repair.is_some()));
            if repairs.len() as i64 > REPAIRS {
                let detail = format!("these are more than {REPAIRS} repairs: take fewer kinds at once");
                return Err(Error::invalid("/kinds", "too_many", detail));
            }
        }
    }
    // As they were found: of one subscription its plan before its quantity.
    repairs.sort_by_key(|difference| difference.place);
    Ok((run, repairs, good_until))
}

/// Takes a comparison a little further; the run as it is then, or nothing if the worker has it no more.
pub async fn go_on(work: &mut Work, run: &ReconcileRun, lease_seconds: i64) -> Result<Option<ReconcileRun>> {
    let place = store::places::place(&mut work.tx, &run.compared_id.to_string()).await?;
    // Of an account that has moved away nothing more is told.
    let place = place.filter(|place| run.path.covers(place));
    let mut found = Comparison { run, counts: run.counts.0, differences: Vec::new() };
    let (progress, is_done) = match (&run.progress.0, &place) {
        (Progress::Rows(after), Some(place)) => (found.rows(work, place, after).await?, false),
        (Progress::Subscriptions(after), Some(place)) => {
            (found.subscriptions(work, place, after.as_ref()).await?, false)
        }
        (Progress::Tidying, _) | (_, None) => {
            let dropped = store::bulk::reconciles::drop_rows(&mut work.tx, run.id, PAGE).await?;
            (Progress::Tidying, dropped == 0)
        }
    };
    let Comparison { counts, differences, .. } = found;
    if !differences.is_empty() {
        store::bulk::reconciles::add_differences(&mut work.tx, run, &differences).await?;
    }
    let lease = (!is_done).then_some(lease_seconds);
    let advanced =
        store::bulk::reconciles::advance(&mut work.tx, run, &counts, &progress, lease, work.now).await?;
    if let Some(run) = advanced.as_ref().filter(|_| is_done) {
        let object = Object::new(run.id, run.version, &ReconcileRunView::from(run.clone()));
        work.event(EventType::ReconcileRunCompared, (run.account_id, &run.path), "reconcile_run", object);
    }
    Ok(advanced)
}

/// A part of a comparison.
struct Comparison<'a> {
    run: &'a ReconcileRun,
    counts: Counts,
    differences: Vec<Difference>,
}

impl Comparison<'_> {
    fn differs(&mut self, difference: Difference) {
        let place = self.counts.differences();
        self.counts.add(difference.kind);
        self.differences.push(Difference { place, ..difference });
    }

    /// Looks at the next rows.
    async fn rows(&mut self, work: &mut Work, place: &Path, after: &str) -> Result<Progress> {
        let rows = store::bulk::reconciles::rows_after(&mut work.tx, self.run.id, after, PAGE).await?;
        let Some(last) = rows.last() else { return Ok(Progress::Subscriptions(None)) };
        let progress = Progress::Rows(last.subscription.clone());
        let names = rows.iter().map(|row| row.subscription.as_str()).collect();
        let everything = work.tx.turn(Subtree::of(place)).await?;
        let found = store::commerce::subscriptions::called(&mut work.tx, &names).await?;
        work.tx.turn(everything).await?;
        let ids: Vec<_> = found.iter().map(|subscription| subscription.id).collect();
        let mut named = store::bulk::reconciles::listed(&mut work.tx, self.run.id, &ids).await?;
        let holds = Holds::on(work, self.run.principal_id, &found).await?;
        let mut known = Vec::new();
        for row in rows {
            let called = |of: &&Subscription| {
                of.external_id.as_ref() == Some(&row.subscription) || of.id.to_string() == row.subscription
            };
            let mut called: Vec<_> = found.iter().filter(called).collect();
            // What has ended gives its name free.
            if called.len() > 1 && called.iter().filter(|of| of.runs()).count() == 1 {
                called.retain(|of| of.runs());
            }
            match called[..] {
                [] if row.status == BelievedStatus::Ended => self.counts.equal += 1,
                [] => self.differs(difference(DifferenceKind::Unknown, row, None)),
                // Of one subscription two rows say two things.
                [ours] if !named.insert(ours.id.to_string()) => {
                    self.differs(difference(DifferenceKind::Ambiguous, row, Some(ours)));
                }
                [ours] => {
                    known.push((row.subscription.clone(), ours.id));
                    self.row(row, ours, holds.of(ours));
                }
                _ => self.differs(difference(DifferenceKind::Ambiguous, row, None)),
            }
        }
        store::bulk::reconciles::note_found(&mut work.tx, self.run.id, &known).await?;
        Ok(progress)
    }

    fn row(&mut self, row: Believed, ours: &Subscription, unpaid: Unpaid) {
        let differs = row.differs(ours, unpaid);
        if differs.is_empty() {
            self.counts.equal += 1;
        }
        for one in differs {
            let difference = difference(one.kind, row.clone(), Some(ours));
            self.differs(Difference { repair: one.repair.map(Json), ..difference });
        }
    }

    /// Looks at the next subscriptions for those of which there was no row.
    async fn subscriptions(
        &mut self,
        work: &mut Work,
        place: &Path,
        after: Option<&(Path, SubscriptionId)>,
    ) -> Result<Progress> {
        let begun = after.filter(|(path, _)| place.covers(path));
        if after.is_some() && begun.is_none() {
            // The account has moved since: all are gone through again.
            let kind = DifferenceKind::NotListed;
            store::bulk::reconciles::drop_differences(&mut work.tx, self.run.id, kind).await?;
            self.counts.not_listed = 0;
        }
        let everything = work.tx.turn(Subtree::of(place)).await?;
        let page = store::commerce::subscriptions::page(&mut work.tx, begun, PAGE).await?;
        work.tx.turn(everything).await?;
        let Some(last) = page.last() else { return Ok(Progress::Tidying) };
        let progress = Progress::Subscriptions(Some((last.path.clone(), last.id)));
        let ids: Vec<_> = page.iter().map(|subscription| subscription.id).collect();
        let listed = store::bulk::reconciles::listed(&mut work.tx, self.run.id, &ids).await?;
        for ours in page.iter().filter(|of| of.runs() && !listed.contains(&of.id.to_string())) {
            self.differs(Difference {
                place: 0,
                kind: DifferenceKind::NotListed,
                name: ours.external_id.clone(),
                subscription_id: Some(ours.id),
                theirs: None,
                ours: Some(Json(Ours::from(ours))),
                repair: None,
            });
        }
        Ok(progress)
    }
}

/// The suspensions for payment of some subscriptions and of the accounts they are of and below.
struct Holds {
    by: AccountId,
    found: BTreeSet<(String, AccountId)>,
}

impl Holds {
    async fn on(work: &mut Work, by: AccountId, subscriptions: &[Subscription]) -> Result<Self> {
        let targets = |of: &Subscription| {
            store::services::holds::targets_above(&of.path).into_iter().chain([of.id.to_string()])
        };
        let targets = subscriptions.iter().flat_map(targets).collect();
        let found = store::bulk::reconciles::payment_holds(&mut work.tx, &targets).await?;
        Ok(Self { by, found: found.into_iter().collect() })
    }

    fn of(&self, subscription: &Subscription) -> Unpaid {
        let own = |target: String| self.found.contains(&(target, self.by));
        let id = subscription.id.to_string();
        Unpaid {
            own: own(id.clone()),
            own_above: store::services::holds::targets_above(&subscription.path).into_iter().any(own),
            others: self.found.iter().any(|(target, by)| *target == id && *by != self.by),
        }
    }
}

fn difference(kind: DifferenceKind, row: Believed, ours: Option<&Subscription>) -> Difference {
    Difference {
        place: 0,
        kind,
        name: Some(row.subscription.clone()),
        subscription_id: ours.map(|ours| ours.id),
        theirs: Some(Json(row)),
        ours: ours.map(|ours| Json(Ours::from(ours))),
        repair: None,
    }
}
