//! Giving a subscription, with all that is in it, to another account.

use crate::model::ids::{AccountId, OperationId, ServiceId, SubscriptionId};
use crate::model::{Json, Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

/// A statement about what a column says of the services `$1`, a list.
macro_rules! of_services {
    ($head:literal, $column:literal, $tail:literal) => {
        sql!(
            $head " " $column " " sqlite("IN (SELECT value FROM json_each($1))")
            pg("= ANY (ARRAY(SELECT value FROM jsonb_array_elements_text($1)))") $tail
        )
    };
}

/// An operation on what is in the services of the account at the path that has not ended.
pub async fn in_flight(conn: &mut Conn, path: &Path, services: &[ServiceId]) -> Result<Option<OperationId>> {
    let (first,): (Option<OperationId>,) = conn
        .query(of_services!(
            "SELECT MIN(id) FROM operations WHERE",
            "service_id",
            " AND path = $2 AND status IN ('queued', 'running', 'waiting_input', 'needs_attention')"
        ))
        .bind(Json(services))
        .bind(path)
        .one()
        .await?;
    Ok(first)
}

/// What failed in the services of the account at the path is not retried any more: it would be done for whoever had them.
pub async fn forget_failures(tx: &mut Tx, path: &Path, services: &[ServiceId]) -> Result<()> {
    let text = of_services!(
        "UPDATE operations SET retryable = FALSE WHERE",
        "service_id",
        " AND path = $2 AND status = 'failed' AND retryable"
    );
    tx.query(text).bind(Json(services)).bind(path).execute().await.map(drop)
}

/// Takes away the names that some accounts gave to what is in the services: they are theirs, and free for something else.
pub async fn forget_names(tx: &mut Tx, services: &[ServiceId], by: &[AccountId]) -> Result<()> {
    let text = sql!(
        "UPDATE resources SET external_id = NULL, external_id_by = NULL WHERE service_id "
        sqlite("IN (SELECT value FROM json_each($1)) AND external_id_by IN (SELECT value FROM json_each($2))")
        pg("= ANY (ARRAY(SELECT value FROM jsonb_array_elements_text($1)))
            AND external_id_by = ANY (ARRAY(SELECT value FROM jsonb_array_elements_text($2)))")
    );
    tx.query(text).bind(Json(services)).bind(Json(by)).execute().await.map(drop)
}

/// What is given to whom.
#[derive(Debug, Clone, Copy)]
pub struct Gift<'a> {
    pub subscription: SubscriptionId,
    pub services: &'a [ServiceId],
    pub to: AccountId,
    pub path: &'a Path,
    /// How many levels above it the subscription was cancelled from, seen from its new place.
    pub cancelled_above: Option<i64>,
    /// Whether whoever named the subscription stands above it still.
    pub keeps_name: bool,
}

/// Writes whose all of it is. What subscription, services and resources tell of themselves changes with that, and so do
/// their versions.
pub async fn give(tx: &mut Tx, gift: Gift<'_>, now: Time) -> Result<()> {
    let Gift { subscription, services, to, path, cancelled_above, keeps_name } = gift;
    tx.query(
        "UPDATE subscriptions SET account_id = $2, path = $3, cancelled_above = $5, version = version + 1, updated_at = $4,
             external_id = CASE WHEN $6 THEN external_id END
         WHERE id = $1",
    )
    .bind(subscription)
    .bind(to)
    .bind(path)
    .bind(now)
    .bind(cancelled_above)
    .bind(keeps_name)
    .execute()
    .await?;
    let versioned = [
        of_services!(
            "UPDATE services SET account_id = $2, path = $3, version = version + 1, updated_at = $4 WHERE",
            "id",
            ""
        ),
        of_services!(
            "UPDATE resources SET account_id = $2, path = $3, version = version + 1, updated_at = $4 WHERE",
            "service_id",
            ""
        ),
    ];
    for statement in versioned {
        tx.query(statement).bind(Json(services)).bind(to).bind(path).bind(now).execute().await?;
    }
    tx.query("UPDATE quotas SET account_id = $2, path = $3 WHERE holder = $1")
        .bind(subscription)
        .bind(to)
        .bind(path)
        .execute()
        .await?;
    let held: Vec<_> = services.iter().map(ToString::to_string).chain([subscription.to_string()]).collect();
    tx.query(of_services!("UPDATE holds SET account_id = $2, path = $3 WHERE", "target_id", ""))
        .bind(Json(held))
        .bind(to)
        .bind(path)
        .execute()
        .await
        .map(drop)
}
