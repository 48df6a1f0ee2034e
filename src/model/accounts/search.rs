use serde::Serialize;
use utoipa::ToSchema;

use crate::model::Path;
use crate::model::ids::AccountId;
use crate::stored_as_text;

stored_as_text! {
    /// What was found.
    pub enum FoundType {
        Account = "account",
        Subscription = "subscription",
        Order = "order",
        Domain = "domain",
        Mailbox = "mailbox",
        Zone = "zone",
        Site = "site",
    }
}

/// Something that is called as was asked.
#[derive(Debug, Clone, Serialize, ToSchema, crate::model::rows::Record)]
#[schema(as = SearchResult)]
pub struct Found {
    #[serde(rename = "type")]
    #[record(rename = "type")]
    pub found_type: FoundType,
    /// The object's own, of whatever kind it is.
    #[schema(example = "acc_01m8gqzxfvex1apkgv8374chcf")]
    pub id: String,
    /// The account itself, or whose it is.
    pub account_id: AccountId,
    /// An account's name, a resource's domain or address, the code of a subscription's plan; an order has none.
    pub name: Option<String>,
    pub external_id: Option<String>,
    #[serde(skip)]
    pub path: Path,
}
