//! Hosted mail by Dovecot and Postfix, which read their domains and mailboxes from one SQL database: this
//! connector writes the rows, and speaks to Dovecot's administration about sessions, sizes and stored mail.

mod connection;
mod database;
mod doveadm;
mod hosting;
mod refusals;
mod rows;
mod schema;
mod settings;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use moka::future::Cache;

use self::database::Database;
use self::doveadm::Doveadm;
use self::hosting::Hosting;
use self::settings::Installation;
use crate::model::catalog::service_types::ServiceType;
use crate::model::connector::{
    Connection, Connector, Descriptor, Fault, Observed, QuotaEnforcement, Repeat, ResourceGoal, ServiceGoal,
    Setting, Target,
};
use crate::model::services::specs::ResourceSpec;

/// Hosting databases that are kept open at once, and for how long without use.
const OPEN_DATABASES: u64 = 64;
const IDLE: Duration = Duration::from_secs(600);

const DESCRIPTOR: Descriptor = Descriptor {
    name: "mail",
    title: "Hosted mail by Dovecot and Postfix over one SQL database",
    service_types: &[ServiceType::Mail],
    simulated: false,
    settings: &[
        Setting {
            name: "database",
            required: true,
            meaning: "The hosting database without its password: sqlite:///path/hosting.db, \
                      mysql://user@host/name or postgres://user@host/name",
        },
        Setting {
            name: "doveadm_url",
            required: true,
            meaning: "Dovecot's administration over HTTP, such as http://127.0.0.1:11080/doveadm/v1",
        },
        Setting { name: "imap_host", required: false, meaning: "The host customers read mail on" },
        Setting { name: "imap_port", required: false, meaning: "Its port; 993 if not given" },
        Setting {
            name: "imap_security",
            required: false,
            meaning: "tls, starttls or none; follows from the port if not given",
        },
        Setting { name: "smtp_host", required: false, meaning: "The host customers send mail through" },
        Setting { name: "smtp_port", required: false, meaning: "Its port; 465 if not given" },
        Setting {
            name: "smtp_security",
            required: false,
            meaning: "tls, starttls or none; follows from the port if not given",
        },
        Setting { name: "mx_host", required: false, meaning: "The host that customers' MX records name" },
    ],
    credentials: Some(
        "JSON: {\"doveadm_api_key\": \"…\"}, with \"database_user\" and \"database_password\" where the \
         database asks for them",
    ),
    quota: QuotaEnforcement::Enforced,
    repeat: Repeat::Idempotent,
    effect_delay_ms: 0,
    password_scheme: "BLF-CRYPT",
};

/// The connector `mail`. It keeps few connections to each hosting database it has met lately.
pub struct Mail {
    client: Result<reqwest::Client, String>,
    databases: Cache<[u8; 32], Arc<Database>>,
}

impl Mail {
    #[expect(clippy::new_without_default, reason = "a connector is made once, by name, in the register")]
    pub fn new() -> Self {
        Self {
            client: doveadm::client().map_err(|error| error.to_string()),
            databases: Cache::builder().max_capacity(OPEN_DATABASES).time_to_idle(IDLE).build(),
        }
    }

    async fn open(&self, target: &Target) -> Result<Hosting, Fault> {
        let installation = Installation::of(target)?;
        let client = self
            .client
            .clone()
            .map_err(|error| Fault::Denied(format!("no HTTP client can be made here: {error}")))?;
        let database = self
            .databases
            .try_get_with(installation.fingerprint(), async {
                let database = Database::open(&installation).await?;
                schema::prepare(&database).await?;
                Ok::<_, Fault>(Arc::new(database))
            })
            .await
            .map_err(|fault| Fault::clone(&fault))?;
        let key = installation.secrets.doveadm_api_key;
        Ok(Hosting { database, doveadm: Doveadm { client, url: installation.doveadm, key } })
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").finish_non_exhaustive()
    }
}

#[async_trait]
impl Connector for Mail {
    fn descriptor(&self) -> &Descriptor {
        &DESCRIPTOR
    }

    async fn test(&self, target: &Target) -> Result<Observed, Fault> {
        self.open(target).await?.test().await
    }

    /// A service has no row of its own: it is its domains.
    async fn ensure_service(&self, target: &Target, goal: &ServiceGoal) -> Result<Observed, Fault> {
        self.open(target).await?.set_access(&goal.id.to_string(), goal.access).await
    }

    async fn remove_service(&self, target: &Target, goal: &ServiceGoal) -> Result<(), Fault> {
        self.open(target).await?.remove_all(&goal.id.to_string()).await
    }

    async fn ensure_resource(&self, target: &Target, goal: &ResourceGoal) -> Result<Observed, Fault> {
        let hosting = self.open(target).await?;
        let owner = goal.service.id.to_string();
        match &goal.spec {
            ResourceSpec::Domain(spec) => {
                hosting.ensure_domain(&spec.name, &owner, goal.service.access).await
            }
            ResourceSpec::Mailbox(spec) => {
                let password = goal.password_hash.as_deref();
                let wanted = hosting::wanted(&spec.address, &owner, password, spec.quota_mb)?;
                hosting.ensure_mailbox(&spec.address, &wanted).await
            }
            ResourceSpec::Zone(_) | ResourceSpec::Site(_) => Err(not_mail(goal)),
        }
    }

    async fn remove_resource(&self, target: &Target, goal: &ResourceGoal) -> Result<(), Fault> {
        let hosting = self.open(target).await?;
        let owner = goal.service.id.to_string();
        match &goal.spec {
            ResourceSpec::Domain(spec) => hosting.remove_domain(&spec.name, &owner).await,
            ResourceSpec::Mailbox(spec) => hosting.remove_mailbox(&spec.address, &owner).await,
            ResourceSpec::Zone(_) | ResourceSpec::Site(_) => Err(not_mail(goal)),
        }
    }

    /// One statement for the service, however many resources it has.
    async fn set_access(
        &self,
        target: &Target,
        goal: &ServiceGoal,
        _resources: &[ResourceGoal],
    ) -> Result<(), Fault> {
        self.open(target).await?.set_access(&goal.id.to_string(), goal.access).await.map(drop)
    }

    async fn observe(&self, target: &Target, goal: &ResourceGoal) -> Result<Option<Observed>, Fault> {
        let hosting = self.open(target).await?;
        let owner = goal.service.id.to_string();
        match &goal.spec {
            ResourceSpec::Domain(spec) => hosting.observe_domain(&spec.name, &owner).await,
            ResourceSpec::Mailbox(spec) => hosting.observe_mailbox(&spec.address, &owner).await,
            ResourceSpec::Zone(_) | ResourceSpec::Site(_) => Err(not_mail(goal)),
        }
    }

    fn connection(&self, target: &Target, _goal: &ServiceGoal, resources: &[ResourceGoal]) -> Connection {
        connection::of(target, resources)
    }
}

fn not_mail(goal: &ResourceGoal) -> Fault {
    Fault::Invalid(format!("a mail server has no {}", goal.spec.resource_type()))
}
