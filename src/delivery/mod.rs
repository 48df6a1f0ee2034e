//! Events out: what is signed, and where it may be sent.

pub mod sign;
