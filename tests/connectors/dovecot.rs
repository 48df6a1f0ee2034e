//! A real Dovecot of one's own: its own folder, its own free ports on loopback, gone when dropped.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Dovecot {
    process: Child,
    folder: PathBuf,
    pub imap: SocketAddr,
    pub lmtp: SocketAddr,
    pub doveadm: SocketAddr,
}

/// The key of the doveadm HTTP interface.
pub const API_KEY: &str = "k3y-for-tests";

/// Who the mail belongs to: root's Dovecot wants another user for it, anybody else's has only himself.
pub fn mail_owner() -> (u32, u32) {
    match own_ids() {
        (0, _) => (5000, 5000),
        own => own,
    }
}

/// The group that Dovecot reads its user files as.
pub fn reader_group() -> u32 {
    let (uid, gid) = own_ids();
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let dovecot = groups.lines().find_map(|line| line.strip_prefix("dovecot:x:")?.split(':').next());
    match dovecot.and_then(|gid| gid.parse().ok()) {
        Some(group) if uid == 0 => group,
        _ => gid,
    }
}

fn own_ids() -> (u32, u32) {
    use std::os::unix::fs::MetadataExt;
    let own = fs::metadata("/proc/self").expect("Linux has /proc");
    (own.uid(), own.gid())
}

/// A port nobody listens on just now.
pub fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback is there");
    listener.local_addr().expect("a bound socket has an address")
}

/// Fails the test by saying how to get a server programme that is missing.
pub fn need(programme: &str) {
    let found = std::env::split_paths("/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin")
        .any(|folder| folder.join(programme).is_file());
    assert!(found, "{programme} is not installed: run `make backends`");
}

impl Dovecot {
    /// Starts Dovecot in `folder` with these passdb, userdb and plugin sections and waits until it answers.
    pub fn start(folder: &Path, sections: &str) -> Self {
        need("dovecot");
        let dir = folder.display();
        for name in ["run", "state", "log"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        let (imap, lmtp, doveadm) = (free_port(), free_port(), free_port());
        let (uid, gid) = mail_owner();
        let users = match own_ids() {
            (0, _) => "default_login_user = dovenull\ndefault_internal_user = dovecot\n".to_owned(),
            _ => rootless(),
        };
        let conf = format!(
            "base_dir = {dir}/run\nstate_dir = {dir}/state\ninstance_name = {name}\nprotocols = imap lmtp\n\
             listen = 127.0.0.1\nssl = no\ndisable_plaintext_auth = no\nlog_path = {dir}/log/dovecot.log\n\
             mail_location = maildir:~/Maildir\nmail_plugins = quota\n{users}\
             first_valid_uid = {uid}\nlast_valid_uid = {uid}\nfirst_valid_gid = {gid}\nlast_valid_gid = {gid}\n\
             auth_mechanisms = plain login\nauth_verbose = yes\nauth_failure_delay = 0\n\
             doveadm_api_key = {API_KEY}\n\
             protocol lmtp {{\n postmaster_address = postmaster@hosting.test\n hostname = mx.hosting.test\n}}\n\
             service imap-login {{\n inet_listener imap {{\n  port = {imap}\n }}\n inet_listener imaps {{\n  port = 0\n }}\n}}\n\
             service lmtp {{\n inet_listener lmtp {{\n  address = 127.0.0.1\n  port = {lmtp}\n }}\n}}\n\
             service doveadm {{\n inet_listener http {{\n  address = 127.0.0.1\n  port = {doveadm}\n }}\n}}\n\
             service stats {{\n chroot =\n}}\n\
             plugin {{\n quota = count:User quota\n quota_vsizes = yes\n quota_grace = 0\n \
             quota_exceeded_message = Mailbox is full.\n}}\n\
             namespace inbox {{\n inbox = yes\n}}\n{sections}\n",
            name = folder.file_name().unwrap_or_default().display(),
            imap = imap.port(),
            lmtp = lmtp.port(),
            doveadm = doveadm.port(),
        );
        let path = folder.join("dovecot.conf");
        fs::write(&path, conf).unwrap();
        let process = Command::new("/usr/sbin/dovecot")
            .args(["-F", "-c"])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log/stderr")).unwrap())
            .spawn()
            .expect("dovecot starts");
        let server = Self { process, folder: folder.to_owned(), imap, lmtp, doveadm };
        for port in [imap, lmtp, doveadm] {
            server.wait_for(port);
        }
        server
    }

    fn wait_for(&self, port: SocketAddr) {
        for _ in 0..200 {
            if std::net::TcpStream::connect(port).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("Dovecot does not answer on {port}: {}", self.log());
    }

    /// What Dovecot has logged, for a failed test's message.
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.join("log").join(name)).unwrap_or_default();
        read("stderr") + &read("dovecot.log")
    }
}

/// Dovecot wholly as an ordinary user.
fn rootless() -> String {
    let name = |flag| {
        let out = Command::new("id").args([flag]).arg("-n").output().expect("id is there");
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    };
    format!(
        "default_login_user = {user}\ndefault_internal_user = {user}\ndefault_internal_group = {group}\n\
         service anvil {{\n chroot =\n}}\nservice imap-login {{\n chroot =\n}}\n",
        user = name("-u"),
        group = name("-g"),
    )
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // Its master must stop its own workers: TERM, not KILL.
        Command::new("kill").arg(self.process.id().to_string()).status().ok();
        self.process.wait().ok();
    }
}
