//! The `files` connector, its mail read by a real Dovecot.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tenantry::connectors::files::Files;
use tenantry::model::catalog::service_types::ServiceType;
use tenantry::model::connector::{Connector, Fault, ResourceGoal, Target};
use tenantry::model::ids::ServerId;
use tenantry::model::services::Access;
use tenantry::model::services::specs::ResourceSpec;

use crate::dovecot::{self, Dovecot};
use crate::probe::{self, Hello, ImapSession};
use crate::suite::{self, ALICE, MailWorld, Reach, Tenant, World, settle};

/// A folder of one's own that goes with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tenantry-{}", ServerId::new()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn target(&self) -> Target {
        let (uid, gid) = dovecot::mail_owner();
        let settings = json!({
            "root": self.root(),
            "users_gid": dovecot::reader_group(),
            "mail_uid": uid,
            "mail_gid": gid,
            "host": "hosting.example",
        });
        let settings = settings.as_object().unwrap().clone();
        Target { server_id: ServerId::new(), settings, credentials: None }
    }

    /// Every file with its time and text; of the mail only whose it is, for Dovecot writes there.
    pub fn snapshot(&self) -> String {
        let mut seen = Vec::new();
        walk(&self.root(), &mut |path| {
            let below = path.strip_prefix(self.root()).unwrap();
            let depth = below.components().count();
            if below.starts_with("locks") || below.starts_with("mail/store") && depth > 4 {
                return false;
            }
            let (about, text) = (fs::metadata(path).unwrap(), fs::read_to_string(path).unwrap_or_default());
            let time = if about.is_dir() { 0 } else { about.mtime() };
            seen.push(format!("{} {time} {text}", below.display()));
            about.is_dir()
        });
        seen.sort_unstable();
        seen.join("\n")
    }
}

fn walk(path: &Path, visit: &mut impl FnMut(&Path) -> bool) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if visit(&entry.path()) {
            walk(&entry.path(), visit);
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

struct FilesWorld {
    // Before the folder, so that it is down when the folder goes.
    dovecot: Dovecot,
    connector: Arc<Files>,
    folder: Folder,
}

impl FilesWorld {
    async fn start() -> Self {
        let folder = Folder::new();
        let root = folder.root().display().to_string();
        let (uid, gid) = dovecot::mail_owner();
        let sections = format!(
            "passdb {{\n driver = passwd-file\n args = scheme=BLF-CRYPT username_format=%n {root}/mail/users/%d\n}}\n\
             userdb {{\n driver = passwd-file\n args = username_format=%n {root}/mail/users/%d\n \
             default_fields = uid={uid} gid={gid} home={root}/mail/store/%d/%n\n}}\n"
        );
        let dovecot = Dovecot::start(folder.path(), &sections);
        Self { dovecot, connector: Arc::new(Files::new()), folder }
    }

    fn users_file(&self) -> PathBuf {
        self.folder.root().join("mail/users/acme.example")
    }
}

#[async_trait]
impl World for FilesWorld {
    fn connector(&self) -> Arc<dyn Connector> {
        self.connector.clone()
    }

    fn target(&self) -> Target {
        let mut target = self.folder.target();
        target.settings.insert("doveadm_url".into(), json!(format!("http://{}/", self.dovecot.doveadm)));
        target.credentials = Some(dovecot::API_KEY.into());
        target
    }

    fn wrong_target(&self) -> Target {
        let mut target = self.target();
        target.settings.insert("root".into(), json!("somewhere/relative"));
        target
    }

    async fn snapshot(&self) -> String {
        self.folder.snapshot()
    }

    async fn plant_foreign(&self, spec: &ResourceSpec) {
        let line = "postmaster:{BLF-CRYPT}$2y$04$x::::::\n";
        fs::write(self.folder.root().join("mail/users").join(spec.name()), line).unwrap();
    }

    async fn break_server(&self) {
        fs::rename(self.folder.root(), self.folder.path().join("away")).unwrap();
    }

    async fn mend_server(&self) {
        fs::rename(self.folder.path().join("away"), self.folder.root()).unwrap();
    }
}

#[async_trait]
impl MailWorld for FilesWorld {
    async fn login(&self, address: &str, password: &str) -> Result<usize, String> {
        probe::imap_login(self.dovecot.imap, address, password).await
    }

    async fn deliver(&self, address: &str, bytes: usize) -> Result<(), (u16, String)> {
        let body = probe::body_of(bytes);
        probe::lmtp_or_smtp_send(self.dovecot.lmtp, Hello::Lhlo, "sender@other.example", address, &body).await
    }

    fn degraded(&self) -> Reach {
        Reach { login: false, delivery: true }
    }
}

crate::mail_conformance!(FilesWorld::start());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_changes_of_one_length_in_one_second_are_both_seen() {
    let world = FilesWorld::start().await;
    let tenant = Tenant::provisioned(&world).await;
    assert_eq!(world.login(ALICE, "secret1").await, Ok(0));
    for password in ["secret2", "secret3"] {
        let hash = Some(suite::hash(password));
        let changed = ResourceGoal { password_hash: hash, ..tenant.alice.clone() };
        let before = fs::metadata(world.users_file()).unwrap();
        world.connector().ensure_resource(&world.target(), &changed).await.unwrap();
        let after = fs::metadata(world.users_file()).unwrap();
        assert_eq!(before.len(), after.len());
        assert!(after.mtime() > before.mtime());
        // Meanwhile Dovecot looks, and remembers what it saw.
        world.login(ALICE, "wrong").await.unwrap_err();
    }
    settle(&world).await;
    assert_eq!(world.login(ALICE, "secret3").await, Ok(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_open_end_with_a_suspension() {
    let world = FilesWorld::start().await;
    let tenant = Tenant::provisioned(&world).await;
    let mut session = ImapSession::open(world.dovecot.imap, ALICE, "secret1").await.unwrap();
    session.ask("SELECT INBOX").await.unwrap();
    let (connector, target) = (world.connector(), world.target());
    let mut wrong = world.target();
    wrong.credentials = Some("another key".into());
    let refused = connector.test(&wrong).await;
    assert!(matches!(refused, Err(Fault::Denied(_))), "{refused:?}");
    let suspended = suite::with_access(&tenant.service, Access::Suspended);
    connector.set_access(&target, &suspended, &[]).await.unwrap();
    assert!(session.ask("NOOP").await.is_err(), "the session goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_left_half_written_does_no_harm() {
    let world = FilesWorld::start().await;
    let tenant = Tenant::provisioned(&world).await;
    let half = world.users_file().with_file_name(".acme.example.new");
    fs::write(&half, "# tenantry serv").unwrap();
    assert_eq!(world.login(ALICE, "secret1").await, Ok(0));
    let (connector, target) = (world.connector(), world.target());
    let bob = suite::mailbox(&tenant.service, "bob@acme.example", "secret3", 1);
    connector.ensure_resource(&target, &bob).await.unwrap();
    settle(&world).await;
    assert_eq!(world.login("bob@acme.example", "secret3").await, Ok(0));
    assert_eq!(world.login(ALICE, "secret1").await, Ok(0));
    assert!(!half.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_somebody_added_by_hand_is_never_changed() {
    let world = FilesWorld::start().await;
    let tenant = Tenant::provisioned(&world).await;
    let by_hand = format!("root:{}::::::userdb_quota_rule=*:storage=5M", suite::hash("byhand"));
    let file = fs::read_to_string(world.users_file()).unwrap();
    fs::write(world.users_file(), format!("{file}{by_hand}\n")).unwrap();
    let (connector, target) = (world.connector(), world.target());
    let taken = suite::mailbox(&tenant.service, "root@acme.example", "secret9", 1);
    let refused = connector.ensure_resource(&target, &taken).await;
    assert!(matches!(refused, Err(Fault::Foreign(_))), "{refused:?}");
    connector.remove_resource(&target, &taken).await.unwrap();
    let suspended = suite::with_access(&tenant.service, Access::Suspended);
    connector.set_access(&target, &suspended, &[]).await.unwrap();
    let lines = fs::read_to_string(world.users_file()).unwrap();
    assert!(lines.lines().any(|line| line == by_hand), "{lines}");
    assert!(lines.contains("Account_suspended"));
    let removed = connector.remove_resource(&target, &tenant.domain).await;
    assert!(matches!(removed, Err(Fault::Invalid(_))), "a domain goes last: {removed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_that_writes_is_waited_for() {
    let folder = Folder::new();
    let (connector, target) = (Files::new(), folder.target());
    let service = suite::service(ServiceType::Mail);
    connector.ensure_service(&target, &service).await.unwrap();
    let locks = folder.root().join("locks");
    let slot = locks.join(format!("{:02x}", crc32fast::hash(b"mail/users/acme.example") % 256));
    let mut other = Command::new("flock")
        .arg(&slot)
        .args(["-c", "echo held; read line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Read::read_exact(other.stdout.as_mut().unwrap(), &mut [0; 4]).unwrap();

    let domain = suite::domain(&service, "acme.example");
    let mut made = std::pin::pin!(connector.ensure_resource(&target, &domain));
    let waited = tokio::time::timeout(Duration::from_millis(300), &mut made).await;
    assert!(waited.is_err(), "written under another's lock: {waited:?}");
    drop(other.stdin.take());
    other.wait().unwrap();
    made.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_not_mounted_is_not_written_to() {
    let folder = Folder::new();
    let (connector, target) = (Files::new(), folder.target());
    let service = suite::service(ServiceType::Mail);
    connector.ensure_service(&target, &service).await.unwrap();
    fs::rename(folder.root(), folder.path().join("away")).unwrap();
    fs::create_dir(folder.root()).unwrap();
    for goal in [suite::domain(&service, "acme.example"), suite::mailbox(&service, ALICE, "secret1", 1)] {
        let refused = connector.ensure_resource(&target, &goal).await;
        assert!(matches!(refused, Err(Fault::Unavailable { .. })), "{refused:?}");
        assert!(connector.remove_resource(&target, &goal).await.is_err());
    }
    assert!(connector.remove_service(&target, &service).await.is_err());
    assert_eq!(fs::read_dir(folder.root()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_name_leads_out_of_the_folder() {
    let folder = Folder::new();
    let (connector, target) = (Files::new(), folder.target());
    let service = suite::service(ServiceType::Mail);
    connector.ensure_service(&target, &service).await.unwrap();
    connector.ensure_resource(&target, &suite::domain(&service, "acme.example")).await.unwrap();
    for name in ["../acme.example", "..", "", ".hidden", "a/b", "a\0b", "a\nb", "a:b"] {
        let domain = suite::domain(&service, name);
        let mailbox = suite::mailbox(&service, &format!("{name}@acme.example"), "secret1", 1);
        for goal in [domain, mailbox] {
            for done in [
                connector.ensure_resource(&target, &goal).await.map(drop),
                connector.remove_resource(&target, &goal).await,
            ] {
                assert!(matches!(done, Err(Fault::Invalid(_))), "{name:?}: {done:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_file_of_users_is_made_again_over_the_mail_that_is_there() {
    let world = FilesWorld::start().await;
    let tenant = Tenant::provisioned(&world).await;
    assert_eq!(world.deliver(ALICE, 1000).await, Ok(()));
    fs::remove_file(world.users_file()).unwrap();
    let (connector, target) = (world.connector(), world.target());
    let stranger = suite::service(ServiceType::Mail);
    let taken = connector.ensure_resource(&target, &suite::domain(&stranger, "acme.example")).await;
    assert!(matches!(taken, Err(Fault::Foreign(_))), "another's mail was taken: {taken:?}");
    connector.ensure_resource(&target, &tenant.domain).await.unwrap();
    connector.ensure_resource(&target, &tenant.alice).await.unwrap();
    settle(&world).await;
    assert_eq!(world.login(ALICE, "secret1").await, Ok(1));
}

#[tokio::test]
async fn a_root_that_cannot_be_written_is_for_the_operator_to_mend() {
    let folder = Folder::new();
    let (connector, mut target) = (Files::new(), folder.target());
    let file = folder.path().join("a-file");
    fs::write(&file, "").unwrap();
    for root in [file.to_str().unwrap(), "/sys/tenantry", "relative", "/with blank", "/up/../there"] {
        target.settings.insert("root".into(), json!(root));
        let refused = connector.test(&target).await;
        assert!(matches!(refused, Err(Fault::Denied(_))), "{root}: {refused:?}");
    }
    target.settings.insert("root".into(), json!(folder.path().join("made/on/demand")));
    connector.test(&target).await.unwrap();
}

#[tokio::test]
async fn the_ledger_says_once_what_was_done_and_hashes_are_for_dovecot_only() {
    let folder = Folder::new();
    let (connector, target) = (Files::new(), folder.target());
    let service = suite::service(ServiceType::Mail);
    connector.ensure_service(&target, &service).await.unwrap();
    let (domain, alice) =
        (suite::domain(&service, "acme.example"), suite::mailbox(&service, ALICE, "secret1", 1));
    for _ in 0..2 {
        connector.ensure_resource(&target, &domain).await.unwrap();
        connector.ensure_resource(&target, &alice).await.unwrap();
    }
    connector.remove_resource(&target, &alice).await.unwrap();
    let ledger = fs::read_to_string(folder.root().join("ledger.jsonl")).unwrap();
    assert!(!ledger.contains("BLF-CRYPT"));
    let entries: Vec<serde_json::Value> =
        ledger.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let done: Vec<_> = entries.iter().map(|entry| entry["did"].as_str().unwrap()).collect();
    assert_eq!(done, ["domain.made", "mailbox.made", "mailbox.removed"]);
    assert_eq!(entries[1]["resource"], json!(alice.id));
    let users = fs::metadata(folder.root().join("mail/users/acme.example")).unwrap();
    assert_eq!((users.mode() & 0o777, users.gid()), (0o640, dovecot::reader_group()));
}
