//! The resource types: what each is specified by, its natural name and the quota it takes. A new one is a
//! variant here; the compiler then names every match to fill.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use crate::model::catalog::service_types::ServiceType;
use crate::model::quotas::QuotaKey;
use crate::model::text;
use crate::stored_as_text;

stored_as_text! {
    /// The kinds of things inside a service.
    pub enum ResourceType {
        /// A mail domain.
        Domain = "domain",
        Mailbox = "mailbox",
        /// A DNS zone with its records.
        Zone = "zone",
        /// A web site.
        Site = "site",
    }
}

impl ResourceType {
    /// The type of the services that hold such resources.
    pub fn service_type(self) -> ServiceType {
        match self {
            ResourceType::Domain | ResourceType::Mailbox => ServiceType::Mail,
            ResourceType::Zone => ServiceType::Dns,
            ResourceType::Site => ServiceType::Web,
        }
    }

    /// Whether such a resource has a password of its own.
    pub fn has_password(self) -> bool {
        matches!(self, ResourceType::Mailbox)
    }

    /// Within one order, what has the lower rank is made first.
    pub fn rank(self) -> u8 {
        match self {
            ResourceType::Domain | ResourceType::Zone | ResourceType::Site => 0,
            ResourceType::Mailbox => 1,
        }
    }

    /// The quota keys such resources take from.
    pub fn quota_keys(self) -> &'static [QuotaKey] {
        match self {
            ResourceType::Domain => &[QuotaKey::MailDomains],
            ResourceType::Mailbox => &[QuotaKey::MailMailboxes, QuotaKey::MailStorageMb],
            ResourceType::Zone => &[QuotaKey::DnsZones, QuotaKey::DnsRecords],
            ResourceType::Site => &[QuotaKey::WebSites, QuotaKey::WebStorageMb],
        }
    }
}

/// A mail domain: addresses below it can be made in the same service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainSpec {
    #[validate(custom(function = domain))]
    #[schema(min_length = 3, max_length = 253, example = "acme.example")]
    pub name: String,
}

/// A mailbox. Its password is given beside the specification and never read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MailboxSpec {
    /// The login and first address; its domain must be one of the service's.
    #[validate(custom(function = address))]
    #[schema(min_length = 5, max_length = 254, example = "alice@acme.example")]
    pub address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128, example = "Alice Ames")]
    pub display_name: Option<String>,
    /// How much mail it may hold.
    #[serde(default = "default_mailbox_mb")]
    #[schema(minimum = 1, maximum = 1_048_576, default = 25_600, example = 25_600)]
    pub quota_mb: i64,
}

/// 25 GB, what hosted mailboxes commonly have.
pub const DEFAULT_MAILBOX_MB: i64 = 25_600;

fn default_mailbox_mb() -> i64 {
    DEFAULT_MAILBOX_MB
}

/// A DNS zone and its records; SOA and NS are the service's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ZoneSpec {
    #[validate(custom(function = domain))]
    #[schema(min_length = 3, max_length = 253, example = "acme.example")]
    pub name: String,
    #[serde(default)]
    #[validate(nested)]
    #[schema(max_items = 1000)]
    pub records: Vec<Record>,
}

stored_as_text! {
    /// The record types that can be set.
    pub enum RecordType {
        A = "A",
        Aaaa = "AAAA",
        Cname = "CNAME",
        Mx = "MX",
        Txt = "TXT",
        Srv = "SRV",
        Caa = "CAA",
    }
}

/// One record, as in RFC 1035's presentation format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The owner name below the zone; `@` is the zone itself.
    #[validate(custom(function = record_name))]
    #[schema(min_length = 1, max_length = 253, example = "@")]
    pub name: String,
    #[serde(rename = "type")]
    pub record_type: RecordType,
    /// The data as they stand in a zone file; a TXT's text without its quotes.
    #[validate(custom(function = record_data))]
    #[schema(min_length = 1, max_length = 4096, example = "10 mx.hosting.example.")]
    pub data: String,
    #[serde(default = "default_ttl")]
    #[schema(minimum = 60, maximum = 604_800, default = 3600)]
    pub ttl: i64,
}

fn default_ttl() -> i64 {
    3600
}

/// A web site with its own host name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteSpec {
    #[validate(custom(function = domain))]
    #[schema(min_length = 3, max_length = 253, example = "www.acme.example")]
    pub host: String,
    #[serde(default = "default_site_mb")]
    #[schema(minimum = 1, maximum = 1_048_576, default = 1024)]
    pub quota_mb: i64,
}

fn default_site_mb() -> i64 {
    1024
}

/// What a resource is to be, by its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", content = "spec", rename_all = "snake_case")]
pub enum ResourceSpec {
    Domain(DomainSpec),
    Mailbox(MailboxSpec),
    Zone(ZoneSpec),
    Site(SiteSpec),
}

impl ResourceSpec {
    pub fn resource_type(&self) -> ResourceType {
        match self {
            ResourceSpec::Domain(_) => ResourceType::Domain,
            ResourceSpec::Mailbox(_) => ResourceType::Mailbox,
            ResourceSpec::Zone(_) => ResourceType::Zone,
            ResourceSpec::Site(_) => ResourceType::Site,
        }
    }

    /// The name that exists once in the installation: a domain, an address, a zone, a host.
    pub fn name(&self) -> &str {
        match self {
            ResourceSpec::Domain(spec) => &spec.name,
            ResourceSpec::Mailbox(spec) => &spec.address,
            ResourceSpec::Zone(spec) => &spec.name,
            ResourceSpec::Site(spec) => &spec.host,
        }
    }

    /// What the resource takes of its subscription's quota.
    pub fn takes(&self) -> Vec<(QuotaKey, i64)> {
        match self {
            ResourceSpec::Domain(_) => vec![(QuotaKey::MailDomains, 1)],
            ResourceSpec::Mailbox(spec) => {
                vec![(QuotaKey::MailMailboxes, 1), (QuotaKey::MailStorageMb, spec.quota_mb)]
            }
            ResourceSpec::Zone(spec) => {
                let mut takes = vec![(QuotaKey::DnsZones, 1)];
                if !spec.records.is_empty() {
                    takes.push((QuotaKey::DnsRecords, spec.records.len() as i64));
                }
                takes
            }
            ResourceSpec::Site(spec) => {
                vec![(QuotaKey::WebSites, 1), (QuotaKey::WebStorageMb, spec.quota_mb)]
            }
        }
    }

    /// Names in the form they are compared in: domains as A-labels, addresses in lower case.
    pub fn normalized(self) -> Self {
        let ascii = |name: String| text::domain(&name).unwrap_or(name);
        match self {
            ResourceSpec::Domain(spec) => ResourceSpec::Domain(DomainSpec { name: ascii(spec.name) }),
            ResourceSpec::Mailbox(spec) => {
                let address = text::address(&spec.address).unwrap_or(spec.address);
                ResourceSpec::Mailbox(MailboxSpec { address, ..spec })
            }
            ResourceSpec::Zone(spec) => ResourceSpec::Zone(ZoneSpec { name: ascii(spec.name), ..spec }),
            ResourceSpec::Site(spec) => ResourceSpec::Site(SiteSpec { host: ascii(spec.host), ..spec }),
        }
    }

    /// The mail domain an address belongs to.
    pub fn domain_of_address(&self) -> Option<&str> {
        match self {
            ResourceSpec::Mailbox(spec) => spec.address.split_once('@').map(|(_, domain)| domain),
            ResourceSpec::Domain(_) | ResourceSpec::Zone(_) | ResourceSpec::Site(_) => None,
        }
    }
}

impl Validate for ResourceSpec {
    fn validate(&self) -> Result<(), validator::ValidationErrors> {
        match self {
            ResourceSpec::Domain(spec) => spec.validate(),
            ResourceSpec::Mailbox(spec) => spec.validate(),
            ResourceSpec::Zone(spec) => spec.validate(),
            ResourceSpec::Site(spec) => spec.validate(),
        }
    }
}

fn refuse(code: &'static str, message: &'static str) -> ValidationError {
    ValidationError::new(code).with_message(message.into())
}

pub fn domain(name: &str) -> Result<(), ValidationError> {
    text::domain(name).map(drop).ok_or_else(|| {
        refuse(
            "domain",
            "is no domain name: labels of letters, digits and hyphens, at least two, 253 characters in all",
        )
    })
}

fn address(address: &str) -> Result<(), ValidationError> {
    text::address(address).map(drop).ok_or_else(|| {
        refuse(
            "address",
            "is no mail address: up to 64 of a-z 0-9 . _ + - before the @, a domain name after it",
        )
    })
}

fn record_name(name: &str) -> Result<(), ValidationError> {
    text::is_record_name(name)
        .then_some(())
        .ok_or_else(|| refuse("record_name", "is no owner name: @, or labels of letters, digits, - _ or *"))
}

fn record_data(data: &str) -> Result<(), ValidationError> {
    data.chars()
        .all(|c| !c.is_control() && c.is_ascii())
        .then_some(())
        .ok_or_else(|| refuse("record_data", "must be ASCII without control characters"))
}
