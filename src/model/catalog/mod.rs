//! What can be sold and on what it runs.

pub mod components;
pub mod plans;
pub mod price_lists;
pub mod servers;
pub mod service_types;
