//! Calling a connector, and what its answer means for the step.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::timeout;
use tracing::warn;

use super::goals::{Call, Prepared};
use super::workflow::NAME_TAKEN;
use crate::access::seal::SealError;
use crate::model::connector::{Fault, Observed, Repeat};
use crate::model::services::operations::OperationError;

/// Whether trying the same again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Transient,
    Permanent,
    /// It may have been done or not, and nobody but a person can find out.
    Unknown,
}

/// Why a step did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub kind: Kind,
    pub error: OperationError,
    pub retry_after: Option<Duration>,
    /// What the operation waits for until it is tried again.
    pub waiting_on: String,
}

impl Trouble {
    fn new(kind: Kind, code: &str, detail: impl Into<String>, connector: &str) -> Self {
        Self {
            kind,
            error: OperationError { code: code.into(), detail: detail.into() },
            retry_after: None,
            waiting_on: format!("connector:{connector}"),
        }
    }

    pub fn gone(what: &str) -> Self {
        Self::new(Kind::Permanent, "not_found", format!("The {what} that the step is about is no more."), "")
    }

    pub fn no_connector(name: &str) -> Self {
        warn!(connector = name, "no such connector in this program");
        Self::new(Kind::Transient, "connector_denied", NOT_SET_UP, name)
    }

    pub fn unreadable_credentials(connector: &str, error: SealError) -> Self {
        warn!(connector, %error, "the server's credentials cannot be read");
        Self::new(Kind::Transient, "connector_denied", NOT_SET_UP, connector)
    }
}

const NOT_SET_UP: &str = "The server is not set up as it must be; its operator has to mend that.";
const AWAY: &str = "The server is down, slow or busy.";
const LOST: &str = "The server was called and its answer was lost; somebody must look what came of it.";

/// Sends the call out and waits for its answer, at most for the time given.
pub async fn call(prepared: &Prepared, within: Duration) -> Result<Observed, Trouble> {
    let descriptor = prepared.connector.descriptor();
    let (name, repeat) = (descriptor.name, descriptor.repeat);
    let lost = |what: &str| {
        warn!(connector = name, what, "a call to a connector came to no end");
        match repeat {
            Repeat::Unsafe => Trouble::new(Kind::Unknown, "outcome_unknown", LOST, name),
            Repeat::Idempotent | Repeat::Lookup => {
                Trouble::new(Kind::Transient, "connector_unavailable", AWAY, name)
            }
        }
    };
    match timeout(within, AssertUnwindSafe(send(prepared)).catch_unwind()).await {
        Ok(Ok(Ok(observed))) => Ok(observed),
        Ok(Ok(Err(fault))) => Err(trouble(name, fault, matches!(prepared.call, Call::Test))),
        Ok(Err(_)) => Err(lost("panic")),
        Err(_) => Err(lost("time-out")),
    }
}

async fn send(prepared: &Prepared) -> Result<Observed, Fault> {
    let Prepared { connector, target, call } = prepared;
    let nothing = |()| Observed::default();
    match call {
        Call::EnsureService(goal) => connector.ensure_service(target, goal).await,
        Call::RemoveService(goal) => connector.remove_service(target, goal).await.map(nothing),
        Call::EnsureResource(goal) => connector.ensure_resource(target, goal).await,
        Call::RemoveResource(goal) => connector.remove_resource(target, goal).await.map(nothing),
        Call::SetAccess(goal, resources) => connector.set_access(target, goal, resources).await.map(nothing),
        Call::Test => connector.test(target).await,
    }
}

/// A customer is told what is wrong with what he asked for; how it stands with the server is told to its
/// operator only, who sees the results of tests and the logs.
fn trouble(connector: &str, fault: Fault, to_operator: bool) -> Trouble {
    warn!(connector, %fault, "a connector did not do what it was asked");
    let told = |general: &str, fault: &dyn std::fmt::Display| match to_operator {
        true => fault.to_string(),
        false => general.to_owned(),
    };
    match fault {
        Fault::Foreign(detail) => Trouble::new(Kind::Permanent, NAME_TAKEN, detail, connector),
        Fault::Invalid(detail) => Trouble::new(Kind::Permanent, "connector_refused", detail, connector),
        Fault::Denied(reason) => {
            Trouble::new(Kind::Transient, "connector_denied", told(NOT_SET_UP, &reason), connector)
        }
        Fault::Unavailable { reason, retry_after } => {
            let detail = told(AWAY, &reason);
            let trouble = Trouble::new(Kind::Transient, "connector_unavailable", detail, connector);
            Trouble { retry_after, ..trouble }
        }
        Fault::Unknown(reason) => {
            Trouble::new(Kind::Unknown, "outcome_unknown", told(LOST, &reason), connector)
        }
    }
}
