//! What keys with a cap have ordered for.

use crate::model::Time;
use crate::model::accounts::keys::Key;
use crate::model::ids::KeyId;
use crate::model::money::Currency;
use crate::store::{Result, Tx};

/// Begins to count for a key in its cap's currency; anew, where what was counted so far is in another.
pub async fn begin(tx: &mut Tx, key: &Key, currency: Currency) -> Result<()> {
    tx.query(
        "INSERT INTO key_spending (key_id, account_id, path, currency, day, spent) VALUES ($1, $2, $3, $4, $5, 0)
         ON CONFLICT (key_id) DO UPDATE SET currency = excluded.currency,
             spent = CASE WHEN key_spending.currency = excluded.currency THEN key_spending.spent ELSE 0 END",
    )
    .bind(key.id)
    .bind(key.account_id)
    .bind(&key.path)
    .bind(currency)
    .bind(Time::EPOCH)
    .execute()
    .await?;
    Ok(())
}

/// Counts what is ordered for on the day; says whether that leaves the day's sum at or below `most`. Whose clock is
/// behind counts for the last day on which anything was.
pub async fn spend(tx: &mut Tx, id: KeyId, day: Time, amount: i64, most: i64) -> Result<bool> {
    let counted = tx
        .query(
            "UPDATE key_spending SET spent = CASE WHEN day >= $2 THEN spent ELSE 0 END + $3,
                 day = CASE WHEN day >= $2 THEN day ELSE $2 END
             WHERE key_id = $1 AND CASE WHEN day >= $2 THEN spent ELSE 0 END + $3 <= $4",
        )
        .bind(id)
        .bind(day)
        .bind(amount)
        .bind(most)
        .execute()
        .await?;
    Ok(counted == 1)
}
