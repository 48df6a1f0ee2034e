use actix_web::{HttpResponse, delete, get, put};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::{Code, Fault, Problem};
use crate::domain::Error;
use crate::domain::catalog::price_lists;
use crate::model::Time;
use crate::model::catalog::items::ItemId;
use crate::model::catalog::price_lists::{PriceEntry, Rule};
use crate::model::ids::PriceListId;
use crate::model::scopes::need;
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(prices_list).service(prices_set).service(prices_withdraw);
}

list!(PriceEntryList, PriceEntry);

/// List a price list's prices
///
/// What it has said, says and is to say of single plans and add-ons, by their identifiers and time: of each the last one
/// that has begun is in force.
#[utoipa::path(
    tag = "prices",
    security(("oauth2" = ["prices:read"])),
    params(("id" = PriceListId, Path)),
    responses((status = 200, description = "Prices", body = PriceEntryList)),
)]
#[get("/price_lists/{id}/prices")]
async fn prices_list(mut caller: Caller<need::PricesRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(ItemId, Time)> = page.after()?;
    let id: PriceListId = caller.id("price list")?;
    let mut conn = caller.read().await?;
    let found = store::catalog::price_lists::find(&mut conn, id).await?;
    caller.saw(&found.ok_or(Error::NotFound("price list"))?.path);
    let rows = store::catalog::prices::page(&mut conn, id, after.as_ref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |price| (price.item_id, price.valid_from));
    Ok(PriceEntryList::answer(rows.into_iter().map(PriceEntry::from).collect(), next))
}

/// The plan or add-on in the route's path.
fn item<S>(caller: &Caller<S>) -> Result<ItemId, Error> {
    let told = caller.request.match_info().get("item_id");
    told.and_then(|id| id.parse().ok()).ok_or(Error::NotFound("plan or add-on"))
}

/// From when on the price was to be that is meant.
fn valid_from<S>(caller: &Caller<S>) -> Result<Time, Problem> {
    caller.parameter("valid_from").and_then(|text| text.parse().ok()).ok_or_else(|| {
        let detail = "must be the time from which the price was to be, as the list tells it";
        let fault = Fault::parameter("valid_from", "invalid", detail);
        Problem::new(Code::ValidationFailed, "A parameter is not valid.").with_errors(vec![fault])
    })
}

/// What a list is to say of a plan or add-on.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPrice {
    rule: Rule,
    /// From when on; from now if left out.
    #[schema(nullable = false)]
    valid_from: Option<Time>,
}

/// Set a price
///
/// What the list says of a plan or add-on, from now or from a time ahead. `If-Match` has the list's entity tag: of two who set prices
/// at once, the second is told of the first.
#[utoipa::path(
    tag = "prices",
    security(("oauth2" = ["prices:write"])),
    params(("id" = PriceListId, Path), ("item_id" = ItemId, Path, description = "A plan or an add-on")),
    request_body = NewPrice,
    responses((status = 200, description = "Set; the entity tag is the list's", body = PriceEntry)),
)]
#[put("/price_lists/{id}/prices/{item_id}")]
async fn prices_set(mut caller: Caller<need::PricesWrite>) -> Result<HttpResponse, Problem> {
    let (body, expected): (NewPrice, _) = (caller.json().await?, caller.if_match()?);
    let (id, item_id) = (caller.id("price list")?, item(&caller)?);
    caller
        .write(async move |work, actor| {
            let set = price_lists::set_price(work, actor, id, item_id, body.rule, body.valid_from, &expected);
            let (list, price) = set.await?;
            Ok(Answer::ok(&PriceEntry::from(price)).version(list.version).about(id))
        })
        .await
}

/// Take back a price
///
/// One that lies ahead. What is in force ends by setting another, and what was said in former times stays said.
#[utoipa::path(
    tag = "prices",
    security(("oauth2" = ["prices:write"])),
    params(
        ("id" = PriceListId, Path),
        ("item_id" = ItemId, Path, description = "A plan or an add-on"),
        ("valid_from" = Time, Query, description = "From when on it was to be"),
    ),
    responses((status = 204, description = "Taken back")),
)]
#[delete("/price_lists/{id}/prices/{item_id}")]
async fn prices_withdraw(caller: Caller<need::PricesWrite>) -> Result<HttpResponse, Problem> {
    let valid_from = valid_from(&caller)?;
    let (id, item_id, expected) = (caller.id("price list")?, item(&caller)?, caller.if_match()?);
    caller
        .write(async move |work, actor| {
            price_lists::withdraw_price(work, actor, id, item_id, valid_from, &expected).await?;
            Ok(Answer::none().about(id))
        })
        .await
}
