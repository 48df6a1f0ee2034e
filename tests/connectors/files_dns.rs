//! Zones that the `files` connector writes, read by BIND's own checkers.

use std::process::Command;

use serde_json::json;
use tenantry::connectors::files::Files;
use tenantry::model::catalog::service_types::ServiceType;
use tenantry::model::connector::{Connector, Fault, ResourceGoal, ServiceGoal, Target};
use tenantry::model::services::Access;
use tenantry::model::services::specs::{Record, RecordType, ResourceSpec, ZoneSpec};

use crate::dovecot::need;
use crate::files::Folder;
use crate::suite;

struct NameServer {
    folder: Folder,
    connector: Files,
    target: Target,
    service: ServiceGoal,
}

impl NameServer {
    async fn start() -> Self {
        need("named-checkzone");
        need("named-checkconf");
        let folder = Folder::new();
        let (connector, mut target) = (Files::new(), folder.target());
        target.settings.insert("ns".into(), json!(["ns1.hosting.example", "ns2.hosting.example."]));
        let service = suite::service(ServiceType::Dns);
        connector.ensure_service(&target, &service).await.unwrap();
        Self { folder, connector, target, service }
    }

    async fn ensure(&self, zone: &ResourceGoal) -> Result<(), Fault> {
        self.connector.ensure_resource(&self.target, zone).await.map(drop)
    }

    async fn set_access(&self, zone: &ResourceGoal, access: Access) {
        let goal = suite::with_access(&self.service, access);
        self.connector.set_access(&self.target, &goal, std::slice::from_ref(zone)).await.unwrap();
    }

    /// The zone as BIND understands it, a line for each record, its fields one blank apart.
    fn zone(&self, name: &str) -> Vec<String> {
        let file = self.folder.root().join(format!("dns/zones/{name}.zone"));
        let checked = Command::new("named-checkzone")
            .args(["-i", "local", "-D", "-s", "full", "-o", "-", name])
            .arg(&file)
            .output()
            .unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let text = String::from_utf8(checked.stdout).unwrap();
        text.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    /// The zones that a name server would load from the list.
    fn listed(&self) -> Vec<String> {
        let list = self.folder.root().join("dns/named.conf");
        let checked = Command::new("named-checkconf").args(["-l"]).arg(&list).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
        let text = String::from_utf8(checked.stdout).unwrap();
        text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    }
}

fn serial(zone: &[String]) -> u64 {
    zone.iter().find(|line| line.contains(" SOA ")).unwrap().split(' ').nth(6).unwrap().parse().unwrap()
}

fn records(zone: &[String]) -> Vec<&String> {
    zone.iter().filter(|line| !line.contains(" SOA ") && !line.contains(" NS ")).collect()
}

fn zone(service: &ServiceGoal, name: &str, records: &[(&str, RecordType, &str)]) -> ResourceGoal {
    let record = |(name, record_type, data): &(&str, RecordType, &str)| Record {
        name: (*name).into(),
        record_type: *record_type,
        data: (*data).into(),
        ttl: 300,
    };
    let records = records.iter().map(record).collect();
    suite::resource(service, ResourceSpec::Zone(ZoneSpec { name: name.into(), records }))
}

#[tokio::test]
async fn a_zone_of_every_record_type_is_what_bind_reads() {
    let server = NameServer::start().await;
    let long = "k".repeat(400);
    let acme = zone(
        &server.service,
        "acme.example",
        &[
            ("@", RecordType::Mx, "10 mx.hosting.example."),
            ("@", RecordType::Txt, r#"v=spf1 "quoted" back\slash ; not a comment"#),
            ("@", RecordType::Caa, "0 issue letsencrypt.org"),
            ("www", RecordType::A, "192.0.2.10"),
            ("www", RecordType::Aaaa, "2001:db8:0:0::10"),
            ("*.shop", RecordType::Cname, "www"),
            ("_imaps._tcp", RecordType::Srv, "0 1 993 imap.hosting.example."),
            ("key._domainkey", RecordType::Txt, &long),
        ],
    );
    server.ensure(&acme).await.unwrap();
    let seen = server.zone("acme.example");
    let long = format!("\"{}\" \"{}\"", "k".repeat(255), "k".repeat(145));
    for expected in [
        "acme.example. 3600 IN NS ns1.hosting.example.",
        "acme.example. 3600 IN NS ns2.hosting.example.",
        "acme.example. 300 IN MX 10 mx.hosting.example.",
        r#"acme.example. 300 IN TXT "v=spf1 \"quoted\" back\\slash ; not a comment""#,
        r#"acme.example. 300 IN CAA 0 issue "letsencrypt.org""#,
        "www.acme.example. 300 IN A 192.0.2.10",
        "www.acme.example. 300 IN AAAA 2001:db8::10",
        "*.shop.acme.example. 300 IN CNAME www.acme.example.",
        "_imaps._tcp.acme.example. 300 IN SRV 0 1 993 imap.hosting.example.",
        &format!("key._domainkey.acme.example. 300 IN TXT {long}"),
    ] {
        assert!(seen.iter().any(|line| line == expected), "{expected}\nis not in\n{seen:#?}");
    }
    assert_eq!(server.listed(), ["acme.example"]);

    let before = server.folder.snapshot();
    server.ensure(&acme).await.unwrap();
    assert_eq!(server.folder.snapshot(), before, "a repeated call wrote something");
}

#[tokio::test]
async fn every_change_of_a_zone_has_a_higher_serial() {
    let server = NameServer::start().await;
    let mut last = 0;
    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        let acme = zone(&server.service, "acme.example", &[("www", RecordType::A, address)]);
        server.ensure(&acme).await.unwrap();
        let seen = server.zone("acme.example");
        assert!(serial(&seen) > last);
        last = serial(&seen);
        assert_eq!(records(&seen), [&format!("www.acme.example. 300 IN A {address}")]);
    }
}

#[tokio::test]
async fn a_suspended_zone_answers_for_itself_only_and_resumes_with_all_its_records() {
    let server = NameServer::start().await;
    let acme = zone(
        &server.service,
        "acme.example",
        &[("www", RecordType::A, "192.0.2.1"), ("@", RecordType::Txt, "; held x")],
    );
    server.ensure(&acme).await.unwrap();
    let full = server.zone("acme.example");
    assert_eq!(records(&full).len(), 2);
    server.set_access(&acme, Access::Suspended).await;
    let suspended = server.zone("acme.example");
    assert!(records(&suspended).is_empty(), "{suspended:?}");
    assert!(serial(&suspended) > serial(&full));
    let seen = server.connector.observe(&server.target, &acme).await.unwrap().unwrap();
    assert_eq!((&seen.facts["access"], &seen.facts["records"]), (&json!("suspended"), &json!(2)));

    server.set_access(&acme, Access::Degraded).await;
    assert_eq!(records(&server.zone("acme.example")), records(&full));
    server.set_access(&acme, Access::Suspended).await;
    server.set_access(&acme, Access::Full).await;
    let resumed = server.zone("acme.example");
    assert_eq!(records(&resumed), records(&full));
    assert!(serial(&resumed) > serial(&suspended));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zones_made_at_once_are_all_listed_and_removed_ones_are_not() {
    let server = NameServer::start().await;
    let name = |n: usize| format!("zone{n:02}.example");
    let zones: Vec<_> = (0..25).map(|n| zone(&server.service, &name(n), &[])).collect();
    for made in futures_util::future::join_all(zones.iter().map(|zone| server.ensure(zone))).await {
        made.unwrap();
    }
    assert_eq!(server.listed(), (0..25).map(name).collect::<Vec<_>>());
    for _ in 0..2 {
        server.connector.remove_resource(&server.target, &zones[7]).await.unwrap();
    }
    assert_eq!(server.listed(), (0..25).filter(|n| *n != 7).map(name).collect::<Vec<_>>());
    assert_eq!(server.connector.observe(&server.target, &zones[7]).await, Ok(None));
    for _ in 0..2 {
        server.connector.remove_service(&server.target, &server.service).await.unwrap();
    }
    assert!(server.listed().is_empty());
}

#[tokio::test]
async fn a_zone_of_others_is_refused_and_left_alone() {
    let server = NameServer::start().await;
    server.ensure(&zone(&server.service, "acme.example", &[])).await.unwrap();
    let by_hand = server.folder.root().join("dns/zones/byhand.example.zone");
    std::fs::write(by_hand, "$ORIGIN byhand.example.\n").unwrap();
    let before = server.folder.snapshot();
    let stranger = suite::service(ServiceType::Dns);
    for name in ["acme.example", "byhand.example"] {
        let taken = zone(&stranger, name, &[]);
        let refused = server.ensure(&taken).await;
        assert!(matches!(refused, Err(Fault::Foreign(_))), "{refused:?}");
        server.connector.remove_resource(&server.target, &taken).await.unwrap();
    }
    server.connector.remove_service(&server.target, &stranger).await.unwrap();
    assert_eq!(server.folder.snapshot(), before);
    let broken = zone(&server.service, "acme.example", &[("www", RecordType::A, "192.0.2.1 evil")]);
    let refused = server.ensure(&broken).await;
    assert!(matches!(refused, Err(Fault::Invalid(_))), "{refused:?}");
    assert_eq!(server.folder.snapshot(), before);
}
