//! Whether so much could be taken, and which level does not let more through.

use std::collections::BTreeSet;

use super::chain::{Chain, accounts_up, is_subscription};
use super::charges::{Asked, level_of, shortfalls};
use super::{remedies, requests};
use crate::domain::accounts::accounts;
use crate::domain::{Error, Result};
use crate::model::ids::{AccountId, SubscriptionId};
use crate::model::quotas::{Amount, Checked, ExplainedLevel, Explanation, Level, Quota, QuotaKey};
use crate::model::{Actor, Path};
use crate::store;
use crate::store::Conn;

/// Whose quota it is about.
#[derive(Debug, Clone)]
pub struct Subject {
    subscription: Option<SubscriptionId>,
    pub path: Path,
}

impl Subject {
    /// A subscription, for what lies in it, or an account, for what subscriptions of its own are given; the caller's own
    /// account if neither is named.
    pub async fn of(
        conn: &mut Conn,
        actor: &Actor,
        subscription: Option<SubscriptionId>,
        account: Option<AccountId>,
    ) -> Result<Self> {
        let Some(id) = subscription else {
            let account = accounts::find(conn, account.unwrap_or(actor.subject_id)).await?;
            return Ok(Self { subscription: None, path: account.path });
        };
        if account.is_some() {
            return Err(Error::invalid(
                "/account_id",
                "one_of_two",
                "give either the subscription or the account",
            ));
        }
        let found = store::commerce::subscriptions::find(conn, id).await?;
        let missing =
            || Error::invalid("/subscription_id", "not_found", "there is no such subscription here");
        let found = found.ok_or_else(missing)?;
        Ok(Self { subscription, path: found.path })
    }

    async fn chain(&self, conn: &mut Conn, keys: &[QuotaKey]) -> Result<Chain> {
        let own = self.subscription.iter().map(ToString::to_string);
        Chain::of(conn, own.chain(accounts_up(&self.path)).collect(), keys).await
    }
}

/// Whether all of it could be taken at once, as things stand; nothing is taken.
pub async fn check(conn: &mut Conn, actor: &Actor, subject: &Subject, amounts: &[Amount]) -> Result<Checked> {
    let keys: Vec<_> = amounts.iter().map(|amount| amount.key).collect();
    let chain = subject.chain(conn, &keys).await?;
    let mut asked = Asked::new();
    for Amount { key, amount } in amounts {
        for holder in chain.levels(*key) {
            *asked.entry((holder.clone(), *key)).or_default() += amount;
        }
    }
    let rows = with(&asked, chain.rows);
    let violations = shortfalls(&asked, &rows, Some(actor));
    let mut remedies = match subject.subscription {
        Some(id) if !violations.is_empty() => {
            let own = store::quotas::quotas::of_holder(conn, &id.to_string()).await?;
            let own = with(&asked, own);
            remedies::find(conn, actor, id, &own, &violations).await?
        }
        _ => Vec::new(),
    };
    remedies.extend(requests::remedies(conn, actor, &rows, &violations).await?);
    Ok(Checked { fits: violations.is_empty(), violations, remedies })
}

/// The rows as they would be.
fn with(asked: &Asked, mut rows: Vec<Quota>) -> Vec<Quota> {
    for row in &mut rows {
        row.reserved += asked.get(&(row.holder.clone(), row.key)).copied().unwrap_or_default();
    }
    rows
}

/// What each level lets through, from the first one up: of the keys that are asked about, or else of all that any level
/// bounds.
pub async fn explain(
    conn: &mut Conn,
    actor: &Actor,
    subject: &Subject,
    keys: Option<&[QuotaKey]>,
) -> Result<Vec<Explanation>> {
    let chain = subject.chain(conn, keys.unwrap_or(QuotaKey::ALL)).await?;
    let bounded = || chain.rows.iter().map(|row| row.key).collect::<BTreeSet<_>>();
    let keys = keys.map_or_else(bounded, |keys| keys.iter().copied().collect());
    Ok(keys.into_iter().map(|key| explained(&chain, actor, key)).collect())
}

fn explained(chain: &Chain, actor: &Actor, key: QuotaKey) -> Explanation {
    let reached: Vec<_> = chain.levels(key).collect();
    // A subscription may have none of what it is not given.
    let is_given = reached.iter().all(|holder| !is_subscription(holder) || chain.row(holder, key).is_some());
    let rows = reached.iter().filter_map(|holder| chain.row(holder, key));
    let rows: Vec<_> = rows.map(|row| (level_of(row, Some(actor)), row)).collect();
    let tightest = rows.iter().min_by_key(|(_, row)| row.available());
    let binding = match is_given {
        true => tightest.map(|(level, _)| *level),
        false => Some(Level::Own),
    };
    let seen = rows.iter().filter(|(level, _)| *level != Level::Upstream);
    let available_here = match is_given {
        true => seen.clone().map(|(_, row)| row.available()).min(),
        false => Some(0),
    };
    let levels = seen.map(|(level, row)| ExplainedLevel {
        level: *level,
        holder: row.owner(),
        binds: is_given && tightest.is_some_and(|(_, tightest)| tightest.holder == row.holder),
        quota: (*row).clone().into(),
    });
    Explanation { key, unit: key.unit(), available_here, binding, levels: levels.collect() }
}
