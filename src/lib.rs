//! Tenantry: a headless, versioned provisioning API. See `docs/ARCHITECTURE.md` for the rooms of the house.

pub mod domain;
pub mod model;
pub mod store;
