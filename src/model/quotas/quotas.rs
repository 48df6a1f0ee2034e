use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::ids::AccountId;
use crate::model::{Path, Time};
use crate::stored_as_text;

stored_as_text! {
    /// What a quota counts.
    pub enum QuotaKey {
        MailDomains = "mail.domains",
        MailMailboxes = "mail.mailboxes",
        /// Sum of the mailboxes' sizes, in MB.
        MailStorageMb = "mail.storage_mb",
        DnsZones = "dns.zones",
        DnsRecords = "dns.records",
        WebSites = "web.sites",
        /// Sum of the sites' sizes, in MB.
        WebStorageMb = "web.storage_mb",
    }
}

impl QuotaKey {
    /// The unit that ceilings and use are counted in.
    pub fn unit(self) -> &'static str {
        match self {
            QuotaKey::MailStorageMb | QuotaKey::WebStorageMb => "MB",
            _ => "1",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            QuotaKey::MailDomains => "Mail domains",
            QuotaKey::MailMailboxes => "Mailboxes",
            QuotaKey::MailStorageMb => "Mail storage",
            QuotaKey::DnsZones => "DNS zones",
            QuotaKey::DnsRecords => "DNS records",
            QuotaKey::WebSites => "Web sites",
            QuotaKey::WebStorageMb => "Web storage",
        }
    }
}

stored_as_text! {
    /// How a level's use bears on the level above.
    pub enum Mode {
        /// What is used here is used of the level above as well.
        Shared = "shared",
        /// The ceiling itself was taken from the level above, used or not.
        Allocated = "allocated",
    }
}

/// A ceiling's row.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct Quota {
    pub holder: String,
    pub key: QuotaKey,
    pub account_id: AccountId,
    pub path: Path,
    pub mode: Mode,
    pub ceiling: i64,
    pub used: i64,
    pub reserved: i64,
    pub updated_at: Time,
}

impl Quota {
    /// What `If-Match` goes by: which ceiling is set and how, whatever is taken of it. It is no count of changes; a
    /// ceiling that is set back is the one that was there.
    pub fn version(quota: Option<&Self>) -> i64 {
        quota.map_or(0, |quota| 1 + 2 * quota.ceiling + i64::from(quota.mode == Mode::Allocated))
    }

    /// What is left; nothing once over the limit.
    pub fn available(&self) -> i64 {
        (self.ceiling - self.used - self.reserved).max(0)
    }

    /// The identifier of the subscription or account whose it is.
    pub fn owner(&self) -> String {
        match self.holder.starts_with('/') {
            true => self.account_id.to_string(),
            false => self.holder.clone(),
        }
    }
}

/// A ceiling and what is taken of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Quota)]
pub struct QuotaView {
    pub key: QuotaKey,
    #[schema(example = "1")]
    pub unit: &'static str,
    pub mode: Mode,
    pub ceiling: i64,
    pub used: i64,
    /// Taken by operations that have not ended yet.
    pub reserved: i64,
    /// What is left; nothing once over the limit.
    pub available: i64,
    /// The ceiling was lowered below the use: nothing is lost, nothing can be added.
    pub over_limit: bool,
    pub updated_at: Time,
}

impl From<Quota> for QuotaView {
    fn from(quota: Quota) -> Self {
        Self {
            available: quota.available(),
            over_limit: quota.used + quota.reserved > quota.ceiling,
            key: quota.key,
            unit: quota.key.unit(),
            mode: quota.mode,
            ceiling: quota.ceiling,
            used: quota.used,
            reserved: quota.reserved,
            updated_at: quota.updated_at,
        }
    }
}

/// What an operation took of one level's quota, to be committed or given back when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    pub holder: String,
    pub key: QuotaKey,
    pub amount: i64,
}

stored_as_text! {
    /// How near to the caller the quota is that is short.
    pub enum Level {
        /// The subscription.
        Own = "self",
        /// The caller's own account, or one below it.
        Account = "account",
        /// An account above, whose figures are its own.
        Upstream = "upstream",
    }
}

/// A quota that does not suffice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Violation {
    pub key: QuotaKey,
    pub level: Level,
    /// The subscription or account whose quota is short; none above the caller's own account.
    pub holder: Option<String>,
    pub requested: i64,
    /// What is left; none above the caller's own account.
    pub available: Option<i64>,
}

/// A call that would make room, ready to be sent.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Remedy {
    /// What the call does, for people.
    pub title: String,
    #[schema(example = "POST")]
    pub method: &'static str,
    #[schema(example = "/v1/orders")]
    pub path: String,
    /// The request body.
    #[schema(value_type = Object)]
    pub body: serde_json::Value,
}
