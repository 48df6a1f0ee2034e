//! Much at once.

pub mod batches;
pub mod selections;
