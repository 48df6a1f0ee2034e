pub(in crate::domain) mod endings;
pub(in crate::domain) mod handover;
pub mod holds;
pub mod operations;
pub mod outcomes;
pub mod resources;
pub mod timelines;
