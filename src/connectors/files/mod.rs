//! The `files` connector: everything a hosted service needs as files in one folder, for Dovecot, name
//! servers and nginx to read. It needs no running server and no credentials, except to end mail sessions.
//!
//! A degraded mailbox refuses logins with a reason and goes on collecting mail; a suspended one makes
//! senders wait as well. A suspended zone answers with its own SOA and NS only, a degraded one in full. A
//! degraded site is read-only and slow, a suspended one answers 503. Removing a mailbox waits until Dovecot
//! has seen that it is closed and then removes its mail.

mod connection;
mod disk;
mod dns;
mod mail;
mod sessions;
mod web;
mod zone;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, json};

use self::disk::Disk;
use self::dns::Authority;
use self::sessions::Sessions;
use crate::model::catalog::service_types::ServiceType;
use crate::model::connector::{
    Connection, Connector, Descriptor, Fault, Observed, QuotaEnforcement, Repeat, ResourceGoal, ServiceGoal,
    Setting, Target,
};
use crate::model::services::Access;
use crate::model::services::specs::ResourceSpec;

/// How long Dovecot may go on by the file it read before: it looks once a second.
const DOVECOT_LOOKS: Duration = Duration::from_millis(1000);

const SETTINGS: &[Setting] = &[
    required("root", "The folder that everything is in, as an absolute path without blanks."),
    optional(
        "users_gid",
        "The group number that Dovecot reads the user files as; needs the right to give files away.",
    ),
    optional(
        "doveadm_url",
        "Dovecot's administration over HTTP, by which open sessions are ended; without it they last.",
    ),
    optional("mail_uid", "The user number that Maildirs belong to."),
    optional("mail_gid", "The group number that Maildirs belong to."),
    optional("host", "The name by which customers reach whatever has no name of its own below; `localhost`."),
    optional("imap_host", "Where customers read mail."),
    optional("imap_port", "Its port; 993."),
    optional("smtp_host", "Where customers send mail."),
    optional("smtp_port", "Its port; 465."),
    optional("pop_host", "Where customers fetch mail by POP3, if they can."),
    optional("pop_port", "Its port; 995."),
    optional("mx_host", "Where mail for the customers' domains arrives."),
    optional("autodiscover_host", "Who tells mail programmes their settings, if anybody does."),
    optional("webmail_url", "The page for reading mail, if there is one."),
    optional("ns", "The name servers of all zones, the primary first; `ns1` and `ns2` below `host`."),
    optional("hostmaster", "The mail address in every zone's SOA; `hostmaster` at the zone."),
    optional("http_port", "The port that sites are served on; 80."),
    optional("web_host", "The name that customers' host names point to."),
    optional("web_ipv4", "The address that customers' host names point to."),
    optional("web_ipv6", "The IPv6 address that customers' host names point to."),
];

const fn required(name: &'static str, meaning: &'static str) -> Setting {
    Setting { name, required: true, meaning }
}

const fn optional(name: &'static str, meaning: &'static str) -> Setting {
    Setting { name, required: false, meaning }
}

/// The connector without a server.
#[derive(Debug)]
pub struct Files {
    descriptor: Descriptor,
}

impl Files {
    pub fn new() -> Self {
        Self {
            descriptor: Descriptor {
                name: "files",
                title: "Files in one folder, as Dovecot, name servers and nginx read them",
                service_types: &[ServiceType::Mail, ServiceType::Dns, ServiceType::Web],
                simulated: true,
                settings: SETTINGS,
                credentials: Some("The API key of `doveadm_url`, where that is set."),
                quota: QuotaEnforcement::Enforced,
                repeat: Repeat::Idempotent,
                effect_delay_ms: DOVECOT_LOOKS.as_millis() as u64,
                password_scheme: "BLF-CRYPT",
            },
        }
    }
}

impl Default for Files {
    fn default() -> Self {
        Self::new()
    }
}

fn folders(service_type: ServiceType) -> &'static [&'static str] {
    match service_type {
        ServiceType::Mail => mail::FOLDERS,
        ServiceType::Dns => dns::FOLDERS,
        ServiceType::Web => web::FOLDERS,
    }
}

/// Files are waited for on threads of their own.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Fault::Unknown(format!("the write ended before its end: {error}"))),
    }
}

/// Waits until Dovecot knows that these users are shut out, then ends what sessions they have.
async fn end_sessions(target: &Target, masks: &[String]) -> Result<(), Fault> {
    if masks.is_empty() {
        return Ok(());
    }
    tokio::time::sleep(DOVECOT_LOOKS).await;
    match Sessions::of(target)? {
        Some(sessions) => sessions.end(masks).await,
        None => Ok(()),
    }
}

#[async_trait]
impl Connector for Files {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    async fn test(&self, target: &Target) -> Result<Observed, Fault> {
        let disk = Disk::of(target)?;
        Authority::of(target)?;
        web::port(target)?;
        if let Some(sessions) = Sessions::of(target)? {
            sessions.end(&["*@tenantry.invalid".to_owned()]).await?;
        }
        on_disk(move || {
            for service_type in ServiceType::ALL {
                disk.prepare(folders(*service_type))?;
            }
            disk.check()?;
            Ok(Observed { facts: Map::from_iter([("root".to_owned(), json!(disk.root()))]) })
        })
        .await
    }

    async fn ensure_service(&self, target: &Target, goal: &ServiceGoal) -> Result<Observed, Fault> {
        let (disk, folders) = (Disk::of(target)?, folders(goal.service_type));
        on_disk(move || disk.prepare(folders)).await?;
        Ok(Observed::default())
    }

    async fn remove_service(&self, target: &Target, goal: &ServiceGoal) -> Result<(), Fault> {
        let (disk, goal) = (Disk::of(target)?, goal.clone());
        match goal.service_type {
            ServiceType::Dns => on_disk(move || dns::remove_service(&disk, &goal)).await,
            ServiceType::Web => on_disk(move || web::remove_service(&disk, &goal)).await,
            ServiceType::Mail => {
                let (closing, closed) = (disk.clone(), goal.clone());
                let closed = on_disk(move || mail::close_service(&closing, &closed)).await?;
                end_sessions(target, &closed).await?;
                on_disk(move || mail::remove_service(&disk, &goal)).await
            }
        }
    }

    async fn ensure_resource(&self, target: &Target, goal: &ResourceGoal) -> Result<Observed, Fault> {
        let (disk, authority, port) = (Disk::of(target)?, Authority::of(target)?, web::port(target)?);
        let goal = goal.clone();
        on_disk(move || match &goal.spec {
            ResourceSpec::Domain(spec) => mail::ensure_domain(&disk, &goal, spec),
            ResourceSpec::Mailbox(spec) => mail::ensure_mailbox(&disk, &goal, spec),
            ResourceSpec::Zone(spec) => dns::ensure_zone(&disk, &authority, &goal, spec),
            ResourceSpec::Site(spec) => web::ensure_site(&disk, port, &goal, spec),
        })
        .await
    }

    async fn remove_resource(&self, target: &Target, goal: &ResourceGoal) -> Result<(), Fault> {
        let (disk, removed) = (Disk::of(target)?, goal.clone());
        if let ResourceSpec::Mailbox(spec) = &goal.spec {
            let (closing, closed, box_closed) = (disk.clone(), goal.clone(), spec.clone());
            if on_disk(move || mail::close_mailbox(&closing, &closed, &box_closed)).await? {
                end_sessions(target, std::slice::from_ref(&spec.address)).await?;
            }
        }
        on_disk(move || match &removed.spec {
            ResourceSpec::Domain(spec) => mail::remove_domain(&disk, &removed, spec),
            ResourceSpec::Mailbox(spec) => mail::remove_mail(&disk, &removed, spec),
            ResourceSpec::Zone(spec) => dns::remove_zone(&disk, &removed.service, &spec.name, Some(&removed)),
            ResourceSpec::Site(spec) => web::remove_site(&disk, &removed.service, &spec.host, Some(&removed)),
        })
        .await
    }

    async fn set_access(
        &self,
        target: &Target,
        goal: &ServiceGoal,
        _resources: &[ResourceGoal],
    ) -> Result<(), Fault> {
        let (disk, authority, port) = (Disk::of(target)?, Authority::of(target)?, web::port(target)?);
        let (goal, access) = (goal.clone(), goal.access);
        let closed = on_disk(move || match goal.service_type {
            ServiceType::Mail => mail::set_access(&disk, &goal),
            ServiceType::Dns => dns::set_access(&disk, &authority, &goal).map(|()| Vec::new()),
            ServiceType::Web => web::set_access(&disk, port, &goal).map(|()| Vec::new()),
        })
        .await?;
        match access {
            Access::Full => Ok(()),
            Access::Degraded | Access::Suspended => end_sessions(target, &closed).await,
        }
    }

    async fn observe(&self, target: &Target, goal: &ResourceGoal) -> Result<Option<Observed>, Fault> {
        let (disk, goal) = (Disk::of(target)?, goal.clone());
        on_disk(move || match &goal.spec {
            ResourceSpec::Domain(spec) => mail::observe_domain(&disk, &goal, spec),
            ResourceSpec::Mailbox(spec) => mail::observe_mailbox(&disk, &goal, spec),
            ResourceSpec::Zone(spec) => dns::observe_zone(&disk, &goal, spec),
            ResourceSpec::Site(spec) => web::observe_site(&disk, &goal, spec),
        })
        .await
    }

    fn connection(&self, target: &Target, goal: &ServiceGoal, resources: &[ResourceGoal]) -> Connection {
        connection::of(target, goal, resources)
    }
}
