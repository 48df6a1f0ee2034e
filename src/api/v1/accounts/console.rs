use actix_web::{HttpResponse, get};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::domain::accounts::accounts;
use crate::domain::accounts::console::{self, Place};
use crate::model::accounts::console::ConsoleEntry;
use crate::model::ids::AccountId;
use crate::model::scopes::need;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(accounts_console);
}

list!(Console, ConsoleEntry);

/// Show how all accounts below are
///
/// Those with which something is wrong come first: operations that need somebody, quotas that were passed, holds. Then all
/// others; each in the order of the tree, every account behind the one above it. An account with which something comes to be
/// wrong, or right again, while its pages are read may be missed or come twice: begin anew for what is so now.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["accounts:read"])),
    params(("id" = AccountId, Path)),
    responses((status = 200, description = "The accounts below", body = Console)),
)]
#[get("/accounts/{id}/console")]
async fn accounts_console(mut caller: Caller<need::AccountsRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<Place> = page.after()?;
    let id = caller.account_id()?;
    let viewer = caller.credential.key.path.clone();
    let account = accounts::find(&mut caller.read().await?, id).await?;
    caller.saw(&account.path);
    let top = (account.path, account.id);
    let mut conn = caller.read_below(&top.0).await?;
    let (rows, troubles) = console::page(&mut conn, &top, after, page.rows()).await?;
    let (rows, next) = page.cut(rows, |row| (row.troubled, row.account.path.clone(), row.account.id));
    caller.saw_each(rows.iter().map(|row| &row.account.path));
    let entries = rows.into_iter().map(|row| ConsoleEntry::of(row.account, &viewer, &troubles)).collect();
    Ok(Console::answer(entries, next))
}
