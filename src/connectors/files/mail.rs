//! Mail as Dovecot reads it: a passwd-file for each domain, a Maildir for each mailbox.

use std::fs;

use serde_json::{Map, Value, json};

use super::disk::{Disk, Held, foreign, make_owned, mark_line, remove_tree};
use crate::model::connector::{Fault, Observed, ResourceGoal, ServiceGoal};
use crate::model::ids::ServiceId;
use crate::model::services::Access;
use crate::model::services::specs::{DomainSpec, MailboxSpec};

pub(super) const FOLDERS: &[&str] = &[USERS, STORE];
const USERS: &str = "mail/users";
const STORE: &str = "mail/store";
/// What Dovecot's passwd-file takes for a comment.
const COMMENT: &str = "#";
/// Group-readable at most: there are password hashes in it.
const USERS_MODE: u32 = 0o640;
const STORE_MODE: u32 = 0o755;

/// What a mailbox's line says beside its quota. Degraded: nobody logs in, new mail is collected. Suspended:
/// senders are told to come again later as well, so that none of it is lost or bounces.
fn restrictions(access: Access) -> &'static [&'static str] {
    match access {
        Access::Full => &[],
        Access::Degraded => &["nologin=y", "reason=Account_limited"],
        Access::Suspended => &["nologin=y", "reason=Account_suspended", "userdb_tempfail=yes"],
    }
}

/// One line of a domain's file.
#[derive(Debug, Clone, PartialEq)]
struct Mailbox {
    local: String,
    hash: String,
    quota_mb: i64,
    access: Access,
}

impl Mailbox {
    fn read(line: &str, service: ServiceId) -> Option<Self> {
        let fields: Vec<&str> = line.splitn(8, ':').collect();
        let [local, hash, "", "", owner, "", "", extra] = fields[..] else { return None };
        let quota = extra.split(' ').next()?.strip_prefix("userdb_quota_rule=*:storage=")?;
        let quota_mb = quota.strip_suffix('M')?.parse().ok()?;
        let set: Vec<&str> = extra.split(' ').skip(1).collect();
        let access = Access::ALL.iter().copied().find(|access| restrictions(*access) == set)?;
        let ours = owner.parse().is_ok_and(|owner: ServiceId| owner == service);
        ours.then(|| Self { local: local.into(), hash: hash.into(), quota_mb, access })
    }

    /// The field for a person's name holds the owner's mark; Dovecot makes no use of it.
    fn line(&self, service: ServiceId) -> String {
        let Self { local, hash, quota_mb, access } = self;
        let mut line = format!("{local}:{hash}:::{service}:::userdb_quota_rule=*:storage={quota_mb}M");
        for restriction in restrictions(*access) {
            line.push(' ');
            line.push_str(restriction);
        }
        line
    }
}

/// A hash that is well-formed and that no password leads to, for a mailbox that has none yet.
const LOCKED: &str = "{BLF-CRYPT}$2y$04$.....................................................";

/// Who has a local part in a domain's file.
#[derive(Debug)]
enum Found {
    Ours(usize, Mailbox),
    Others,
    Nobody,
}

fn find(lines: &[String], local: &str, service: ServiceId) -> Found {
    let named = |line: &String| line.split(':').next() == Some(local) && !line.starts_with(COMMENT);
    match lines.iter().position(named) {
        None => Found::Nobody,
        Some(at) => match Mailbox::read(&lines[at], service) {
            Some(mailbox) => Found::Ours(at, mailbox),
            None => Found::Others,
        },
    }
}

/// The lines below the mark.
fn lines_of(text: &str) -> Vec<String> {
    text.lines().skip(1).map(str::to_owned).collect()
}

fn write(disk: &Disk, held: &mut Held, service: ServiceId, lines: &[String]) -> Result<(), Fault> {
    let mut text = mark_line(COMMENT, service);
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    held.write(&text, USERS_MODE, disk.readers)
}

fn split(spec: &MailboxSpec) -> Result<(&str, &str), Fault> {
    let no_address = || Fault::Invalid(format!("{:?} is no mail address", spec.address));
    spec.address.split_once('@').ok_or_else(no_address)
}

pub(super) fn ensure_domain(disk: &Disk, goal: &ResourceGoal, spec: &DomainSpec) -> Result<Observed, Fault> {
    let service = goal.service.id;
    let mut held = disk.hold(USERS, &spec.name)?;
    let there = held.ours(COMMENT, service)?;
    disk.claim(STORE, &spec.name, service, STORE_MODE)?;
    if there.is_none() {
        write(disk, &mut held, service, &[])?;
        disk.record(held.now()?, "domain.made", &spec.name, &goal.service, Some(goal))?;
    }
    Ok(observed_domain(&there.map_or_else(Vec::new, |text| lines_of(&text))))
}

pub(super) fn ensure_mailbox(
    disk: &Disk,
    goal: &ResourceGoal,
    spec: &MailboxSpec,
) -> Result<Observed, Fault> {
    let (service, (local, domain)) = (goal.service.id, split(spec)?);
    let mut held = disk.hold(USERS, domain)?;
    let Some(text) = held.ours(COMMENT, service)? else {
        return Err(Fault::Invalid(format!("the domain {domain} is not on this server")));
    };
    let mut lines = lines_of(&text);
    let found = find(&lines, local, service);
    let hash = match (&goal.password_hash, &found) {
        (_, Found::Others) => return Err(foreign(&held.path)),
        (Some(hash), _) => checked(hash)?.to_owned(),
        (None, Found::Ours(_, mailbox)) => mailbox.hash.clone(),
        (None, Found::Nobody) => LOCKED.to_owned(),
    };
    let mailbox = Mailbox { local: local.into(), hash, quota_mb: spec.quota_mb, access: goal.service.access };

    let home = disk.claim(STORE, domain, service, STORE_MODE).and_then(|_| home(disk, domain, local))?;
    for folder in ["", "Maildir", "Maildir/cur", "Maildir/new", "Maildir/tmp"] {
        make_owned(&home.join(folder), disk.mail_owner)?;
    }
    let did = match found {
        Found::Ours(_, there) if there == mailbox => return Ok(observed_mailbox(&mailbox)),
        Found::Ours(at, _) => {
            lines[at] = mailbox.line(service);
            "mailbox.changed"
        }
        _ => {
            lines.push(mailbox.line(service));
            "mailbox.made"
        }
    };
    write(disk, &mut held, service, &lines)?;
    disk.record(held.now()?, did, &spec.address, &goal.service, Some(goal))?;
    Ok(observed_mailbox(&mailbox))
}

/// A hash that can stand in a line and is of the scheme that Dovecot is set to.
fn checked(hash: &str) -> Result<&str, Fault> {
    let fits = hash.strip_prefix("{BLF-CRYPT}").is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"$./".contains(&byte))
    });
    fits.then_some(hash).ok_or_else(|| Fault::Invalid("the password's hash is not {BLF-CRYPT}".into()))
}

fn home(disk: &Disk, domain: &str, local: &str) -> Result<std::path::PathBuf, Fault> {
    disk.path(&format!("{STORE}/{domain}"), local)
}

/// Ends the mailbox's logins and deliveries; whether it had any. Its mail is for [`remove_mail`], once
/// Dovecot knows.
pub(super) fn close_mailbox(disk: &Disk, goal: &ResourceGoal, spec: &MailboxSpec) -> Result<bool, Fault> {
    let (service, (local, domain)) = (goal.service.id, split(spec)?);
    let mut held = disk.hold(USERS, domain)?;
    let Some(text) = ours_or_nothing(&held, service)? else { return Ok(false) };
    let mut lines = lines_of(&text);
    let Found::Ours(at, _) = find(&lines, local, service) else { return Ok(false) };
    lines.remove(at);
    write(disk, &mut held, service, &lines)?;
    disk.record(held.now()?, "mailbox.removed", &spec.address, &goal.service, Some(goal))?;
    Ok(true)
}

/// Removes the mail of a closed mailbox; of one that was made anew meanwhile, nothing.
pub(super) fn remove_mail(disk: &Disk, goal: &ResourceGoal, spec: &MailboxSpec) -> Result<(), Fault> {
    let (service, (local, domain)) = (goal.service.id, split(spec)?);
    let held = disk.hold(USERS, domain)?;
    let Some(text) = ours_or_nothing(&held, service)? else { return Ok(()) };
    match find(&lines_of(&text), local, service) {
        Found::Nobody => remove_tree(&home(disk, domain, local)?),
        Found::Ours(..) | Found::Others => Ok(()),
    }
}

pub(super) fn remove_domain(disk: &Disk, goal: &ResourceGoal, spec: &DomainSpec) -> Result<(), Fault> {
    let service = goal.service.id;
    let mut held = disk.hold(USERS, &spec.name)?;
    let Some(text) = ours_or_nothing(&held, service)? else {
        return disk.release(STORE, &spec.name, service);
    };
    if !lines_of(&text).is_empty() {
        return Err(Fault::Invalid(format!("{} still has mailboxes", spec.name)));
    }
    disk.release(STORE, &spec.name, service)?;
    held.remove()?;
    disk.record(held.now()?, "domain.removed", &spec.name, &goal.service, Some(goal))
}

/// Ends all logins and deliveries of the service; masks of the users there were.
pub(super) fn close_service(disk: &Disk, goal: &ServiceGoal) -> Result<Vec<String>, Fault> {
    let mut closed = Vec::new();
    for domain in disk.marked(USERS, COMMENT, goal.id)? {
        let mut held = disk.hold(USERS, &domain)?;
        let Some(text) = ours_or_nothing(&held, goal.id)? else { continue };
        if !lines_of(&text).is_empty() {
            write(disk, &mut held, goal.id, &[])?;
            closed.push(users_of(&domain));
        }
    }
    Ok(closed)
}

/// Removes the domains of a closed service with all their mail.
pub(super) fn remove_service(disk: &Disk, goal: &ServiceGoal) -> Result<(), Fault> {
    for domain in disk.marked(USERS, COMMENT, goal.id)? {
        let mut held = disk.hold(USERS, &domain)?;
        if ours_or_nothing(&held, goal.id)?.is_some() {
            disk.release(STORE, &domain, goal.id)?;
            held.remove()?;
            disk.record(held.now()?, "domain.removed", &domain, goal, None)?;
        }
    }
    Ok(())
}

/// Gives every mailbox of the service the goal's access, a domain at a time; masks of the users there are,
/// whether that changed anything or a call before had done it.
pub(super) fn set_access(disk: &Disk, goal: &ServiceGoal) -> Result<Vec<String>, Fault> {
    let mut users = Vec::new();
    for domain in disk.marked(USERS, COMMENT, goal.id)? {
        let mut held = disk.hold(USERS, &domain)?;
        let Some(text) = ours_or_nothing(&held, goal.id)? else { continue };
        let before = lines_of(&text);
        let mut lines = before.clone();
        for line in &mut lines {
            if let Some(mailbox) = Mailbox::read(line, goal.id) {
                *line = Mailbox { access: goal.access, ..mailbox }.line(goal.id);
            }
        }
        if lines != before {
            write(disk, &mut held, goal.id, &lines)?;
            disk.record(held.now()?, "access.set", &domain, goal, None)?;
        }
        users.push(users_of(&domain));
    }
    Ok(users)
}

/// Dovecot's mask for everybody in a domain.
fn users_of(domain: &str) -> String {
    format!("*@{domain}")
}

pub(super) fn observe_domain(
    disk: &Disk,
    goal: &ResourceGoal,
    spec: &DomainSpec,
) -> Result<Option<Observed>, Fault> {
    let held = disk.hold(USERS, &spec.name)?;
    Ok(ours_or_nothing(&held, goal.service.id)?.map(|text| observed_domain(&lines_of(&text))))
}

pub(super) fn observe_mailbox(
    disk: &Disk,
    goal: &ResourceGoal,
    spec: &MailboxSpec,
) -> Result<Option<Observed>, Fault> {
    let (service, (local, domain)) = (goal.service.id, split(spec)?);
    let held = disk.hold(USERS, domain)?;
    let Some(text) = ours_or_nothing(&held, service)? else { return Ok(None) };
    match find(&lines_of(&text), local, service) {
        Found::Ours(_, mailbox) => {
            let mut observed = observed_mailbox(&mailbox);
            let kept = fs::exists(home(disk, domain, local)?.join("Maildir")).unwrap_or(false);
            observed.facts.insert("maildir".into(), Value::Bool(kept));
            Ok(Some(observed))
        }
        Found::Others | Found::Nobody => Ok(None),
    }
}

/// For those who remove and look: another's file is as good as none.
fn ours_or_nothing(held: &Held, service: ServiceId) -> Result<Option<String>, Fault> {
    match held.ours(COMMENT, service) {
        Err(Fault::Foreign(_)) => Ok(None),
        other => other,
    }
}

fn observed_domain(lines: &[String]) -> Observed {
    Observed { facts: Map::from_iter([("mailboxes".to_owned(), json!(lines.len()))]) }
}

fn observed_mailbox(mailbox: &Mailbox) -> Observed {
    let facts = [("quota_mb", json!(mailbox.quota_mb)), ("access", json!(mailbox.access))];
    Observed { facts: facts.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_as_its_mailbox_and_only_for_its_owner() {
        let (service, other) = (ServiceId::new(), ServiceId::new());
        for access in Access::ALL {
            let hash = "{BLF-CRYPT}$2y$04$abc".to_owned();
            let mailbox = Mailbox { local: "bob".into(), hash, quota_mb: 25_600, access: *access };
            let line = mailbox.line(service);
            assert_eq!(Mailbox::read(&line, service), Some(mailbox));
            assert_eq!(Mailbox::read(&line, other), None);
        }
    }

    #[test]
    fn a_hash_that_would_break_out_of_its_line_is_refused() {
        for wrong in ["", "{BLF-CRYPT}", "{PLAIN}secret", "{BLF-CRYPT}$2y$a:b", "{BLF-CRYPT}$2y$a\nroot:x"] {
            assert!(matches!(checked(wrong), Err(Fault::Invalid(_))), "{wrong:?}");
        }
    }
}
