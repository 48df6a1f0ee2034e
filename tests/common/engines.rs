//! Engines that run beside a test.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tenantry::engine::{Engine, Parts, Settings};
use tenantry::model::connector::Connector;
use tenantry::model::ids::OperationId;
use tenantry::model::services::operations::{Operation, OperationStatus};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::World;

/// How long anything may take before the test has failed.
const LONGEST: Duration = Duration::from_secs(40);

/// Few slots, quick to notice, a lease of a second.
pub fn settings() -> Settings {
    Settings {
        slots: 4,
        poll: Duration::from_millis(20),
        lease: Duration::from_secs(1),
        call: Duration::from_secs(20),
        drain: Duration::from_millis(200),
        ..Settings::default()
    }
}

/// An engine at work.
pub struct Running {
    pub engine: Engine,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    pub fn start(world: &World, connector: &Arc<impl Connector + 'static>) -> Self {
        Self::with(world, connector, settings())
    }

    pub fn with(world: &World, connector: &Arc<impl Connector + 'static>, settings: Settings) -> Self {
        let connector: Arc<dyn Connector> = connector.clone();
        let engine = Engine::new(Parts {
            db: world.db.clone(),
            clock: world.clock.clone(),
            connectors: Arc::new(move |name| {
                (name == connector.descriptor().name).then(|| connector.clone())
            }),
            sealer: world.sealer.clone(),
            settings,
        });
        let (stop, stopped) = watch::channel(false);
        let running = engine.clone();
        let task = tokio::spawn(async move { running.run(stopped).await });
        Self { engine, stop, task }
    }

    /// Shuts it down in order.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }

    /// Ends it as a crash does: nothing is handed back.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// Waits until something is so.
pub async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !so().await {
        assert!(begun.elapsed() < LONGEST, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl World {
    /// Waits until the operation has ended; what waits for its next attempt needs not wait.
    pub async fn ended(&self, id: OperationId) -> Operation {
        let begun = Instant::now();
        loop {
            let operation = self.operation(id).await;
            if operation.status.is_final() {
                return operation;
            }
            assert!(begun.elapsed() < LONGEST, "the operation does not end: {operation:?}");
            if operation.status == OperationStatus::Queued {
                self.make_due().await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
