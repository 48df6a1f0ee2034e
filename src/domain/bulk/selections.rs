//! All objects that have something in common: what they are, and the requests for each of them.

use crate::domain::accounts::accounts;
use crate::domain::{Error, Result};
use crate::model::accounts::accounts::Account;
use crate::model::bulk::{SelectedNoun, Selection, SelectionRequest, item_id};
use crate::model::ids::BatchId;
use crate::store::Conn;
use crate::store::bulk::batches::NewBatchItem;
use crate::store::bulk::selections;

/// How many objects a selection can have.
const LARGEST: i64 = 10_000;

/// The objects that are selected, as far as the connection reaches, and the account at and below which they are.
pub async fn find(conn: &mut Conn, of: &Selection) -> Result<(Account, Vec<String>)> {
    let account = accounts::find(conn, of.account_id).await?;
    let ids = match of.noun {
        SelectedNoun::Services => selections::services(conn, of, &account.path, LARGEST + 1).await?,
        SelectedNoun::Subscriptions => {
            selections::subscriptions(conn, of, &account.path, LARGEST + 1).await?
        }
    };
    match i64::try_from(ids.len()).is_ok_and(|count| count <= LARGEST) {
        true => Ok((account, ids)),
        false => {
            let detail = format!("these are more than {LARGEST}: say more of which are meant");
            Err(Error::invalid("", "too_many", detail))
        }
    }
}

/// The request for each of the objects.
pub fn items(batch: BatchId, request: &SelectionRequest, ids: &[String]) -> Vec<NewBatchItem> {
    let item = |(place, id): (i64, &String)| NewBatchItem {
        id: item_id(batch, place),
        place,
        method: request.method,
        target: request.path_for(id),
        subject_id: None,
        if_match: None,
        body: None,
    };
    (0..).zip(ids).map(item).collect()
}
