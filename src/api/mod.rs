//! The HTTP edge: routes, what callers may send, what they are told.

mod answer;
pub mod body;
mod caller;
mod credentials;
mod docs;
mod document;
mod door;
pub mod idempotency;
pub mod json;
mod middleware;
mod oauth;
mod page;
mod problem;
mod state;
mod unions;
pub mod v1;
mod wait;

pub use docs::reference;
pub use document::{Routes, document, routes};
pub use middleware::around;
pub use problem::{Code, Problem};
pub use state::{Keys, Signals, State, Tokens};
