//! All of it again, as the reseller's programs were told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::{Reseller, Sale, Story};
use crate::demo::client::{Failure, told};
use crate::demo::json::{essence, shortened};
use crate::demo::receiver::Delivery;

/// How long the last deliveries are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn tell(story: &Story, reseller: &Reseller, sale: &Sale) -> Result<(), Failure> {
    story.page.chapter("Everything that happened")?;

    story.step(
        "The event feed has it all, in order: what happened to the reseller and its customers, each \
         account's events counted without a gap.",
    )?;
    let feed = story.get(&reseller.crm, "/v1/events?limit=200", &["next_after"]).await?;
    let events = feed.list("/data")?;
    for event in events {
        let whose = if event["account_id"] == *sale.account { "Acme Ltd" } else { "Blue Cloud Ltd" };
        let sequence = event["sequence"].as_i64().unwrap_or_default();
        let kind = event["type"].as_str().unwrap_or_default();
        let about = event["resource"]["id"].as_str().unwrap_or_default();
        story.page.line(format!("  {whose:<15} {sequence:>3}  {kind:<31} {}", shortened(about, 40)))?;
    }
    check_order(events)?;

    story.step(
        "And the webhook's receiver was told the same, each delivery signed after Standard Webhooks. One \
         of them:",
    )?;
    let expected = events_since(events, &reseller.endpoint);
    let arrived = wait_for(story, &expected).await;
    let ids: BTreeSet<&str> = arrived.iter().map(|delivery| delivery.id.as_str()).collect();
    let suspended = arrived.iter().find(|delivery| delivery.body["type"] == "service.suspended");
    if let Some(one) = suspended.or(arrived.first()) {
        let kept = ["id", "type", "sequence", "account_id", "resource", "data.object.status"];
        story.page.line(format!("POST {}", story.receiver.url()))?;
        story.page.line(format!("webhook-id: {}\nwebhook-timestamp: {}", one.id, one.timestamp))?;
        story.page.line(format!("webhook-signature: {}", one.signatures))?;
        story.page.line(essence(&one.body, &kept))?;
    }
    let right = arrived.iter().filter(|delivery| delivery.signed).count();
    let arrived_all = expected.iter().filter(|id| ids.contains(*id)).count();
    story.page.note(&format!(
        "{} deliveries arrived for the {} events since the webhook was registered; {right} of them were rightly signed.",
        arrived.len(),
        expected.len()
    ))?;
    told(arrived_all == expected.len(), format!("{} deliveries", expected.len()), format!("{arrived_all}"))?;
    told(right == arrived.len(), "right signatures only", format!("{} wrong ones", arrived.len() - right))?;
    told(suspended.is_some(), "a delivery of service.suspended", "none")
}

/// Each account's events must count up by one.
fn check_order(events: &[Value]) -> Result<(), Failure> {
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for event in events {
        let account = event["account_id"].as_str().unwrap_or_default();
        let sequence = event["sequence"].as_i64().unwrap_or_default();
        let before = last.insert(account, sequence).unwrap_or_default();
        told(sequence == before + 1, format!("the event {} of {account}", before + 1), event.to_string())?;
    }
    let wanted = ["order.completed", "service.suspended", "hold.placed", "hold.released", "service.resumed"];
    let missing = wanted.iter().find(|kind| !events.iter().any(|event| event["type"] == **kind));
    told(missing.is_none(), "every kind of event of the story", format!("no {}", missing.unwrap_or(&"")))
}

/// The events that the endpoint is to be told of, beginning with that of its own making.
fn events_since<'a>(events: &'a [Value], endpoint: &str) -> Vec<&'a str> {
    let registered = events.iter().position(|event| event["resource"]["id"] == endpoint);
    events[registered.unwrap_or_default()..].iter().filter_map(|event| event["id"].as_str()).collect()
}

async fn wait_for(story: &Story, expected: &[&str]) -> Vec<Delivery> {
    let all = async {
        loop {
            let arrived = story.receiver.arrived();
            if expected.iter().all(|id| arrived.iter().any(|delivery| delivery.id == *id)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let _ = tokio::time::timeout(PATIENCE, all).await;
    story.receiver.arrived()
}
