pub mod addons;
pub mod plans;
pub mod price_lists;
pub mod prices;
pub mod servers;
