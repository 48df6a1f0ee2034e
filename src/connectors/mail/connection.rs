//! What a customer needs to read his mail and to have it sent to him.

use crate::model::connector::{Connection, DnsRecord, Endpoint, ResourceGoal, Target};
use crate::model::services::specs::ResourceSpec;

/// The endpoints that the server's settings name, and the records of the domains.
pub fn of(target: &Target, resources: &[ResourceGoal]) -> Connection {
    let mailboxes: Vec<&str> = resources
        .iter()
        .filter_map(|resource| match &resource.spec {
            ResourceSpec::Mailbox(spec) => Some(spec.address.as_str()),
            _ => None,
        })
        .collect();
    // With several mailboxes each logs in with its own address.
    let username = match mailboxes[..] {
        [only] => Some(only.to_owned()),
        _ => None,
    };
    let endpoints =
        ["imap", "smtp"].into_iter().filter_map(|protocol| {
            let host = target.text(&format!("{protocol}_host")).ok()?;
            let usual = if protocol == "imap" { 993 } else { 465 };
            let port = port(target, &format!("{protocol}_port")).unwrap_or(usual);
            let security = target
                .text(&format!("{protocol}_security"))
                .unwrap_or(if matches!(port, 993 | 465) { "tls" } else { "starttls" });
            Some(Endpoint {
                protocol: protocol.to_owned(),
                host: host.to_owned(),
                port,
                security: security.to_owned(),
                username: username.clone(),
            })
        });
    let mx_host = target.text("mx_host").ok();
    let dns_records = resources.iter().filter_map(|resource| match &resource.spec {
        ResourceSpec::Domain(spec) => Some(DnsRecord {
            name: format!("{}.", spec.name),
            record_type: "MX".into(),
            data: format!("10 {}.", mx_host?.trim_end_matches('.')),
        }),
        _ => None,
    });
    Connection { endpoints: endpoints.collect(), dns_records: dns_records.collect(), links: Vec::new() }
}

fn port(target: &Target, name: &str) -> Option<u16> {
    target.settings.get(name)?.as_u64()?.try_into().ok()
}
