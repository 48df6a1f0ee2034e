use crate::model::bulk::Selection;
use crate::model::ids::PlanId;
use crate::model::{Path, Subtree};
use crate::store::{Conn, Result};

/// The subscriptions that are selected and run, in the order of (path, id), so many at most.
pub async fn subscriptions(conn: &mut Conn, of: &Selection, at: &Path, limit: i64) -> Result<Vec<String>> {
    let (id, code) = plan(of);
    let inside = Subtree::of(at);
    let rows: Vec<(String,)> = conn
        .query(
            "SELECT id FROM subscriptions
             WHERE path >= $1 AND path < $2 AND path >= $3 AND path < $4 AND status IN ('trialing', 'active', 'past_due')
                 AND plan_id = COALESCE($5, plan_id) AND plan_code = COALESCE($6, plan_code)
             ORDER BY path, id LIMIT $7",
        )
        .within()
        .bind(inside.from())
        .bind(inside.to())
        .bind(id)
        .bind(code)
        .limit(limit)
        .all()
        .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// The services that are selected and run, in the order of (path, id), so many at most.
pub async fn services(conn: &mut Conn, of: &Selection, at: &Path, limit: i64) -> Result<Vec<String>> {
    let (id, code) = plan(of);
    let inside = Subtree::of(at);
    let rows: Vec<(String,)> = conn
        .query(
            "SELECT s.id FROM services s JOIN subscriptions u ON u.id = s.subscription_id
             WHERE s.path >= $1 AND s.path < $2 AND s.path >= $3 AND s.path < $4
                 AND s.lifecycle IN ('requested', 'provisioning', 'active')
                 AND u.plan_id = COALESCE($5, u.plan_id) AND u.plan_code = COALESCE($6, u.plan_code)
                 AND s.type = COALESCE($7, s.type)
             ORDER BY s.path, s.id LIMIT $8",
        )
        .within()
        .bind(inside.from())
        .bind(inside.to())
        .bind(id)
        .bind(code)
        .bind(of.service_type)
        .limit(limit)
        .all()
        .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// The plan that is meant, by its identifier or by its code.
fn plan(of: &Selection) -> (Option<PlanId>, Option<&str>) {
    match of.plan.as_deref() {
        None => (None, None),
        Some(text) => match text.parse() {
            Ok(id) => (Some(id), None),
            Err(_) => (None, Some(text)),
        },
    }
}
