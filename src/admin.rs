//! The admin port: whether the process lives, whether it can serve, and its numbers. It tells no customer data.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, HttpResponse, HttpServer, middleware::DefaultHeaders};
use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;

/// How far the process is; it goes forward only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Starting,
    Ready,
    /// It was told to stop, still answers, and wants no new callers.
    Draining,
}

/// How a part of the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Good,
    /// It is slower or coarser than it should be, and everything is still answered.
    Degraded,
    /// Requests would fail.
    Faulty,
}

/// Whether callers should be sent here. Clones share what they know.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    phase: Phase,
    checks: BTreeMap<&'static str, Health>,
}

/// The answer of `/readyz`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ReadinessReport {
    pub status: Phase,
    /// The parts that are worse than they should be.
    pub degraded: Vec<&'static str>,
    /// The parts for which callers should go elsewhere.
    pub faults: Vec<&'static str>,
}

impl ReadinessReport {
    /// Whether callers should be sent here.
    pub fn is_ready(&self) -> bool {
        self.status == Phase::Ready && self.faults.is_empty()
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { phase: Phase::Starting, checks: BTreeMap::new() })))
    }
}

impl Readiness {
    /// A process that is starting.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells how far the process is; what draining began is not taken back.
    pub fn set_phase(&self, phase: Phase) {
        let mut state = self.state();
        state.phase = state.phase.max(phase);
    }

    /// How far the process is.
    pub fn phase(&self) -> Phase {
        self.state().phase
    }

    /// Tells how the part of this name is.
    pub fn set_check(&self, name: &'static str, health: Health) {
        self.state().checks.insert(name, health);
    }

    /// What is known now.
    pub fn report(&self) -> ReadinessReport {
        let state = self.state();
        let of = |wanted| {
            let found = state.checks.iter().filter(move |(_, health)| **health == wanted);
            found.map(|(name, _)| *name).collect()
        };
        ReadinessReport { status: state.phase, degraded: of(Health::Degraded), faults: of(Health::Faulty) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks the database for a sign of life.
pub type Ping = Arc<dyn Fn() -> BoxFuture<'static, Health> + Send + Sync>;

/// A database of which nothing is known by then is down.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// What the admin port tells of.
#[derive(Clone)]
pub struct Admin {
    pub readiness: Readiness,
    pub metrics: PrometheusHandle,
    pub ping: Ping,
}

/// The paths of the admin port.
pub fn routes(admin: Admin) -> impl FnOnce(&mut ServiceConfig) {
    move |service| {
        service
            .app_data(Data::new(admin))
            .route("/healthz", web::get().to(live))
            .route("/readyz", web::get().to(ready))
            .route("/metrics", web::get().to(numbers));
    }
}

/// Serves the admin port until the server is told to stop; it takes no signals itself.
pub fn server(listener: TcpListener, admin: Admin) -> std::io::Result<Server> {
    let app = move || {
        App::new()
            .wrap(
                DefaultHeaders::new()
                    .add((CACHE_CONTROL, "no-store"))
                    .add(("X-Content-Type-Options", "nosniff")),
            )
            .configure(routes(admin.clone()))
    };
    Ok(HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(1).listen(listener)?.run())
}

async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "status": "alive" }))
}

async fn ready(admin: Data<Admin>) -> HttpResponse {
    let mut report = admin.readiness.report();
    // While it starts there may be no database yet, and when it drains the answer is known.
    if report.status == Phase::Ready {
        let told = tokio::time::timeout(PING_TIMEOUT, (admin.ping)()).await;
        let parts = match told.unwrap_or(Health::Faulty) {
            Health::Good => None,
            Health::Degraded => Some(&mut report.degraded),
            Health::Faulty => Some(&mut report.faults),
        };
        if let Some(parts) = parts.filter(|parts| !parts.contains(&"database")) {
            parts.push("database");
            parts.sort_unstable();
        }
    }
    let mut response =
        if report.is_ready() { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(report)
}

async fn numbers(admin: Data<Admin>) -> HttpResponse {
    let version = "text/plain; version=0.0.4; charset=utf-8";
    HttpResponse::Ok().insert_header(("Content-Type", version)).body(admin.metrics.render())
}

#[cfg(test)]
mod tests {
    use actix_web::test::{TestRequest, call_service, init_service, read_body};
    use serde_json::{Value, json};

    use super::*;
    use crate::telemetry;

    async fn get(admin: &Admin, path: &str) -> (u16, String) {
        let app = init_service(App::new().configure(routes(admin.clone()))).await;
        let response = call_service(&app, TestRequest::get().uri(path).to_request()).await;
        let status = response.status().as_u16();
        (status, String::from_utf8(read_body(response).await.to_vec()).unwrap())
    }

    async fn readyz(admin: &Admin) -> (u16, Value) {
        let (status, body) = get(admin, "/readyz").await;
        (status, serde_json::from_str(&body).unwrap())
    }

    fn admin(ping: Ping) -> Admin {
        let recorder = telemetry::detached_metrics().unwrap();
        metrics::with_local_recorder(&recorder, || telemetry::count_delivery("delivered"));
        Admin { readiness: Readiness::new(), metrics: recorder.handle(), ping }
    }

    fn answering() -> Ping {
        Arc::new(|| Box::pin(async { Health::Good }))
    }

    #[actix_web::test]
    async fn callers_are_wanted_between_start_and_drain_only_and_the_process_lives_throughout() {
        let admin = admin(answering());
        let report = |status| json!({ "status": status, "degraded": [], "faults": [] });
        assert_eq!(readyz(&admin).await, (503, report("starting")));
        admin.readiness.clone().set_phase(Phase::Ready);
        assert_eq!(readyz(&admin).await, (200, report("ready")));
        admin.readiness.set_phase(Phase::Draining);
        admin.readiness.set_phase(Phase::Ready);
        assert_eq!(readyz(&admin).await, (503, report("draining")));
        assert_eq!(get(&admin, "/healthz").await.0, 200);
    }

    #[actix_web::test]
    async fn what_is_degraded_is_told_and_what_is_faulty_turns_callers_away_until_it_is_well() {
        let admin = admin(answering());
        admin.readiness.set_phase(Phase::Ready);
        admin.readiness.set_check("redis", Health::Degraded);
        assert_eq!(
            readyz(&admin).await,
            (200, json!({ "status": "ready", "degraded": ["redis"], "faults": [] }))
        );
        admin.readiness.set_check("disk", Health::Faulty);
        let told = json!({ "status": "ready", "degraded": ["redis"], "faults": ["disk"] });
        assert_eq!(readyz(&admin).await, (503, told));
        admin.readiness.set_check("disk", Health::Good);
        admin.readiness.set_check("redis", Health::Good);
        assert_eq!(readyz(&admin).await, (200, json!({ "status": "ready", "degraded": [], "faults": [] })));
    }

    #[actix_web::test]
    async fn a_database_that_fails_or_hangs_is_a_fault_until_it_answers_and_the_process_still_lives() {
        let health = Arc::new(Mutex::new(Health::Faulty));
        let seen = health.clone();
        let admin = admin(Arc::new(move || {
            let health = *seen.lock().unwrap();
            Box::pin(async move { health })
        }));
        admin.readiness.set_phase(Phase::Ready);
        let down = json!({ "status": "ready", "degraded": [], "faults": ["database"] });
        assert_eq!(readyz(&admin).await, (503, down.clone()));
        assert_eq!(get(&admin, "/healthz").await.0, 200);
        *health.lock().unwrap() = Health::Degraded;
        let slow = json!({ "status": "ready", "degraded": ["database"], "faults": [] });
        assert_eq!(readyz(&admin).await, (200, slow));
        *health.lock().unwrap() = Health::Good;
        assert_eq!(readyz(&admin).await, (200, json!({ "status": "ready", "degraded": [], "faults": [] })));
        let hanging = Admin { ping: Arc::new(|| Box::pin(std::future::pending())), ..admin };
        assert_eq!(readyz(&hanging).await, (503, down));
    }

    #[actix_web::test]
    async fn the_numbers_are_told_and_nothing_else_is() {
        let admin = admin(answering());
        let (status, told) = get(&admin, "/metrics").await;
        assert_eq!(status, 200);
        assert!(told.contains(r#"webhook_deliveries_total{status="delivered"} 1"#), "{told}");
        assert_eq!(get(&admin, "/v1/accounts").await.0, 404);
    }

    #[actix_web::test]
    async fn the_port_is_served_until_the_server_is_told_to_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = server(listener, admin(answering())).unwrap();
        let handle = server.handle();
        let running = actix_web::rt::spawn(server);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = client.get(format!("http://{address}/healthz")).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.headers()["cache-control"].to_str().unwrap()),
            (200, "no-store")
        );
        handle.stop(true).await;
        running.await.unwrap().unwrap();
        assert!(client.get(format!("http://{address}/healthz")).send().await.is_err());
    }
}
