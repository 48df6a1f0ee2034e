use actix_web::web::Bytes;
use actix_web::{HttpResponse, get, web};
use futures_util::stream;
use serde_json::{Map, json};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::api::caller::Caller;
use crate::api::door;
use crate::api::problem::Problem;
use crate::api::state::State;
use crate::domain::accounts::audit;
use crate::model::accounts::audit::AuditLineView;
use crate::model::ids::AccountId;
use crate::model::scopes::need;
use crate::model::{Actor, Json, Path, Subtree};
use crate::store;
use crate::store::audit::Line;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(audit_list).service(audit_export);
}

list!(AuditLineList, AuditLineView);

/// How many lines an export reads at a time.
const PART: i64 = 500;

/// Read the audit
///
/// What was done for the caller's account, by itself and by those above it, and what its credentials were refused, in
/// the order it happened. `Tenantry-Account` names another account, below the caller's. Each line carries a hash over
/// itself and the line before it.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["audit:read"])),
    responses((status = 200, description = "Lines", body = AuditLineList)),
)]
#[get("/audit")]
async fn audit_list(mut caller: Caller<need::AuditRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: i64 = page.after()?.unwrap_or_default();
    let (account, place) = caller.subject().await?;
    let mut conn = caller.read().await?;
    let rows = store::audit::after(&mut conn, account, after, page.rows()).await?;
    let (rows, next) = page.cut(rows, |line| line.sequence);
    let key = &caller.credential.key;
    let viewer = (key.account_id, &key.path);
    drop(conn);
    let mut views = Vec::with_capacity(rows.len());
    for line in rows {
        views.push(seen(&caller.state, line, viewer, &place).await?);
    }
    Ok(AuditLineList::answer(views, next))
}

/// Export the audit
///
/// The same lines, all of them, each an `AuditLine` in JSON on a line of its own. That it was exported is a line as well.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["audit:read"])),
    responses((status = 200, description = "Lines", body = String, content_type = "application/x-ndjson")),
)]
#[get("/audit/export")]
async fn audit_export(mut caller: Caller<need::AuditRead>) -> Result<HttpResponse, Problem> {
    let actor = caller.actor().await?;
    let address = door::veiled(&caller.state, actor.principal_id, actor.address).await?;
    audit::write(&caller.state.db, &line(&actor, address, &caller.route.operation_id)).await?;
    let export = Export {
        state: caller.state.clone(),
        account: actor.subject_id,
        place: actor.subject_path.clone(),
        subtree: actor.subtree(),
        reader: actor.principal_id,
        viewer: actor.principal_path,
        after: 0,
    };
    let parts = stream::try_unfold(export, Export::part);
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").streaming(parts))
}

/// A line of the account at `place` as the one at `viewer` sees it.
async fn seen(
    state: &State,
    mut line: Line,
    (own, viewer): (AccountId, &Path),
    place: &Path,
) -> store::Result<AuditLineView> {
    if let Some(kept) = line.address.take() {
        line.address = state.veils.open(&state.db, line.principal_id, kept).await?;
    }
    Ok(line.seen_by(own, viewer, place))
}

fn line(actor: &Actor, address: Option<String>, action: &str) -> Line {
    let mut detail = Map::new();
    detail.insert("status".into(), json!(200));
    Line {
        account_id: actor.subject_id,
        sequence: 0,
        path: actor.subject_path.clone(),
        principal_id: actor.principal_id,
        key_id: actor.key_id,
        action: action.to_owned(),
        resource: Some(actor.subject_id.to_string()),
        request_id: actor.request_id.to_string(),
        address,
        outcome: "done".into(),
        detail: Json(detail),
        occurred_at: actor.now,
        hash: String::new(),
    }
}

/// How far an export has come.
struct Export {
    state: web::Data<State>,
    account: AccountId,
    place: Path,
    subtree: Subtree,
    reader: AccountId,
    viewer: Path,
    after: i64,
}

impl Export {
    /// The next lines as text; none at the end. A failure cuts the answer off, so that nobody takes a part for the whole.
    async fn part(mut self) -> store::Result<Option<(Bytes, Self)>> {
        let mut conn = self.state.db.read(self.subtree.clone()).await?;
        let lines = store::audit::after(&mut conn, self.account, self.after, PART).await?;
        drop(conn);
        let Some(last) = lines.last() else { return Ok(None) };
        self.after = last.sequence;
        let mut text = String::new();
        for line in lines {
            let view = seen(&self.state, line, (self.reader, &self.viewer), &self.place).await?;
            text.push_str(&serde_json::to_string(&view).expect("views serialize"));
            text.push('\n');
        }
        Ok(Some((text.into(), self)))
    }
}
