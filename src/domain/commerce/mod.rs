pub mod changes;
pub mod orders;
pub mod outcomes;
mod spending;
