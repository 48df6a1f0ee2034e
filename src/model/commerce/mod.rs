//! Orders and what comes of them.

pub mod orders;
pub mod subscriptions;
