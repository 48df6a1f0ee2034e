//! Tenantry: a headless, versioned provisioning API. See `docs/ARCHITECTURE.md` for the rooms of the house.

pub mod access;
pub mod api;
pub mod delivery;
pub mod model;
