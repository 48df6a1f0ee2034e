//! What happened, and who is told.

pub mod deliveries;
#[expect(clippy::module_inception, reason = "a capability's first noun has its name, in every layer")]
pub mod events;
pub mod webhooks;
