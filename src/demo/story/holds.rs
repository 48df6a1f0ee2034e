//! Payment fails, abuse comes on top, and each reason is lifted by whom it concerns.

use serde_json::json;

use super::sale::mail_is_there;
use super::{Reseller, Sale, Story};
use crate::demo::client::{Call, Failure, told};

const OUTCOME: [&str; 12] = [
    "target_type",
    "target_id",
    "changed",
    "access",
    "holds.id",
    "holds.reason_code",
    "holds.status",
    "remaining_holds.target_type",
    "remaining_holds.reason_code",
    "remaining_holds.placed_by_role",
    "operation_id",
    "operation.status",
];

pub async fn tell(story: &Story, reseller: &Reseller, sale: &Sale) -> Result<(), Failure> {
    let (billing, abuse_desk) = (&reseller.billing, &reseller.abuse_desk);
    let account = format!("/v1/accounts/{}", sale.account);
    let service = format!("/v1/services/{}", sale.mail);
    let status = ["id", "type", "status", "access", "applied_access"];
    story.page.chapter("Suspended for payment, then for abuse, and back")?;

    story.step(
        "The customer's card fails. The billing system suspends the whole account with one call; 202 says that \
         the work has begun and where to follow it.",
    )?;
    let body = json!({"reason_code": "payment.card_failed", "reason": "Invoice 2026-1143 is overdue"});
    let held = story.send(billing, Call::post(format!("{account}/suspend"), body), &OUTCOME).await?;
    held.status(202)?;
    held.is("/access", "suspended")?;
    let operation = held.text("/operation_id")?;

    story
        .step("It waits for the end of that operation, which goes through all of the customer's services.")?;
    let keep = ["id", "kind", "status", "steps.action", "steps.status"];
    let ended = story.get(billing, &format!("/v1/operations/{operation}?wait=25"), &keep).await?;
    ended.is("/status", "succeeded")?;

    story.step(
        "Nobody logs in now: Dovecot refuses with a reason, senders are told to come again later, the \
         zone's records are held back.",
    )?;
    story.show_login("alice", true)?;
    let (zone, text) = story.read(format!("dns/zones/{}.zone", story.names.domain()))?;
    story.shell(&format!("grep held {}", zone.display()))?;
    let held: Vec<&str> = text.lines().filter(|line| line.starts_with("; held ")).collect();
    story.page.line(held.join("\n"))?;
    told(held.len() == 3, "3 records held back", format!("{}", held.len()))?;

    story.step(
        "Meanwhile the mail service was found to send spam, and the operator's abuse desk puts a hold of its own on \
         it. Access is as it was, so there is nothing to be done: 200.",
    )?;
    let body = json!({"reason_code": "abuse.spam", "reason": "Ticket 8812: 4000 mails in an hour"});
    let abuse = story.send(abuse_desk, Call::post(format!("{service}/suspend"), body), &OUTCOME).await?;
    abuse.status(200)?;
    abuse.is("/changed", true)?;
    abuse.is("/access", "suspended")?;
    let remaining = abuse.list("/remaining_holds")?.len();
    told(remaining == 2, "2 holds in force", format!("{remaining}"))?;

    story.step("The customer pays. The billing system lifts what it placed; DNS answers again at once.")?;
    let body = json!({"reason_code": "payment"});
    let paid =
        story.post_and_wait(billing, &format!("{account}/resume"), Some(body.clone()), &OUTCOME).await?;
    paid.status(200)?;
    paid.is("/changed", true)?;
    paid.is("/holds/0/status", "released")?;
    paid.is("/operation/status", "succeeded")?;
    let (_, text) = story.read(format!("dns/zones/{}.zone", story.names.domain()))?;
    told(!text.contains("; held "), "a zone with its records", text)?;

    story.step(
        "But mail is still suspended. Asked to resume it, the server lifts nothing and says why: the operator's \
         hold for abuse remains, and billing has no say in that.",
    )?;
    let still =
        story.post_and_wait(billing, &format!("{service}/resume"), Some(body.clone()), &OUTCOME).await?;
    still.status(200)?;
    still.is("/changed", false)?;
    still.is("/access", "suspended")?;
    still.is("/remaining_holds/0/reason_class", "abuse")?;
    still.is("/remaining_holds/0/placed_by_role", "operator")?;
    story.show_login("alice", true)?;

    story.step(
        "The customer has cleaned up, and the abuse desk lifts its hold. It was the last: access is full \
         again.",
    )?;
    let lift = json!({"reason_code": "abuse"});
    let freed = story.post_and_wait(abuse_desk, &format!("{service}/resume"), Some(lift), &OUTCOME).await?;
    freed.status(200)?;
    freed.is("/access", "full")?;
    freed.is("/operation/status", "succeeded")?;
    let left = freed.list("/remaining_holds")?.len();
    told(left == 0, "no hold in force", format!("{left}"))?;
    let seen = story.get(billing, &service, &status).await?;
    seen.is("/status", "active")?;
    seen.is("/applied_access", "full")?;

    story.step("Alice logs in again, and her mail is still there.")?;
    story.show_login("alice", false)?;
    mail_is_there(story)?;

    story.step("The billing system repeats its resume, as programs do. It does no harm.")?;
    let again = story.post_and_wait(billing, &format!("{account}/resume"), Some(body), &OUTCOME).await?;
    again.status(200)?;
    again.is("/changed", false)?;
    again.is("/access", "full")
}
