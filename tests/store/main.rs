//! What the store promises, whatever fails: units of work are whole, accounts do not see each other, and both
//! engines tell the same.

#[path = "../common/mod.rs"]
mod common;

#[path = "../common/process.rs"]
mod process;

mod bulk;
mod cancelled;
mod copies;
mod crash;
mod disk;
mod group;
mod indexes;
mod log;
mod migrations;
mod paging;
mod program;
mod times;
mod walls;

use std::collections::HashSet;
use std::task::Poll;
use std::time::Duration;

use common::Fresh;
use tenantry::model::accounts::accounts::Account;
use tenantry::model::ids::{KeyId, RequestId};
use tenantry::model::{Subtree, Time};
use tenantry::store::audit::Line;
use tenantry::store::{Conn, Db, Result, Tx};

/// A file that nobody else has.
fn file() -> String {
    format!("{}/{}.db", env!("CARGO_TARGET_TMPDIR"), RequestId::new().bare())
}

/// An audit line of the account.
fn line(of: &Account) -> Line {
    Line {
        account_id: of.id,
        sequence: 1,
        path: of.path.clone(),
        principal_id: of.id,
        key_id: KeyId::new(),
        action: "place_order".into(),
        resource: None,
        request_id: "request".into(),
        address: None,
        outcome: "done".into(),
        detail: Default::default(),
        occurred_at: Time::EPOCH,
        hash: String::new(),
    }
}

async fn write(db: &Db) -> Result<Tx> {
    db.write(Subtree::everything()).await
}

async fn read(db: &Db) -> Conn {
    db.read(Subtree::everything()).await.unwrap()
}

/// Drops `work` right after it has been polled `polls` times, whatever it is then waiting for.
async fn cut_off<T>(work: impl Future<Output = T>, mut polls: u64) -> Option<T> {
    let mut work = Box::pin(work);
    std::future::poll_fn(|cx| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        match work.as_mut().poll(cx) {
            Poll::Pending if polls == 0 => Poll::Ready(None),
            poll => poll.map(Some),
        }
    })
    .await
}
