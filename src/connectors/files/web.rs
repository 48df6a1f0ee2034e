//! Web sites as nginx reads them: a virtual host's file for each site, and its document folder.

use serde_json::{Map, json};

use super::disk::{Disk, mark_line};
use crate::model::connector::{Fault, Observed, ResourceGoal, ServiceGoal, Target};
use crate::model::ids::ServiceId;
use crate::model::services::Access;
use crate::model::services::specs::SiteSpec;

pub(super) const FOLDERS: &[&str] = &[VHOSTS, SITES];
const VHOSTS: &str = "web/vhosts";
const SITES: &str = "web/sites";
const COMMENT: &str = "#";
const MODE: u32 = 0o644;

/// The port that sites are served on.
pub(super) fn port(target: &Target) -> Result<u16, Fault> {
    let Some(port) = target.settings.get("http_port") else { return Ok(80) };
    let port = port.as_u64().and_then(|port| u16::try_from(port).ok());
    port.ok_or_else(|| Fault::Denied("the server's setting `http_port` must be a port".into()))
}

/// A site's text. Degraded, pages can be read slowly and nothing can be sent; suspended, all is answered 503.
fn render(disk: &Disk, service: ServiceId, access: Access, host: &str, port: u16) -> Result<String, Fault> {
    let root = disk.path(SITES, host)?;
    let location = match access {
        Access::Full => "index index.html;",
        Access::Degraded => "index index.html; limit_rate 64k; limit_except GET { deny all; }",
        Access::Suspended => "return 503;",
    };
    Ok(format!(
        "{mark}# access={access}\nserver {{\n    listen {port};\n    server_name {host};\n    root \"{root}\";\n    \
         disable_symlinks if_not_owner from=\"{root}\";\n    location / {{ {location} }}\n}}\n",
        mark = mark_line(COMMENT, service),
        root = root.display(),
    ))
}

pub(super) fn ensure_site(
    disk: &Disk,
    port: u16,
    goal: &ResourceGoal,
    spec: &SiteSpec,
) -> Result<Observed, Fault> {
    put(disk, port, &goal.service, &spec.host, Some(goal))?;
    Ok(observed(goal.service.access))
}

fn put(
    disk: &Disk,
    port: u16,
    goal: &ServiceGoal,
    host: &str,
    resource: Option<&ResourceGoal>,
) -> Result<(), Fault> {
    let mut held = disk.hold(VHOSTS, &file_of(host))?;
    let before = held.ours(COMMENT, goal.id)?;
    disk.claim(SITES, host, goal.id, 0o755)?;
    let text = render(disk, goal.id, goal.access, host, port)?;
    if before.as_deref() == Some(&text) {
        return Ok(());
    }
    held.write(&text, MODE, None)?;
    disk.record(held.now()?, "site.written", host, goal, resource)
}

pub(super) fn remove_site(
    disk: &Disk,
    goal: &ServiceGoal,
    host: &str,
    resource: Option<&ResourceGoal>,
) -> Result<(), Fault> {
    let mut held = disk.hold(VHOSTS, &file_of(host))?;
    let there = match held.ours(COMMENT, goal.id) {
        Err(Fault::Foreign(_)) => return Ok(()),
        other => other?.is_some(),
    };
    disk.release(SITES, host, goal.id)?;
    if there {
        held.remove()?;
        disk.record(held.now()?, "site.removed", host, goal, resource)?;
    }
    Ok(())
}

pub(super) fn remove_service(disk: &Disk, goal: &ServiceGoal) -> Result<(), Fault> {
    for host in hosts(disk, goal)? {
        remove_site(disk, goal, &host, None)?;
    }
    Ok(())
}

pub(super) fn set_access(disk: &Disk, port: u16, goal: &ServiceGoal) -> Result<(), Fault> {
    for host in hosts(disk, goal)? {
        put(disk, port, goal, &host, None)?;
    }
    Ok(())
}

pub(super) fn observe_site(
    disk: &Disk,
    goal: &ResourceGoal,
    spec: &SiteSpec,
) -> Result<Option<Observed>, Fault> {
    match disk.hold(VHOSTS, &file_of(&spec.host))?.ours(COMMENT, goal.service.id) {
        Err(Fault::Foreign(_)) | Ok(None) => Ok(None),
        Ok(Some(text)) => {
            let said = text.lines().find_map(|line| line.strip_prefix("# access=")?.parse().ok());
            Ok(Some(observed(said.unwrap_or(Access::Full))))
        }
        Err(fault) => Err(fault),
    }
}

fn hosts(disk: &Disk, goal: &ServiceGoal) -> Result<Vec<String>, Fault> {
    let files = disk.marked(VHOSTS, COMMENT, goal.id)?;
    Ok(files.iter().filter_map(|file| file.strip_suffix(".conf")).map(str::to_owned).collect())
}

fn file_of(host: &str) -> String {
    format!("{host}.conf")
}

fn observed(access: Access) -> Observed {
    Observed { facts: Map::from_iter([("access".to_owned(), json!(access))]) }
}
