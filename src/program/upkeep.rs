//! What is done from time to time beside the work: clocks are compared, what is kept in memory is written down.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Program;
use crate::admin::{Health, Readiness};
use crate::api;
use crate::model::Subtree;
use crate::store::faults::{Fault, fault};
use crate::store::{Db, facts};
use crate::telemetry;

/// How often the time at which keys were last used is written down.
const WRITE_BACK: Duration = Duration::from_secs(30);
/// How often this machine's clock is compared with the database's, and how far apart they may be, in seconds.
const COMPARE_CLOCKS: Duration = Duration::from_secs(30);
const SKEW: f64 = 5.0;
/// How often the log of requests is written.
const LOG_REQUESTS: Duration = Duration::from_secs(1);
/// A database that takes longer to answer is slow, if it is there at all.
const PROMPT: Duration = Duration::from_millis(800);
/// How often the metrics' recorder tidies up.
const UPKEEP: Duration = Duration::from_secs(5);

/// What has to be done from time to time.
pub(super) async fn upkeep(
    program: Arc<Program>,
    requests: Arc<api::RequestLog>,
    metrics: PrometheusHandle,
    readiness: Readiness,
    mut stop: watch::Receiver<bool>,
) {
    let mut tidy = tokio::time::interval(UPKEEP);
    let mut write_back = tokio::time::interval(WRITE_BACK);
    let mut compare = tokio::time::interval(COMPARE_CLOCKS);
    let mut log = tokio::time::interval(LOG_REQUESTS);
    loop {
        tokio::select! {
            _ = compare.tick() => clocks_compared(&program, &readiness).await,
            _ = tidy.tick() => metrics.run_upkeep(),
            _ = write_back.tick() => written_back(&program).await,
            _ = log.tick() => logged(&program, &requests).await,
            () = down(&mut stop) => return,
        }
    }
}

/// Tells how far this machine's clock is ahead of the database's, by which leases go.
async fn clocks_compared(program: &Program, readiness: &Readiness) {
    let Ok(skew) = clock_skew(program).await else { return };
    telemetry::record_clock_skew(skew);
    let apart = skew.abs() > SKEW;
    readiness.set_check("clock", if apart { Health::Degraded } else { Health::Good });
    if apart {
        tracing::warn!(seconds = skew, "this machine's clock is not the database's; is it synchronised?");
    }
}

/// By how many seconds this machine's clock is ahead of the database's.
async fn clock_skew(program: &Program) -> crate::store::Result<f64> {
    let mut conn = program.db.read(Subtree::everything()).await?;
    let before = program.clock.now().as_micros();
    let told = facts::database_time(&mut conn).await?.as_micros();
    let after = program.clock.now().as_micros();
    Ok(((before - told) + (after - told)) as f64 / 2e6)
}

/// Ready when the program is to stop.
pub(super) async fn down(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|down| *down).await;
}

pub(super) async fn logged(program: &Program, requests: &api::RequestLog) {
    if let Err(error) = requests.write_back(&program.db).await {
        tracing::warn!(%error, "requests could not be written to their log");
    }
}

pub(super) async fn written_back(program: &Program) {
    if let Err(error) = program.principals.write_back(&program.db).await {
        tracing::warn!(%error, "the time at which keys were last used was not written down");
    }
}

/// How the database is. One that is slow, or has more to do than it can, is there: elsewhere it is no other.
pub(super) async fn health(db: Db) -> Health {
    let asked = db.clone();
    // Nothing cuts it off, which would cost its connection.
    let answer = tokio::spawn(async move { facts::ping(&asked).await });
    match timeout(PROMPT, answer).await {
        Ok(Ok(Ok(()))) => Health::Good,
        Ok(Ok(Err(error))) if fault(&error) == Fault::Crowded => Health::Degraded,
        Ok(_) => Health::Faulty,
        Err(_) if db.answers().await => Health::Degraded,
        Err(_) => Health::Faulty,
    }
}
