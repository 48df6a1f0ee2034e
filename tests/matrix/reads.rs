//! What the audit says of those above who read.

use std::collections::BTreeSet;
use std::time::Duration;

use tenantry::store::audit::Line;

use super::document::{operations, scopes, served};
use super::ground::Ground;
use super::lines::lines;
use super::walk::{As, steps};
use super::*;

/// What an account can read that tells of many accounts, each row of one.
const OF_MANY: [&str; 16] = [
    "accounts_list",
    "batches_list",
    "events_list",
    "keys_list",
    "operations_list",
    "orders_list",
    "quota_requests_list",
    "reconcile_runs_list",
    "resources_list",
    "search_find",
    "servers_list",
    "services_list",
    "storefront_keys_list",
    "subscriptions_list",
    "virtual_servers_list",
    "webhook_endpoints_list",
];

/// The lines of what an account read, in the audit of one.
async fn reads(site: &Site, account: &str, by: &str) -> Vec<Line> {
    let mut lines = lines(site, account).await;
    lines.retain(|line| line.outcome == "read" && line.principal_id.to_string() == by);
    lines
}

/// The operations that the account's audit says were read from above, once they are those that are due.
async fn are_told(site: &Site, account: &str, due: &BTreeSet<String>, by: &str) {
    let told = async || -> BTreeSet<String> {
        reads(site, account, by).await.into_iter().map(|line| line.action).collect()
    };
    let begun = std::time::Instant::now();
    while told().await.len() < due.len() && begun.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let told = told().await;
    let missing: Vec<_> = due.difference(&told).collect();
    assert!(missing.is_empty(), "not told: {missing:?}");
    assert_eq!(&told, due);
}

on_both_servers! {
    /// AUD-1, AUD-6: each operation that reads leaves its line with whose data it reads, and with nobody where they are
    /// the reader's own
    async fn each_read_from_above_is_in_the_audit_of_whose_data_were_read(site: With::no_workers()) {
        let document = served(site).await;
        let all = operations(&document);
        let ground = Ground::new(site, &scopes(&document)).await;
        let steps = steps(&all);
        let reading = || steps.iter().filter(|step| !step.operation.mutates() && step.operation.name != "audit_export");
        let (above, owner) = (As::key(&ground.above.key), As::key(&ground.owner.key));
        let through = As::key(&ground.above.key).through(&ground.owner.id);
        let mut due = BTreeSet::new();
        for step in reading() {
            let object = step.row.on.map(|object| ground.id(object));
            step.call(site, &ground, &owner, object).send().await.is(200);
            // On an object, without the header: the object tells whose it is.
            let who = if object.is_some() { &above } else { &through };
            step.call(site, &ground, who, object).send().await.is(200);
            due.insert(step.operation.name.clone());
        }
        assert!(due.len() > 30, "{due:?}");
        are_told(site, &ground.owner.id, &due, &ground.above.id).await;
        for line in reads(site, &ground.owner.id, &ground.above.id).await {
            assert!(line.address.is_some() && line.request_id.starts_with("req_"), "{line:?}");
        }
        // A list of what all accounts below have is one line, in the audit of whoever reads it.
        for step in reading().filter(|step| OF_MANY.contains(&step.operation.name.as_str())) {
            step.call(site, &ground, &above, None).send().await.is(200);
        }
        let many = OF_MANY.iter().map(|name| (*name).to_owned()).collect();
        are_told(site, &ground.above.id, &many, &ground.above.id).await;
        // So it is with the owner's lists; what it read of its own left nothing.
        let own = reads(site, &ground.owner.id, &ground.owner.id).await;
        assert!(own.iter().all(|line| OF_MANY.iter().chain(&["accounts_children", "accounts_console"]).any(|name| *name == line.action)), "{own:?}");
        let whole = tenantry::domain::accounts::audit::verify(&site.db).await.unwrap();
        assert!(whole.broken.is_empty(), "{whole:?}");
    }

    /// AUD-1: what is read again and again is counted, and who it was is not told below
    async fn a_stream_of_reads_is_two_lines_and_costs_none_of_them_a_write(site: With::clock()) {
        let reseller = site.account(&site.operator_key, "reseller", "Read").await;
        let operator = site.get("/v1/me").key(&site.operator_key).send().await.is(200).text_of("/account/id");
        let path = format!("/v1/accounts/{}", reseller.id);
        let get = async |path: String| site.get(&path).key(&site.operator_key).send().await;
        for _ in 0..50 {
            get(path.clone()).await.is(200);
        }
        get(format!("/v1/accounts/{}", reseller.id.replace("acc_0", "acc_1"))).await.is(404);
        site.get(&path).key(&reseller.key).send().await.is(200);
        until("the first is there", async || reads(site, &reseller.id, &operator).await.len() == 1).await;
        site.clock.advance(Duration::from_secs(61));
        until("the others are counted", async || reads(site, &reseller.id, &operator).await.len() == 2).await;
        let told = reads(site, &reseller.id, &operator).await;
        assert_eq!(told[1].detail["count"], json!(49), "{told:?}");
        let seen = site.get("/v1/audit?limit=200").key(&reseller.key).send().await.is(200);
        let last = seen.body["data"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((&last["action"], &last["outcome"], &last["acted_as"]), (&json!("accounts_get"), &json!("read"), &json!("operator")));
        assert!(last["principal_id"].is_null() && last["address"].is_null(), "{last}");
    }
}
