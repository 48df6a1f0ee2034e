use actix_web::{HttpResponse, get};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::domain::Error;
use crate::model::Path;
use crate::model::commerce::subscriptions::SubscriptionView;
use crate::model::ids::SubscriptionId;
use crate::model::scopes::need;
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(subscriptions_list).service(subscriptions_get);
}

list!(SubscriptionList, SubscriptionView);

/// List subscriptions
#[utoipa::path(
    tag = "subscriptions",
    security(("oauth2" = ["subscriptions:read"])),
    responses((status = 200, description = "Subscriptions", body = SubscriptionList)),
)]
#[get("/subscriptions")]
async fn subscriptions_list(mut caller: Caller<need::SubscriptionsRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, SubscriptionId)> = page.after()?;
    let mut conn = caller.read().await?;
    let rows = store::commerce::subscriptions::page(&mut conn, after.as_ref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |subscription| (subscription.path.clone(), subscription.id));
    caller.saw_each(rows.iter().map(|subscription| &subscription.path));
    Ok(SubscriptionList::answer(rows.into_iter().map(SubscriptionView::from).collect(), next))
}

/// Get a subscription
#[utoipa::path(
    tag = "subscriptions",
    security(("oauth2" = ["subscriptions:read"])),
    params(("id" = SubscriptionId, Path)),
    responses((status = 200, description = "The subscription", body = SubscriptionView)),
)]
#[get("/subscriptions/{id}")]
async fn subscriptions_get(mut caller: Caller<need::SubscriptionsRead>) -> Result<HttpResponse, Problem> {
    let id = caller.id("subscription")?;
    let found = store::commerce::subscriptions::find(&mut caller.read().await?, id).await?;
    let subscription = found.ok_or(Error::NotFound("subscription"))?;
    let version = subscription.version;
    caller.saw(&subscription.path);
    caller.show(version, &SubscriptionView::from(subscription))
}
