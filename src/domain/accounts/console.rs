//! How the accounts below a seller are.

use crate::domain::Result;
use crate::model::Path;
use crate::model::accounts::accounts::Account;
use crate::model::accounts::console::Trouble;
use crate::model::ids::AccountId;
use crate::store::Conn;
use crate::store::accounts::console;

/// Where in a console somebody has come to: among those with which something is wrong, or among the others.
pub type Place = (bool, Path, AccountId);

/// An account of a page.
pub struct Row {
    pub account: Account,
    /// Whether it stands among those with which something is wrong.
    pub troubled: bool,
}

/// The accounts with which something is wrong, then all others, each in the order of (path, id), after the one named; and what
/// is wrong with them. The one at `top` is not among them, and stands at the beginning of what the connection sees.
pub async fn page(
    conn: &mut Conn,
    top: &(Path, AccountId),
    after: Option<Place>,
    rows: i64,
) -> Result<(Vec<Row>, Vec<Trouble>)> {
    let (troubled, place) = match after {
        Some((troubled, path, id)) => (troubled, (path, id)),
        None => (true, top.clone()),
    };
    let (mut found, mut troubles) = (Vec::new(), Vec::new());
    if troubled {
        let accounts = console::troubled(conn, Some(&place), rows).await?;
        let paths: Vec<_> = accounts.iter().map(|account| account.path.clone()).collect();
        troubles = console::troubles(conn, &paths).await?;
        found.extend(accounts.into_iter().map(|account| Row { account, troubled }));
    }
    let left = rows - i64::try_from(found.len()).unwrap_or(rows);
    if left > 0 {
        let begin = if troubled { top } else { &place };
        let accounts = console::untroubled(conn, Some(begin), left).await?;
        found.extend(accounts.into_iter().map(|account| Row { account, troubled: false }));
    }
    Ok((found, troubles))
}
