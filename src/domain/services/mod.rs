pub mod holds;
pub mod operations;
pub mod resources;
