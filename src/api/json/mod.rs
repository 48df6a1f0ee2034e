//! JSON at the edge: read strictly, and written in the one form that requests are compared in.

mod canonical;
mod fault;
mod parse;

pub use canonical::{canonical, fingerprint};
pub use fault::{FaultKind, JsonFault, Limits};
pub use parse::{parse, parse_within};
