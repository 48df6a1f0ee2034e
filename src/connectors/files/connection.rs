//! What a customer needs to use what is here; all of it from the server's settings.

use serde_json::Value;

use crate::model::catalog::service_types::ServiceType;
use crate::model::connector::{Connection, DnsRecord, Endpoint, Link, ResourceGoal, ServiceGoal, Target};
use crate::model::services::specs::ResourceSpec;

fn text(target: &Target, name: &str) -> Option<String> {
    target.text(name).ok().map(|text| text.trim_end_matches('.').to_owned())
}

/// The name that the installation is reached by where no setting says another.
fn host(target: &Target, name: &str) -> String {
    text(target, name).or_else(|| text(target, "host")).unwrap_or_else(|| "localhost".into())
}

fn port(target: &Target, name: &str, default: u16) -> u16 {
    let port = target.settings.get(name).and_then(Value::as_u64);
    port.and_then(|port| u16::try_from(port).ok()).unwrap_or(default)
}

/// The name servers of all zones, the first being the primary one.
pub(super) fn name_servers(target: &Target) -> Vec<String> {
    let listed = target.settings.get("ns").and_then(Value::as_array);
    let listed: Vec<_> = listed.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    if listed.is_empty() {
        let host = host(target, "host");
        return vec![format!("ns1.{host}"), format!("ns2.{host}")];
    }
    listed
}

fn endpoint(protocol: &str, host: String, port: u16, username: Option<String>) -> Endpoint {
    let security = match port {
        993 | 995 | 465 | 443 => "tls",
        53 | 80 => "none",
        _ => "starttls",
    };
    Endpoint { protocol: protocol.into(), host, port, security: security.into(), username }
}

fn record(name: String, record_type: &str, data: String) -> DnsRecord {
    DnsRecord { name, record_type: record_type.into(), data }
}

pub(super) fn of(target: &Target, goal: &ServiceGoal, resources: &[ResourceGoal]) -> Connection {
    match goal.service_type {
        ServiceType::Mail => mail(target, resources),
        ServiceType::Dns => dns(target, resources),
        ServiceType::Web => web(target, resources),
    }
}

fn mail(target: &Target, resources: &[ResourceGoal]) -> Connection {
    let (imap, smtp, mx) = (host(target, "imap_host"), host(target, "smtp_host"), host(target, "mx_host"));
    let (imap_port, smtp_port) = (port(target, "imap_port", 993), port(target, "smtp_port", 465));
    let mut addresses = resources.iter().filter_map(|resource| match &resource.spec {
        ResourceSpec::Mailbox(spec) => Some(spec.address.clone()),
        _ => None,
    });
    // One mailbox's name can be told; of several, each customer has his own.
    let username = addresses.next().filter(|_| addresses.next().is_none());
    let mut connection = Connection::default();
    connection.endpoints.push(endpoint("imap", imap.clone(), imap_port, username.clone()));
    connection.endpoints.push(endpoint("smtp", smtp.clone(), smtp_port, username.clone()));
    if let Some(pop) = text(target, "pop_host") {
        connection.endpoints.push(endpoint("pop3", pop, port(target, "pop_port", 995), username));
    }
    let secure = |port, name: &str| if port == 993 || port == 465 { format!("{name}s") } else { name.into() };
    for resource in resources {
        let ResourceSpec::Domain(domain) = &resource.spec else { continue };
        let name = &domain.name;
        let service = |service: &str| format!("_{service}._tcp.{name}.");
        let records = &mut connection.dns_records;
        records.push(record(format!("{name}."), "MX", format!("10 {mx}.")));
        records.push(record(format!("{name}."), "TXT", format!("v=spf1 mx a:{smtp} ~all")));
        records.push(record(service(&secure(imap_port, "imap")), "SRV", format!("0 1 {imap_port} {imap}.")));
        records.push(record(
            service(&secure(smtp_port, "submission")),
            "SRV",
            format!("0 1 {smtp_port} {smtp}."),
        ));
        if let Some(discovery) = text(target, "autodiscover_host") {
            records.push(record(service("autodiscover"), "SRV", format!("0 1 443 {discovery}.")));
            records.push(record(format!("autoconfig.{name}."), "CNAME", format!("{discovery}.")));
        }
    }
    if let Some(url) = text(target, "webmail_url") {
        connection.links.push(Link { name: "webmail".into(), url });
    }
    connection
}

fn dns(target: &Target, resources: &[ResourceGoal]) -> Connection {
    let servers: Vec<_> =
        name_servers(target).iter().map(|name| name.trim_end_matches('.').to_owned()).collect();
    let mut connection = Connection::default();
    for server in &servers {
        connection.endpoints.push(endpoint("dns", server.clone(), 53, None));
    }
    for resource in resources {
        let ResourceSpec::Zone(zone) = &resource.spec else { continue };
        let delegation =
            servers.iter().map(|server| record(format!("{}.", zone.name), "NS", format!("{server}.")));
        connection.dns_records.extend(delegation);
    }
    connection
}

fn web(target: &Target, resources: &[ResourceGoal]) -> Connection {
    let port = port(target, "http_port", 80);
    let mut connection = Connection::default();
    for resource in resources {
        let ResourceSpec::Site(site) = &resource.spec else { continue };
        let name = format!("{}.", site.host);
        connection
            .endpoints
            .push(Endpoint { security: "none".into(), ..endpoint("http", site.host.clone(), port, None) });
        let (ipv4, ipv6) = (text(target, "web_ipv4"), text(target, "web_ipv6"));
        if ipv4.is_none() && ipv6.is_none() {
            let target = format!("{}.", host(target, "web_host"));
            connection.dns_records.push(record(name.clone(), "CNAME", target));
        }
        connection.dns_records.extend(ipv4.map(|address| record(name.clone(), "A", address)));
        connection.dns_records.extend(ipv6.map(|address| record(name, "AAAA", address)));
        let shown = if port == 80 { String::new() } else { format!(":{port}") };
        connection.links.push(Link { name: "site".into(), url: format!("http://{}{shown}/", site.host) });
    }
    connection
}
