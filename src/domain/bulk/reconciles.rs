//! What a billing system believes of subscriptions, compared with what is. Nothing is changed by that; the repairs are
//! requests, which a batch sends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::accounts::accounts::open;
use crate::domain::{Error, Object, Result, Work};
use crate::model::bulk::{
    Believed, BelievedStatus, Counts, Difference, DifferenceKind, Ours, Progress, ReconcileRun,
    ReconcileRunView, ReconcileStatus,
};
use crate::model::commerce::subscriptions::Subscription;
use crate::model::events::events::EventType;
use crate::model::ids::{AccountId, ReconcileRunId, SubscriptionId};
use crate::model::{Actor, Json, Path, Subtree};
use crate::store;
use crate::store::Conn;

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
    let account = open(work, account.unwrap_or(actor.subject_id)).await?;
    let under_way = store::bulk::reconciles::under_way(&mut work.tx, account.id).await?;
    if under_way >= UNDER_WAY {
        return Err(Error::State {
            current: format!("waiting for {under_way} runs of the account"),
            action: "A further run",
            allowed: Vec::new(),
        });
    }
    let run = ReconcileRun {
        id: ReconcileRunId::new(),
        account_id: account.id,
        path: account.path,
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

async fn find(work: &mut Work, id: ReconcileRunId) -> Result<ReconcileRun> {
    let found = store::bulk::reconciles::find(&mut work.tx, id).await?;
    found.ok_or(Error::NotFound("reconcile run"))
}

/// Keeps what is believed of some subscriptions. Of two rows of one name the later one is kept.
pub async fn add_rows(work: &mut Work, id: ReconcileRunId, rows: &[Believed]) -> Result<ReconcileRun> {
    let run = find(work, id).await?;
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
pub async fn compare(work: &mut Work, id: ReconcileRunId) -> Result<ReconcileRun> {
    let run = find(work, id).await?;
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

/// The differences of the kinds that have a repair, of a run that was compared lately.
pub async fn repairs(
    conn: &mut Conn,
    actor: &Actor,
    id: ReconcileRunId,
    kinds: &BTreeSet<DifferenceKind>,
) -> Result<(ReconcileRun, Vec<Difference>)> {
    let found = store::bulk::reconciles::find(conn, id).await?;
    let run = found.ok_or(Error::NotFound("reconcile run"))?;
    let action = "A repair";
    let Some(compared_at) = run.compared_at else {
        return Err(Error::State { current: run.status.to_string(), action, allowed: vec!["compare"] });
    };
    if compared_at.plus(VALID) <= actor.now {
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
    Ok((run, repairs))
}

/// Takes a comparison a little further; the run as it is then, or nothing if the worker has it no more.
pub async fn go_on(work: &mut Work, run: &ReconcileRun, lease_seconds: i64) -> Result<Option<ReconcileRun>> {
    let place = store::places::place(&mut work.tx, &run.account_id.to_string()).await?;
    let run = &ReconcileRun { path: place.ok_or(Error::AccountNotFound)?, ..run.clone() };
    let everything = work.tx.turn(Subtree::of(&run.path)).await?;
    let mut found = Comparison { run, counts: run.counts.0, differences: Vec::new() };
    let (progress, is_done) = match &run.progress.0 {
        Progress::Rows(after) => (found.rows(work, after).await?, false),
        Progress::Subscriptions(after) => (found.subscriptions(work, after.as_ref()).await?, false),
        Progress::Tidying => {
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
    work.tx.turn(everything).await?;
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
    async fn rows(&mut self, work: &mut Work, after: &str) -> Result<Progress> {
        let rows = store::bulk::reconciles::rows_after(&mut work.tx, self.run.id, after, PAGE).await?;
        let Some(last) = rows.last() else { return Ok(Progress::Subscriptions(None)) };
        let progress = Progress::Rows(last.subscription.clone());
        let names = rows.iter().map(|row| row.subscription.as_str()).collect();
        // A name that many have is ambiguous from the second on.
        let found = store::commerce::subscriptions::called(&mut work.tx, &names, 4 * PAGE).await?;
        let ids: Vec<_> = found.iter().map(|subscription| subscription.id).collect();
        let held =
            store::bulk::reconciles::held_for_payment(&mut work.tx, self.run.principal_id, &ids).await?;
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
                [ours] => {
                    known.push((row.subscription.clone(), ours.id));
                    self.row(row, ours, held.contains(&ours.id.to_string()));
                }
                _ => {
                    self.differs(difference(DifferenceKind::Ambiguous, row, None));
                }
            }
        }
        store::bulk::reconciles::note_found(&mut work.tx, self.run.id, &known).await?;
        Ok(progress)
    }

    fn row(&mut self, row: Believed, ours: &Subscription, held: bool) {
        let differs = row.differs(ours, held);
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
        after: Option<&(Path, SubscriptionId)>,
    ) -> Result<Progress> {
        // Of an account that has moved since, all are gone through again.
        let after = after.filter(|(path, _)| self.run.path.covers(path));
        let page = store::commerce::subscriptions::page(&mut work.tx, after, PAGE).await?;
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
