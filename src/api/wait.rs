//! Waiting for the end of the work behind an answer, after the commit.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::answer::Answer;
use super::conditional::etag;
use super::problem::Problem;
use super::state::State;
use crate::model::Subtree;
use crate::model::accounts::signups::SignupView;
use crate::model::commerce::orders::OrderView;
use crate::model::commerce::subscriptions::SubscriptionView;
use crate::model::ids::{OperationId, OrderId, ResourceId, SignupId, SubscriptionId};
use crate::model::services::operations::{Operation, OperationStatus, OperationView};
use crate::model::services::resources::ResourceView;
use crate::store;

/// How long another replica's end of an operation may go unnoticed.
const LOOK_AGAIN: Duration = Duration::from_millis(150);

/// Waits, then answers with the object as it is then. If the operation ended in time the status is 200, or
/// 201 where the route `makes` something and it was made; else it is what would have been answered at once.
pub async fn until_ended(
    state: &State,
    subtree: Subtree,
    answer: &Answer,
    id: OperationId,
    longest: Duration,
    makes: bool,
) -> Result<Answer, Problem> {
    let ended = ended(state, &subtree, id, longest).await?;
    let Some(operation) = ended.filter(|operation| operation.status.is_final()) else {
        return Ok(answer.clone());
    };
    // What was there already is not made again.
    let is_new = answer.status != 200;
    let made = makes && is_new && operation.status == OperationStatus::Succeeded;
    let operation = OperationView::from(operation);
    let mut conn = state.db.read(subtree).await?;
    let fresh = match kind(&answer.body) {
        Kind::Order(id) => store::commerce::orders::find(&mut conn, id).await?.map(|order| {
            let (version, shown) = (order.version, OrderView::from(order));
            Fresh {
                etag: etag(version, json(&shown).as_bytes()),
                place: format!("/v1/orders/{id}"),
                body: json(&OrderView { operation: Some(operation.clone()), ..shown }),
            }
        }),
        Kind::Resource(id) => store::services::resources::find(&mut conn, id).await?.map(|resource| {
            let (version, shown) = (resource.version, ResourceView::from(resource));
            Fresh {
                etag: etag(version, json(&shown).as_bytes()),
                place: format!("/v1/resources/{id}"),
                body: json(&ResourceView { operation: Some(operation.clone()), ..shown }),
            }
        }),
        Kind::Subscription(id) => {
            let found = store::commerce::subscriptions::find(&mut conn, id).await?;
            found.map(|subscription| {
                let (version, shown) = (subscription.version, subscription.seen_at(state.clock.now()));
                let (operation_id, operation) = (Some(operation.id), Some(operation.clone()));
                Fresh {
                    etag: etag(version, json(&shown).as_bytes()),
                    place: format!("/v1/subscriptions/{id}"),
                    body: json(&SubscriptionView { operation_id, operation, ..shown }),
                }
            })
        }
        Kind::Signup(id) => store::accounts::signups::find(&mut conn, id).await?.map(|signup| {
            let (version, shown) = (signup.version, SignupView::from(signup));
            Fresh {
                etag: etag(version, json(&shown).as_bytes()),
                place: format!("/v1/signups/{id}"),
                body: json(&SignupView { operation: Some(operation.clone()), ..shown }),
            }
        }),
        Kind::Other => None,
    };
    let status = if made { 201 } else { 200 };
    Ok(match fresh {
        Some(fresh) => {
            let (etag, location) = (Some(fresh.etag), Some(fresh.place));
            Answer { status, body: fresh.body, etag, location, ..answer.clone() }
        }
        None => Answer { status, body: with_operation(&answer.body, &operation), ..answer.clone() },
    })
}

/// The object of an answer as it has become.
struct Fresh {
    /// Of what a read shows, which has no operation in it.
    etag: String,
    place: String,
    body: String,
}

/// What an answer is about.
enum Kind {
    Order(OrderId),
    Resource(ResourceId),
    Subscription(SubscriptionId),
    Signup(SignupId),
    Other,
}

fn kind(body: &str) -> Kind {
    #[derive(serde::Deserialize)]
    struct Named {
        id: Option<String>,
    }
    let id = serde_json::from_str::<Named>(body).ok().and_then(|named| named.id).unwrap_or_default();
    match id.split_once('_').unwrap_or_default().0 {
        OrderId::PREFIX => id.parse().map(Kind::Order),
        ResourceId::PREFIX => id.parse().map(Kind::Resource),
        SubscriptionId::PREFIX => id.parse().map(Kind::Subscription),
        SignupId::PREFIX => id.parse().map(Kind::Signup),
        _ => Ok(Kind::Other),
    }
    .unwrap_or(Kind::Other)
}

/// The operation once it has ended, or as it is when the time is up.
pub async fn ended(
    state: &State,
    subtree: &Subtree,
    id: OperationId,
    longest: Duration,
) -> Result<Option<Operation>, Problem> {
    let until = Instant::now() + longest;
    let mut told = state.signals.ended.subscribe();
    loop {
        let mut conn = state.db.read(subtree.clone()).await?;
        let operation = store::services::operations::find(&mut conn, id).await?;
        drop(conn);
        // What waits for somebody is not waited for.
        let waits = |operation: &Operation| operation.status == OperationStatus::WaitingInput;
        let over = operation.as_ref().is_none_or(|found| found.status.is_final() || waits(found));
        let left = until.saturating_duration_since(Instant::now());
        if over || left.is_zero() {
            return Ok(operation);
        }
        let ours = async {
            while let Ok(ended) = told.recv().await {
                if ended == id {
                    return;
                }
            }
        };
        let _ = timeout(left.min(LOOK_AGAIN), ours).await;
    }
}

fn json(view: &impl serde::Serialize) -> String {
    serde_json::to_string(view).expect("views serialize")
}

/// The object with one more member at its end.
fn with_operation(body: &str, operation: &OperationView) -> String {
    let open = body.trim_end().strip_suffix('}').unwrap_or(body);
    format!("{open},\"operation\":{}}}", json(operation))
}
