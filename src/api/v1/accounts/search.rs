use actix_web::{HttpResponse, get};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::api::caller::Caller;
use crate::api::problem::{Code, Fault, Problem};
use crate::domain::accounts::search;
use crate::model::accounts::search::Found;
use crate::model::scopes::{Scope, need};
use crate::model::text;

const LONGEST: usize = 254;
/// How much is told at once.
const MOST: i64 = 50;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(search_find);
}

/// What was found, accounts first.
#[derive(Debug, Serialize, ToSchema)]
struct SearchResults {
    data: Vec<Found>,
    /// There is more than is told.
    truncated: bool,
}

/// Find what is called so
///
/// In the caller's account and all below: accounts by name, domains and their like by name, mailboxes by address, and
/// accounts, orders and resources by the `external_id` that the caller's account gave them, subscriptions by whatever
/// `external_id` they have. The whole name, be its letters a to z
/// capital or not; the `external_id` to the letter. Fifty at most. Of orders,
/// subscriptions and resources it takes their own reading scope to find them.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["accounts:read"])),
    params(("q" = String, Query, description = "What it is called", min_length = 1, max_length = 254, example = "acme.example")),
    responses((status = 200, description = "What was found", body = SearchResults)),
)]
#[get("/search")]
async fn search_find(mut caller: Caller<need::AccountsRead>) -> Result<HttpResponse, Problem> {
    let called = caller.parameter("q").unwrap_or_default();
    if called.is_empty() || called.chars().count() > LONGEST {
        let fault = Fault::parameter("q", "invalid", format!("must be a name of 1 to {LONGEST} characters"));
        return Err(
            Problem::new(Code::ValidationFailed, "A parameter is not valid.").with_errors(vec![fault])
        );
    }
    let actor = caller.actor().await?;
    let resources = caller.reach_with(Scope::ResourcesRead).await?;
    let mut conn = caller.read().await?;
    let called = text::nfc(called.trim().to_owned());
    let (data, truncated) = match called.as_str() {
        // No text in a database has a NUL.
        called if called.is_empty() || called.contains('\0') => (Vec::new(), false),
        called => search::find(&mut conn, &actor, resources, called, MOST).await?,
    };
    caller.saw_each(data.iter().map(|found| &found.path));
    Ok(HttpResponse::Ok().json(SearchResults { data, truncated }))
}
