//! Sites that the `files` connector writes, served by a real nginx.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tenantry::connectors::files::Files;
use tenantry::model::catalog::service_types::ServiceType;
use tenantry::model::connector::{Connector, Fault, ResourceGoal, ServiceGoal, Target};
use tenantry::model::services::Access;
use tenantry::model::services::specs::{ResourceSpec, SiteSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::dovecot::{free_port, need};
use crate::files::Folder;
use crate::suite;

const HOST: &str = "www.acme.example";

struct WebServer {
    folder: Folder,
    connector: Files,
    target: Target,
    service: ServiceGoal,
    port: std::net::SocketAddr,
}

impl WebServer {
    async fn start() -> Self {
        need("nginx");
        let (folder, port) = (Folder::new(), free_port());
        let (connector, mut target) = (Files::new(), folder.target());
        target.settings.insert("http_port".into(), json!(port.port()));
        let service = suite::service(ServiceType::Web);
        connector.ensure_service(&target, &service).await.unwrap();
        Self { folder, connector, target, service, port }
    }

    fn site(&self, host: &str) -> ResourceGoal {
        let spec = SiteSpec { host: host.into(), quota_mb: 100 };
        suite::resource(&self.service, ResourceSpec::Site(spec))
    }

    async fn set_access(&self, access: Access) {
        let goal = suite::with_access(&self.service, access);
        self.connector.set_access(&self.target, &goal, &[]).await.unwrap();
    }

    /// Asks an nginx that has just read the files: its status, and the last line of what it sent.
    async fn ask(&self, method: &str, host: &str) -> (u16, String) {
        let (root, own) = (self.folder.root(), self.folder.path().display());
        let conf = self.folder.path().join("nginx.conf");
        let temps: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {own}/tmp;\n"))
            .collect();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {own}/nginx.pid;\nerror_log {own}/error.log;\nevents {{ }}\n\
             http {{\naccess_log off;\n{temps}include {}/web/vhosts/*.conf;\n\
             server {{ listen {} default_server; return 404; }}\n}}\n",
            root.display(),
            self.port.port(),
        );
        fs::write(&conf, text).unwrap();
        let nginx = |args: &[&str]| {
            let mut command = Command::new("nginx");
            command.arg("-c").arg(&conf).arg("-e").arg(self.folder.path().join("error.log")).args(args);
            command
        };
        let checked = nginx(&["-t"]).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let mut server = nginx(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = loop {
            match tokio::net::TcpStream::connect(self.port).await {
                Ok(line) => break line,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
            assert!(server.try_wait().unwrap().is_none(), "nginx ended");
        };
        let request = format!("{method} / HTTP/1.0\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
        line.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        line.read_to_string(&mut answer).await.unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.lines().last().unwrap_or_default().to_owned())
    }
}

#[tokio::test]
async fn a_suspended_site_answers_503_and_resumes_with_its_pages() {
    let server = WebServer::start().await;
    let site = server.site(HOST);
    assert_eq!(server.ask("GET", HOST).await.0, 404);
    server.connector.ensure_resource(&server.target, &site).await.unwrap();
    fs::write(server.folder.root().join("web/sites").join(HOST).join("index.html"), "welcome").unwrap();
    assert_eq!(server.ask("GET", HOST).await, (200, "welcome".into()));
    assert_eq!(server.ask("GET", "other.example").await.0, 404);

    let before = server.folder.snapshot();
    server.connector.ensure_resource(&server.target, &site).await.unwrap();
    assert_eq!(server.folder.snapshot(), before, "a repeated call wrote something");

    server.set_access(Access::Suspended).await;
    assert_eq!(server.ask("GET", HOST).await.0, 503);
    server.set_access(Access::Degraded).await;
    assert_eq!(server.ask("GET", HOST).await, (200, "welcome".into()));
    assert_eq!(server.ask("POST", HOST).await.0, 403);
    server.set_access(Access::Full).await;
    assert_eq!(server.ask("GET", HOST).await, (200, "welcome".into()));

    for _ in 0..2 {
        server.connector.remove_resource(&server.target, &site).await.unwrap();
    }
    assert_eq!(server.ask("GET", HOST).await.0, 404);
    assert!(!server.folder.root().join("web/sites").join(HOST).exists());
    assert_eq!(server.connector.observe(&server.target, &site).await, Ok(None));
}

#[tokio::test]
async fn a_site_of_others_is_refused_and_left_alone() {
    let server = WebServer::start().await;
    server.connector.ensure_resource(&server.target, &server.site(HOST)).await.unwrap();
    fs::write(server.folder.root().join("web/vhosts/byhand.example.conf"), "# mine\n").unwrap();
    fs::create_dir(server.folder.root().join("web/sites/pages.example")).unwrap();
    let before = server.folder.snapshot();
    let stranger = suite::service(ServiceType::Web);
    for host in [HOST, "byhand.example", "pages.example"] {
        let taken = ResourceGoal { service: stranger.clone(), ..server.site(host) };
        let refused = server.connector.ensure_resource(&server.target, &taken).await;
        assert!(matches!(refused, Err(Fault::Foreign(_))), "{host}: {refused:?}");
        server.connector.remove_resource(&server.target, &taken).await.unwrap();
    }
    server.connector.remove_service(&server.target, &stranger).await.unwrap();
    assert_eq!(server.folder.snapshot(), before);

    server.connector.remove_service(&server.target, &server.service).await.unwrap();
    assert!(!server.folder.root().join("web/sites").join(HOST).exists());
    assert!(server.folder.root().join("web/sites/pages.example").exists());
}

#[tokio::test]
async fn a_customer_is_told_where_to_point_his_names() {
    let server = WebServer::start().await;
    let (mail, dns) = (suite::service(ServiceType::Mail), suite::service(ServiceType::Dns));
    let told = |service: &ServiceGoal, resources: &[ResourceGoal]| {
        serde_json::to_value(server.connector.connection(&server.target, service, resources)).unwrap()
    };
    let mailboxes = [suite::domain(&mail, "acme.example"), suite::mailbox(&mail, suite::ALICE, "secret1", 1)];
    let seen = told(&mail, &mailboxes);
    let imap = json!({"protocol": "imap", "host": "hosting.example", "port": 993, "security": "tls",
        "username": suite::ALICE});
    assert_eq!(seen["endpoints"][0], imap);
    let mx = json!({"name": "acme.example.", "type": "MX", "data": "10 hosting.example."});
    assert_eq!(seen["dns_records"][0], mx);

    let zone = tenantry::model::services::specs::ZoneSpec { name: "acme.example".into(), records: vec![] };
    let seen = told(&dns, &[suite::resource(&dns, ResourceSpec::Zone(zone))]);
    let delegation = json!({"name": "acme.example.", "type": "NS", "data": "ns1.hosting.example."});
    assert_eq!(seen["dns_records"][0], delegation);

    let seen = told(&server.service, &[server.site(HOST)]);
    let alias = json!({"name": "www.acme.example.", "type": "CNAME", "data": "hosting.example."});
    assert_eq!(seen["dns_records"][0], alias);
}
