#[expect(clippy::module_inception, reason = "a capability's first noun has its name, in every layer")]
pub mod accounts;
pub mod keys;
pub mod members;
pub mod requests;
pub mod signups;
pub mod spending;
pub mod storefront_keys;
