//! Much at once: requests left to be sent one after the other.

mod batches;
mod selections;

pub use batches::*;
pub use selections::*;
