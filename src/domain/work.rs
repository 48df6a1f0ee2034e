use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::quotas::Charge;
use super::{Error, Result};
use crate::model::events::events::{Cause, EventBody, EventData, EventResource, EventType};
use crate::model::ids::{AccountId, EventId};
use crate::model::services::operations::Lane;
use crate::model::{Actor, Path, Time, canonical};
use crate::store;
use crate::store::Tx;
use crate::store::accounts::accounts::{Count, More};
use crate::store::audit::Line;
use crate::store::events::events::NewEvent;
use crate::store::quotas::quotas::Shift;

/// A transaction on its way, with what is to be recorded when its use-case has done: events and audit
/// lines first, quota last, so that the rows most contended are held shortest.
pub struct Work {
    pub tx: Tx,
    pub now: Time,
    /// Whether it is one of many that were left to be done: what it queues waits for what is not.
    in_bulk: bool,
    cause: Cause,
    events: Vec<NewEvent>,
    pub(super) charges: Vec<Charge>,
    /// Counters that move without being refused: what is committed or given back.
    pub(super) shifts: Vec<Shift>,
}

impl Work {
    /// For a caller's request.
    pub fn of(tx: Tx, actor: &Actor) -> Self {
        let cause = Cause {
            key_id: Some(actor.key_id),
            request_id: Some(actor.request_id.to_string()),
            reason_code: None,
        };
        Self { in_bulk: actor.batch_id.is_some(), ..Self::because(tx, cause, actor.now) }
    }

    /// For the program's own work, on behalf of a request or of the clock.
    pub fn because(tx: Tx, cause: Cause, now: Time) -> Self {
        Self { tx, now, in_bulk: false, cause, events: Vec::new(), charges: Vec::new(), shifts: Vec::new() }
    }

    /// As urgent as what it goes on with, if that is one of many.
    pub fn beside(self, lane: i64) -> Self {
        Self { in_bulk: lane == Lane::Bulk as i64, ..self }
    }

    /// How urgent something is that it queues.
    pub fn lane(&self, own: Lane) -> Lane {
        if self.in_bulk { Lane::Bulk } else { own }
    }

    /// Has an event recorded, of an object as its own endpoint shows it.
    pub fn event(&mut self, event_type: EventType, of: (AccountId, &Path), noun: &str, object: Object<'_>) {
        let mut cause = self.cause.clone();
        cause.reason_code = object.reason_code.map(str::to_owned);
        let body = EventBody {
            resource: EventResource { noun: noun.to_owned(), id: object.id, version: object.version },
            data: EventData { object: object.value, previous: object.previous },
            cause,
        };
        self.events.push(NewEvent {
            id: EventId::new(),
            account_id: of.0,
            path: of.1.clone(),
            sequence: 0,
            event_type,
            about: body.about().map(str::to_owned),
            body,
        });
    }

    /// What an object's change comes to, for the audit: the names of the members that changed, and digests of their
    /// values before and after. Nothing where no former values are known.
    pub fn difference(&self, of: &str, digest: impl Fn(&str) -> String) -> Map<String, Value> {
        let mut told = Map::new();
        let is_it = |event: &&NewEvent| event.body.resource.id == of && event.body.data.previous.is_some();
        let Some(data) = self.events.iter().find(is_it).map(|event| &event.body.data) else { return told };
        let Some(Value::Object(before)) = &data.previous else { return told };
        let differs = |name: &&String| data.object.get(*name) != before.get(*name) && *name != "updated_at";
        let changed: Vec<_> = before.keys().filter(differs).cloned().collect();
        let of = |object: &dyn Fn(&str) -> Value| {
            let values: Map<_, _> = changed.iter().map(|name| (name.clone(), object(name))).collect();
            json!(digest(&canonical(&Value::Object(values))))
        };
        told.insert("before".into(), of(&|name| before.get(name).cloned().unwrap_or_default()));
        told.insert("after".into(), of(&|name| data.object.get(name).cloned().unwrap_or_default()));
        told.insert("changed".into(), json!(changed));
        told
    }

    /// The place in the order of events that the next one will have.
    pub fn place(&self) -> usize {
        self.events.len()
    }

    /// Moves the event recorded last to a place before: what comes of a thing is told after the thing itself.
    pub fn tell_at(&mut self, place: usize) {
        if let Some(last) = self.events.pop() {
            self.events.insert(place.min(self.events.len()), last);
        }
    }

    /// Writes the events, and the audit line if the work is a caller's. Each account's counters are
    /// touched once and in one order, so that two transactions never wait for each other. Events stand where their
    /// accounts do; a caller who began when its account stood elsewhere has to begin again.
    pub async fn record(&mut self, mut audit: Option<Line>) -> Result<()> {
        let mut counts: BTreeMap<AccountId, (i64, Option<String>)> = BTreeMap::new();
        for event in &self.events {
            counts.entry(event.account_id).or_default().0 += 1;
        }
        if let Some(line) = &audit {
            counts.entry(line.account_id).or_default().1 = Some(line.digest());
        }
        let more: Vec<_> = counts
            .iter()
            .map(|(account_id, (events, line))| More {
                account_id: *account_id,
                events: *events,
                line: line.clone(),
            })
            .collect();
        let counted = store::accounts::accounts::count(&mut self.tx, &more).await?;
        let of = |account| counted.iter().find(|count| count.account_id == account).ok_or(Error::Busy);
        if let Some(line) = &mut audit {
            let count = of(line.account_id)?;
            if count.path != line.path {
                return Err(Error::Busy);
            }
            (line.sequence, line.hash) = (count.audit, count.audit_head.clone());
        }
        let ahead = |count: &Count| (count.account_id, count.events - counts[&count.account_id].0);
        let mut last: BTreeMap<_, _> = counted.iter().map(ahead).collect();
        for event in &mut self.events {
            event.path = of(event.account_id)?.path.clone();
            // Identifiers sort as they are made: of one transaction's events, the feed keeps their order.
            event.id = EventId::new();
            if let Some(sequence) = last.get_mut(&event.account_id) {
                *sequence += 1;
                event.sequence = *sequence;
            }
        }
        if !self.events.is_empty() {
            store::events::events::append(&mut self.tx, &self.events, self.now).await?;
            self.events.clear();
        }
        if let Some(line) = &audit {
            store::audit::append(&mut self.tx, line).await?;
        }
        Ok(())
    }

    /// Does something as if it were to stay, with all that it takes, and takes it back: what comes of it, and nothing else.
    pub async fn rehearse<T>(
        &mut self,
        actor: &Actor,
        act: impl AsyncFnOnce(&mut Work) -> Result<T>,
    ) -> Result<T> {
        self.tx.mark().await?;
        let before = (
            std::mem::take(&mut self.events),
            std::mem::take(&mut self.charges),
            std::mem::take(&mut self.shifts),
        );
        let came = async {
            let came = act(self).await?;
            self.settle(Some(actor)).await?;
            // What was to be written later may yet be refused.
            self.tx.flush().await?;
            Ok(came)
        }
        .await;
        (self.events, self.charges, self.shifts) = before;
        if !matches!(came, Err(Error::Store(_))) {
            self.tx.back().await?;
        }
        came
    }

    /// Takes what was charged and gives back what was released, as the last statements before the commit.
    pub async fn settle(&mut self, actor: Option<&Actor>) -> Result<()> {
        super::quotas::settle(self, actor).await
    }

    /// Records, settles and commits work of the program's own.
    pub async fn finish(self) -> Result<()> {
        self.finish_with(None).await
    }

    /// The same of work that somebody had it do, with the audit line of that.
    pub async fn finish_with(mut self, line: Option<Line>) -> Result<()> {
        self.record(line).await?;
        self.settle(None).await?;
        self.tx.commit().await?;
        Ok(())
    }
}

/// An object of an event.
pub struct Object<'a> {
    id: String,
    version: i64,
    value: Value,
    previous: Option<Value>,
    reason_code: Option<&'a str>,
}

impl<'a> Object<'a> {
    pub fn new(id: impl ToString, version: i64, view: &impl Serialize) -> Self {
        let value = serde_json::to_value(view).expect("views serialize");
        Self { id: id.to_string(), version, value, previous: None, reason_code: None }
    }

    /// The former values of what changed.
    pub fn instead_of(self, previous: Value) -> Self {
        Self { previous: Some(previous), ..self }
    }

    pub fn because(self, reason_code: &'a str) -> Self {
        Self { reason_code: Some(reason_code), ..self }
    }
}

/// What stands for the content of a creating body when two are compared.
pub fn digest(content: &impl Serialize) -> String {
    let text = serde_json::to_vec(content).expect("bodies serialize");
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
