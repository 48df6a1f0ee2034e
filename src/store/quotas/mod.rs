#[expect(clippy::module_inception, reason = "a capability's first noun has its name, in every layer")]
pub mod quotas;
pub mod requests;
