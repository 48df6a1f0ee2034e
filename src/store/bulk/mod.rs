//! Much at once.

pub mod batches;
pub mod reconciles;
pub mod selections;
