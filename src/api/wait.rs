//! Waiting for the end of the work behind an answer, after the commit.

use std::time::Duration;

use actix_web::http::StatusCode;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::answer::Answer;
use super::problem::Problem;
use super::state::State;
use crate::model::Subtree;
use crate::model::commerce::orders::OrderView;
use crate::model::ids::{OperationId, OrderId, ResourceId};
use crate::model::services::operations::{Operation, OperationView};
use crate::model::services::resources::ResourceView;
use crate::store;

/// How long another replica's end of an operation may go unnoticed.
const LOOK_AGAIN: Duration = Duration::from_millis(150);

/// Waits, then answers with the object as it is then, and with `done` if the operation ended in time, else
/// what would have been answered at once.
pub async fn until_ended(
    state: &State,
    subtree: Subtree,
    answer: Answer,
    id: OperationId,
    longest: Duration,
    done: StatusCode,
) -> Result<Answer, Problem> {
    let ended = ended(state, &subtree, id, longest).await?;
    let Some(operation) = ended.filter(|operation| operation.status.is_final()) else { return Ok(answer) };
    let body = refreshed(state, &subtree, &answer.body, operation).await?;
    Ok(Answer { status: done.as_u16(), body: body.to_string(), ..answer })
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
        let over = operation.as_ref().is_none_or(|operation| operation.status.is_final());
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

/// The body with the object and the operation as they are now.
async fn refreshed(
    state: &State,
    subtree: &Subtree,
    body: &str,
    operation: Operation,
) -> Result<Value, Problem> {
    let mut body: Value = serde_json::from_str(body).unwrap_or_default();
    let mut conn = state.db.read(subtree.clone()).await?;
    let id = body["id"].as_str().unwrap_or_default().to_owned();
    let fresh = if let Ok(id) = id.parse::<OrderId>() {
        let order = store::commerce::orders::find(&mut conn, id).await?;
        order.map(|order| serde_json::json!(OrderView::from(order)))
    } else if let Ok(id) = id.parse::<ResourceId>() {
        let resource = store::services::resources::find(&mut conn, id).await?;
        resource.map(|resource| serde_json::json!(ResourceView::from(resource)))
    } else {
        None
    };
    if let (Some(body), Some(fresh)) = (body.as_object_mut(), fresh.as_ref().and_then(Value::as_object)) {
        body.extend(fresh.clone());
    }
    body["operation"] = serde_json::json!(OperationView::from(operation));
    Ok(body)
}
