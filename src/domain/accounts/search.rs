//! Finding by what things are called.

use std::collections::BTreeSet;

use crate::domain::Result;
use crate::model::accounts::search::Found;
use crate::model::scopes::Scope;
use crate::model::{Actor, text};
use crate::store::Conn;
use crate::store::accounts::search;

/// What in the caller's reach is called exactly so: accounts by name, resources by domain or address, and accounts,
/// subscriptions, orders and resources by the name that the caller's account gave them. Of the kinds that the caller
/// may read.
pub async fn find(conn: &mut Conn, actor: &Actor, called: &str, limit: i64) -> Result<Vec<Found>> {
    let by = actor.principal_id;
    let mut found = search::accounts_named(conn, called, limit).await?;
    found.extend(search::accounts_called(conn, by, called, limit).await?);
    if actor.has(Scope::ResourcesRead) {
        if let Some(name) = text::domain(called).or_else(|| text::address(called)) {
            found.extend(search::resources_named(conn, &name, limit).await?);
        }
        found.extend(search::resources_called(conn, by, called, limit).await?);
    }
    if actor.has(Scope::SubscriptionsRead) {
        found.extend(search::subscriptions_called(conn, called, limit).await?);
    }
    if actor.has(Scope::OrdersRead) {
        found.extend(search::orders_called(conn, by, called, limit).await?);
    }
    // One can be called so in two ways.
    let mut seen = BTreeSet::new();
    found.retain(|found| seen.insert(found.id.clone()));
    found.truncate(usize::try_from(limit).unwrap_or_default());
    Ok(found)
}
