//! The real program as a process of its own, for tests that start, stop and kill it.

#![allow(dead_code, reason = "no test uses all of it")]

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions};
use std::hash::BuildHasher;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tenantry::model::ids::RequestId;

/// How long the program may take to start or to end before the test has failed.
const LONGEST: Duration = Duration::from_secs(40);

/// How often something is done: seldom, or often where `TEST_LONG` is 1; any other number is that often.
pub fn times(seldom: u64, often: u64) -> u64 {
    match std::env::var("TEST_LONG").as_deref() {
        Ok("1") => often,
        Ok(number) => number.parse().expect("TEST_LONG is a number"),
        Err(_) => seldom,
    }
}

/// A client of servers on loopback without TLS: to read the system's certificates takes a debug build longer than most
/// requests.
pub fn in_clear() -> Client {
    Client::builder().no_proxy().tls_certs_only([]).timeout(Duration::from_secs(20)).build().unwrap()
}

/// A folder, a database and two ports that belong to one program.
pub struct Installation {
    pub folder: PathBuf,
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    settings: Vec<(String, String)>,
    /// What the program is started by, if by anything.
    under: Vec<String>,
}

/// Ports that nobody listens on now, and below those that systems give to connections going out: a server that
/// is started again must find its own free.
fn free_ports() -> (SocketAddr, SocketAddr) {
    let free = || loop {
        let port = 12_000 + (RandomState::new().hash_one(()) % 20_000) as u16;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener;
        }
    };
    let (one, two) = (free(), free());
    (one.local_addr().unwrap(), two.local_addr().unwrap())
}

impl Installation {
    /// With a database of its own in its folder.
    pub fn new() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(RequestId::new().bare());
        fs::create_dir_all(&folder).unwrap();
        let (listen, admin) = free_ports();
        let installation = Self { folder, listen, admin, settings: Vec::new(), under: Vec::new() };
        installation
            .with("WORKER__LEASE_SECONDS", "5")
            .with("SERVER__DRAIN_DELAY_SECONDS", "0")
            // All tests share one machine, which now and then has more to do than it can.
            .with("SERVER__LONGEST_WAIT_MILLISECONDS", "60000")
            // Each takes a moment to open, again after each start.
            .with("DATABASE__MAX_CONNECTIONS", "6")
    }

    /// With a PostgreSQL database that is there already.
    pub fn on(url: &str) -> Self {
        Self::new().with("DATABASE__URL", url)
    }

    /// Another program with the same folder and settings, on ports of its own.
    pub fn beside(&self) -> Self {
        let (listen, admin) = free_ports();
        let (settings, under) = (self.settings.clone(), self.under.clone());
        Self { folder: self.folder.clone(), listen, admin, settings, under }
    }

    /// With a setting, named as in the environment.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.push((format!("TENANTRY_{name}"), value.into()));
        self
    }

    /// With its processes started by a command that runs another, such as `strace`.
    pub fn under(mut self, words: &[&str]) -> Self {
        self.under = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut words = self.under.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_tenantry")]);
        let mut command = Command::new(words.next().expect("there is the program at least"));
        command.args(words);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TENANTRY_")) {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("TENANTRY_DATA__DIR", self.folder.join("data"))
            .env("TENANTRY_SERVER__LISTEN", self.listen.to_string())
            .env("TENANTRY_SERVER__ADMIN_LISTEN", self.admin.to_string())
            .envs(self.settings.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts a command; what it says goes to the log.
    pub fn start(&self, arguments: &[&str]) -> Process {
        let log: File = OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let child = self.command(arguments).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Process { child }
    }

    /// Starts the server and waits until it says that it is ready.
    pub async fn serve(&self) -> Process {
        self.serve_with(&["serve"]).await
    }

    pub async fn serve_with(&self, arguments: &[&str]) -> Process {
        let mut process = self.start(arguments);
        let (http, begun) = (in_clear(), Instant::now());
        let address = format!("http://{}/readyz", self.admin);
        loop {
            if http.get(&address).send().await.is_ok_and(|answer| answer.status() == 200) {
                return process;
            }
            if let Some(status) = process.child.try_wait().unwrap() {
                panic!("it ended with {status}: {}", self.said());
            }
            assert!(begun.elapsed() < LONGEST, "it does not become ready: {}", self.said());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.listen.port()))
    }

    /// What the program has said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// The operator's first key.
    pub fn key(&self) -> String {
        let made = self.run(&["key", "create", "--bundle", "operator_admin"]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// Removes all files, once a test has succeeded.
    pub fn remove(self) {
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// A running program; it is killed at the latest when this is dropped.
pub struct Process {
    child: Child,
}

impl Process {
    /// Kills it (SIGKILL) and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&self) {
        self.send("-TERM");
    }

    pub fn send(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < LONGEST, "it does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Someone who calls the API with a key.
#[derive(Clone)]
pub struct Outsider {
    http: Client,
    address: SocketAddr,
    key: String,
}

impl Outsider {
    pub fn new(address: SocketAddr, key: &str) -> Self {
        let http = in_clear();
        Self { http, address, key: key.to_owned() }
    }

    /// The same one at another address.
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    pub fn call(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}/v1{path}", self.address);
        self.http.request(method, url).bearer_auth(&self.key)
    }

    /// Posts something that must succeed.
    pub async fn make(&self, path: &str, body: Value) -> Value {
        told(self.call(Method::POST, path).json(&body)).await
    }

    pub async fn get(&self, path: &str) -> Value {
        told(self.call(Method::GET, path)).await
    }

    /// All entries of a list, page after page.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let mut page = self.get(&format!("{path}?limit=200{cursor}")).await;
            let Value::Array(data) = page["data"].take() else { panic!("{path} is no list") };
            all.extend(data);
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }
}

async fn told(request: RequestBuilder) -> Value {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert!(status.is_success(), "{status}: {body}");
    body
}
