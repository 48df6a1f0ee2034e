//! One attempt: the request, and what came of it.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::client::{self, Client};
use super::guard::Refusal;
use super::headers::may_be_sent;
use super::schedule::retry_after;
use super::secrets::Secrets;
use crate::clock::Clock;
use crate::model::Time;
use crate::model::events::deliveries::Attempt;

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

/// What is sent, where to, and with what.
pub struct Letter {
    pub url: String,
    /// The endpoint's own, that are shown.
    pub headers: BTreeMap<String, String>,
    pub secrets: Secrets,
    pub id: String,
    pub body: Vec<u8>,
    /// What has to be in the answer for it to count.
    pub expected: Option<String>,
}

/// Sends the letter once, signed for this very moment.
pub async fn post(client: &Client, clock: &Clock, letter: Letter) -> Outcome {
    let (at, begun) = (clock.now(), Instant::now());
    let mut attempt = Attempt { at, status: None, duration_ms: 0, error: None, body: None };
    let fate = match answer(client, &letter, at).await {
        Ok(answer) => {
            let status = answer.status();
            let wish =
                answer.headers().get(RETRY_AFTER).and_then(|wish| retry_after(wish.to_str().ok()?, at));
            attempt.status = Some(status.as_u16());
            let text = read(answer).await;
            let expected = letter.expected.as_ref().is_none_or(|expected| has(&text, expected));
            attempt.body = kept(letter.secrets.redacted(text));
            match status {
                _ if status.is_success() && expected => Fate::Delivered,
                _ if status.is_success() => {
                    attempt.error = Some("challenge".to_owned());
                    Fate::Refused(wish)
                }
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

async fn answer(client: &Client, letter: &Letter, at: Time) -> Result<Response, &'static str> {
    let Letter { url, headers, secrets, id, body, .. } = letter;
    let mut request = client.post(url).map_err(|refusal| word(&refusal))?;
    let secret = secrets.headers.iter().map(|(name, value)| (name, value.expose_secret(), true));
    let shown = headers.iter().map(|(name, value)| (name, value.as_str(), false));
    for (name, value, is_secret) in shown.chain(secret) {
        // What was admitted by an older program may not be any more.
        let mut value = HeaderValue::from_str(value).map_err(|_| "blocked_header")?;
        value.set_sensitive(is_secret);
        request = match may_be_sent(name, is_secret) {
            true => request.header(name, value),
            false => return Err("blocked_header"),
        };
    }
    let request = request
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", at.as_seconds())
        .header("webhook-signature", secrets.signatures(id, at.as_seconds(), body))
        .body(body.clone());
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
    if let Some(refusal) = client::refusal(error) {
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

/// The beginning of the answer's text. The head has told what the answer is; that the rest breaks off changes
/// nothing.
async fn read(mut answer: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < READ {
        match answer.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    bytes.truncate(READ);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether the answer is the text that was expected, or a JSON object that has it as its `challenge`.
fn has(answer: &str, expected: &str) -> bool {
    let object = || serde_json::from_str::<Value>(answer).unwrap_or_default();
    answer.trim() == expected || object()["challenge"] == expected
}

fn kept(text: String) -> Option<String> {
    // PostgreSQL keeps no zero character in a text.
    let mut text = text.replace('\0', "\u{fffd}");
    text.truncate(text.floor_char_boundary(KEPT));
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WH-6
    #[test]
    fn of_any_answer_a_kibibyte_of_sound_text_is_kept() {
        let kept = |bytes: &[u8]| kept(String::from_utf8_lossy(bytes).into_owned());
        assert_eq!(kept(b""), None);
        assert_eq!(kept(b"a\0b").unwrap(), "a\u{fffd}b");
        assert_eq!(kept(&[b'a'; 5_000]).unwrap().len(), 1_024);
        assert!(kept(&[0xff; 5_000]).unwrap().len() <= 1_024);
        assert!(kept("ä".repeat(5_000).as_bytes()).unwrap().len() <= 1_024);
    }

    /// WH-12
    #[test]
    fn a_challenge_is_answered_as_plain_text_or_as_a_member_and_in_no_other_way() {
        assert!(has("abc\n", "abc") && has(r#"{"challenge": "abc", "more": 1}"#, "abc"));
        for wrong in
            ["", "ab", "xabc", "{}", r#"{"challenge": null}"#, r#"{"token": "abc"}"#, "[\"abc\"]", "\"abc\""]
        {
            assert!(!has(wrong, "abc"), "{wrong}");
        }
    }
}
