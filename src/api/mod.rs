//! The HTTP edge.

pub mod idempotency;
pub mod json;
