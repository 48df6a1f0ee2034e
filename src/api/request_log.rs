//! What callers asked and were told, kept so that they can look it up. It is written a moment later, all of a
//! second together; a crash loses that much, and no request waits for it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::header;
use actix_web::{HttpMessage, HttpRequest};

use super::middleware::client_request_id;
use super::parameters::reads;
use super::problem::Problem;
use super::routes::Route;
use crate::config::Recorded;
use crate::model::accounts::requests::Request;
use crate::model::ids::RequestId;
use crate::model::{Subtree, Time};
use crate::store::accounts::keys::Credential;
use crate::store::{self, Db};
use crate::telemetry;

/// How many requests wait to be written at most; what comes on top of that is not kept, and counted.
const WAITING: usize = 20_000;
/// How many are written in one transaction.
const AT_ONCE: usize = 500;
/// How much of a caller's `User-Agent` is kept.
const USER_AGENT: usize = 200;
/// The longest part of a path that is kept.
const PART: usize = 48;

/// The requests that are still to be written.
pub struct RequestLog {
    recorded: Recorded,
    waiting: Mutex<Vec<Request>>,
}

/// What a request's handler came to know of it.
pub struct Known {
    pub credential: Arc<Credential>,
    pub route: Arc<Route>,
    pub address: Option<IpAddr>,
    pub received_at: Time,
}

impl RequestLog {
    pub fn new(recorded: Recorded) -> Self {
        Self { recorded, waiting: Mutex::default() }
    }

    /// Notes an answer, if it is one of those that are kept. What is not known of is not.
    pub fn note(
        &self,
        id: RequestId,
        response: &ServiceResponse<BoxBody>,
        problem: Option<&Problem>,
        took: Duration,
    ) {
        let request = response.request();
        let reads = reads(request);
        match self.recorded {
            Recorded::None => return,
            Recorded::Changes if reads && problem.is_none() => return,
            Recorded::Changes | Recorded::All => {}
        }
        let Some(known) = request.extensions_mut().remove::<Known>() else { return };
        let key = &known.credential.key;
        let entry = Request {
            id,
            account_id: key.account_id,
            path: key.path.clone(),
            key_id: key.id,
            operation: known.route.operation_id.clone(),
            method: request.method().to_string(),
            target: without_long_parts(request.path()),
            status: i64::from(response.status().as_u16()),
            code: problem.map(|problem| problem.code.as_str().to_owned()),
            idempotency_key: header_text(request, "idempotency-key", 255),
            replayed: response.headers().contains_key("idempotency-replayed"),
            address: known.address.map(|address| address.to_string()),
            user_agent: header_text(request, header::USER_AGENT.as_str(), USER_AGENT),
            client_request_id: client_request_id(request),
            duration_us: i64::try_from(took.as_micros()).unwrap_or(i64::MAX),
            received_at: known.received_at,
        };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.len() < WAITING {
            true => waiting.push(entry),
            false => telemetry::count_lost_requests(1),
        }
    }

    /// Writes what waits. What cannot be written is lost, and counted.
    pub async fn write_back(&self, db: &Db) -> store::Result<()> {
        let mut waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        while !waiting.is_empty() {
            let rest = waiting.split_off(waiting.len().min(AT_ONCE));
            if let Err(error) = write(db, &waiting).await {
                telemetry::count_lost_requests(waiting.len() + rest.len());
                return Err(error);
            }
            waiting = rest;
        }
        Ok(())
    }
}

/// A path as it may be kept: identifiers are shorter than what is left out, and keys and tokens that somebody put
/// there by mistake are longer.
fn without_long_parts(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').map(|part| if part.len() > PART { "…" } else { part }).collect();
    parts.join("/")
}

async fn write(db: &Db, requests: &[Request]) -> store::Result<()> {
    let mut tx = db.write(Subtree::everything()).await?;
    for request in requests {
        store::accounts::requests::insert(&mut tx, request).await?;
    }
    tx.commit().await
}

/// A header's text, if it is visible ASCII.
fn header_text(request: &HttpRequest, name: &str, longest: usize) -> Option<String> {
    let text = request.headers().get(name)?.to_str().ok()?;
    Some(text.chars().take(longest).collect())
}
