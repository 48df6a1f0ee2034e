//! The CRM sells hosted mail to a customer, and it is there.

use std::path::Path;

use serde_json::json;

use super::{Reseller, Sale, Story};
use crate::demo::client::{Call, Failure, told};
use crate::demo::print::Ink;

/// The mail that is to be there to the end.
pub const MAIL: &str = "From: Bob <bob@elsewhere.example>\nSubject: Lunch?\n\nOn Friday, at one?\n";
/// Its file below the mailbox's Maildir.
pub const MAIL_FILE: &str = "new/1767225600.M1P1.mx.hosting.example";

pub async fn tell(story: &Story, reseller: &Reseller) -> Result<Sale, Failure> {
    let (names, crm) = (&story.names, &reseller.crm);
    story.page.chapter("The CRM sells hosted mail")?;

    story.step(
        "A customer signs up in the CRM, which opens an account for it under its own customer number.",
    )?;
    let body = json!({
        "type": "tenant", "name": "Acme Ltd", "contact_email": "it@acme.example",
        "external_id": "crm:customer:4711",
    });
    let keep = ["id", "type", "name", "parent_id", "currency", "external_id"];
    let account = story.make(crm, "/v1/accounts", body, &keep).await?;
    account.is("/parent_id", reseller.id.as_str())?;
    account.is("/currency", "EUR")?;
    let account = account.text("/id")?;

    story.step(
        "It places the order: two units, with the domain, its DNS zone and the first mailbox. The \
         Idempotency-Key makes it safe to send again; \"Prefer: wait\" holds the answer until all is made.",
    )?;
    let domain = names.domain();
    let records = json!([
        {"name": "@", "type": "MX", "data": "10 mx.hosting.example."},
        {"name": "@", "type": "TXT", "data": "v=spf1 mx a:smtp.hosting.example ~all"},
        {"name": "www", "type": "A", "data": "192.0.2.10"},
    ]);
    let body = json!({
        "account_id": account,
        "external_id": "crm:order:1",
        "items": [{
            "action": "add", "plan": names.of("hosted-mail"), "quantity": 2,
            "resources": [
                {"type": "domain", "spec": {"name": domain}},
                {"type": "zone", "spec": {"name": domain, "records": records}},
                {
                    "type": "mailbox",
                    "spec": {"address": names.address("alice"), "display_name": "Alice Ames"},
                    "password": "correct horse battery",
                },
            ],
        }],
    });
    let order = || Call::post("/v1/orders", body.clone()).header("Idempotency-Key", "crm-order-1").waiting();
    let keep = [
        "id",
        "status",
        "items.status",
        "items.plan",
        "items.quantity",
        "items.subscription_id",
        "items.service_ids",
        "items.resource_ids",
        "operation.id",
        "operation.status",
        "operation.steps.action",
        "operation.steps.status",
    ];
    let placed = story.send(crm, order(), &keep).await?;
    placed.status(201)?;
    placed.is("/status", "completed")?;
    placed.is("/operation/status", "succeeded")?;
    let made = placed.list("/items/0/resource_ids")?.len();
    told(made == 3, "3 resources", format!("{made}"))?;
    let subscription = placed.text("/items/0/subscription_id")?;

    story.step(
        "The CRM lost the answer, say, and sends the very same call again: it gets the same order, and \
         nothing is made twice.",
    )?;
    let again = story.send(crm, order(), &["id", "status"]).await?;
    again.status(201)?;
    again.replayed()?;
    again.is("/id", placed.text("/id")?)?;

    story.step("The order made two services, one for mail and one for DNS; the CRM looks them up.")?;
    let services =
        story.get(crm, "/v1/services", &["data.id", "data.type", "data.status", "data.access"]).await?;
    let found = services.list("/data")?.iter().find(|service| service["type"] == "mail");
    let mail = found.and_then(|service| service["id"].as_str()).unwrap_or_default().to_owned();
    let all = services.list("/data")?.iter().all(|service| service["status"] == "active");
    told(!mail.is_empty() && all, "active services, one of them for mail", services.body.to_string())?;

    story.step("It writes the welcome mail with what this answers: hosts, ports, the DNS records to set.")?;
    let connection = story.get(crm, &format!("/v1/services/{mail}/connection"), &[]).await?;
    connection.is("/endpoints/0/host", "imap.hosting.example")?;

    story.step(
        "And it is all there, as files that a real Dovecot and a real name server read: Alice's login, \
         and the zone.",
    )?;
    story.show_login("alice", false)?;
    let (zone, text) = story.read(format!("dns/zones/{domain}.zone"))?;
    story.shell(&format!("cat {}", zone.display()))?;
    story.page.line(text.trim_end())?;
    told(text.contains("MX 10 mx.hosting.example."), "a zone with the MX record", text)?;

    story.step(
        "A mail arrives for Alice: the demo puts it into her Maildir as a mail server does. It is to be \
         there to the end.",
    )?;
    deliver(&maildir(story))?;
    let file = maildir(story).join(MAIL_FILE);
    story.shell(&format!("cat {}", file.display()))?;
    story.page.block(Ink::Faint, MAIL.trim_end())?;
    Ok(Sale { account, subscription, mail })
}

fn maildir(story: &Story) -> std::path::PathBuf {
    story.hosting.join("mail/store").join(story.names.domain()).join("alice/Maildir")
}

/// As every mail server does it: written aside, then moved to where it is seen.
fn deliver(maildir: &Path) -> Result<(), Failure> {
    let aside = maildir.join("tmp/1767225600.M1P1.mx.hosting.example");
    std::fs::write(&aside, MAIL)?;
    Ok(std::fs::rename(aside, maildir.join(MAIL_FILE))?)
}

/// The mail must be there as it was delivered.
pub fn mail_is_there(story: &Story) -> Result<(), Failure> {
    let file = maildir(story).join(MAIL_FILE);
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    told(text == MAIL, format!("Alice's mail in {}", file.display()), format!("{text:?}"))?;
    story.shell(&format!("ls {}", maildir(story).join("new").display()))?;
    Ok(story.page.line(MAIL_FILE.trim_start_matches("new/"))?)
}
