//! What may be taken, level by level from the subscription up to the operator.

mod ceilings;
mod chain;
mod charges;
mod checks;
mod moves;
mod recounts;
mod remedies;
pub mod requests;
mod thresholds;

pub use ceilings::put;
pub(in crate::domain) use charges::settle;
pub use charges::{Charge, charge, commit, free, give_back, granted, release, retake};
pub use checks::{Subject, check, explain};
pub(in crate::domain) use moves::{handed_over, moved};
pub use recounts::recount;
pub use thresholds::tell;
