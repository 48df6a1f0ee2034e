#[expect(clippy::module_inception, reason = "a capability's first noun has its name, in every layer")]
pub mod accounts;
pub mod audit;
pub mod branding;
pub mod checkpoints;
pub mod closings;
pub mod console;
pub mod denials;
pub mod environments;
pub mod keys;
pub mod members;
pub mod moves;
pub mod roots;
pub mod search;
pub mod signups;
pub mod storefront_keys;
pub mod topology;
pub mod witnesses;
