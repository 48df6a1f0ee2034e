//! The story, from an empty installation to a mailbox that is sold, suspended and resumed. It knows the server
//! only as everybody does: over HTTP, and by the files it leaves for Dovecot and name servers.

mod feed;
mod holds;
mod mistakes;
mod quota;
mod sale;
mod setup;

use std::cell::Cell;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::Value;

use super::client::{Answer, Call, Client, Failure, Key, told};
use super::print::Page;
use super::receiver::Receiver;

/// How many steps there are.
const STEPS: usize = 37;

/// What is called otherwise when the story is told again in the same folder.
pub struct Names {
    again: String,
}

impl Names {
    /// For the first telling in a folder, the second and so on.
    pub fn new(telling: u32) -> Self {
        Self { again: if telling == 1 { String::new() } else { format!("-{telling}") } }
    }

    fn of(&self, name: &str) -> String {
        format!("{name}{}", self.again)
    }

    /// The customer's domain.
    fn domain(&self) -> String {
        format!("acme{}.example", self.again)
    }

    fn address(&self, local: &str) -> String {
        format!("{local}@{}", self.domain())
    }

    /// Where the reseller takes webhooks.
    pub fn hook(&self) -> String {
        format!("/hooks{}", self.again)
    }
}

/// What all chapters use.
pub struct Story {
    pub page: Page,
    pub client: Client,
    pub receiver: Receiver,
    pub names: Names,
    /// The folder in which hosted things are made.
    pub hosting: PathBuf,
    step: Cell<usize>,
}

/// What the operator's chapter leaves: the reseller, and who has which key.
struct Reseller {
    id: String,
    crm: Key,
    billing: Key,
    abuse_desk: Key,
    endpoint: String,
}

/// What the sale leaves.
struct Sale {
    account: String,
    subscription: String,
    mail: String,
}

impl Story {
    pub fn new(page: Page, client: Client, receiver: Receiver, names: Names, hosting: PathBuf) -> Self {
        Self { page, client, receiver, names, hosting, step: Cell::new(0) }
    }

    /// Tells all of it. The keys that were made, if everything came as told.
    pub async fn tell(&self, operator: Key) -> Result<Vec<Key>, Failure> {
        let me = setup::installation(self, &operator).await?;
        let reseller = setup::reseller(self, &operator).await?;
        let sale = sale::tell(self, &reseller).await?;
        quota::tell(self, &reseller, &sale).await?;
        holds::tell(self, &reseller, &sale).await?;
        mistakes::tell(self, &reseller, &sale, &me).await?;
        feed::tell(self, &reseller, &sale).await?;
        let (made, expected) = (self.step.get(), format!("{STEPS} steps"));
        told(made == STEPS, expected, format!("{made} steps"))?;
        Ok(vec![operator, reseller.crm, reseller.billing, reseller.abuse_desk])
    }

    fn step(&self, what: &str) -> Result<(), Failure> {
        self.step.set(self.step.get() + 1);
        Ok(self.page.step(self.step.get(), STEPS, what)?)
    }

    async fn send(&self, key: &Key, call: Call, keep: &[&str]) -> Result<Answer, Failure> {
        self.client.send(key, call, keep).await
    }

    async fn get(&self, key: &Key, path: &str, keep: &[&str]) -> Result<Answer, Failure> {
        let answer = self.send(key, Call::get(path), keep).await?;
        answer.status(200)?;
        Ok(answer)
    }

    /// A POST that makes something.
    async fn make(&self, key: &Key, path: &str, body: Value, keep: &[&str]) -> Result<Answer, Failure> {
        let answer = self.send(key, Call::post(path, body), keep).await?;
        answer.status(201)?;
        Ok(answer)
    }

    /// A call that is answered once its work is done.
    async fn post_and_wait(
        &self,
        key: &Key,
        path: &str,
        body: Option<Value>,
        keep: &[&str],
    ) -> Result<Answer, Failure> {
        let call = match body {
            Some(body) => Call::post(path, body),
            None => Call::new(Method::POST, path),
        };
        self.send(key, call.waiting(), keep).await
    }

    /// A file of the hosting folder, with the path that it is shown by.
    fn read(&self, file: impl AsRef<Path>) -> Result<(PathBuf, String), Failure> {
        let path = self.hosting.join(file);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok((path, text)),
            Err(error) => Err(Failure::Untold {
                expected: format!("the file {}", path.display()),
                came: error.to_string(),
            }),
        }
    }

    /// The line by which Dovecot knows a mailbox, as it is and with its hash cut short.
    fn login_line(&self, local: &str) -> Result<(String, String), Failure> {
        let (path, text) = self.read(format!("mail/users/{}", self.names.domain()))?;
        let start = format!("{local}:");
        let found = text.lines().find(|line| line.starts_with(&start));
        let line = found.ok_or_else(|| Failure::Untold {
            expected: format!("a line for {local} in {}", path.display()),
            came: "no such line".to_owned(),
        })?;
        let fields: Vec<String> = line
            .split(':')
            .enumerate()
            .map(|(at, field)| match at {
                1 => field.chars().take(20).chain(['…']).collect(),
                _ => field.to_owned(),
            })
            .collect();
        Ok((line.to_owned(), fields.join(":")))
    }

    /// Shows a line for Dovecot; whether it refuses logins is as told or ends the story.
    fn show_login(&self, local: &str, refused: bool) -> Result<(), Failure> {
        let (line, shown) = self.login_line(local)?;
        let path = self.hosting.join("mail/users").join(self.names.domain());
        self.shell(&format!("grep ^{local}: {}", path.display()))?;
        self.page.line(shown)?;
        let expected = if refused { "a line with nologin=y" } else { "a line without nologin" };
        told(line.contains(" nologin=y") == refused, expected, line)
    }

    /// A command that shows the same.
    fn shell(&self, command: &str) -> Result<(), Failure> {
        Ok(self.page.block(super::print::Ink::Call, command)?)
    }
}
