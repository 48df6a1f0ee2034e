//! Events out: what is signed, and where it may be sent.

pub mod addresses;
pub mod guard;
pub mod sign;
