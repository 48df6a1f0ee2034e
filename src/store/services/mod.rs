pub mod holds;
pub mod operations;
pub mod resources;
#[expect(clippy::module_inception, reason = "a capability's first noun has its name, in every layer")]
pub mod services;
