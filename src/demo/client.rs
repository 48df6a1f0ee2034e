//! Calls as an outside program makes them, each shown as curl, and the checks of what came back.

use std::time::Instant;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::json::{essence, whole};
use super::print::{Ink, Page};

/// Why the story ends before its end.
#[derive(Debug)]
pub enum Failure {
    /// Something came that is not as told.
    Untold { expected: String, came: String },
    /// Something that the story needs did not work.
    Broken(String),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Ends the story unless what it told is so.
pub fn told(so: bool, expected: impl Into<String>, came: impl Into<String>) -> Result<(), Failure> {
    match so {
        true => Ok(()),
        false => Err(Failure::Untold { expected: expected.into(), came: came.into() }),
    }
}

/// A key in somebody's hands, and the shell variable that stands for it.
#[derive(Clone)]
pub struct Key {
    pub variable: &'static str,
    pub secret: String,
}

impl Key {
    /// What makes the key known to a shell.
    pub fn export(&self) -> String {
        format!("export {}={}", self.variable, quoted(&self.secret))
    }
}

/// A call that is to be made.
pub struct Call {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
}

impl Call {
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub fn post(path: impl Into<String>, body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::POST, path) }
    }

    pub fn put(path: impl Into<String>, body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::PUT, path) }
    }

    /// A call that has no body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: None }
    }

    /// Has the answer wait until the work is done.
    pub fn waiting(self) -> Self {
        self.header("Prefer", "wait=25")
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The call as it can be pasted into a shell.
    fn curl(&self, base: &str, key: &Key) -> String {
        let method = if self.method == Method::GET { String::new() } else { format!("-X {} ", self.method) };
        let mut parts = vec![
            format!("curl -sS {method}{}", quoted(&format!("{base}{}", self.path))),
            format!("-H \"Authorization: Bearer ${}\"", key.variable),
        ];
        parts.extend(
            self.headers.iter().map(|(name, value)| format!("-H {}", quoted(&format!("{name}: {value}")))),
        );
        if let Some(body) = &self.body {
            parts.push("-H 'Content-Type: application/json'".to_owned());
            parts.push(format!("-d {}", quoted(&whole(body)).replace('\n', "\n    ")));
        }
        parts.join(" \\\n    ")
    }
}

/// A text as one word of the shell.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    replayed: bool,
    pub body: Value,
}

impl Answer {
    pub fn status(&self, expected: u16) -> Result<(), Failure> {
        let came = format!("{} {}", self.status, self.body);
        told(self.status.as_u16() == expected, format!("the status {expected}"), came)
    }

    pub fn replayed(&self) -> Result<(), Failure> {
        told(self.replayed, "the header Idempotency-Replayed: true", "no such header")
    }

    /// The value at a JSON Pointer must be this one.
    pub fn is(&self, pointer: &str, expected: impl Into<Value>) -> Result<(), Failure> {
        let (expected, came) = (expected.into(), self.at(pointer));
        told(*came == expected, format!("{pointer} = {expected}"), format!("{pointer} = {came}"))
    }

    /// The value at a JSON Pointer, `null` where there is none.
    pub fn at(&self, pointer: &str) -> &Value {
        self.body.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// The text at a JSON Pointer, which must be there.
    pub fn text(&self, pointer: &str) -> Result<String, Failure> {
        let missing =
            || Failure::Untold { expected: format!("a text at {pointer}"), came: self.body.to_string() };
        self.at(pointer).as_str().map(str::to_owned).ok_or_else(missing)
    }

    pub fn list(&self, pointer: &str) -> Result<&[Value], Failure> {
        let missing =
            || Failure::Untold { expected: format!("a list at {pointer}"), came: self.body.to_string() };
        self.at(pointer).as_array().map(Vec::as_slice).ok_or_else(missing)
    }
}

/// Makes calls and shows them.
pub struct Client {
    http: reqwest::Client,
    base: String,
    page: Page,
}

impl Client {
    /// For the server at `base`, such as `http://127.0.0.1:8080`.
    pub fn new(base: String, page: Page) -> Result<Self, Failure> {
        let http = reqwest::Client::builder().no_proxy().timeout(std::time::Duration::from_secs(40)).build();
        let http = http.map_err(|error| Failure::Broken(error.to_string()))?;
        Ok(Self { http, base, page })
    }

    /// Shows the call, makes it, and shows of the answer what `keep` names.
    pub async fn send(&self, key: &Key, call: Call, keep: &[&str]) -> Result<Answer, Failure> {
        self.page.block(Ink::Call, &call.curl(&self.base, key))?;
        let started = Instant::now();
        let mut request = self
            .http
            .request(call.method.clone(), format!("{}{}", self.base, call.path))
            .bearer_auth(&key.secret);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let broken =
            |error: reqwest::Error| Failure::Broken(format!("{} {}: {error}", call.method, call.path));
        let answer = request.send().await.map_err(broken)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.map_err(broken)?;
        let took = started.elapsed().as_millis();

        let told = |name: &'static str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.map(|value| format!(" · {name}: {value}")).unwrap_or_default()
        };
        let ink = if status.is_success() { Ink::Good } else { Ink::Bad };
        let beside = format!("{took} ms{}{}", told("Location"), told("Idempotency-Replayed"));
        self.page.line(format!("{}  {}", self.page.ink(ink, status), self.page.ink(Ink::Faint, beside)))?;
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        self.page.line(essence(&without_secret(&body), keep))?;
        Ok(Answer { status, replayed: headers.contains_key("Idempotency-Replayed"), body })
    }
}

/// The answer as it may stay on a screen: of a new secret only the beginning.
fn without_secret(body: &Value) -> Value {
    let mut shown = body.clone();
    if let Some(secret) = shown.get_mut("secret") {
        let beginning: String = secret.as_str().unwrap_or_default().chars().take(12).collect();
        *secret = Value::String(format!("{beginning}…"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_call_can_be_pasted_into_a_shell() {
        let key = Key { variable: "CRM_KEY", secret: "tnt_live_x".into() };
        let call = Call::post("/v1/orders", json!({"name": "O'Hara"})).waiting();
        let curl = call.curl("http://127.0.0.1:8080", &key);
        assert_eq!(
            curl,
            "curl -sS -X POST http://127.0.0.1:8080/v1/orders \\\n    -H \"Authorization: Bearer $CRM_KEY\" \\\n    \
             -H 'Prefer: wait=25' \\\n    -H 'Content-Type: application/json' \\\n    \
             -d '{\n      \"name\": \"O'\\''Hara\"\n    }'"
        );
        assert!(!curl.contains(&key.secret));
        let query = Call::get("/v1/events?limit=200").curl("http://h", &key);
        assert!(query.starts_with("curl -sS 'http://h/v1/events?limit=200'"), "{query}");
    }
}
