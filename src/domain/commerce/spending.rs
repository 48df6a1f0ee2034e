//! What an order counts for against its key's cap.

use crate::domain::{Error, Result, Work};
use crate::model::Actor;
use crate::model::accounts::spending::SpendCap;
use crate::model::commerce::addons::Added;
use crate::model::commerce::charges::Agreed;
use crate::model::money::Money;
use crate::store;

/// Counts an order against the cap of the key that it is placed with, or refuses it: by what each item costs more than what
/// ran before, none for one without a price.
pub async fn count(work: &mut Work, actor: &Actor, spent: &[Option<Money>]) -> Result<()> {
    let Some(cap) = actor.spend_cap else { return Ok(()) };
    let amount = total(&cap, spent)?;
    if amount > cap.per_order.unwrap_or(cap.per_day).min(cap.per_day) {
        return Err(Error::SpendCap("The order costs more than may be ordered with the key at once.".into()));
    }
    match store::accounts::spending::spend(&mut work.tx, actor.key_id, work.now.day(), amount, cap.per_day)
        .await?
    {
        true => Ok(()),
        false => {
            Err(Error::SpendCap("The order costs more than may still be ordered with the key today.".into()))
        }
    }
}

/// Whether all that is bought has a price: what has none is counted by no cap.
pub(super) fn is_priced(agreed: Option<&Agreed>, addons: &[Added]) -> bool {
    agreed.is_some() && addons.iter().all(|addon| addon.price.is_some())
}

fn total(cap: &SpendCap, spent: &[Option<Money>]) -> Result<i64> {
    let mut total: i64 = 0;
    for money in spent {
        let Some(money) = money else {
            let detail = "The key has a cap on what it spends, and what is ordered has no price here.";
            return Err(Error::SpendCap(detail.into()));
        };
        if money.currency != cap.currency {
            let detail = format!(
                "The key's cap is in {}, and what is ordered costs {}.",
                cap.currency, money.currency
            );
            return Err(Error::SpendCap(detail));
        }
        total = total.saturating_add(money.amount);
    }
    Ok(total)
}
