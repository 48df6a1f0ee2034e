//! What the product does: rules and use-cases, each in its caller's transaction. Knows the store; knows
//! nothing of HTTP and of servers.

pub mod accounts;
pub mod bulk;
pub mod catalog;
pub mod commerce;
mod error;
pub mod events;
pub mod quotas;
pub mod services;
mod versions;
mod work;

pub use error::{Error, Fault, Result};
pub use versions::check_version;
pub use work::{Object, Work, digest};
