pub mod orders;
pub mod subscriptions;
