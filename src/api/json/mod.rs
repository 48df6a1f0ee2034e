//! JSON at the edge: read strictly, and written in the one form that requests are compared in.

mod canonical;
mod parse;

pub use canonical::{canonical, fingerprint};
pub use parse::{FaultKind, JsonFault, Limits, parse, parse_within};
