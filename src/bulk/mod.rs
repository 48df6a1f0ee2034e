//! Much at once: sends the requests of batches through the API's own routes, and compares what others believe with what
//! is. Any number of processes share a database; a batch or a run is one worker's for the length of a lease.

mod batches;
mod item;
mod reconciles;

use std::time::Duration;

use actix_web::web;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinHandle, LocalSet, spawn_blocking};

use crate::api::State;
use crate::domain::{Result, Work};
use crate::model::Subtree;
use crate::model::events::events::Cause;

const AFTER_FAILURE: Duration = Duration::from_secs(1);
const LONGEST_POLL: Duration = Duration::from_secs(1);

/// What works on much at once.
#[derive(Clone)]
pub struct Bulk {
    pub state: web::Data<State>,
    /// Says that there is something to do.
    pub wake: watch::Receiver<()>,
    /// How often work is looked for when nobody has announced any.
    pub poll: Duration,
    /// How long a worker may be silent before its work is given to another, in seconds.
    pub lease: i64,
}

impl Bulk {
    /// Works in a thread of its own until `stop` turns true, and lets what is under way come to its end: the API's routes
    /// stay where they were made.
    pub fn start(self, stop: watch::Receiver<bool>) -> JoinHandle<()> {
        let runtime = Handle::current();
        spawn_blocking(move || {
            let work = async move {
                tokio::join!(batches::run(self.clone(), stop.clone()), reconciles::run(self, stop));
            };
            runtime.block_on(LocalSet::new().run_until(work));
        })
    }

    async fn begin(&self) -> Result<Work> {
        let tx = self.state.db.write(Subtree::everything()).await?;
        let cause = Cause { key_id: None, request_id: None, reason_code: None };
        Ok(Work::because(tx, cause, self.state.clock.now()))
    }
}
