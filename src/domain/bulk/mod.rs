//! Much at once: leaving requests to be sent one after the other.

pub mod batches;
pub mod reconciles;
pub mod selections;
