//! What is done beside all requests: holds that begin or end, subscriptions that do, sign-ups and orders that nobody saw to,
//! quotas that fill up, and what need not be kept longer.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use super::Engine;
use super::record::unit;
use super::worker::down;
use crate::domain::accounts::signups;
use crate::domain::commerce::{approvals, subscriptions};
use crate::domain::services::holds;
use crate::domain::{Error, Result, Work, quotas};
use crate::model::Subtree;
use crate::model::events::events::Cause;
use crate::store;

const EVERY: Duration = Duration::from_secs(1);
const FORGET_EVERY: Duration = Duration::from_secs(3600);
/// For how long sign-ups are kept that came to nothing.
const KEEP_SIGNUPS: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// For how long batches are kept that have ended, and reconcile runs.
const KEEP_BATCHES: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How many holds, subscriptions or sign-ups are turned, or old rows removed, in one transaction.
const AT_ONCE: i64 = 200;
/// How many quotas are told of in one: whoever records something of their accounts waits for it.
const FEW: i64 = 10;

/// Looks once a second until the program shuts down.
pub async fn keep(engine: Engine, mut shutdown: watch::Receiver<bool>) {
    let mut forget_at = engine.parts().clock.now();
    while !*shutdown.borrow() {
        let of = engine.clone();
        match unit(async move { turn(&of).await }).await {
            Ok(0) => {}
            Ok(_) => engine.wake(),
            Err(error) => warn!(%error, "what is due by the clock could not be turned"),
        }
        let now = engine.parts().clock.now();
        if now >= forget_at {
            forget_at = now.plus(FORGET_EVERY);
            let of = engine.clone();
            if let Err(error) = unit(async move { forget(&of).await }).await {
                warn!(%error, "what is old could not be forgotten");
            }
        }
        tokio::select! {
            () = down(&mut shutdown) => return,
            () = sleep(EVERY) => {}
        }
    }
}

/// What the clock turns, each kind in transactions of its own.
#[derive(Debug, Clone, Copy)]
enum Turning {
    Holds,
    Subscriptions,
    Signups,
    Orders,
    /// What is full is told by the same hand.
    Quotas,
}

async fn turn(engine: &Engine) -> Result<usize> {
    let mut turned = 0;
    for what in [Turning::Holds, Turning::Subscriptions, Turning::Signups, Turning::Orders, Turning::Quotas] {
        turned += turn_all(engine, what).await?;
    }
    Ok(turned)
}

async fn turn_all(engine: &Engine, what: Turning) -> Result<usize> {
    let parts = engine.parts();
    let now = parts.clock.now();
    let mut all = 0;
    loop {
        let mut conn = parts.db.read(Subtree::everything()).await?;
        let nothing = match what {
            Turning::Holds => store::services::holds::due(&mut conn, now, 1).await?.is_empty(),
            Turning::Subscriptions => {
                store::commerce::subscriptions::due(&mut conn, now, 1).await?.is_empty()
            }
            Turning::Signups => store::accounts::signups::due(&mut conn, now, 1).await?.is_empty(),
            Turning::Orders => store::commerce::orders::overdue(&mut conn, now, 1).await?.is_empty(),
            Turning::Quotas => store::quotas::quotas::crossed(&mut conn, 1).await?.is_empty(),
        };
        drop(conn);
        if nothing {
            return Ok(all);
        }
        let tx = parts.db.write(Subtree::everything()).await?;
        let cause = Cause { key_id: None, request_id: None, reason_code: None };
        let turned = turn_some(what, Work::because(tx, cause, now)).await?;
        all += turned;
        if turned == 0 {
            return Ok(all);
        }
    }
}

async fn turn_some(what: Turning, mut work: Work) -> Result<usize> {
    let turned = match what {
        Turning::Holds => holds::turn_the_clock(&mut work, AT_ONCE).await?,
        Turning::Subscriptions => subscriptions::turn_the_clock(&mut work, AT_ONCE).await?,
        Turning::Signups => signups::turn_the_clock(&mut work, AT_ONCE).await?,
        Turning::Orders => approvals::turn_the_clock(&mut work, AT_ONCE).await?,
        Turning::Quotas => {
            return match quotas::tell(work, FEW).await {
                // Another replica was faster.
                Err(Error::Busy) => Ok(0),
                told => told,
            };
        }
    };
    work.finish().await?;
    Ok(turned)
}

/// Removes what has been kept long enough, a little at a time.
async fn forget(engine: &Engine) -> Result<()> {
    let parts = engine.parts();
    let (now, settings) = (parts.clock.now(), &parts.settings);
    let (answers, requests) = (now.minus(settings.remember), now.minus(settings.keep_requests));
    loop {
        let mut tx = parts.db.write(Subtree::everything()).await?;
        let answers = store::replies::forget(&mut tx, answers, AT_ONCE).await?;
        let requests = store::accounts::requests::forget(&mut tx, requests, AT_ONCE).await?;
        let signups = store::accounts::signups::forget(&mut tx, now.minus(KEEP_SIGNUPS), AT_ONCE).await?;
        let tokens = store::tokens::forget(&mut tx, now, AT_ONCE).await?;
        let assertions = store::tokens::forget_assertions(&mut tx, now, AT_ONCE).await?;
        tx.commit().await?;
        let most = answers.max(requests).max(signups).max(tokens).max(assertions);
        // These have much below them, which goes first.
        let mut tx = parts.db.write(Subtree::everything()).await?;
        let batches = store::bulk::batches::forget(&mut tx, now.minus(KEEP_BATCHES), AT_ONCE).await?;
        let runs = store::bulk::reconciles::forget(&mut tx, now.minus(KEEP_BATCHES), AT_ONCE).await?;
        tx.commit().await?;
        if most < AT_ONCE as u64 && batches.max(runs) == 0 {
            return Ok(());
        }
    }
}
