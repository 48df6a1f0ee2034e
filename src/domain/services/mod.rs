pub(in crate::domain) mod endings;
pub mod holds;
pub mod operations;
pub mod outcomes;
pub mod resources;
