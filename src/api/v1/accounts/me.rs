use actix_web::{HttpResponse, get};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::domain::Error;
use crate::model::accounts::accounts::AccountView;
use crate::model::accounts::keys::KeyView;
use crate::model::scopes::{Scope, need};
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(me_get);
}

/// The caller and what it may do.
#[derive(Debug, Serialize, ToSchema)]
struct Me {
    /// The account acted for: the key's own, or the one below it that `Tenantry-Account` names.
    account: AccountView,
    key: KeyView,
    /// The scopes of the credential that was sent; a token may have fewer than its key.
    scopes: Vec<Scope>,
    #[schema(example = "0.1.0")]
    server_version: &'static str,
}

/// Show the caller
///
/// Which account and key the credential belongs to and what it may do: the call to test a connection with.
#[utoipa::path(
    tag = "discovery",
    security(("oauth2" = ["accounts:read"])),
    responses((status = 200, description = "The caller", body = Me)),
)]
#[get("/me")]
async fn me_get(mut caller: Caller<need::AccountsRead>) -> Result<HttpResponse, Problem> {
    let (id, _) = caller.subject().await?;
    let found = store::accounts::accounts::itself(&mut caller.read().await?, id).await?;
    let account = found.ok_or(Error::AccountNotFound)?;
    let key = KeyView::from(caller.credential.key.clone());
    let scopes = caller.scopes.to_vec();
    Ok(HttpResponse::Ok().json(Me {
        account: account.seen_by(&caller.credential.key.path),
        key,
        scopes,
        server_version: env!("CARGO_PKG_VERSION"),
    }))
}
