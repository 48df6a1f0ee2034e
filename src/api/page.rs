//! Where in a list a caller goes on. A cursor says it in our own words: it can be neither made up nor carried to another
//! account or list. Those of lists are encrypted, since places have the accounts above in them; that of the feed has
//! nothing to hide, is kept for good by whoever reads it, and has a MAC.

use std::time::Duration;

use actix_web::HttpRequest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::caller::Caller;
use super::moved;
use super::problem::{Code, Fault, Problem};
use crate::access::opaque;
use crate::model::Time;

const DEFAULT_LIMIT: i64 = 50;
pub const MAX_LIMIT: i64 = 200;
/// For how long a list can be gone on with. A feed is gone on with whenever its reader comes back.
const VALID: Duration = Duration::from_secs(24 * 60 * 60);
const MAC: usize = 16;
/// The parameter that most lists have.
pub const CURSOR: &str = "cursor";

/// A request for a part of a list.
pub struct Page {
    pub limit: i64,
    cursor: Option<Vec<u8>>,
    key: [u8; 32],
    /// What the cursor is good for: this caller, this list.
    bound: String,
    now: Time,
    /// Whether what a cursor says is good for good.
    lasts: bool,
    request: HttpRequest,
}

#[derive(Serialize, Deserialize)]
struct Inside<T> {
    after: T,
    until: i64,
}

impl Page {
    pub(super) fn of<S>(caller: &Caller<S>, cursor: &str) -> Result<Self, Problem> {
        let limit = match caller.parameter("limit") {
            None => DEFAULT_LIMIT,
            Some(text) => match text.parse() {
                Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => limit,
                _ => {
                    let detail = format!("must be a number from 1 to {MAX_LIMIT}");
                    let fault = Fault::parameter("limit", "invalid", detail);
                    let problem = Problem::new(Code::ValidationFailed, "A parameter is not valid.");
                    return Err(problem.with_errors(vec![fault]));
                }
            },
        };
        let subject = caller.request.headers().get("tenantry-account").map(|named| named.as_bytes().to_vec());
        let key = &caller.credential.key;
        // Lists are in the order of places: from one that is no more it leads nowhere. A feed is not.
        let lasts = cursor != CURSOR;
        let place = if lasts { "" } else { key.path.as_str() };
        let bound = format!(
            "{} {place} {} {}",
            key.account_id,
            String::from_utf8_lossy(&subject.unwrap_or_default()),
            caller.request.path()
        );
        let (key, request) = (*caller.state.keys.cursor, caller.request.clone());
        let mut page = Self { limit, cursor: None, key, bound, now: caller.now, lasts, request };
        if let Some(text) = caller.parameter(cursor) {
            page.cursor = Some(page.opened(&text).ok_or_else(|| invalid(lasts))?);
        }
        Ok(page)
    }

    /// The place to go on after; none at the beginning.
    pub fn after<T: DeserializeOwned>(&self) -> Result<Option<T>, Problem> {
        let Some(inside) = &self.cursor else { return Ok(None) };
        let inside: Inside<T> = serde_json::from_slice(inside).map_err(|_| invalid(self.lasts))?;
        Ok(Some(inside.after))
    }

    /// How many rows to ask for: one more than wanted tells whether there are more.
    pub fn rows(&self) -> i64 {
        self.limit + 1
    }

    /// Cuts the rows to the page and makes the cursor for the next one.
    pub fn cut<R, T: Serialize>(
        &self,
        mut rows: Vec<R>,
        place: impl Fn(&R) -> T,
    ) -> (Vec<R>, Option<String>) {
        if rows.is_empty() {
            moved::saw_nothing(&self.request);
        }
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|last| self.sealed(&place(last)));
        (rows, next)
    }

    /// A cursor for a place.
    pub fn sealed(&self, after: &impl Serialize) -> String {
        let inside = Inside { after, until: self.now.plus(VALID).as_seconds() };
        let mut text = serde_json::to_vec(&inside).expect("places serialize");
        match self.lasts {
            true => text.extend_from_slice(&self.mac(&text)),
            false => text = opaque::close(&self.key, &text, self.bound.as_bytes()),
        }
        URL_SAFE_NO_PAD.encode(text)
    }

    fn opened(&self, cursor: &str) -> Option<Vec<u8>> {
        let sealed = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let text = match self.lasts {
            true => self.checked(sealed)?,
            false => opaque::open(&self.key, &sealed, self.bound.as_bytes())?,
        };
        let inside: Inside<serde::de::IgnoredAny> = serde_json::from_slice(&text).ok()?;
        (self.lasts || inside.until > self.now.as_seconds()).then_some(text)
    }

    /// The text before its MAC, if that is ours.
    fn checked(&self, mut text: Vec<u8>) -> Option<Vec<u8>> {
        let told = text.split_off(text.len().checked_sub(MAC)?);
        let is_ours = subtle::ConstantTimeEq::ct_eq(told.as_slice(), self.mac(&text).as_slice());
        bool::from(is_ours).then_some(text)
    }

    fn mac(&self, text: &[u8]) -> [u8; MAC] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(self.bound.as_bytes());
        mac.update(&[0]);
        mac.update(text);
        let full = mac.finalize().into_bytes();
        let mut short = [0; MAC];
        short.copy_from_slice(&full[..MAC]);
        short
    }
}

fn invalid(lasts: bool) -> Problem {
    let (parameter, detail) = match lasts {
        true => ("after", "The place was altered, or is in the feed of another account."),
        false => (CURSOR, "The cursor was altered, is of another list or account, or is older than a day."),
    };
    let fault = Fault::parameter(parameter, "invalid", "not one that this list gave");
    Problem::new(Code::InvalidCursor, format!("{detail} Begin anew without it.")).with_errors(vec![fault])
}
