//! What an account has, as one picture: accounts, subscriptions, services, and the servers they run on.

use std::collections::BTreeSet;

use crate::domain::Result;
use crate::model::accounts::accounts::{Account, AccountStatus};
use crate::model::accounts::topology::{Node, NodeType, Topology};
use crate::model::catalog::servers::Server;
use crate::model::commerce::subscriptions::Subscription;
use crate::model::services::services::{Service, ServiceView};
use crate::model::{Subtree, Time};
use crate::store;
use crate::store::Conn;

/// How many accounts, subscriptions and services are told at once, of each kind.
const MOST: i64 = 500;

/// All that the connection sees, and of the servers those that are in reach.
pub async fn of(conn: &mut Conn, reach: Subtree, now: Time) -> Result<Topology> {
    let mut truncated = false;
    let accounts = store::accounts::accounts::page(conn, None, MOST + 1).await?;
    let accounts = cut(accounts, &mut truncated);
    let subscriptions = store::commerce::subscriptions::page(conn, None, MOST + 1).await?;
    let subscriptions = cut(subscriptions, &mut truncated);
    let services = store::services::services::page(conn, None, MOST + 1).await?;
    let services = cut(services, &mut truncated);
    conn.turn(reach).await?;
    let mut servers = Vec::new();
    for id in services.iter().map(|service| service.server_id).collect::<BTreeSet<_>>() {
        servers.extend(store::catalog::servers::find(conn, id).await?);
    }

    let mut nodes = Vec::new();
    let mut known = BTreeSet::new();
    let seen: BTreeSet<_> = servers.iter().map(|server| server.id).collect();
    let accounts = accounts.into_iter().map(of_account);
    let subscriptions = subscriptions.into_iter().map(|subscription| of_subscription(subscription, now));
    let services = services.into_iter().map(|service| Node {
        server_id: Some(service.server_id).filter(|id| seen.contains(id)),
        ..of_service(service)
    });
    for mut node in accounts.chain(subscriptions).chain(services) {
        if node.node_type == NodeType::Account {
            // What stands above the first is not told.
            node.parent_id = node.parent_id.filter(|parent| known.contains(parent));
        } else if !node.parent_id.as_ref().is_some_and(|parent| known.contains(parent)) {
            // Of what was cut off.
            continue;
        }
        known.insert(node.id.clone());
        nodes.push(node);
    }
    nodes.extend(servers.into_iter().map(of_server));
    Ok(Topology { nodes, truncated })
}

fn cut<T>(mut rows: Vec<T>, truncated: &mut bool) -> Vec<T> {
    let most = usize::try_from(MOST).unwrap_or_default();
    *truncated |= rows.len() > most;
    rows.truncate(most);
    rows
}

fn of_account(account: Account) -> Node {
    let status = match account.status {
        AccountStatus::Active if account.is_suspended() => "suspended".to_owned(),
        status => status.to_string(),
    };
    Node {
        id: account.id.to_string(),
        node_type: NodeType::Account,
        name: account.name,
        status,
        parent_id: account.parent_id.map(|id| id.to_string()),
        server_id: None,
    }
}

fn of_subscription(subscription: Subscription, now: Time) -> Node {
    let shown = subscription.seen_at(now);
    Node {
        id: shown.id.to_string(),
        node_type: NodeType::Subscription,
        name: shown.plan,
        status: shown.status.to_string(),
        parent_id: Some(shown.account_id.to_string()),
        server_id: None,
    }
}

fn of_service(service: Service) -> Node {
    let shown = ServiceView::from(service);
    Node {
        id: shown.id.to_string(),
        node_type: NodeType::Service,
        name: shown.service_type.to_string(),
        status: shown.status.to_string(),
        parent_id: Some(shown.subscription_id.to_string()),
        server_id: None,
    }
}

fn of_server(server: Server) -> Node {
    Node {
        id: server.id.to_string(),
        node_type: NodeType::Server,
        name: server.name,
        status: if server.maintenance { "maintenance" } else { "active" }.to_owned(),
        parent_id: None,
        server_id: None,
    }
}
