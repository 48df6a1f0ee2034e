//! The rate limits that replicas share: reached at the start, looked after as long as the program serves.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::upkeep::down;
use super::{Program, Stop};
use crate::access::random;
use crate::admin::{Health, Readiness};
use crate::limits::{PATIENCE, Shared};
use crate::telemetry;

/// How long the start waits for Redis at most.
const START: Duration = Duration::from_millis(500);

/// The limits that replicas share, if there is a Redis.
pub(super) async fn shared(
    program: &Program,
    readiness: &Readiness,
    stop: &watch::Receiver<bool>,
    workers: &mut Vec<JoinHandle<()>>,
) -> Result<Option<Arc<Shared>>, Stop> {
    let Some(url) = program.config.redis.url() else { return Ok(None) };
    let key = program.derived.buckets.clone();
    let shared = Shared::new(url.expose_secret(), key, random::base62(16), PATIENCE)
        .map_err(|error| Stop::unsafe_to_run(format!("redis.url: {}", error.category())))?;
    let shared = Arc::new(shared);
    let told = {
        let readiness = readiness.clone();
        move |degraded| {
            telemetry::record_limits_degraded(degraded);
            readiness.set_check("redis", if degraded { Health::Degraded } else { Health::Good });
        }
    };
    let _ = timeout(START, shared.look()).await;
    told(shared.is_degraded());
    let mut stop = stop.clone();
    let kept = shared.clone().keep(told, async move { down(&mut stop).await });
    workers.push(tokio::spawn(kept));
    Ok(Some(shared))
}
