pub mod orders;
pub mod quotes;
pub mod subscriptions;
pub mod transfers;
