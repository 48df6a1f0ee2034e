pub mod deliveries;
pub mod webhooks;
