//! Starting the parts of an opened installation, and stopping them without losing a request.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, middleware, web};
use futures_util::FutureExt;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use utoipa_actix_web::service_config::ServiceConfig;

use super::checkpoints::Checkpoints;
use super::open::folder;
use super::state::{check_operations, state};
use super::upkeep::{down, health, logged, upkeep, written_back};
use super::{Program, Stop, limits, secrets, signing};
use crate::access::veils::Veils;
use crate::admin::{self, Admin, Phase, Readiness};
use crate::api::{self, Denials, Ending, Signals, State};
use crate::bulk::Bulk;
use crate::config::ServerConfig;
use crate::delivery::client::Client;
use crate::delivery::guard::Guard;
use crate::delivery::{self, Delivery};
use crate::engine::{self, Engine, Lookup};
use crate::folder::{Folder, FolderLock};
use crate::model::ids::OperationId;
use crate::wire::{self, Certificates};

/// How many ends of operations are kept for those who are slow to hear of them.
const ENDINGS: usize = 4096;

/// What this process is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    pub api: bool,
    pub workers: bool,
}

/// An installation at work in this process.
pub struct Running {
    /// Where the API listens, if it does.
    pub address: Option<SocketAddr>,
    pub admin_address: Option<SocketAddr>,
    drain_delay: Duration,
    readiness: Readiness,
    ending: Arc<Ending>,
    certificates: Option<Arc<Certificates>>,
    server: Option<(ServerHandle, JoinHandle<std::io::Result<()>>)>,
    admin: Option<(ServerHandle, JoinHandle<std::io::Result<()>>)>,
    down: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
    recorder: Option<Recorder>,
    requests: Arc<api::RequestLog>,
    program: Arc<Program>,
    _lock: Option<FolderLock>,
}

impl Program {
    /// Starts what the roles say.
    pub async fn start(self, roles: Roles, metrics: PrometheusHandle) -> Result<Running, Stop> {
        let lock = match self.config.database.is_sqlite() {
            true => {
                let opened = Folder::open(&self.config.data.dir).map_err(folder)?;
                Some(opened.lock().map_err(folder)?)
            }
            false => None,
        };
        let program = Arc::new(self);
        let (down, stop) = watch::channel(false);
        let (ended, _) = broadcast::channel(ENDINGS);
        let guard = Guard::new(
            program.config.webhooks.allow_hosts.iter().cloned(),
            program.config.webhooks.allow_http,
            program.config.webhooks.block_networks.to_vec(),
        );
        let readiness = Readiness::new();
        let requests = Arc::new(api::RequestLog::new(program.config.requests.record));
        let keep =
            upkeep(program.clone(), requests.clone(), metrics.clone(), readiness.clone(), stop.clone());
        let followed = secrets::followed(program.clone(), readiness.clone(), stop.clone());
        let keys = signing::followed(program.clone(), stop.clone());
        let witness = Checkpoints::of(program.clone()).await?.run(readiness.clone(), stop.clone());
        let mut workers =
            vec![tokio::spawn(keep), tokio::spawn(followed), tokio::spawn(keys), tokio::spawn(witness)];
        let (left, wake) = watch::channel(());
        let signals = match roles.workers {
            true => workers_of(&program, &guard, (ended, left), &stop, &mut workers)?,
            false => Signals { queued: Arc::new(|| {}), recorded: Arc::new(|| {}), ended },
        };
        let ending = Arc::<Ending>::default();
        let (mut server, mut address, mut certificates) = (None, None, None);
        let listener = roles.api.then(|| listen(program.config.server.listen)).transpose()?;
        check_operations(&program.config)?;
        let (denials, recorder) = recorder_of(&program);
        let shared = match roles.api {
            true => limits::shared(&program, &readiness, &stop, &mut workers).await?,
            false => None,
        };
        let state = state(&program, guard, signals, (denials, requests.clone()), ending.clone(), shared);
        if roles.workers {
            let worker = &program.config.worker;
            let bulk = Bulk {
                state: state.clone(),
                wake,
                poll: worker.poll(),
                lease: i64::try_from(worker.lease_seconds).unwrap_or(i64::MAX),
            };
            workers.push(bulk.start(stop.clone()));
        }
        if let Some(listener) = listener {
            address = Some(listener.local_addr().map_err(Stop::failed)?);
            certificates = program.config.server.tls().map(read_certificates).transpose()?;
            server = Some(serve(listener, state, &program.config.server, certificates.clone())?);
        }
        let (mut admin, mut admin_address) = (None, None);
        if let Some(at) = program.config.server.admin_listen {
            let listener = listen(at)?;
            admin_address = Some(listener.local_addr().map_err(Stop::failed)?);
            admin = Some(serve_admin(listener, &program, readiness.clone(), metrics)?);
        }
        readiness.set_phase(Phase::Ready);
        Ok(Running {
            address,
            admin_address,
            drain_delay: program.config.server.drain_delay(),
            readiness,
            ending,
            certificates,
            server,
            admin,
            down,
            workers,
            recorder,
            requests,
            program,
            _lock: lock,
        })
    }
}

/// What writes refusals into the audit, and the word that it is to end.
type Recorder = (watch::Sender<bool>, JoinHandle<()>);

fn recorder_of(program: &Program) -> (Denials, Option<Recorder>) {
    let (denials, queues) = Denials::queues();
    let (end, mut ended) = watch::channel(false);
    let ended = async move { down(&mut ended).await }.shared();
    let veils = Veils::new(program.sealer.clone());
    let recording = api::record_denials(program.db.clone(), veils, program.clock.clone(), queues, ended);
    (denials, Some((end, tokio::spawn(recording))))
}

fn listen(at: SocketAddr) -> Result<TcpListener, Stop> {
    TcpListener::bind(at).map_err(|error| Stop::failed(format!("cannot listen on {at}: {error}")))
}

fn workers_of(
    program: &Arc<Program>,
    guard: &Guard,
    (ended, left): (broadcast::Sender<OperationId>, watch::Sender<()>),
    stop: &watch::Receiver<bool>,
    workers: &mut Vec<JoinHandle<()>>,
) -> Result<Signals, Stop> {
    let connectors = program.connectors.clone();
    let lookup: Lookup = Arc::new(move |name| connectors.get(name));
    let worker = &program.config.worker;
    let parts = engine::Parts {
        db: program.db.clone(),
        clock: program.clock.clone(),
        connectors: lookup,
        sealer: program.sealer.clone(),
        settings: engine::Settings {
            slots: worker.slots,
            poll: worker.poll(),
            lease: worker.lease(),
            remember: program.config.tokens.idempotency_retention(),
            keep_requests: program.config.requests.retention(),
            ..engine::Settings::default()
        },
    };
    let engine = Engine::telling(parts, ended.clone());
    let parts = delivery::Parts {
        db: program.db.clone(),
        clock: program.clock.clone(),
        sealer: program.sealer.clone(),
        client: Client::new(guard.clone()).map_err(Stop::failed)?,
        concurrency: delivery::CONCURRENCY,
        poll: worker.poll(),
    };
    let delivery = Delivery::new(parts);
    let (running, engine_stop) = (engine.clone(), stop.clone());
    workers.push(tokio::spawn(async move { running.run(engine_stop).await }));
    let (running, mut delivery_stop) = (delivery.clone(), stop.clone());
    workers.push(tokio::spawn(running.run(async move { down(&mut delivery_stop).await })));
    Ok(Signals {
        queued: Arc::new(move || {
            engine.wake();
            left.send_replace(());
        }),
        recorded: Arc::new(move || delivery.wake()),
        ended,
    })
}

type Served = (ServerHandle, JoinHandle<std::io::Result<()>>);

fn read_certificates((certificate, key): (&Path, &Path)) -> Result<Arc<Certificates>, Stop> {
    Certificates::read(certificate, key)
        .map_err(|error| Stop::unsafe_to_run(format!("server.tls_certificate: {error}")))
}

fn serve(
    listener: TcpListener,
    state: web::Data<State>,
    config: &ServerConfig,
    certificates: Option<Arc<Certificates>>,
) -> Result<Served, Stop> {
    let secure = state.secure;
    let app = move || {
        App::new()
            .configure(api::reference)
            .app_data(state.clone())
            .configure(|config| api::routes(&mut ServiceConfig::new(config)))
            .wrap(middleware::from_fn(api::shed))
            .wrap(middleware::from_fn(api::around))
    };
    let settings = wire::Settings {
        workers: config.http_workers.max(1),
        max_connections: config.max_connections,
        timeouts: config.timeouts,
        shutdown: ServerConfig::IN_FLIGHT_TIMEOUT,
        certificates,
        refusals: Arc::new(move |status| api::refusal(status, secure)),
    };
    let server = wire::serve(listener, app, settings).map_err(Stop::failed)?;
    Ok((server.handle(), tokio::spawn(server)))
}

fn serve_admin(
    listener: TcpListener,
    program: &Arc<Program>,
    readiness: Readiness,
    metrics: PrometheusHandle,
) -> Result<Served, Stop> {
    let db = program.db.clone();
    let ping: admin::Ping = Arc::new(move || {
        let db = db.clone();
        Box::pin(async move { health(db).await })
    });
    let server = admin::server(listener, Admin { readiness, metrics, ping }).map_err(Stop::failed)?;
    Ok((server.handle(), tokio::spawn(server)))
}

impl Running {
    /// Ready once the disk did not keep what it was given: the program must end at once then, and not go on
    /// as if it had.
    pub fn broken(&self) -> impl Future<Output = ()> + use<> {
        let db = self.program.db.clone();
        async move { db.broken().await }
    }

    /// Reads the certificates again, and says whether there are any. Those that cannot be used are passed over.
    pub fn reread_certificates(&self) -> bool {
        let Some(certificates) = &self.certificates else { return false };
        match certificates.reread() {
            Ok(()) => tracing::info!("the certificates were read again"),
            Err(error) => {
                tracing::error!(%error, "the new certificates cannot be used; those from before stay")
            }
        }
        true
    }

    /// Stops in order: says that it is no longer ready, goes on serving for a while so that balancers can
    /// notice, lets requests and work under way end, closes the database.
    pub async fn stop(mut self) {
        self.readiness.set_phase(Phase::Draining);
        self.ending.drain();
        self.down.send_replace(true);
        if self.server.is_some() {
            tokio::time::sleep(self.drain_delay).await;
        }
        self.ending.close();
        if let Some((handle, ended)) = self.server.take() {
            handle.stop(true).await;
            let _ = ended.await;
        }
        for worker in self.workers.drain(..) {
            let _ = worker.await;
        }
        // Workers send requests of batches, which may be refused.
        if let Some((end, ended)) = self.recorder.take() {
            end.send_replace(true);
            let _ = ended.await;
        }
        if let Some((handle, ended)) = self.admin.take() {
            handle.stop(true).await;
            let _ = ended.await;
        }
        // Of what was asked while it drained, too.
        written_back(&self.program).await;
        logged(&self.program, &self.requests).await;
        self.program.db.close().await;
    }
}
