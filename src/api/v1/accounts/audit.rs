use actix_web::{HttpResponse, get};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::model::accounts::audit::AuditLineView;
use crate::model::scopes::need;
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(audit_list);
}

list!(AuditLineList, AuditLineView);

/// Read the audit
///
/// What was done for the caller's account, by itself and by those above it, in the order it happened. `Tenantry-Account`
/// names another account, below the caller's. Each line carries a hash over itself and the line before it.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["audit:read"])),
    responses((status = 200, description = "Lines", body = AuditLineList)),
)]
#[get("/audit")]
async fn audit_list(mut caller: Caller<need::AuditRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: i64 = page.after()?.unwrap_or_default();
    let (account, _) = caller.subject().await?;
    let mut conn = caller.read().await?;
    let rows = store::audit::after(&mut conn, account, after, page.rows()).await?;
    let (rows, next) = page.cut(rows, |line| line.sequence);
    let viewer = &caller.credential.key.path;
    Ok(AuditLineList::answer(rows.into_iter().map(|line| line.seen_by(viewer)).collect(), next))
}
