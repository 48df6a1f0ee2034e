pub mod plans;
pub mod servers;
