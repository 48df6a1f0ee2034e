#[expect(clippy::module_inception, reason = "a capability's first noun has its name, in every layer")]
mod quotas;

pub use quotas::routes;
