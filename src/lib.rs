//! Tenantry: a headless, versioned provisioning API. See `docs/ARCHITECTURE.md` for the rooms of the house.

pub mod access;
pub mod admin;
pub mod api;
pub mod bulk;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connectors;
pub mod delivery;
pub mod demo;
pub mod domain;
pub mod engine;
pub mod folder;
pub mod limits;
pub mod model;
pub mod program;
pub mod store;
pub mod telemetry;
pub mod wire;
