use std::collections::BTreeMap;

use actix_web::{HttpResponse, delete, get, patch, post};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::api::v1::fields;
use crate::domain::Error;
use crate::domain::catalog::price_lists::{self, Change, Draft};
use crate::model::Path;
use crate::model::catalog::price_lists::{Adjustment, Offers, Plain, PriceListView};
use crate::model::ids::{AccountId, PriceListId};
use crate::model::money::{Currency, Rate};
use crate::model::scopes::need;
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(price_lists_list)
        .service(price_lists_create)
        .service(price_lists_get)
        .service(price_lists_update)
        .service(price_lists_delete);
}

list!(PriceListList, PriceListView);

/// A new price list.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPriceList {
    #[validate(custom(function = fields::name))]
    #[schema(min_length = 1, max_length = 128, example = "Retail 2027")]
    name: String,
    /// In what the customers pay.
    currency: Currency,
    /// One customer that it is for, directly below the account; for all that have no list of their own if left out.
    #[schema(nullable = false)]
    buyer_id: Option<AccountId>,
    /// `all` if left out.
    #[serde(default = "all")]
    offers: Offers,
    /// What is made of the prices that the account pays, for plans and add-ons of which the list says nothing else; `taken_over` if
    /// left out.
    #[serde(default = "taken_over")]
    adjustment: Adjustment,
    /// How much of the list's currency one unit of the currency is worth that the account pays in; needed where they
    /// differ and prices go by what the account pays.
    #[schema(nullable = false)]
    exchange_rate: Option<Rate>,
    #[serde(default)]
    #[validate(custom(function = fields::metadata))]
    metadata: BTreeMap<String, String>,
}

fn all() -> Offers {
    Offers::All
}

fn taken_over() -> Adjustment {
    Adjustment::TakenOver(Plain {})
}

/// List price lists
///
/// Those of the caller's account and of all below.
#[utoipa::path(
    tag = "prices",
    security(("oauth2" = ["prices:read"])),
    responses((status = 200, description = "Price lists", body = PriceListList)),
)]
#[get("/price_lists")]
async fn price_lists_list(mut caller: Caller<need::PricesRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, PriceListId)> = page.after()?;
    let mut conn = caller.read().await?;
    let rows = store::catalog::price_lists::page(&mut conn, after.as_ref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |list| (list.path.clone(), list.id));
    caller.saw_each(rows.iter().map(|list| &list.path));
    Ok(PriceListList::answer(rows.into_iter().map(PriceListView::from).collect(), next))
}

/// Make a price list
///
/// It says what the account's customers pay: by what the account pays itself, or by prices of its own. An account has one
/// for all its customers and may have one more for each of them. Without any, they pay what the account pays.
#[utoipa::path(
    tag = "prices",
    security(("oauth2" = ["prices:write"])),
    request_body = NewPriceList,
    responses((status = 201, description = "Made", body = PriceListView)),
)]
#[post("/price_lists")]
async fn price_lists_create(mut caller: Caller<need::PricesWrite>) -> Result<HttpResponse, Problem> {
    let body: NewPriceList = caller.json().await?;
    let draft = Draft {
        name: body.name,
        currency: body.currency,
        buyer_id: body.buyer_id,
        offers: body.offers,
        adjustment: body.adjustment,
        exchange_rate: body.exchange_rate,
        metadata: body.metadata,
    };
    caller
        .write(async move |work, actor| {
            let list = price_lists::create(work, actor, draft).await?;
            let (id, version) = (list.id, list.version);
            let view = PriceListView::from(list);
            Ok(Answer::made(true, format!("/v1/price_lists/{id}"), &view).version(version).about(id))
        })
        .await
}

/// Get a price list
#[utoipa::path(
    tag = "prices",
    security(("oauth2" = ["prices:read"])),
    params(("id" = PriceListId, Path)),
    responses((status = 200, description = "The price list", body = PriceListView)),
)]
#[get("/price_lists/{id}")]
async fn price_lists_get(mut caller: Caller<need::PricesRead>) -> Result<HttpResponse, Problem> {
    let id: PriceListId = caller.id("price list")?;
    let found = store::catalog::price_lists::find(&mut caller.read().await?, id).await?;
    let list = found.ok_or(Error::NotFound("price list"))?;
    caller.saw(&list.path);
    caller.show(list.version, &PriceListView::from(list))
}

/// What is to change of a price list; what is left out stays. Its currency and whom it is for stay what they are.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct PriceListChange {
    #[validate(custom(function = fields::name))]
    #[schema(min_length = 1, max_length = 128, nullable = false)]
    name: Option<String>,
    #[schema(nullable = false)]
    offers: Option<Offers>,
    #[schema(nullable = false)]
    adjustment: Option<Adjustment>,
    #[serde(default, deserialize_with = "fields::present")]
    #[schema(value_type = Option<Rate>)]
    exchange_rate: Option<Option<Rate>>,
    #[validate(custom(function = fields::metadata))]
    #[schema(nullable = false)]
    metadata: Option<BTreeMap<String, String>>,
}

/// Change a price list
///
/// From now on. What is said of single plans and add-ons stays.
#[utoipa::path(
    tag = "prices",
    security(("oauth2" = ["prices:write"])),
    params(("id" = PriceListId, Path)),
    request_body = PriceListChange,
    responses((status = 200, description = "Changed", body = PriceListView)),
)]
#[patch("/price_lists/{id}")]
async fn price_lists_update(mut caller: Caller<need::PricesWrite>) -> Result<HttpResponse, Problem> {
    let (body, expected): (PriceListChange, _) = (caller.json().await?, caller.if_match()?);
    let id = caller.id("price list")?;
    let change = Change {
        name: body.name,
        offers: body.offers,
        adjustment: body.adjustment,
        exchange_rate: body.exchange_rate,
        metadata: body.metadata,
    };
    caller
        .write(async move |work, actor| {
            let list = price_lists::change(work, actor, id, change, &expected).await?;
            let version = list.version;
            Ok(Answer::ok(&PriceListView::from(list)).version(version).about(id))
        })
        .await
}

/// Delete a price list
///
/// With all that it says of plans and add-ons. Its customers go by the account's list for all from now on; without one they pay what
/// the account pays. What they have ordered keeps its price.
#[utoipa::path(
    tag = "prices",
    security(("oauth2" = ["prices:write"])),
    params(("id" = PriceListId, Path)),
    responses((status = 204, description = "Deleted")),
)]
#[delete("/price_lists/{id}")]
async fn price_lists_delete(caller: Caller<need::PricesWrite>) -> Result<HttpResponse, Problem> {
    let (id, expected) = (caller.id("price list")?, caller.if_match()?);
    caller
        .write(async move |work, actor| {
            price_lists::remove(work, actor, id, &expected).await?;
            Ok(Answer::none().about(id))
        })
        .await
}
