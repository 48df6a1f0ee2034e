//! The same rows through the product's own store: its statement with the holds, its subtree and, on PostgreSQL, its
//! row-level security. What the product takes beyond this is its door.

use actix_web::error::{ErrorBadRequest, ErrorInternalServerError, ErrorNotFound};
use actix_web::{App, HttpResponse, HttpServer, get, web};
use tenantry::model::ids::AccountId;
use tenantry::model::{Path, Subtree};
use tenantry::store::{Db, accounts};

use crate::limit::{After, CONNECTIONS, Settings};

#[get("/accounts/{id}")]
async fn account(
    db: web::Data<Db>,
    id: web::Path<AccountId>,
    own: web::Query<After>,
) -> actix_web::Result<HttpResponse> {
    let own: Path = own.into_inner().path.parse().map_err(|_| ErrorBadRequest("no path"))?;
    let mut conn = db.read(Subtree::of(&own)).await.map_err(ErrorInternalServerError)?;
    let found =
        accounts::accounts::find(&mut conn, id.into_inner()).await.map_err(ErrorInternalServerError)?;
    drop(conn);
    let account = found.ok_or_else(|| ErrorNotFound("no such account"))?;
    Ok(HttpResponse::Ok().json(account.seen_by(&own)))
}

pub async fn serve(settings: Settings) -> anyhow::Result<()> {
    let db = web::Data::new(Db::connect(&settings.database, CONNECTIONS).await?);
    let server = HttpServer::new(move || App::new().app_data(db.clone()).service(account));
    Ok(server.workers(1).bind(settings.listen)?.run().await?)
}
