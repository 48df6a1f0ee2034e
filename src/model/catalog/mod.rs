//! What can be sold and on what it runs.

pub mod addons;
pub mod components;
pub mod items;
pub mod plans;
pub mod price_lists;
pub mod servers;
pub mod service_types;
