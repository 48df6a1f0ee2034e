//! What is told to callers who are wrong.

use serde_json::json;

use super::{Reseller, Sale, Story};
use crate::demo::client::{Call, Failure, told};

const PROBLEM: [&str; 7] = ["status", "code", "title", "detail", "errors", "request_id", "doc"];

pub async fn tell(story: &Story, reseller: &Reseller, sale: &Sale, operator: &str) -> Result<(), Failure> {
    story.page.chapter("Mistakes")?;

    story.step(
        "A slip of the pen in an order: nothing is done, and the problem names the place (RFC 9457, RFC \
         6901).",
    )?;
    let item = json!({"action": "add", "plan": story.names.of("hosted-mail"), "quantitty": 25});
    let body = json!({"account_id": sale.account, "items": [item]});
    let refused = story.send(&reseller.crm, Call::post("/v1/orders", body), &PROBLEM).await?;
    refused.status(422)?;
    refused.is("/code", "validation_failed")?;
    let named = refused.list("/errors")?.iter().any(|error| error["pointer"] == "/items/0/quantitty");
    told(named, "an error at /items/0/quantitty", refused.at("/errors").to_string())?;

    story.step(
        "The CRM asks for an account that is not its own, the operator's: for the CRM there is no such \
         account.",
    )?;
    let foreign = story.send(&reseller.crm, Call::get(format!("/v1/accounts/{operator}")), &PROBLEM).await?;
    foreign.status(404)?;
    foreign.is("/code", "account_not_found")?;

    story.step("The billing system tries to order, for which its key has no right.")?;
    let body = json!({"account_id": sale.account, "items": [{"action": "add", "plan": story.names.of("hosted-mail")}]});
    let forbidden = story.send(&reseller.billing, Call::post("/v1/orders", body), &PROBLEM).await?;
    forbidden.status(403)?;
    forbidden.is("/code", "insufficient_scope")
}
