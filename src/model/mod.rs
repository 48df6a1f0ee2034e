//! The nouns: what accounts, plans, orders, services and holds are, and the rules that need no database.

pub mod accounts;
mod actor;
pub mod bulk;
mod canonical;
pub mod catalog;
pub mod commerce;
pub mod connector;
pub mod events;
pub mod ids;
pub mod interval;
mod json;
pub mod money;
pub mod path;
mod precondition;
pub mod quotas;
pub mod rows;
pub mod scopes;
pub mod secrets;
pub mod services;
mod stored;
pub mod subtree;
pub mod text;
pub mod time;

pub use actor::Actor;
pub use canonical::canonical;
pub use json::Json;
pub use path::Path;
pub use precondition::Precondition;
pub use subtree::Subtree;
pub use time::Time;
