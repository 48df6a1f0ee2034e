use actix_web::{HttpResponse, get};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::domain::services::timelines::{self, NOW};
use crate::model::commerce::subscriptions::SubscriptionView;
use crate::model::events::events::{Event, EventView};
use crate::model::ids::{ServiceId, SubscriptionId};
use crate::model::scopes::need;
use crate::model::services::holds::HoldView;
use crate::model::services::services::ServiceView;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(services_timeline).service(subscriptions_timeline);
}

/// A service, why it is as it is, and a part of what happened to it.
#[derive(Debug, Serialize, ToSchema)]
struct ServiceTimeline {
    service: ServiceView,
    /// What is in force on it and above it: why its `access` is not `full`.
    holds: Vec<HoldView>,
    /// The last first.
    data: Vec<EventView>,
    /// Where what happened before begins; none at the end.
    next_cursor: Option<String>,
}

/// A subscription, why it is as it is, and a part of what happened to it.
#[derive(Debug, Serialize, ToSchema)]
struct SubscriptionTimeline {
    subscription: SubscriptionView,
    /// What is in force on it and above it: why its `access` is not `full`.
    holds: Vec<HoldView>,
    /// The last first.
    data: Vec<EventView>,
    /// Where what happened before begins; none at the end.
    next_cursor: Option<String>,
}

fn place(event: &Event) -> (i64, String) {
    (event.position, event.id.to_string())
}

/// Show a service's timeline
///
/// Why it is as it is, in one call: what holds it now, and what happened to it, the last first: to itself, to the resources
/// in it, to its subscription and the order that made it, and the holds on its account. Orders that change a subscription,
/// and what happened above the caller's account, are in it by what came of them alone.
#[utoipa::path(
    tag = "services",
    security(("oauth2" = ["events:read"])),
    params(("id" = ServiceId, Path)),
    responses((status = 200, description = "The timeline", body = ServiceTimeline)),
)]
#[get("/services/{id}/timeline")]
async fn services_timeline(mut caller: Caller<need::EventsRead>) -> Result<HttpResponse, Problem> {
    let (page, id) = (caller.page()?, caller.id("service")?);
    let before = page.after()?.unwrap_or(NOW);
    let viewer = caller.credential.key.path.clone();
    let mut conn = caller.read().await?;
    let timeline = timelines::of_service(&mut conn, id, &before, page.rows()).await?;
    caller.saw(&timeline.of.path);
    let (events, next_cursor) = page.cut(timeline.events, place);
    Ok(HttpResponse::Ok().json(ServiceTimeline {
        service: timeline.of.into(),
        holds: timeline.holds.into_iter().map(|hold| hold.seen_by(&viewer)).collect(),
        data: events.into_iter().map(EventView::from).collect(),
        next_cursor,
    }))
}

/// Show a subscription's timeline
///
/// Why it is as it is, in one call: what holds it now, and what happened to it, the last first: to itself, to the order that
/// made it, to its services and the resources in them, and the holds on its account. Orders that change it, and what happened
/// above the caller's account, are in it by what came of them alone.
#[utoipa::path(
    tag = "subscriptions",
    security(("oauth2" = ["events:read"])),
    params(("id" = SubscriptionId, Path)),
    responses((status = 200, description = "The timeline", body = SubscriptionTimeline)),
)]
#[get("/subscriptions/{id}/timeline")]
async fn subscriptions_timeline(mut caller: Caller<need::EventsRead>) -> Result<HttpResponse, Problem> {
    let (page, id) = (caller.page()?, caller.id("subscription")?);
    let before = page.after()?.unwrap_or(NOW);
    let viewer = caller.credential.key.path.clone();
    let now = caller.now;
    let mut conn = caller.read().await?;
    let timeline = timelines::of_subscription(&mut conn, id, &before, page.rows()).await?;
    caller.saw(&timeline.of.path);
    let (events, next_cursor) = page.cut(timeline.events, place);
    Ok(HttpResponse::Ok().json(SubscriptionTimeline {
        subscription: timeline.of.seen_at(now),
        holds: timeline.holds.into_iter().map(|hold| hold.seen_by(&viewer)).collect(),
        data: events.into_iter().map(EventView::from).collect(),
        next_cursor,
    }))
}
