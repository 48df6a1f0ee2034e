//! One attempt: the request, and what came of it.

use std::io;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use super::guard::{self, Client, Refusal};
use super::schedule::retry_after;
use super::sign::Secret;
use crate::clock::Clock;
use crate::model::Time;
use crate::model::events::webhooks::Attempt;

/// Bytes of the answer that are read at most…
const READ: usize = 4_096;
/// …and kept.
const KEPT: usize = 1_024;

/// What came of an attempt.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub attempt: Attempt,
    pub fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Delivered,
    /// The endpoint did not take it, and may have asked for a pause.
    Refused(Option<Duration>),
    /// The endpoint is gone for good.
    Gone,
    /// Nothing was sent, through no fault of the endpoint's; it makes sense to try again, or not.
    Unsent {
        again: bool,
    },
}

impl Outcome {
    /// Nothing was sent, for a reason of ours.
    pub fn unsent(at: Time, why: &str, again: bool) -> Self {
        let attempt = Attempt { at, status: None, duration_ms: 0, error: Some(why.to_owned()), body: None };
        Self { attempt, fate: Fate::Unsent { again } }
    }
}

/// Sends the body once, signed for this very moment.
pub async fn post(
    client: &Client,
    clock: &Clock,
    url: &str,
    secret: &Secret,
    id: &str,
    body: Vec<u8>,
) -> Outcome {
    let (at, begun) = (clock.now(), Instant::now());
    let mut attempt = Attempt { at, status: None, duration_ms: 0, error: None, body: None };
    let fate = match answer(client, url, secret, id, at, body).await {
        Ok(answer) => {
            let status = answer.status();
            let wish =
                answer.headers().get(RETRY_AFTER).and_then(|wish| retry_after(wish.to_str().ok()?, at));
            attempt.status = Some(status.as_u16());
            attempt.body = read(answer).await;
            match status {
                _ if status.is_success() => Fate::Delivered,
                StatusCode::GONE => Fate::Gone,
                _ => Fate::Refused(wish),
            }
        }
        Err(why) => {
            attempt.error = Some(why.to_owned());
            Fate::Refused(None)
        }
    };
    if fate != Fate::Delivered && attempt.error.is_none() {
        attempt.error = Some("status".to_owned());
    }
    attempt.duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Outcome { attempt, fate }
}

async fn answer(
    client: &Client,
    url: &str,
    secret: &Secret,
    id: &str,
    at: Time,
    body: Vec<u8>,
) -> Result<Response, &'static str> {
    let signature = secret.sign(id, at.as_seconds(), &body);
    let request = client
        .post(url)
        .map_err(|refusal| word(&refusal))?
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", at.as_seconds())
        .header("webhook-signature", signature)
        .body(body);
    request.send().await.map_err(|error| why(&error))
}

fn word(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Blocked | Refusal::Address => "blocked_address",
        Refusal::Malformed | Refusal::Scheme | Refusal::Port | Refusal::UserInfo | Refusal::Fragment => {
            "blocked_url"
        }
    }
}

/// In one word, which is all that the endpoint's owner is told of it.
fn why(error: &reqwest::Error) -> &'static str {
    if let Some(refusal) = guard::refusal(error) {
        return word(refusal);
    }
    if error.is_timeout() {
        return "timeout";
    }
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if inner.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused) {
            return "refused";
        }
        source = inner.source();
    }
    if error.is_connect() { "connection" } else { "broken_answer" }
}

/// The beginning of the answer's text, if it has one. The head has told what the answer is; that the rest
/// breaks off changes nothing.
async fn read(mut answer: Response) -> Option<String> {
    let mut bytes = Vec::new();
    while bytes.len() < READ {
        match answer.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    kept(&bytes)
}

fn kept(bytes: &[u8]) -> Option<String> {
    // PostgreSQL keeps no zero character in a text.
    let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(KEPT)]).replace('\0', "\u{fffd}");
    text.truncate(text.floor_char_boundary(KEPT));
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_any_answer_a_kibibyte_of_sound_text_is_kept() {
        assert_eq!(kept(b""), None);
        assert_eq!(kept(b"a\0b").unwrap(), "a\u{fffd}b");
        assert_eq!(kept(&[b'a'; 5_000]).unwrap().len(), 1_024);
        assert!(kept(&[0xff; 5_000]).unwrap().len() <= 1_024);
        assert!(kept("ä".repeat(5_000).as_bytes()).unwrap().len() <= 1_024);
    }
}
