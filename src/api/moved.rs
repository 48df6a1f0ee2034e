//! Requests of an account that was moved a moment ago. Where a credential's account stands is remembered for a few seconds
//! like the rest of it, and where it stood nothing is any more: what seems not to be there is looked at twice.

use std::sync::Arc;

use actix_web::{HttpMessage, HttpRequest, web};

use super::problem::{Code, Problem};
use super::state::State;
use crate::model::Subtree;
use crate::store::accounts::keys::Credential;
use crate::store::places::place;

/// An answer that is a list with nothing in it.
struct Nothing;

/// Notes that the answer is a list with nothing in it, for [`explained`].
pub fn saw_nothing(request: &HttpRequest) {
    request.extensions_mut().insert(Nothing);
}

/// What is told of a request that found nothing: that its account stands elsewhere by now, if so.
pub async fn explained(request: &HttpRequest, refused: Option<Problem>) -> Option<Problem> {
    let found_nothing = match &refused {
        Some(problem) => matches!(problem.code, Code::NotFound | Code::AccountNotFound),
        None => request.extensions().contains::<Nothing>(),
    };
    let known = request.extensions().get::<Arc<Credential>>().cloned().filter(|_| found_nothing);
    let (Some(known), Some(state)) = (known, request.app_data::<web::Data<State>>()) else { return refused };
    let Ok(mut conn) = state.db.read(Subtree::everything()).await else { return refused };
    match place(&mut conn, &known.key.account_id.to_string()).await {
        Ok(Some(now)) if now != known.key.path => {
            state.forget();
            let detail = "The account was moved a moment ago. Nothing was done; try again.";
            Some(Problem::new(Code::AccountMoved, detail))
        }
        _ => refused,
    }
}
