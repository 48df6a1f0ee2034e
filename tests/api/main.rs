//! What callers see: the whole program over HTTP, on both databases.

#[path = "../common/mod.rs"]
mod common;

mod accounts;
mod catalog;
mod events;
mod holds;
mod idempotency;
mod input;
mod key_places;
mod key_rotation;
mod keys;
mod oauth;
mod orders;
mod quotas;

use std::time::Duration;

use common::api::{Answer, Call, Party, Site, With, World, add, change, mail_quotas, mailbox};
use common::until;
use serde_json::{Value, json};
