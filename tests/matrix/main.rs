//! Every operation of the document, asked by everybody who must not be answered, and then by who must: a walk that is
//! made from the document itself, so that nothing new is left out of it.

#[path = "../common/mod.rs"]
mod common;

mod denials;
mod document;
mod dry;
mod fields;
mod ground;
mod lines;
mod markers;
mod reads;
mod references;
mod states;
mod storefront;
mod table;
mod walk;

use common::api::{Answer, Call, Party, Site, With, mail_quotas};
use common::until;
use serde_json::{Value, json};
