//! Orders and what comes of them.

pub mod addons;
pub mod approvals;
pub mod charges;
pub mod course;
pub mod orders;
pub mod proration;
pub mod quotes;
pub mod subscriptions;
