//! Events reach the endpoints that are to hear of them, at least once, whatever fails on the way.

#[path = "../common/database.rs"]
#[allow(dead_code, reason = "no test uses all of it")]
mod database;
#[path = "../common/process.rs"]
mod process;
#[path = "../common/template.rs"]
mod template;

mod attempts;
mod authority;
mod challenges;
mod endpoints;
mod engines;
mod fairness;
mod feed;
mod log;
mod payloads;
mod receiver;
mod retries;
mod secrets;
mod world;
