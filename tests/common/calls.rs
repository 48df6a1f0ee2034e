//! What a test asks over HTTP, and what it is answered.

use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// A request as it is put together.
pub struct Call(pub(super) RequestBuilder);

impl Call {
    pub fn key(self, key: &str) -> Self {
        Self(self.0.bearer_auth(key))
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    pub fn idem(self, key: &str) -> Self {
        self.header("Idempotency-Key", key)
    }

    /// Changes whatever is there.
    pub fn anyway(self) -> Self {
        self.header("If-Match", "*")
    }

    pub fn wait(self, seconds: u64) -> Self {
        self.header("Prefer", &format!("wait={seconds}"))
    }

    pub fn acting_for(self, account: &str) -> Self {
        self.header("Tenantry-Account", account)
    }

    pub fn json(self, body: Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub fn body(self, content_type: &str, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.header("Content-Type", content_type).body(body))
    }

    pub fn form(self, pairs: &[(&str, &str)]) -> Self {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(pairs);
        self.body("application/x-www-form-urlencoded", form.finish())
    }

    pub fn basic(self, user: &str, password: &str) -> Self {
        Self(self.0.basic_auth(user, Some(password)))
    }

    pub async fn send(self) -> Answer {
        let answer = self.0.send().await.expect("the server answers");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.expect("the answer is text");
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status, headers, text, body }
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// The text as JSON; null if it is none.
    pub body: Value,
}

impl Answer {
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// A refusal with this status and code, in the form that every refusal has.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.body["status"], status);
        let again = self.body["retryable"].as_bool().expect("a refusal says whether to try again");
        assert!(again || self.header("retry-after").is_none(), "{}", self.text);
        assert_eq!(self.body["request_id"].as_str(), self.header("x-request-id"), "{}", self.text);
        for member in ["type", "title", "detail", "instance", "doc"] {
            assert!(
                self.body[member].as_str().is_some_and(|text| !text.is_empty()),
                "{member}: {}",
                self.text
            );
        }
        self
    }

    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    #[track_caller]
    pub fn text_of(&self, pointer: &str) -> String {
        let text = self.body.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("no text at {pointer} of {}", self.text)).to_owned()
    }

    #[track_caller]
    pub fn text_at(&self, member: &str) -> String {
        self.text_of(&format!("/{member}"))
    }

    #[track_caller]
    pub fn id(&self) -> String {
        self.text_at("id")
    }

    /// Where the faults are and of what kind, in the order of their places.
    pub fn faults(&self) -> Vec<(String, String)> {
        let errors = self.body["errors"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let place = |error: &Value| {
            ["pointer", "parameter", "header"]
                .iter()
                .find_map(|kind| error[*kind].as_str())
                .map(str::to_owned)
        };
        let mut faults: Vec<_> =
            errors.iter().map(|error| (place(error).unwrap_or_default(), text(&error["code"]))).collect();
        faults.sort();
        faults
    }

    /// The identifiers of a list's rows.
    pub fn ids(&self) -> Vec<String> {
        let rows = self.body["data"].as_array().cloned().unwrap_or_default();
        rows.iter().filter_map(|row| row["id"].as_str().map(str::to_owned)).collect()
    }
}
