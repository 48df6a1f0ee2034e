//! Forgets what is older than it is kept.

use std::time::Duration;

use tokio::sync::watch;

use super::{Delivery, Fault, apart, stopped};
use crate::model::Subtree;
use crate::store::events::{deliveries, webhooks};

/// How long a delivery can be looked up after it has ended.
const KEPT: Duration = Duration::from_secs(30 * 86_400);
const EVERY: Duration = Duration::from_secs(600);
/// How many are deleted in one transaction.
const BATCH: i64 = 500;

pub async fn run(delivery: Delivery, mut stop: watch::Receiver<()>) {
    let mut often = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            _ = often.tick() => tidy(&delivery).await,
        }
    }
}

pub async fn tidy(delivery: &Delivery) {
    loop {
        match apart(batch(delivery.clone())).await {
            Ok(deleted) if deleted < BATCH.unsigned_abs() => return,
            Ok(_) => {}
            Err(error) => return tracing::warn!(%error, "old webhook deliveries were not deleted"),
        }
    }
}

async fn batch(delivery: Delivery) -> Result<u64, Fault> {
    let parts = &delivery.0.parts;
    let now = parts.clock.now();
    let mut tx = parts.db.write(Subtree::everything()).await?;
    webhooks::drop_ended_secrets(&mut tx, now).await?;
    let deleted = deliveries::purge(&mut tx, now.minus(KEPT), BATCH).await?;
    tx.commit().await?;
    Ok(deleted)
}
