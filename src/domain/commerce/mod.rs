pub mod changes;
mod contents;
mod offers;
pub mod orders;
pub mod outcomes;
pub mod quotes;
mod spending;
pub mod subscriptions;
