//! The nouns: what accounts, plans, orders, services and holds are, and the rules that need no database.

pub mod accounts;
mod actor;
pub mod catalog;
pub mod commerce;
pub mod connector;
pub mod events;
pub mod ids;
mod json;
pub mod path;
pub mod quotas;
pub mod rows;
pub mod scopes;
pub mod services;
mod stored;
pub mod text;
pub mod time;

pub use actor::Actor;
pub use json::Json;
pub use path::{Path, Subtree};
pub use time::Time;
