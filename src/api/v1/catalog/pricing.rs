use actix_web::{HttpResponse, get};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::domain::Error;
use crate::domain::accounts::accounts;
use crate::domain::catalog::pricing::Counter;
use crate::model::Path;
use crate::model::catalog::addons::{Addon, CatalogAddon};
use crate::model::catalog::components::{ItemPrice, PriceView};
use crate::model::catalog::plans::Plan;
use crate::model::catalog::price_lists::CatalogItem;
use crate::model::ids::{AccountId, AddonId, PlanId};
use crate::model::scopes::need;
use crate::store;
use crate::store::Conn;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(catalog_list).service(catalog_addons);
}

list!(CatalogList, CatalogItem);
list!(CatalogAddonList, CatalogAddon);

/// Show a catalogue
///
/// What an account can order and what it pays for it: the plans on sale, its own and those of the accounts above it, at the
/// prices that its seller charges it now. What the sellers above pay themselves is not in it. A page may hold fewer plans
/// than `limit`, as those that are not sold to the account are left out. A storefront's key sees what a customer of its
/// account pays that has no price list of its own.
#[utoipa::path(
    tag = "prices",
    security(("oauth2" = ["catalog:read"])),
    params(("account" = Option<AccountId>, Query, description = "Whose; the account acted for if left out", nullable = false)),
    responses((status = 200, description = "The catalogue", body = CatalogList)),
)]
#[get("/catalog")]
async fn catalog_list(mut caller: Caller<need::CatalogRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, PlanId)> = page.after()?;
    let (mut conn, buyer, counter) = counter(&mut caller).await?;
    let rows = store::catalog::plans::on_sale(&mut conn, &buyer, after.as_ref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |plan| (plan.path.clone(), plan.id));
    let sold = counter.sold(&mut conn, rows, caller.now).await?;
    let view = |(plan, price): (Plan, Option<ItemPrice>)| {
        let price = price.map(|price| PriceView::of(&plan.terms.components, &price));
        let plan = if caller.is_public() { plan.published() } else { plan.seen_by(&buyer) };
        CatalogItem { plan, price }
    };
    Ok(CatalogList::answer(sold.into_iter().map(view).collect(), next))
}

/// Show the add-ons of a catalogue
///
/// What an account can add to its subscriptions and what it pays for that, as `GET /v1/catalog` tells it of plans.
#[utoipa::path(
    tag = "prices",
    security(("oauth2" = ["catalog:read"])),
    params(("account" = Option<AccountId>, Query, description = "Whose; the account acted for if left out", nullable = false)),
    responses((status = 200, description = "The catalogue's add-ons", body = CatalogAddonList)),
)]
#[get("/catalog/addons")]
async fn catalog_addons(mut caller: Caller<need::CatalogRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, AddonId)> = page.after()?;
    let (mut conn, buyer, counter) = counter(&mut caller).await?;
    let rows = store::catalog::addons::on_sale(&mut conn, &buyer, after.as_ref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |addon| (addon.path.clone(), addon.id));
    let sold = counter.sold(&mut conn, rows, caller.now).await?;
    let view = |(addon, price): (Addon, Option<ItemPrice>)| {
        let price = price.map(|price| PriceView::of(&addon.terms.components, &price));
        let addon = if caller.is_public() { addon.published() } else { addon.seen_by(&buyer) };
        CatalogAddon { addon, price }
    };
    Ok(CatalogAddonList::answer(sold.into_iter().map(view).collect(), next))
}

/// Where the account buys whose catalogue is asked for.
async fn counter(caller: &mut Caller<need::CatalogRead>) -> Result<(Conn, Path, Counter), Problem> {
    let (_, subject) = caller.subject().await?;
    let mut conn = caller.read().await?;
    let buyer: Path = match caller.parameter("account") {
        None => subject,
        Some(_) if caller.is_public() => return Err(Error::AccountNotFound.into()),
        Some(text) => {
            let id = text.parse().map_err(|_| Error::AccountNotFound)?;
            accounts::find(&mut conn, id).await?.path
        }
    };
    caller.saw(&buyer);
    let counter = match caller.is_public() {
        true => Counter::in_public(&mut conn, &buyer).await?,
        false => Counter::of(&mut conn, &buyer).await?,
    };
    Ok((conn, buyer, counter))
}
