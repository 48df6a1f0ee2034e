//! What callers see: the whole program over HTTP, on both databases.

#[path = "../common/mod.rs"]
mod common;

mod accounts;
mod addons;
mod addons_quotas;
mod approvals;
mod audit;
mod audit_checkpoints;
mod batch_previews;
mod batches;
mod branding;
mod catalog;
mod closings;
mod conditional;
mod console;
mod delegation;
mod engines;
mod environments;
mod errors;
mod events;
mod headers;
mod holds;
mod idempotency;
mod input;
mod key_caps;
mod key_ends;
mod key_leaks;
mod key_places;
mod key_roots;
mod key_rotation;
mod keys;
mod limits;
mod members;
mod moves;
mod moves_race;
mod oauth;
mod oauth_assertions;
mod oauth_forged;
mod oauth_rules;
mod oauth_tokens;
mod orders;
mod overload;
mod prices;
mod prices_orders;
mod prices_rules;
mod proration;
mod quota_checks;
mod quota_recounts;
mod quota_requests;
mod quota_thresholds;
mod quotas;
mod quotes;
mod rate_classes;
mod raw;
mod reconciles;
mod replicas;
mod requests;
mod required_keys;
mod search;
mod signing_keys;
mod signups;
mod signups_shop;
mod silence;
mod smuggling;
mod storefront;
mod story;
mod subscriptions;
mod subscriptions_ends;
mod timelines;
mod timeouts;
mod topology;
mod transfers;
mod trees;
mod trees_life;
mod unread;
mod values;
mod walks;
mod webhooks;

use std::time::Duration;

use common::api::{Answer, Call, Party, Site, With, World, add, change, mail_quotas, mailbox};
use common::until;
use serde_json::{Value, json};

/// The events that were recorded by now, in a feed that holds back what another test's open transaction might still
/// come before.
async fn all_told(site: &Site, by: &str) -> Vec<Value> {
    let mark = json!({"name": "mark", "scopes": ["orders:read"], "hold_classes": []});
    let mark = site.post("/v1/keys").key(by).json(mark).send().await.is(201).id();
    let mut events = Vec::new();
    until("the feed tells the mark", async || {
        let feed = site.get("/v1/events?limit=200").key(by).send().await.is(200);
        events = feed.body["data"].as_array().expect("a feed has data").clone();
        events.iter().any(|event| event["resource"]["id"] == mark.as_str())
    })
    .await;
    events.retain(|event| event["data"]["object"]["name"] != "mark");
    events
}

/// Those of a type.
async fn told(site: &Site, by: &str, event_type: &str) -> Vec<Value> {
    let mut events = all_told(site, by).await;
    events.retain(|event| event["type"] == event_type);
    events
}
