//! What a subscription is made of technically, why it is held, and the work that is done on it.

pub mod holds;
pub mod operations;
pub mod resources;
#[expect(clippy::module_inception, reason = "a capability's first noun has its name, in every layer")]
pub mod services;
pub mod specs;

pub use holds::{Effect, ReasonClass};
pub use services::Access;
