//! Starting the parts of an opened installation, and stopping them without losing a request.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, middleware, web};
use metrics_exporter_prometheus::PrometheusHandle;
use moka::sync::Cache;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use utoipa_actix_web::service_config::ServiceConfig;

use super::open::folder;
use super::{Program, Stop};
use crate::access::tokens::Verifier;
use crate::admin::{self, Admin, Phase, Readiness};
use crate::api::{self, Keys, Signals, State, Tokens, body::Schemas};
use crate::config::ServerConfig;
use crate::delivery::guard::{Client, Guard};
use crate::delivery::{self, Delivery};
use crate::engine::{self, Engine, Lookup};
use crate::folder::{Folder, FolderLock};
use crate::store::facts;

/// How many ends of operations are kept for those who are slow to hear of them.
const ENDINGS: usize = 4096;
/// How many verified tokens are remembered.
const TOKENS: u64 = 100_000;
/// How often the time at which keys were last used is written down.
const WRITE_BACK: Duration = Duration::from_secs(30);
/// How often the metrics' recorder tidies up.
const UPKEEP: Duration = Duration::from_secs(5);

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
    draining: Arc<AtomicBool>,
    server: Option<(ServerHandle, JoinHandle<std::io::Result<()>>)>,
    admin: Option<(ServerHandle, JoinHandle<std::io::Result<()>>)>,
    down: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
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
            Vec::new(),
        );
        let mut workers = vec![tokio::spawn(upkeep(program.clone(), metrics.clone(), stop.clone()))];
        let signals = match roles.workers {
            true => workers_of(&program, &guard, ended, &stop, &mut workers)?,
            false => Signals { queued: Arc::new(|| {}), recorded: Arc::new(|| {}), ended },
        };
        let readiness = Readiness::new();
        let draining = Arc::new(AtomicBool::new(false));
        let (mut server, mut address) = (None, None);
        if roles.api {
            let listener = listen(program.config.server.listen)?;
            address = Some(listener.local_addr().map_err(Stop::failed)?);
            let state = state(&program, guard, signals, draining.clone());
            server = Some(serve(listener, state, &program.config.server)?);
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
            draining,
            server,
            admin,
            down,
            workers,
            program,
            _lock: lock,
        })
    }
}

fn listen(at: SocketAddr) -> Result<TcpListener, Stop> {
    TcpListener::bind(at).map_err(|error| Stop::failed(format!("cannot listen on {at}: {error}")))
}

fn workers_of(
    program: &Arc<Program>,
    guard: &Guard,
    ended: broadcast::Sender<crate::model::ids::OperationId>,
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
        queued: Arc::new(move || engine.wake()),
        recorded: Arc::new(move || delivery.wake()),
        ended,
    })
}

fn state(
    program: &Arc<Program>,
    guard: Guard,
    signals: Signals,
    draining: Arc<AtomicBool>,
) -> web::Data<State> {
    let document = api::document();
    let issuer = program.config.server.public_url.clone();
    let lifetime = program.config.tokens.lifetime();
    let verifier =
        Verifier::new(issuer.clone(), issuer.clone(), program.signing().iter().map(|key| key.public()));
    web::Data::new(State {
        db: program.db.clone(),
        clock: program.clock.clone(),
        connectors: Arc::new(program.connectors.clone()),
        sealer: program.sealer.clone(),
        principals: program.principals.clone(),
        tokens: Tokens {
            issuer,
            signing: program.signing()[0].clone(),
            verifier,
            lifetime,
            verified: Cache::builder().max_capacity(TOKENS).time_to_live(lifetime).build(),
        },
        keys: Keys {
            fingerprint: program.sealer.derive("request fingerprints"),
            cursor: program.sealer.derive("list cursors"),
        },
        guard,
        signals,
        trusted_proxies: program.config.server.trusted_proxies.clone(),
        replies_kept: program.config.tokens.idempotency_retention(),
        schemas: Schemas::of(&document),
        routes: api::Routes::of(&document),
        draining,
        document: serde_json::to_vec(&document).expect("the document serializes").into(),
    })
}

type Served = (ServerHandle, JoinHandle<std::io::Result<()>>);

fn serve(listener: TcpListener, state: web::Data<State>, config: &ServerConfig) -> Result<Served, Stop> {
    let workers = config.http_workers.max(1);
    let app = move || {
        App::new()
            .configure(api::reference)
            .app_data(state.clone())
            .configure(|config| api::routes(&mut ServiceConfig::new(config)))
            .wrap(middleware::from_fn(api::around))
    };
    let server = HttpServer::new(app)
        .workers(workers)
        .max_connections((config.max_connections / workers).max(1))
        .keep_alive(ServerConfig::KEEP_ALIVE)
        .client_request_timeout(ServerConfig::HEAD_TIMEOUT)
        .shutdown_timeout(ServerConfig::IN_FLIGHT_TIMEOUT.as_secs())
        .disable_signals()
        .listen(listener)
        .map_err(Stop::failed)?
        .run();
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
        Box::pin(async move { facts::ping(&db).await.is_ok() })
    });
    let server = admin::server(listener, Admin { readiness, metrics, ping }).map_err(Stop::failed)?;
    Ok((server.handle(), tokio::spawn(server)))
}

/// What has to be done from time to time.
async fn upkeep(program: Arc<Program>, metrics: PrometheusHandle, mut stop: watch::Receiver<bool>) {
    let mut tidy = tokio::time::interval(UPKEEP);
    let mut write_back = tokio::time::interval(WRITE_BACK);
    loop {
        tokio::select! {
            _ = tidy.tick() => metrics.run_upkeep(),
            _ = write_back.tick() => written_back(&program).await,
            () = down(&mut stop) => return written_back(&program).await,
        }
    }
}

/// Ready when the program is to stop.
async fn down(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|down| *down).await;
}

async fn written_back(program: &Program) {
    if let Err(error) = program.principals.write_back(&program.db).await {
        tracing::warn!(%error, "the time at which keys were last used was not written down");
    }
}

impl Running {
    /// Stops in order: says that it is no longer ready, goes on serving for a while so that balancers can
    /// notice, lets requests and work under way end, closes the database.
    pub async fn stop(mut self) {
        self.readiness.set_phase(Phase::Draining);
        self.draining.store(true, Ordering::Relaxed);
        self.down.send_replace(true);
        if self.server.is_some() {
            tokio::time::sleep(self.drain_delay).await;
        }
        if let Some((handle, ended)) = self.server.take() {
            handle.stop(true).await;
            let _ = ended.await;
        }
        for worker in self.workers.drain(..) {
            let _ = worker.await;
        }
        if let Some((handle, ended)) = self.admin.take() {
            handle.stop(true).await;
            let _ = ended.await;
        }
        self.program.db.close().await;
    }
}
