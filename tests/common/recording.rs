//! A connector that keeps what it is told in memory, and fails as a test tells it to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tenantry::model::catalog::service_types::ServiceType;
use tenantry::model::connector::*;
use tenantry::model::ids::{ResourceId, ServiceId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    Test,
    EnsureService,
    RemoveService,
    EnsureResource,
    RemoveResource,
    SetAccess,
}

/// What a call does other than what it should.
#[derive(Debug, Clone)]
pub enum Trick {
    /// Refuses, and changes nothing.
    Fail(Fault),
    /// Never answers, and changes nothing.
    Hang,
    /// Does it, and says that the server is away.
    LoseAnswer,
    /// Does it, and never answers.
    HangAfter,
    /// Takes so long before it does it.
    Pause(Duration),
    Panic,
}

#[derive(Debug, Default)]
struct State {
    services: BTreeMap<ServiceId, ServiceGoal>,
    resources: BTreeMap<ResourceId, ResourceGoal>,
    calls: Vec<(Method, String)>,
    tricks: HashMap<(Method, usize), Trick>,
    always: HashMap<Method, Fault>,
    busy: BTreeSet<String>,
    overlapped: bool,
    pace: Duration,
    credentials: Option<String>,
}

/// The server and the way to it in one.
#[derive(Debug)]
pub struct Recording {
    descriptor: Descriptor,
    state: Mutex<State>,
}

impl Default for Recording {
    fn default() -> Self {
        Self::that_repeats(Repeat::Idempotent)
    }
}

/// Marks a target as being worked on until it is dropped.
struct Busy<'a>(&'a Recording, String);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.state().busy.remove(&self.1);
    }
}

impl Recording {
    pub fn that_repeats(repeat: Repeat) -> Self {
        let descriptor = Descriptor {
            name: "recording",
            title: "Keeps everything in memory.",
            service_types: ServiceType::ALL,
            simulated: true,
            settings: &[],
            credentials: None,
            quota: QuotaEnforcement::Counted,
            repeat,
            effect_delay_ms: 0,
            password_scheme: "BLF-CRYPT",
        };
        Self { descriptor, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Plays a trick at the n-th call of a method, counted from 1 over all targets.
    pub fn play(&self, method: Method, nth: usize, trick: Trick) {
        self.state().tricks.insert((method, nth), trick);
    }

    /// Fails every call of a method from now on.
    pub fn always(&self, method: Method, fault: Fault) {
        self.state().always.insert(method, fault);
    }

    /// Does as it is told again.
    pub fn heal(&self) {
        let mut state = self.state();
        state.always.clear();
        state.tricks.clear();
    }

    /// How long each call takes.
    pub fn pace(&self, pace: Duration) {
        self.state().pace = pace;
    }

    pub fn calls(&self) -> Vec<(Method, String)> {
        self.state().calls.clone()
    }

    pub fn count(&self, method: Method) -> usize {
        self.state().calls.iter().filter(|(called, _)| *called == method).count()
    }

    pub fn service(&self, id: ServiceId) -> Option<ServiceGoal> {
        self.state().services.get(&id).cloned()
    }

    pub fn services(&self) -> Vec<ServiceGoal> {
        self.state().services.values().cloned().collect()
    }

    pub fn resource(&self, id: ResourceId) -> Option<ResourceGoal> {
        self.state().resources.get(&id).cloned()
    }

    pub fn resources(&self) -> Vec<ResourceGoal> {
        self.state().resources.values().cloned().collect()
    }

    /// Whether two calls about the same thing ever ran at once.
    pub fn overlapped(&self) -> bool {
        self.state().overlapped
    }

    /// The credentials that the last call came with.
    pub fn credentials(&self) -> Option<String> {
        self.state().credentials.clone()
    }

    async fn called<T>(
        &self,
        method: Method,
        target: &Target,
        id: String,
        effect: impl FnOnce(&mut State) -> T,
    ) -> Result<T, Fault> {
        let (trick, always, pace) = {
            let mut state = self.state();
            use secrecy::ExposeSecret;
            state.credentials = target.credentials.as_ref().map(|secret| secret.expose_secret().to_owned());
            state.calls.push((method, id.clone()));
            state.overlapped |= !state.busy.insert(id.clone());
            let nth = state.calls.iter().filter(|(called, _)| *called == method).count();
            (state.tricks.remove(&(method, nth)), state.always.get(&method).cloned(), state.pace)
        };
        let _busy = Busy(self, id);
        tokio::time::sleep(pace).await;
        match trick {
            Some(Trick::Fail(fault)) => return Err(fault),
            Some(Trick::Hang) => return std::future::pending().await,
            Some(Trick::Panic) => panic!("as a test told it to"),
            Some(Trick::Pause(pause)) => tokio::time::sleep(pause).await,
            Some(Trick::LoseAnswer) => {
                effect(&mut self.state());
                return Err(Fault::unavailable("the line went dead"));
            }
            Some(Trick::HangAfter) => {
                effect(&mut self.state());
                return std::future::pending().await;
            }
            None => {}
        }
        match always {
            Some(fault) => Err(fault),
            None => Ok(effect(&mut self.state())),
        }
    }
}

fn seen() -> Observed {
    Observed { facts: json!({"seen": true}).as_object().cloned().unwrap_or_default() }
}

#[async_trait]
impl Connector for Recording {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    async fn test(&self, target: &Target) -> Result<Observed, Fault> {
        self.called(Method::Test, target, target.server_id.to_string(), |_| seen()).await
    }

    async fn ensure_service(&self, target: &Target, goal: &ServiceGoal) -> Result<Observed, Fault> {
        self.called(Method::EnsureService, target, goal.id.to_string(), |state| {
            state.services.insert(goal.id, goal.clone());
            seen()
        })
        .await
    }

    async fn remove_service(&self, target: &Target, goal: &ServiceGoal) -> Result<(), Fault> {
        self.called(Method::RemoveService, target, goal.id.to_string(), |state| {
            state.services.remove(&goal.id);
            state.resources.retain(|_, resource| resource.service.id != goal.id);
        })
        .await
    }

    async fn ensure_resource(&self, target: &Target, goal: &ResourceGoal) -> Result<Observed, Fault> {
        self.called(Method::EnsureResource, target, goal.id.to_string(), |state| {
            state.resources.insert(goal.id, goal.clone());
            seen()
        })
        .await
    }

    async fn remove_resource(&self, target: &Target, goal: &ResourceGoal) -> Result<(), Fault> {
        self.called(Method::RemoveResource, target, goal.id.to_string(), |state| {
            state.resources.remove(&goal.id);
        })
        .await
    }

    async fn set_access(
        &self,
        target: &Target,
        goal: &ServiceGoal,
        resources: &[ResourceGoal],
    ) -> Result<(), Fault> {
        self.called(Method::SetAccess, target, goal.id.to_string(), |state| {
            state.services.insert(goal.id, goal.clone());
            for resource in resources {
                if let Some(known) = state.resources.get_mut(&resource.id) {
                    known.service = goal.clone();
                }
            }
        })
        .await
    }

    async fn observe(&self, _: &Target, goal: &ResourceGoal) -> Result<Option<Observed>, Fault> {
        Ok(self.resource(goal.id).map(|_| seen()))
    }

    fn connection(&self, _: &Target, _: &ServiceGoal, _: &[ResourceGoal]) -> Connection {
        Connection::default()
    }
}
