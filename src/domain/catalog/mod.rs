pub mod addons;
pub mod plans;
pub mod price_lists;
pub mod pricing;
pub mod servers;
