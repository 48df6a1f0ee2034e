//! What can be sold and on what it runs.

pub mod plans;
pub mod servers;
pub mod service_types;
