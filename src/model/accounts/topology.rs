use serde::Serialize;
use utoipa::ToSchema;

use crate::model::ids::ServerId;
use crate::stored_as_text;

stored_as_text! {
    /// What a node of a topology is.
    pub enum NodeType {
        Account = "account",
        Subscription = "subscription",
        Service = "service",
        Server = "server",
    }
}

/// Something that an account has, or that it runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TopologyNode)]
pub struct Node {
    /// The object's own.
    #[schema(example = "sub_01m8gqzxfvex1apkgv8374chcf")]
    pub id: String,
    #[serde(rename = "type")]
    pub node_type: NodeType,
    /// An account's or server's name, the code of a subscription's plan, a service's type.
    pub name: String,
    /// As the object itself has it; an account is `active`, `suspended` or `closed`, a server `active` or in `maintenance`.
    #[schema(example = "active")]
    pub status: String,
    /// What it belongs to; none of the first account, and of servers.
    pub parent_id: Option<String>,
    /// On what server a service runs; to who may see that server.
    pub server_id: Option<ServerId>,
}

/// An account with all below it and all that they have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Topology {
    /// Each behind what it belongs to.
    pub nodes: Vec<Node>,
    /// There is more than is told at once: ask for an account below.
    pub truncated: bool,
}
