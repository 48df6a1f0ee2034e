//! Dovecot and Postfix of a test's own, started by `backends/start` in a folder of its own on free ports and
//! stopped by `backends/stop`.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use tenantry::connectors::mail::Mail;
use tenantry::model::connector::{Connector, Target};
use tenantry::model::ids::ServerId;
use tenantry::model::services::specs::ResourceSpec;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

use crate::probe::{self, Hello};
use crate::suite::{MailWorld, Reach, World};

/// Every site is a dozen processes: a few at once are enough for a small machine.
static SITES: Semaphore = Semaphore::const_new(4);
/// How long mail may take from Postfix's queue to the mailbox.
const ARRIVAL: Duration = Duration::from_secs(15);

pub const API_KEY: &str = "the-key-of-this-test";

/// On what the hosting database runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Engine {
    /// With Postfix; the file is the site's.
    Sqlite,
    /// Dovecot alone, over a database of this name that the test makes and drops.
    MariaDb(String),
    Postgres(String),
}

pub struct MailSite {
    folder: PathBuf,
    engine: Engine,
    imap: u16,
    lmtp: u16,
    doveadm: u16,
    smtp: u16,
    server_id: ServerId,
    connector: Arc<Mail>,
    watch: Mutex<Option<SqliteConnection>>,
    lock: Mutex<Option<SqliteConnection>>,
    _permit: SemaphorePermit<'static>,
}

impl MailSite {
    pub async fn start(engine: Engine) -> Self {
        for program in ["/usr/sbin/dovecot", "/usr/sbin/postfix", "/usr/bin/sqlite3"] {
            assert!(Path::new(program).exists(), "{program} is missing: run `make backends` as root");
        }
        let permit = SITES.acquire().await.expect("nobody closes it");
        // All four are held until all are known, so that they differ.
        let held: Vec<_> = (0..4).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
        let port = |at: usize| held[at].local_addr().unwrap().port();
        let server_id = ServerId::new();
        let site = Self {
            folder: std::env::temp_dir().join(format!("tenantry-mail-{}", server_id.bare())),
            engine,
            imap: port(0),
            lmtp: port(1),
            doveadm: port(2),
            smtp: port(3),
            server_id,
            connector: Arc::new(Mail::new()),
            watch: Mutex::new(None),
            lock: Mutex::new(None),
            _permit: permit,
        };
        drop(held);
        site.start_servers();
        if site.engine == Engine::Sqlite {
            *site.watch.lock().await = Some(site.connect().await);
        }
        site
    }

    pub fn start_servers(&self) {
        let started = self.script("start");
        let said = String::from_utf8_lossy(&started.stdout).into_owned();
        assert!(started.status.success(), "{said}{}", String::from_utf8_lossy(&started.stderr));
    }

    pub fn stop_servers(&self) {
        let stopped = self.script("stop");
        assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    }

    fn script(&self, name: &str) -> Output {
        let mut command = Command::new(format!("{}/backends/{name}", env!("CARGO_MANIFEST_DIR")));
        command
            .env("BACKENDS", &self.folder)
            .env("MAIL_IMAP_PORT", self.imap.to_string())
            .env("MAIL_LMTP_PORT", self.lmtp.to_string())
            .env("MAIL_DOVEADM_PORT", self.doveadm.to_string())
            .env("MAIL_SMTP_PORT", self.smtp.to_string())
            .env("MAIL_API_KEY", API_KEY)
            .env_remove("MAIL_POSTFIX")
            .env_remove("MAIL_SQL_CONNECT")
            .env("MAIL_SQL_DRIVER", "sqlite");
        match &self.engine {
            Engine::Sqlite => {}
            Engine::MariaDb(name) => {
                command.env("MAIL_SQL_DRIVER", "mysql");
                command.env("MAIL_SQL_CONNECT", format!("host=127.0.0.1 dbname={name} user=root"));
            }
            Engine::Postgres(name) => {
                command.env("MAIL_SQL_DRIVER", "pgsql");
                command.env("MAIL_SQL_CONNECT", format!("host=127.0.0.1 dbname={name} user=postgres"));
            }
        }
        command.output().unwrap()
    }

    fn hosting_db(&self) -> PathBuf {
        self.folder.join("mail/hosting/hosting.db")
    }

    async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.hosting_db());
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    /// The target with one setting changed.
    pub fn target_with(&self, name: &str, value: Value) -> Target {
        let mut target = self.target();
        target.settings.insert(name.into(), value);
        target
    }

    /// The target with other credentials.
    pub fn target_opened_by(&self, credentials: Value) -> Target {
        Target { credentials: Some(credentials.to_string().into()), ..self.target() }
    }

    pub fn imap(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.imap).into()
    }

    /// Brings a message past Postfix, straight to Dovecot.
    pub async fn deliver_by_lmtp(&self, address: &str) -> Result<(), (u16, String)> {
        let lmtp = (Ipv4Addr::LOCALHOST, self.lmtp).into();
        let body = probe::body_of(1000);
        probe::lmtp_or_smtp_send(lmtp, Hello::Lhlo, "sender@out.example", address, &body).await
    }

    /// Where Dovecot keeps the mailbox.
    pub fn store_of(&self, address: &str) -> PathBuf {
        let (local, domain) = address.split_once('@').unwrap();
        self.folder.join("mail/dovecot/store").join(domain).join(local)
    }

    /// How many messages lie in the mailbox's inbox.
    pub fn stored(&self, address: &str) -> usize {
        let count = |sub: &str| {
            let folder = self.store_of(address).join("Maildir").join(sub);
            std::fs::read_dir(folder).map_or(0, Iterator::count)
        };
        count("new") + count("cur")
    }
}

impl Drop for MailSite {
    fn drop(&mut self) {
        let stopped = self.script("stop");
        if stopped.status.success() {
            std::fs::remove_dir_all(&self.folder).ok();
        } else {
            eprintln!("{}", String::from_utf8_lossy(&stopped.stderr));
        }
    }
}

#[async_trait]
impl World for MailSite {
    fn connector(&self) -> Arc<dyn Connector> {
        self.connector.clone()
    }

    fn target(&self) -> Target {
        let database = match &self.engine {
            Engine::Sqlite => format!("sqlite://{}", self.hosting_db().display()),
            Engine::MariaDb(name) => format!("mysql://root@127.0.0.1/{name}"),
            Engine::Postgres(name) => format!("postgres://postgres@127.0.0.1/{name}"),
        };
        let mut settings = Map::new();
        settings.insert("database".into(), database.into());
        let doveadm = format!("http://127.0.0.1:{}/doveadm/v1", self.doveadm);
        settings.insert("doveadm_url".into(), doveadm.into());
        let credentials = json!({ "doveadm_api_key": API_KEY }).to_string();
        Target { server_id: self.server_id, settings, credentials: Some(credentials.into()) }
    }

    fn wrong_target(&self) -> Target {
        self.target_with("database", "sqlite:///nowhere/hosting.db".into())
    }

    /// All rows, and SQLite's own count of what other connections have committed.
    async fn snapshot(&self) -> String {
        let mut watch = self.watch.lock().await;
        let watch = watch.as_mut().expect("only the SQLite site is watched");
        let version: i64 = sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut *watch).await.unwrap();
        let domains: Vec<(String, String, String)> =
            sqlx::query_as("SELECT name, owner, access FROM hosted_domains ORDER BY name")
                .fetch_all(&mut *watch)
                .await
                .unwrap();
        let mailboxes: Vec<(String, String, String, Option<String>, i64)> = sqlx::query_as(
            "SELECT address, owner, state, password, quota_mb FROM hosted_mailboxes ORDER BY address",
        )
        .fetch_all(&mut *watch)
        .await
        .unwrap();
        format!("{version} {domains:?} {mailboxes:?}")
    }

    async fn plant_foreign(&self, spec: &ResourceSpec) {
        let mut connection = self.connect().await;
        sqlx::query("INSERT INTO hosted_domains (name, owner, access) VALUES (?, 'the old panel', 'full')")
            .bind(spec.name())
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }

    /// Somebody keeps the hosting database locked.
    async fn break_server(&self) {
        let mut connection = self.connect().await;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
        *self.lock.lock().await = Some(connection);
    }

    async fn mend_server(&self) {
        let mut connection = self.lock.lock().await.take().expect("it was locked");
        sqlx::query("ROLLBACK").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

#[async_trait]
impl MailWorld for MailSite {
    async fn login(&self, address: &str, password: &str) -> Result<usize, String> {
        probe::imap_login(self.imap(), address, password).await
    }

    /// Brings the message to Postfix and waits until it lies in the mailbox.
    async fn deliver(&self, address: &str, bytes: usize) -> Result<(), (u16, String)> {
        let before = self.stored(address);
        let smtp = (Ipv4Addr::LOCALHOST, self.smtp).into();
        let body = probe::body_of(bytes);
        probe::lmtp_or_smtp_send(smtp, Hello::Ehlo, "sender@out.example", address, &body).await?;
        let arrived = async {
            while self.stored(address) == before {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let late = |_| (0, "Postfix took the message and it never arrived".to_owned());
        tokio::time::timeout(ARRIVAL, arrived).await.map_err(late)
    }

    /// Mail is collected; nobody reads it.
    fn degraded(&self) -> Reach {
        Reach { login: false, delivery: true }
    }
}
