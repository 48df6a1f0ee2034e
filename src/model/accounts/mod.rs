//! Accounts and the credentials they hold.

#[expect(clippy::module_inception, reason = "a capability's first noun has its name, in every layer")]
pub mod accounts;
pub mod addresses;
pub mod audit;
pub mod keys;
