use crate::model::accounts::branding::{Branded, Branding};
use crate::model::ids::AccountId;
use crate::model::{Json, Path, Time};
use crate::sql;
use crate::store::{Conn, Result, Tx};

/// The account at the place and all above it, the nearest first, with what they say of their looks.
pub async fn along(conn: &mut Conn, place: &Path) -> Result<Vec<Branded>> {
    conn.query(sql!(
        "SELECT path, type, branding, version FROM accounts WHERE path IN (" upwards!("$1") ")
         ORDER BY length(path) DESC"
    ))
    .bind(place)
    .all()
    .await
}

/// Writes what an account says of its looks; says whether its version was still the one that was read.
pub async fn put(
    tx: &mut Tx,
    id: AccountId,
    version: i64,
    branding: Option<&Branding>,
    now: Time,
) -> Result<bool> {
    let changed = tx
        .query(
            "UPDATE accounts SET branding = $2, version = version + 1, updated_at = $3 WHERE id = $1 AND version = $4",
        )
        .bind(id)
        .bind(branding.map(Json))
        .bind(now)
        .bind(version)
        .execute()
        .await?;
    Ok(changed == 1)
}
