use crate::domain::Result;
use crate::model::Path;
use crate::model::quotas::{Mode, Quota, QuotaKey};
use crate::store;
use crate::store::Conn;

/// The levels from one up, as far as what is drawn from it reaches: to the first ceiling that was allocated from above.
pub(super) struct Chain {
    pub holders: Vec<String>,
    pub rows: Vec<Quota>,
}

/// The accounts from one up to the operator, as holders of quotas.
pub(super) fn accounts_up(path: &Path) -> Vec<String> {
    path.upwards().map(|path| path.to_string()).collect()
}

pub(super) fn is_subscription(holder: &str) -> bool {
    !holder.starts_with('/')
}

impl Chain {
    /// The levels above an account.
    pub async fn above(conn: &mut Conn, place: &Path, keys: &[QuotaKey]) -> Result<Self> {
        Self::of(conn, accounts_up(place).into_iter().skip(1).collect(), keys).await
    }

    /// Of these holders, the first level first.
    pub async fn of(conn: &mut Conn, holders: Vec<String>, keys: &[QuotaKey]) -> Result<Self> {
        let rows = store::quotas::quotas::of_holders(conn, &holders, keys).await?;
        Ok(Self { holders, rows })
    }

    pub fn row(&self, holder: &str, key: QuotaKey) -> Option<&Quota> {
        self.rows.iter().find(|row| row.holder == holder && row.key == key)
    }

    pub fn levels(&self, key: QuotaKey) -> impl Iterator<Item = &String> {
        let mut goes_on = true;
        self.holders.iter().take_while(move |holder| {
            let reached = goes_on;
            goes_on &= self.row(holder, key).is_none_or(|row| row.mode != Mode::Allocated);
            reached
        })
    }
}
