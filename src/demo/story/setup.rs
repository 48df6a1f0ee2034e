//! The operator prepares the installation and lets a reseller in.

use serde_json::{Value, json};

use super::{Reseller, Story};
use crate::demo::client::{Call, Failure, Key, told};

/// The operator makes a place to host things on and something to sell. Tells the operator's account.
pub async fn installation(story: &Story, operator: &Key) -> Result<String, Failure> {
    let names = &story.names;
    story.page.chapter("The operator prepares the installation")?;

    story.step("The operator asks who it is: the call to test a connection and a key with.")?;
    let me = story
        .get(operator, "/v1/me", &["account.id", "account.type", "account.name", "key.name", "scopes"])
        .await?;
    me.is("/account/type", "operator")?;

    story.step(
        "It registers a server, that is, a place where services are made. This one is a folder: the connector \
         \"files\" writes what Dovecot and name servers read.",
    )?;
    let settings = json!({
        "root": story.hosting, "host": "hosting.example", "mx_host": "mx.hosting.example",
        "imap_host": "imap.hosting.example", "smtp_host": "smtp.hosting.example",
        "ns": ["ns1.hosting.example", "ns2.hosting.example"],
    });
    let body = json!({"name": names.of("files"), "connector": "files", "settings": settings});
    let server = story.make(operator, "/v1/servers", body, &["id", "name", "connector"]).await?;
    let server = server.text("/id")?;

    story.step(
        "It has the server tested before anything is sold on it. \"Prefer: wait\" holds the answer back until \
         the test is done.",
    )?;
    let keep = [
        "operation.id",
        "operation.status",
        "operation.steps.action",
        "operation.steps.status",
        "operation.steps.facts",
    ];
    let test = story.post_and_wait(operator, &format!("/v1/servers/{server}/test"), None, &keep).await?;
    test.status(200)?;
    test.is("/operation/status", "succeeded")?;

    story.step(
        "Plans are sold on a virtual server, which says where each kind of service goes: mail and DNS here.",
    )?;
    let placement = ["mail", "dns"].map(|kind| json!({"service_type": kind, "server_id": server}));
    let body = json!({"name": names.of("shared"), "placement": placement});
    let shared = story.make(operator, "/v1/virtual_servers", body, &["id", "name", "placement"]).await?;
    let shared = shared.text("/id")?;

    story.step(
        "The first plan: each unit gives one mailbox of 25 GB; one domain and one zone of 50 records are \
         included. A reseller orders it by its code.",
    )?;
    let keep = ["id", "code", "status", "current_version"];
    let plan = |code: &str, name: &str, mailboxes: i64| {
        json!({
            "code": names.of(code), "name": name,
            "terms": {
                "virtual_server_id": shared,
                "services": [{"type": "mail"}, {"type": "dns"}],
                "quotas": [
                    {"key": "mail.mailboxes", "per_unit": mailboxes},
                    {"key": "mail.storage_mb", "per_unit": 25_600 * mailboxes},
                    {"key": "mail.domains", "included": 1},
                    {"key": "dns.zones", "included": 1},
                    {"key": "dns.records", "included": 50},
                ],
            },
        })
    };
    let made = story.make(operator, "/v1/plans", plan("hosted-mail", "Hosted mail", 1), &keep).await?;
    made.is("/status", "active")?;

    story.step("The second plan gives twice as much for each unit; customers can move up to it later.")?;
    let made =
        story.make(operator, "/v1/plans", plan("hosted-mail-plus", "Hosted mail plus", 2), &keep).await?;
    made.is("/status", "active")?;
    me.text("/account/id")
}

/// The operator lets a reseller in, and the reseller's programs get keys.
pub async fn reseller(story: &Story, operator: &Key) -> Result<Reseller, Failure> {
    let names = &story.names;
    story.page.chapter("A reseller comes in")?;

    story.step(
        "The operator opens the reseller's account. All that is sold below it belongs to its part of the \
         tree.",
    )?;
    let body = json!({
        "type": "reseller", "name": "Blue Cloud Ltd", "country": "DE", "currency": "EUR",
        "time_zone": "Europe/Berlin", "external_id": names.of("partner-17"),
    });
    let keep = ["id", "type", "name", "parent_id", "status"];
    let account = story.make(operator, "/v1/accounts", body, &keep).await?;
    let id = account.text("/id")?;

    story.step(
        "It sets the reseller's ceiling: 50 mailboxes for all its customers together, however many \
         orders come at once.",
    )?;
    let path = format!("/v1/accounts/{id}/quotas/mail.mailboxes");
    // There is none yet that anybody could have changed.
    let call = Call::put(path, json!({"ceiling": 50})).header("If-Match", "*");
    let ceiling =
        story.send(operator, call, &["quota.key", "quota.ceiling", "quota.used", "quota.available"]).await?;
    ceiling.status(200)?;
    ceiling.is("/quota/available", 50)?;

    story.step(
        "The reseller's CRM gets a key of its own. The bundle \"crm\" lets it open accounts and place \
         orders, but suspend nobody.",
    )?;
    let body = json!({"account_id": id, "name": "CRM", "bundle": "crm"});
    let crm = key(story, operator, "CRM_KEY", body).await?;

    story.step(
        "The reseller's billing system gets another: it suspends and resumes, for payment only, and \
         cannot order.",
    )?;
    let body = json!({"account_id": id, "name": "Billing", "bundle": "billing_system"});
    let billing = key(story, operator, "BILLING_KEY", body).await?;

    story.step(
        "The operator's own abuse desk gets a key that places and lifts holds for abuse, and for nothing \
         else.",
    )?;
    let body = json!({
        "name": "Abuse desk", "hold_classes": ["abuse"],
        "scopes": ["services:read", "services:suspend", "services:resume"],
    });
    let abuse_desk = key(story, operator, "ABUSE_KEY", body).await?;

    story.step(
        "The CRM wants to be told of what happens: it registers a webhook. The receiver is a real one, in this \
         demo, and checks every signature. Clear-text HTTP is allowed for exactly its address.",
    )?;
    let body = json!({"url": story.receiver.url(), "description": "CRM"});
    let endpoint =
        story.make(&crm, "/v1/webhook_endpoints", body, &["id", "url", "status", "secret"]).await?;
    let secret = endpoint.text("/secret")?;
    told(story.receiver.trust(&secret), "a secret of Standard Webhooks, whsec_…", "another")?;
    let endpoint = endpoint.text("/id")?;

    Ok(Reseller { id, crm, billing, abuse_desk, endpoint })
}

async fn key(story: &Story, operator: &Key, variable: &'static str, body: Value) -> Result<Key, Failure> {
    let keep = ["id", "name", "scopes", "hold_classes", "secret"];
    let made = story.make(operator, "/v1/keys", body, &keep).await?;
    let key = Key { variable, secret: made.text("/secret")? };
    story.page.note("The secret is told once. To paste the calls below, set it in your shell:")?;
    story.page.line(key.export())?;
    Ok(key)
}
