//! The customer needs more than it has bought.

use serde_json::json;

use super::{Reseller, Sale, Story};
use crate::demo::client::{Answer, Call, Failure, told};

const MAILBOX: [&str; 6] = ["id", "name", "lifecycle", "has_password", "observed", "operation.status"];

pub async fn tell(story: &Story, reseller: &Reseller, sale: &Sale) -> Result<(), Failure> {
    let crm = &reseller.crm;
    story.page.chapter("The quota is full, and what to do about it")?;

    story.step("The customer asks for a second mailbox, which two units allow.")?;
    let bob = mailbox(story, reseller, sale, "bob", "Bob Berg").await?;
    bob.status(201)?;
    bob.is("/operation/status", "succeeded")?;

    story.step(
        "A third is one too many. It is refused as a whole, and the refusal names what would make room: calls \
         that the CRM can send as they are.",
    )?;
    let refused = mailbox(story, reseller, sale, "carol", "Carol Chen").await?;
    refused.status(409)?;
    refused.is("/code", "quota_exceeded")?;
    let methods = refused.list("/remedies")?.iter().map(|remedy| &remedy["method"]).collect::<Vec<_>>();
    told(
        methods.len() >= 2 && methods.iter().all(|it| *it == "POST"),
        "two remedies, each a POST",
        format!("{methods:?}"),
    )?;

    story.step(
        "The customer agrees to pay for one more. The CRM sends the first remedy exactly as it came.",
    )?;
    let (path, body) = (refused.text("/remedies/0/path")?, refused.at("/remedies/0/body").clone());
    let keep = ["id", "status", "items.action", "items.status", "items.quantity", "items.subscription_id"];
    let raised = story.send(crm, Call::post(path, body), &keep).await?;
    raised.status(201)?;
    raised.is("/status", "completed")?;
    raised.is("/items/0/quantity", 3)?;
    raised.is("/items/0/subscription_id", sale.subscription.as_str())?;

    story.step("Now the third mailbox is made.")?;
    let carol = mailbox(story, reseller, sale, "carol", "Carol Chen").await?;
    carol.status(201)?;
    carol.is("/operation/status", "succeeded")?;
    story.show_login("carol", false)
}

async fn mailbox(
    story: &Story,
    reseller: &Reseller,
    sale: &Sale,
    local: &str,
    name: &str,
) -> Result<Answer, Failure> {
    let body = json!({
        "type": "mailbox",
        "spec": {"address": story.names.address(local), "display_name": name},
        "password": format!("{local} likes long passwords"),
    });
    let path = format!("/v1/services/{}/resources", sale.mail);
    let keep: Vec<&str> =
        MAILBOX.into_iter().chain(["status", "code", "title", "detail", "violations", "remedies"]).collect();
    story.post_and_wait(&reseller.crm, &path, Some(body), &keep).await
}
