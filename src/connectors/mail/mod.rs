//! Hosted mail by Dovecot and Postfix, which read their domains and mailboxes from one SQL database: this
//! connector writes the rows, and speaks to Dovecot's administration about sessions, sizes and stored mail.

mod database;
mod doveadm;
mod mailboxes;
mod refusals;
mod rows;
mod schema;
mod settings;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use moka::future::Cache;
use serde_json::{Map, Value, json};

use self::database::Database;
use self::doveadm::Doveadm;
use self::mailboxes::Access as Reach;
use self::settings::Installation;
use crate::model::catalog::service_types::ServiceType;
use crate::model::connector::{
    Connection, Connector, Descriptor, DnsRecord, Endpoint, Fault, Observed, QuotaEnforcement, Repeat,
    ResourceGoal, ServiceGoal, Setting, Target,
};
use crate::model::services::Access;
use crate::model::services::specs::ResourceSpec;
