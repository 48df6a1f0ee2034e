//! Accounts and the credentials they hold.

#[expect(clippy::module_inception, reason = "a capability's first noun has its name, in every layer")]
pub mod accounts;
pub mod addresses;
pub mod audit;
pub mod branding;
pub mod checkpoints;
pub mod clients;
pub mod console;
pub mod delegation;
pub mod keys;
pub mod members;
pub mod origins;
pub mod requests;
pub mod roots;
pub mod search;
pub mod signups;
pub mod spending;
pub mod storefront_keys;
pub mod topology;
