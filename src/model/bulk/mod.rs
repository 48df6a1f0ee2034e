//! Much at once: requests left to be sent one after the other.

mod batches;
mod reconciles;
mod selections;

pub use batches::*;
pub use reconciles::*;
pub use selections::*;
