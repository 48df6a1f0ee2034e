//! Where an object stands, whichever noun it is.

use super::{Conn, Result};
use crate::model::Path;
use crate::sql;

/// The path of the object with this identifier, if there is one in the subtree; deliveries stand where their
/// endpoint does.
pub async fn place(conn: &mut Conn, id: &str) -> Result<Option<Path>> {
    macro_rules! path {
        ($table:literal) => {
            sql!("SELECT path FROM " $table " WHERE id = $1 AND path >= $2 AND path < $3")
        };
    }
    let text = match id.split_once('_').unwrap_or_default().0 {
        "acc" => path!("accounts"),
        "key" => sql!(
            "SELECT path FROM api_keys WHERE id = $1 AND path >= $2 AND path < $3
             UNION ALL SELECT path FROM storefront_keys WHERE id = $1 AND path >= $2 AND path < $3"
        ),
        "mbr" => path!("members"),
        "sgn" => path!("signups"),
        "srv" => path!("servers"),
        "vsr" => path!("virtual_servers"),
        "pln" => path!("plans"),
        "add" => path!("addons"),
        "prl" => path!("price_lists"),
        "qrq" => path!("quota_requests"),
        "quo" => path!("quotes"),
        "ord" => path!("orders"),
        "sub" => path!("subscriptions"),
        "svc" => path!("services"),
        "res" => path!("resources"),
        "bat" => path!("batches"),
        "rcn" => path!("reconcile_runs"),
        "op" => path!("operations"),
        "whk" => path!("webhook_endpoints"),
        "dlv" => path!("deliveries"),
        _ => return Ok(None),
    };
    let row: Option<(Path,)> = conn.query(text).bind(id).within().optional().await?;
    Ok(row.map(|(path,)| path))
}
