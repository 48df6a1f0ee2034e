//! Finding by what things are called.

use std::collections::BTreeSet;

use crate::domain::Result;
use crate::model::accounts::search::Found;
use crate::model::scopes::Scope;
use crate::model::{Actor, Subtree, text};
use crate::store::Conn;
use crate::store::accounts::search;

/// What in the caller's reach is called exactly so: accounts by name, resources by domain or address, subscriptions by the name
/// that anybody gave them, and accounts, orders and resources by the one that the caller's account did. Of the kinds that the
/// caller may read, and of `resources` what the accounts they lie in let those above see. Says whether there is more.
pub async fn find(
    conn: &mut Conn,
    actor: &Actor,
    resources: Subtree,
    called: &str,
    limit: i64,
) -> Result<(Vec<Found>, bool)> {
    let (by, most) = (actor.principal_id, usize::try_from(limit).unwrap_or_default());
    let limit = limit + 1;
    let mut found = search::accounts_named(conn, called, limit).await?;
    found.extend(search::accounts_called(conn, by, called, limit).await?);
    if actor.has(Scope::ResourcesRead) {
        let own = conn.turn(resources).await?;
        let mut inside = search::resources_called(conn, by, called, limit).await?;
        if let Some(name) = text::domain(called).or_else(|| text::address(called)) {
            inside.extend(search::resources_named(conn, &name, limit).await?);
        }
        let resources = conn.turn(own).await?;
        found.extend(inside.into_iter().filter(|one| !resources.is_refused(&one.path)));
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
    let truncated = found.len() > most;
    found.truncate(most);
    Ok((found, truncated))
}
