//! DNS as name servers read it: a zone file for each zone, and the list of them.

use serde_json::{Map, json};

use super::disk::{Disk, foreign, mark_line};
use super::zone;
use crate::model::connector::{Fault, Observed, ResourceGoal, ServiceGoal, Target};
use crate::model::ids::ServiceId;
use crate::model::services::Access;
use crate::model::services::specs::ZoneSpec;

pub(super) const FOLDERS: &[&str] = &["dns", ZONES];
const ZONES: &str = "dns/zones";
const COMMENT: &str = ";";
const MODE: u32 = 0o644;
const LIST_MARK: &str = "// tenantry: written anew with every zone\n";
/// Below it are the customer's records; what stands above is the service's own.
const RECORDS: &str = "; records";
/// Before a record that is kept and not served.
const HELD: &str = "; held ";
const TTL: u32 = 3600;

/// The service's own part of every zone.
#[derive(Debug)]
pub(super) struct Authority {
    name_servers: Vec<String>,
    hostmaster: Option<String>,
}

impl Authority {
    pub fn of(target: &Target) -> Result<Self, Fault> {
        let denied =
            |_| Fault::Denied("the server's settings `ns` and `hostmaster` must be host names".into());
        let absolute = |name: &String| zone::qualified(&format!("{}.", name.trim_end_matches('.')), "");
        let name_servers = super::connection::name_servers(target);
        let hostmaster = target.text("hostmaster").ok().map(|name| name.replace('@', "."));
        Ok(Self {
            name_servers: name_servers.iter().map(absolute).collect::<Result<_, _>>().map_err(denied)?,
            hostmaster: hostmaster.as_ref().map(absolute).transpose().map_err(denied)?,
        })
    }
}

/// A zone's text. Suspended, it answers for itself and its name servers only; a degraded one answers in
/// full, since a zone has nothing between.
fn render(service: ServiceId, zone: &str, authority: &Authority, serial: u32, served: &[String]) -> String {
    let hostmaster = authority.hostmaster.clone().unwrap_or_else(|| format!("hostmaster.{zone}."));
    let first = &authority.name_servers[0];
    let mut text = mark_line(COMMENT, service);
    text += &format!("{zone}. {TTL} IN SOA {first} {hostmaster} {serial} 10800 3600 604800 3600\n");
    for server in &authority.name_servers {
        text += &format!("{zone}. {TTL} IN NS {server}\n");
    }
    text += RECORDS;
    text.push('\n');
    for line in served {
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn with_access(records: Vec<String>, access: Access) -> Vec<String> {
    match access {
        Access::Full | Access::Degraded => records,
        Access::Suspended => records.into_iter().map(|record| format!("{HELD}{record}")).collect(),
    }
}

/// The customer's records in a zone's text, served or held.
fn records_in(text: &str) -> Vec<String> {
    let below = text.lines().skip_while(|line| *line != RECORDS).skip(1);
    below.map(|line| line.strip_prefix(HELD).unwrap_or(line).to_owned()).collect()
}

fn serial_in(text: &str) -> u32 {
    let soa = text.lines().find(|line| line.contains(" IN SOA "));
    soa.and_then(|line| line.split(' ').nth(6)?.parse().ok()).unwrap_or(0)
}

pub(super) fn ensure_zone(
    disk: &Disk,
    authority: &Authority,
    goal: &ResourceGoal,
    spec: &ZoneSpec,
) -> Result<Observed, Fault> {
    let records = zone::records(spec)?;
    let observed = observed(&records, goal.service.access);
    put(disk, authority, &goal.service, &spec.name, Some(goal), |_| {
        with_access(records, goal.service.access)
    })?;
    list(disk, &spec.name, goal.service.id, true)?;
    Ok(observed)
}

/// Writes the zone's new text, if it differs, under a serial higher than the one before.
fn put(
    disk: &Disk,
    authority: &Authority,
    service: &ServiceGoal,
    zone: &str,
    resource: Option<&ResourceGoal>,
    records: impl FnOnce(Vec<String>) -> Vec<String>,
) -> Result<(), Fault> {
    let mut held = disk.hold(ZONES, &file_of(zone))?;
    let before = held.ours(COMMENT, service.id)?.unwrap_or_default();
    let served = records(records_in(&before));
    let serial = serial_in(&before);
    if render(service.id, zone, authority, serial, &served) == before {
        return Ok(());
    }
    let now = held.now()?;
    let serial = serial.saturating_add(1).max(u32::try_from(now.as_seconds()).unwrap_or(u32::MAX));
    held.write(&render(service.id, zone, authority, serial, &served), MODE, None)?;
    disk.record(now, "zone.written", zone, service, resource)
}

/// Puts the zone on the list that name servers read, or takes it off.
fn list(disk: &Disk, zone: &str, service: ServiceId, wanted: bool) -> Result<(), Fault> {
    let file = disk.path(ZONES, &file_of(zone))?;
    let entry = format!("zone \"{zone}\" {{ type master; file \"{}\"; }};", file.display());
    let mut held = disk.hold("dns", "named.conf")?;
    let before = held.text()?;
    if before.as_ref().is_some_and(|text| !text.starts_with(LIST_MARK)) {
        return Err(foreign(&held.path));
    }
    if !wanted && disk.is_anothers(&file, COMMENT, service)? {
        return Ok(());
    }
    let before = before.unwrap_or_default();
    let own = format!("zone \"{zone}\" ");
    let mut lines: Vec<&str> = before.lines().skip(1).filter(|line| !line.starts_with(&own)).collect();
    if wanted {
        let at = lines.partition_point(|line| *line < entry.as_str());
        lines.insert(at, &entry);
    }
    let text = lines.iter().fold(LIST_MARK.to_owned(), |text, line| text + line + "\n");
    if text == before { Ok(()) } else { held.write(&text, MODE, None) }
}

pub(super) fn remove_zone(
    disk: &Disk,
    goal: &ServiceGoal,
    zone: &str,
    resource: Option<&ResourceGoal>,
) -> Result<(), Fault> {
    let there = match disk.hold(ZONES, &file_of(zone))?.ours(COMMENT, goal.id) {
        Err(Fault::Foreign(_)) => return Ok(()),
        other => other?.is_some(),
    };
    // Off the list first: a name server that reloads meanwhile never misses a file.
    list(disk, zone, goal.id, false)?;
    if there {
        let mut held = disk.hold(ZONES, &file_of(zone))?;
        held.remove()?;
        disk.record(held.now()?, "zone.removed", zone, goal, resource)?;
    }
    Ok(())
}

pub(super) fn remove_service(disk: &Disk, goal: &ServiceGoal) -> Result<(), Fault> {
    for zone in zones(disk, goal)? {
        remove_zone(disk, goal, &zone, None)?;
    }
    Ok(())
}

pub(super) fn set_access(disk: &Disk, authority: &Authority, goal: &ServiceGoal) -> Result<(), Fault> {
    for zone in zones(disk, goal)? {
        put(disk, authority, goal, &zone, None, |records| with_access(records, goal.access))?;
    }
    Ok(())
}

pub(super) fn observe_zone(
    disk: &Disk,
    goal: &ResourceGoal,
    spec: &ZoneSpec,
) -> Result<Option<Observed>, Fault> {
    match disk.hold(ZONES, &file_of(&spec.name))?.ours(COMMENT, goal.service.id) {
        Err(Fault::Foreign(_)) | Ok(None) => Ok(None),
        Ok(Some(text)) => {
            let held = text.lines().any(|line| line.starts_with(HELD));
            let access = if held { Access::Suspended } else { Access::Full };
            let mut observed = observed(&records_in(&text), access);
            observed.facts.insert("serial".into(), json!(serial_in(&text)));
            Ok(Some(observed))
        }
        Err(fault) => Err(fault),
    }
}

fn zones(disk: &Disk, goal: &ServiceGoal) -> Result<Vec<String>, Fault> {
    let files = disk.marked(ZONES, COMMENT, goal.id)?;
    Ok(files.iter().filter_map(|file| file.strip_suffix(".zone")).map(str::to_owned).collect())
}

fn file_of(zone: &str) -> String {
    format!("{zone}.zone")
}

fn observed(records: &[String], access: Access) -> Observed {
    let facts = [("records", json!(records.len())), ("access", json!(access))];
    Observed { facts: Map::from_iter(facts.map(|(name, fact)| (name.to_owned(), fact))) }
}
