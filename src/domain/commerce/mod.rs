pub mod changes;
pub mod orders;
