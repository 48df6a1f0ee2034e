//! Requests that change nothing and that the audit is to have, on their way there: those that were refused to a
//! credential that is known, and those that read of an account below it. The first of its kind is a line at once; those
//! of the same kind that follow within a minute become one line together, so that no flood of them fills an audit.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::model::accounts::addresses::network;
use crate::model::ids::{AccountId, KeyId, RequestId};
use crate::model::{Json, Path, Time};
use crate::store::audit::Line;

/// For how long requests of one kind are counted together.
pub const WINDOW: Duration = Duration::from_secs(60);
/// How many kinds are counted at a time.
const MOST_KINDS: usize = 10_000;
/// How many of the objects that were reached for are named in a line.
const MOST_RESOURCES: usize = 10;

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Came {
    Refused { status: u16, code: &'static str },
    Read,
}

/// The outcome of a line that tells what was read from above.
pub const READ: &str = "read";

/// A request.
#[derive(Debug, Clone)]
pub struct Noted {
    /// Whose credential it came with.
    pub account_id: AccountId,
    /// Where the account is in whose audit it belongs: whose credential it was, or whose data was read.
    pub path: Path,
    pub key_id: KeyId,
    /// The operation's name in the document.
    pub action: String,
    /// What it was to be done to, if the request named an object.
    pub resource: Option<String>,
    pub came: Came,
    pub request_id: RequestId,
    pub address: Option<IpAddr>,
    pub at: Time,
}

/// What makes two requests the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    key_id: KeyId,
    path: Path,
    action: String,
    came: Came,
    network: Option<String>,
}

/// What has come of a kind since its first.
#[derive(Debug)]
struct Window {
    began: Time,
    count: u64,
    resources: BTreeSet<String>,
    last: Option<Noted>,
}

/// The kinds that came lately.
#[derive(Debug, Default)]
pub struct Windows(HashMap<Kind, Window>);

/// There is no room to count another kind: the request stays unrecorded.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

impl Windows {
    /// Takes note of a request; gives the lines to be written now.
    pub fn take(&mut self, noted: Noted) -> Result<Vec<Line>, Full> {
        let kind = Kind {
            key_id: noted.key_id,
            path: noted.path.clone(),
            action: noted.action.clone(),
            came: noted.came,
            network: noted.address.map(network),
        };
        let mut lines = Vec::new();
        if let Some(window) = self.0.get_mut(&kind) {
            if !window.is_over(noted.at) {
                window.add(noted);
                return Ok(lines);
            }
            lines.extend(self.0.remove(&kind).and_then(Window::line));
        } else if self.0.len() >= MOST_KINDS {
            return Err(Full);
        }
        let window = Window { began: noted.at, count: 0, resources: BTreeSet::new(), last: None };
        self.0.insert(kind, window);
        lines.push(noted.line(Map::new()));
        Ok(lines)
    }

    /// Closes what a minute has passed for; gives the lines of what was counted.
    pub fn over(&mut self, now: Time) -> Vec<Line> {
        self.0.extract_if(|_, window| window.is_over(now)).filter_map(|(_, window)| window.line()).collect()
    }

    /// Closes all; gives the lines of what was counted.
    pub fn close(&mut self) -> Vec<Line> {
        self.0.drain().filter_map(|(_, window)| window.line()).collect()
    }
}

impl Window {
    fn is_over(&self, now: Time) -> bool {
        self.began.plus(WINDOW) <= now
    }

    fn add(&mut self, noted: Noted) {
        self.count += 1;
        if self.resources.len() < MOST_RESOURCES {
            self.resources.extend(noted.resource.clone());
        }
        self.last = Some(noted);
    }

    /// The line of those that followed the first, if any did.
    fn line(self) -> Option<Line> {
        let mut detail = Map::new();
        detail.insert("count".into(), self.count.into());
        detail.insert("since".into(), json!(self.began));
        if !self.resources.is_empty() {
            detail.insert("resources".into(), json!(self.resources));
        }
        self.last.map(|last| last.line(detail))
    }
}

impl Noted {
    fn line(self, mut detail: Map<String, Value>) -> Line {
        let outcome = match self.came {
            Came::Refused { status, code } => {
                detail.insert("status".into(), status.into());
                detail.insert("code".into(), code.into());
                "refused"
            }
            Came::Read => READ,
        };
        Line {
            account_id: self.account_id,
            sequence: 0,
            path: self.path,
            principal_id: self.account_id,
            key_id: self.key_id,
            action: self.action,
            resource: self.resource,
            request_id: self.request_id.to_string(),
            address: self.address.map(|address| address.to_string()),
            outcome: outcome.into(),
            detail: Json(detail),
            occurred_at: self.at,
            hash: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(key_id: KeyId, resource: &str, address: &str, at: Time) -> Noted {
        let account_id = AccountId::new();
        Noted {
            account_id,
            path: Path::root("acc_00000000000000000000000000".parse().unwrap()),
            key_id,
            action: "orders_get".into(),
            resource: Some(resource.into()),
            came: Came::Refused { status: 404, code: "not_found" },
            request_id: RequestId::new(),
            address: address.parse().ok(),
            at,
        }
    }

    /// AUD-1, AUD-2
    #[test]
    fn the_first_is_a_line_at_once_and_those_that_follow_within_a_minute_are_one() {
        let (mut windows, key) = (Windows::default(), KeyId::new());
        let at = |seconds| Time::from_seconds(seconds).unwrap();
        let first = windows.take(denial(key, "ord_0", "203.0.113.7", at(0))).unwrap();
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].detail.0, *json!({"status": 404, "code": "not_found"}).as_object().unwrap());
        for n in 1..1000 {
            let resource = format!("ord_{:02}", n % 20);
            assert!(windows.take(denial(key, &resource, "203.0.113.9", at(59))).unwrap().is_empty());
        }
        assert!(windows.over(at(59)).is_empty());
        let counted = windows.over(at(60));
        assert_eq!(counted.len(), 1);
        assert_eq!((&counted[0].detail["count"], &counted[0].detail["since"]), (&json!(999), &json!(at(0))));
        assert_eq!(counted[0].detail["resources"].as_array().unwrap().len(), MOST_RESOURCES);
        assert!(windows.over(at(600)).is_empty() && windows.close().is_empty());
    }

    /// AUD-2
    #[test]
    fn another_key_operation_or_network_is_another_kind_and_their_number_is_bounded() {
        let (mut windows, key, at) = (Windows::default(), KeyId::new(), Time::EPOCH);
        assert_eq!(windows.take(denial(key, "ord_0", "203.0.113.7", at)).unwrap().len(), 1);
        assert_eq!(windows.take(denial(key, "ord_0", "203.0.114.7", at)).unwrap().len(), 1);
        assert_eq!(windows.take(denial(KeyId::new(), "ord_0", "203.0.113.7", at)).unwrap().len(), 1);
        let other = Noted { action: "orders_cancel".into(), ..denial(key, "ord_0", "203.0.113.7", at) };
        assert_eq!(windows.take(other).unwrap().len(), 1);
        for _ in 4..MOST_KINDS {
            assert!(windows.take(denial(KeyId::new(), "ord_0", "203.0.113.7", at)).is_ok());
        }
        assert_eq!(windows.take(denial(KeyId::new(), "ord_0", "203.0.113.7", at)), Err(Full));
        assert!(
            windows.take(denial(key, "ord_0", "203.0.113.7", at)).unwrap().is_empty(),
            "known ones go on"
        );
        // After a minute without another one the next is a first again, with what was counted before it.
        let later = at.plus(WINDOW);
        assert_eq!(windows.take(denial(key, "ord_0", "203.0.113.7", later)).unwrap().len(), 2);
    }
}
