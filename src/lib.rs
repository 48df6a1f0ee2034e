//! Tenantry: a headless, versioned provisioning API. See `docs/ARCHITECTURE.md` for the rooms of the house.

pub mod connectors;
pub mod model;
