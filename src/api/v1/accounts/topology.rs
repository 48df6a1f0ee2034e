use actix_web::http::header;
use actix_web::{HttpResponse, get};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::api::caller::Caller;
use crate::api::drawing;
use crate::api::problem::Problem;
use crate::domain::accounts::{accounts, topology};
use crate::model::accounts::topology::Topology;
use crate::model::ids::AccountId;
use crate::model::scopes::need;

const SVG: &str = "image/svg+xml";

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(accounts_topology);
}

/// Show what an account has
///
/// The account and all below it, their subscriptions, the services in these, and the servers they run on, to who may see
/// servers. As JSON, or as a picture to who asks for `Accept: image/svg+xml`. Up to 500 of each kind.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["services:read"])),
    params(("id" = AccountId, Path)),
    responses((status = 200, description = "What it has", content((Topology = "application/json"), (String = "image/svg+xml")))),
)]
#[get("/accounts/{id}/topology")]
async fn accounts_topology(mut caller: Caller<need::ServicesRead>) -> Result<HttpResponse, Problem> {
    let id = caller.account_id()?;
    let account = accounts::find(&mut caller.read().await?, id).await?;
    caller.saw(&account.path);
    let reach = caller.reach().await?;
    let mut below = caller.read_below(&account.path).await?;
    let found = topology::of(&mut below, reach, caller.now).await?;
    drop(below);
    let accepted = caller.request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::VARY, "Accept"));
    Ok(match accepted.is_some_and(|accept| accept.contains(SVG)) {
        true => answer.content_type(SVG).body(drawing::of(&found)),
        false => answer.json(found),
    })
}
