//! What lies between the sockets and the HTTP server: TLS, the framing of requests, and how long a caller may take.

mod certificates;
mod framing;
mod guarded;
mod listen;
mod watch;

pub use certificates::Certificates;
pub use guarded::Refusals;
pub use listen::{Settings, serve};
pub use watch::Watch;
