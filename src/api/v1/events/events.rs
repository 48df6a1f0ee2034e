use actix_web::{HttpResponse, get};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::model::events::events::EventView;
use crate::model::scopes::need;
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(events_list);
}

/// A part of the feed.
#[derive(Debug, Serialize, ToSchema)]
struct EventList {
    data: Vec<EventView>,
    /// Where the feed goes on: always there, also when nothing more has happened yet. Keep it and come back, whenever that is.
    next_after: String,
}

/// Read the feed
///
/// What happened to the caller's account and all below, in the order it was committed in. Begin without
/// `after`; then send the `next_after` of the answer before. No event is ever missed, however late its
/// transaction ended.
#[utoipa::path(
    tag = "events",
    security(("oauth2" = ["events:read"])),
    params(
        ("after" = Option<String>, Query, description = "The `next_after` of the part before", min_length = 1, max_length = 1024, nullable = false),
        ("limit" = Option<i64>, Query, description = "How many, 50 if left out", minimum = 1, maximum = 200, nullable = false),
    ),
    responses((status = 200, description = "Events", body = EventList)),
)]
#[get("/events")]
async fn events_list(mut caller: Caller<need::EventsRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page_after("after")?;
    let (position, id): (i64, String) = page.after()?.unwrap_or_default();
    let mut conn = caller.read().await?;
    let rows = store::events::events::after(&mut conn, position, &id, page.limit).await?;
    let place = rows.last().map_or((position, id), |last| (last.position, last.id.to_string()));
    let next_after = page.sealed(&place);
    caller.saw_each(rows.iter().map(|event| &event.path));
    Ok(HttpResponse::Ok()
        .json(EventList { data: rows.into_iter().map(EventView::from).collect(), next_after }))
}
