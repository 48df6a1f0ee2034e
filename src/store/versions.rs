//! What can be changed at a version only, whichever noun it is.

use super::{Result, Tx};
use crate::sql;

/// The tables whose rows callers name with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioned {
    Account,
    Addon,
    Batch,
    Key,
    Member,
    Order,
    Plan,
    PriceList,
    QuotaRequest,
    ReconcileRun,
    Resource,
    Server,
    Signup,
    StorefrontKey,
    Subscription,
    WebhookEndpoint,
}

/// A row's version, which nobody else changes until the transaction ends.
pub async fn lock(tx: &mut Tx, of: Versioned, id: &str) -> Result<Option<i64>> {
    macro_rules! version {
        ($table:literal) => {
            sql!("SELECT version FROM " $table " WHERE id = $1 AND path >= $2 AND path < $3 " pg("FOR UPDATE"))
        };
    }
    let text = match of {
        Versioned::Account => version!("accounts"),
        Versioned::Addon => version!("addons"),
        Versioned::Batch => version!("batches"),
        Versioned::Key => version!("api_keys"),
        Versioned::Member => version!("members"),
        Versioned::Order => version!("orders"),
        Versioned::Plan => version!("plans"),
        Versioned::PriceList => version!("price_lists"),
        Versioned::QuotaRequest => version!("quota_requests"),
        Versioned::ReconcileRun => version!("reconcile_runs"),
        Versioned::Resource => version!("resources"),
        Versioned::Server => version!("servers"),
        Versioned::Signup => version!("signups"),
        Versioned::StorefrontKey => version!("storefront_keys"),
        Versioned::Subscription => version!("subscriptions"),
        Versioned::WebhookEndpoint => version!("webhook_endpoints"),
    };
    let row: Option<(i64,)> = tx.query(text).bind(id).within().optional().await?;
    Ok(row.map(|(version,)| version))
}
