//! Who may be sent to now: nobody gets so much of the room that others wait for it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::task::{Id, JoinError};

use crate::model::Time;
use crate::model::ids::{AccountId, WebhookEndpointId};
use crate::store::events::deliveries::LeaveOut;

/// How many attempts run at once for one endpoint…
const PER_ENDPOINT: usize = 4;
/// …for one that fails more often than not…
const PER_FAILING: usize = 1;
/// …and for all of an account's together.
const PER_ACCOUNT: usize = 32;
/// Those that fail more often than not have this part of all slots together.
const SHARE_OF_FAILING: usize = 4;
/// Of how many attempts it is known how they ended.
const REMEMBERED: u32 = 20;
/// After so many failures in a row nothing is sent to an endpoint for some time, then one delivery to see.
const STREAK: u32 = 5;
const PAUSE: Duration = Duration::from_secs(30);
/// Of so many endpoints it is known how they do; then those that do well are forgotten.
const KNOWN: usize = 10_000;
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Whether an endpoint took an attempt well, and when that was known; none if it was not asked.
pub type Took = Option<(bool, Time)>;

/// Whose endpoint, and which.
pub type Whose = (AccountId, WebhookEndpointId);

/// How an endpoint does, as far as this process knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Health {
    /// The last attempts as bits, the youngest lowest; set where it failed.
    failures: u32,
    known: u32,
    /// Failures since the last success.
    streak: u32,
    /// Nothing is sent to it before then.
    open_until: Option<Time>,
}

impl Health {
    fn note(&mut self, good: bool, at: Time) {
        self.failures = (self.failures << 1 | u32::from(!good)) & ((1 << REMEMBERED) - 1);
        self.known = (self.known + 1).min(REMEMBERED);
        self.streak = if good { 0 } else { self.streak.saturating_add(1) };
        self.open_until = self.streak.checked_sub(STREAK).map(|beyond| {
            let pause = PAUSE.saturating_mul(2_u32.saturating_pow(beyond));
            at.plus(pause.min(LONGEST_PAUSE))
        });
    }

    fn is_failing(&self) -> bool {
        self.failures.count_ones() * 2 > self.known
    }

    fn is_open(&self, now: Time) -> bool {
        self.open_until.is_some_and(|until| now < until)
    }
}

/// Who has which slot.
pub struct Slots {
    limit: usize,
    running: HashMap<Id, Whose>,
    /// Of the endpoints that were sent to of late.
    health: BTreeMap<WebhookEndpointId, Health>,
}

impl Slots {
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), running: HashMap::new(), health: BTreeMap::new() }
    }

    pub fn has_room(&self) -> bool {
        self.running.len() < self.limit
    }

    pub fn take(&mut self, task: Id, whose: Whose) {
        self.running.insert(task, whose);
    }

    /// Who gets no further slot now.
    pub fn full(&self, now: Time) -> LeaveOut {
        let mut accounts: BTreeMap<AccountId, usize> = BTreeMap::new();
        let mut counts: BTreeMap<WebhookEndpointId, usize> = BTreeMap::new();
        for &(account, endpoint) in self.running.values() {
            *accounts.entry(account).or_default() += 1;
            *counts.entry(endpoint).or_default() += 1;
        }
        let is_failing =
            |endpoint: &WebhookEndpointId| self.health.get(endpoint).is_some_and(Health::is_failing);
        let failing: usize =
            counts.iter().filter(|(endpoint, _)| is_failing(endpoint)).map(|(_, count)| count).sum();
        let is_full = |(endpoint, count): &(WebhookEndpointId, usize)| {
            *count >= if is_failing(endpoint) { PER_FAILING } else { PER_ENDPOINT }
        };
        let none_left = failing >= (self.limit / SHARE_OF_FAILING).max(1);
        let shut = self.health.iter().filter(|(_, it)| it.is_open(now) || none_left && it.is_failing());
        LeaveOut {
            endpoints: counts
                .into_iter()
                .filter(is_full)
                .map(|(endpoint, _)| endpoint)
                .chain(shut.map(|(endpoint, _)| *endpoint))
                .collect(),
            accounts: accounts
                .into_iter()
                .filter(|(_, count)| *count >= PER_ACCOUNT)
                .map(|(account, _)| account)
                .collect(),
        }
    }

    pub fn free(&mut self, ended: Result<(Id, Took), JoinError>) {
        let (id, took) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "a webhook delivery ended badly");
                (error.id(), None)
            }
        };
        if let (Some((_, endpoint)), Some((good, at))) = (self.running.remove(&id), took) {
            let health = self.health.entry(endpoint).or_default();
            health.note(good, at);
            if self.health.len() > KNOWN {
                self.health.retain(|_, health| health.failures > 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio::task::JoinSet;

    use super::*;

    struct Place {
        slots: Slots,
        tasks: JoinSet<()>,
        account: AccountId,
        now: Time,
    }

    impl Place {
        fn of(limit: usize) -> Self {
            let now = Time::from_seconds(1_000).unwrap();
            Self { slots: Slots::new(limit), tasks: JoinSet::new(), account: AccountId::new(), now }
        }

        fn begin(&mut self, endpoint: WebhookEndpointId) -> Id {
            let id = self.tasks.spawn(std::future::pending()).id();
            self.slots.take(id, (self.account, endpoint));
            id
        }

        /// An attempt that has ended already.
        fn tell(&mut self, endpoint: WebhookEndpointId, good: bool) {
            let id = self.begin(endpoint);
            self.slots.free(Ok((id, Some((good, self.now)))));
        }

        fn full(&self) -> BTreeSet<WebhookEndpointId> {
            self.slots.full(self.now).endpoints
        }
    }

    /// WH-10
    #[tokio::test]
    async fn an_endpoint_gets_four_slots_and_a_failing_one_gets_one() {
        let mut place = Place::of(64);
        let (sound, failing) = (WebhookEndpointId::new(), WebhookEndpointId::new());
        place.tell(failing, false);
        for _ in 0..3 {
            place.begin(sound);
        }
        assert_eq!(place.full(), BTreeSet::new());
        place.begin(failing);
        assert_eq!(place.full(), BTreeSet::from([failing]));
        place.begin(sound);
        assert_eq!(place.full(), BTreeSet::from([sound, failing]));
    }

    /// WH-10
    #[tokio::test]
    async fn failing_endpoints_together_get_a_quarter_of_the_slots() {
        let mut place = Place::of(8);
        let failing = [(); 5].map(|()| WebhookEndpointId::new());
        for endpoint in failing {
            place.tell(endpoint, false);
        }
        place.begin(failing[0]);
        assert_eq!(place.full(), BTreeSet::from([failing[0]]));
        place.begin(failing[1]);
        assert_eq!(place.full(), BTreeSet::from(failing));
    }

    /// WH-10
    #[tokio::test]
    async fn an_account_gets_32_slots_however_many_endpoints_it_has() {
        let mut place = Place::of(128);
        for _ in 0..31 {
            place.begin(WebhookEndpointId::new());
        }
        assert_eq!(place.slots.full(place.now), LeaveOut::default());
        place.begin(WebhookEndpointId::new());
        assert_eq!(place.slots.full(place.now).accounts, BTreeSet::from([place.account]));
        assert!(place.slots.has_room());
    }

    /// WH-10
    #[tokio::test]
    async fn half_failures_are_borne_and_more_are_not_until_they_are_long_past() {
        let (mut place, endpoint) = (Place::of(64), WebhookEndpointId::new());
        let is_slow = |place: &mut Place| {
            let id = place.begin(endpoint);
            let slow = place.full().contains(&endpoint);
            place.slots.free(Ok((id, None)));
            slow
        };
        for good in [true, false, true, false] {
            place.tell(endpoint, good);
        }
        assert!(!is_slow(&mut place));
        place.tell(endpoint, false);
        assert!(is_slow(&mut place));
        for _ in 0..20 {
            place.tell(endpoint, true);
        }
        assert!(!is_slow(&mut place));
    }

    /// WH-10
    #[tokio::test]
    async fn after_five_failures_in_a_row_an_endpoint_rests_and_then_gets_one_attempt() {
        let (mut place, endpoint) = (Place::of(64), WebhookEndpointId::new());
        for _ in 0..4 {
            place.tell(endpoint, false);
        }
        assert_eq!(place.full(), BTreeSet::new());
        place.tell(endpoint, false);
        for seconds in [30, 60, 120, 240, 300, 300] {
            assert_eq!(place.full(), BTreeSet::from([endpoint]));
            place.now = place.now.plus(Duration::from_secs(seconds - 1));
            assert_eq!(place.full(), BTreeSet::from([endpoint]), "{seconds}");
            place.now = place.now.plus(Duration::from_secs(1));
            assert_eq!(place.full(), BTreeSet::new(), "{seconds}");
            let probe = place.begin(endpoint);
            assert_eq!(place.full(), BTreeSet::from([endpoint]), "one at a time");
            place.slots.free(Ok((probe, Some((false, place.now)))));
        }
        place.tell(endpoint, true);
        assert_eq!(place.full(), BTreeSet::new());
    }
}
