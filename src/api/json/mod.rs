//! JSON at the edge: read strictly; and what a repeated request is recognised by.

mod fault;
mod fingerprint;
mod parse;

pub use fault::{FaultKind, JsonFault, Limits};
pub use fingerprint::fingerprint;
pub use parse::{parse, parse_within};
