use super::{above, left_of, place};
use crate::model::catalog::plans::{Plan, PlanStatus, PlanTerms};
use crate::model::catalog::servers::Placement;
use crate::model::ids::PlanId;
use crate::model::{Json, Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

macro_rules! columns {
    () => {
        "p.id, p.account_id, p.path, p.code, p.name, p.status, p.current, p.metadata, p.version, p.created_at,
         p.updated_at, v.terms"
    };
}

/// Adds the plan with its first version; says whether its code was free in its account.
pub async fn insert(tx: &mut Tx, plan: &Plan) -> Result<bool> {
    let added = tx
        .query(
            "INSERT INTO plans (id, account_id, path, code, name, status, current, metadata, version, created_at,
                 updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (account_id, code) DO NOTHING",
        )
        .bind(plan.id)
        .bind(plan.account_id)
        .bind(&plan.path)
        .bind(&plan.code)
        .bind(&plan.name)
        .bind(plan.status)
        .bind(plan.current)
        .bind(&plan.metadata)
        .bind(plan.version)
        .bind(plan.created_at)
        .bind(plan.updated_at)
        .execute()
        .await?;
    if added == 0 {
        return Ok(false);
    }
    insert_version(tx, plan, plan.created_at).await?;
    Ok(true)
}

/// Adds the plan's terms under the number of its current version.
pub async fn insert_version(tx: &mut Tx, plan: &Plan, now: Time) -> Result<()> {
    tx.query(
        "INSERT INTO plan_versions (plan_id, number, path, terms, created_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(plan.id)
    .bind(plan.current)
    .bind(&plan.path)
    .bind(&plan.terms)
    .bind(now)
    .execute()
    .await?;
    Ok(())
}

/// The plan in its current version, if it is in the subtree.
pub async fn find(conn: &mut Conn, id: PlanId) -> Result<Option<Plan>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM plans p JOIN plan_versions v ON v.plan_id = p.id AND v.number = p.current
         WHERE p.id = $1 AND p.path >= $2 AND p.path < $3"
    ))
    .bind(id)
    .within()
    .optional()
    .await
}

/// The plan in a version of its own, wherever in the tree it stands.
pub async fn find_version(conn: &mut Conn, id: PlanId, number: i64) -> Result<Option<Plan>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM plans p JOIN plan_versions v ON v.plan_id = p.id AND v.number = $2
         WHERE p.id = $1"
    ))
    .bind(id)
    .bind(number)
    .optional()
    .await
}

/// A plan that can be bought, and where its services are placed.
#[derive(Debug, Clone, crate::model::rows::Record)]
pub struct Offer {
    #[record(flatten)]
    pub plan: Plan,
    pub placement: Json<Vec<Placement>>,
    /// Whether nothing new may be placed on one of the servers now.
    pub in_maintenance: bool,
}

/// The plan that an account's order means by a code or an identifier: one of its own or of the accounts
/// above it, the nearest first. In its current version, or in the one that is named.
pub async fn offered(
    conn: &mut Conn,
    buyer: &Path,
    code_or_id: &str,
    version: Option<i64>,
) -> Result<Option<Offer>> {
    // What is taken out of JSON is a column before it is joined by: row-level security lets only plain columns
    // search an index ahead of it, or every server there is would be read.
    conn.query(sql!(
        "WITH p AS " pg("MATERIALIZED ") "(
             SELECT " columns!() ", " sqlite("json_extract(v.terms, '$.virtual_server_id')")
             pg("v.terms ->> 'virtual_server_id'") " AS placed_by
             FROM plans p JOIN plan_versions v ON v.plan_id = p.id AND v.number = COALESCE($3, p.current)
             WHERE p.id " called!("plans") " AND p.status = 'active' AND p.path IN (" upwards!("$1") "))
         SELECT p.id, p.account_id, p.path, p.code, p.name, p.status, p.current, p.metadata, p.version, p.created_at,
             p.updated_at, p.terms, s.placement, EXISTS (
             SELECT 1 FROM (SELECT value ->> 'server_id' AS id FROM "
             sqlite("json_each(s.placement)") pg("jsonb_array_elements(s.placement) AS list (value) OFFSET 0") ") AS l
             WHERE (SELECT m.maintenance FROM servers m WHERE m.id = l.id)) AS in_maintenance
         FROM p JOIN virtual_servers s ON s.id = p.placed_by
         ORDER BY length(p.path) DESC LIMIT 1"
    ))
    .bind(buyer)
    .bind(code_or_id)
    .bind(version)
    .optional()
    .await
    .map(|found: Option<Offer>| {
        found.map(|mut offer| {
            offer.plan.current = version.unwrap_or(offer.plan.current);
            offer
        })
    })
}

/// A page of the plans that an account can see, in the order of (path, id), after the one named: those on sale above, then
/// all of the subtree.
pub async fn visible(
    conn: &mut Conn,
    viewer: &Path,
    after: Option<&(Path, PlanId)>,
    limit: i64,
) -> Result<Vec<Plan>> {
    let mut plans = match above(conn, viewer) {
        Some(seller) => on_sale(conn, &seller, after, limit).await?,
        None => Vec::new(),
    };
    if let Some(left) = left_of(limit, &plans) {
        plans.extend(page(conn, after, left).await?);
    }
    Ok(plans)
}

/// A page of the subtree's plans in the order of (path, id), after the one named.
async fn page(conn: &mut Conn, after: Option<&(Path, PlanId)>, limit: i64) -> Result<Vec<Plan>> {
    conn.query(sql!(
        "SELECT " columns!() " FROM plans p JOIN plan_versions v ON v.plan_id = p.id AND v.number = p.current
         WHERE (p.path, p.id) > ($1, $2) AND p.path < $3 ORDER BY p.path, p.id LIMIT $4"
    ))
    .after(after)
    .limit(limit)
    .all()
    .await
}

/// A page of the plans that are on sale to an account, its own and those of the accounts above it, in the order of
/// (path, id), after the one named.
pub async fn on_sale(
    conn: &mut Conn,
    buyer: &Path,
    after: Option<&(Path, PlanId)>,
    limit: i64,
) -> Result<Vec<Plan>> {
    let (path, id) = place(after);
    conn.query(sql!(
        "SELECT " columns!() " FROM plans p JOIN plan_versions v ON v.plan_id = p.id AND v.number = p.current
         WHERE p.path IN (" upwards!("$1") ") AND p.status = 'active' AND (p.path, p.id) > ($2, $3)
         ORDER BY p.path, p.id LIMIT $4"
    ))
    .bind(buyer)
    .bind(path)
    .bind(id)
    .bind(limit)
    .all()
    .await
}

/// Writes a plan's name, status, current version and metadata; says whether its version was still the one
/// that was read.
pub async fn update(tx: &mut Tx, plan: &Plan, status: PlanStatus, now: Time) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE plans SET name = $2, status = $3, current = $4, metadata = $5, version = version + 1,
                 updated_at = $6
             WHERE id = $1 AND version = $7",
        )
        .bind(plan.id)
        .bind(&plan.name)
        .bind(status)
        .bind(plan.current)
        .bind(&plan.metadata)
        .bind(now)
        .bind(plan.version)
        .execute()
        .await?;
    Ok(changed == 1)
}

/// The terms a subscription was ordered in.
pub async fn terms(conn: &mut Conn, id: PlanId, number: i64) -> Result<Option<PlanTerms>> {
    let row: Option<(Json<PlanTerms>,)> = conn
        .query("SELECT terms FROM plan_versions WHERE plan_id = $1 AND number = $2")
        .bind(id)
        .bind(number)
        .optional()
        .await?;
    Ok(row.map(|(terms,)| terms.0))
}
