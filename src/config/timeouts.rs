use std::time::Duration;

/// How long callers and handlers may take. They are no settings: what calls us was built for these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To send the head of a request.
    pub head: Duration,
    /// To send the body of a request.
    pub body: Duration,
    /// Until a body has to come at [`Timeouts::BODY_RATE`].
    pub body_start: Duration,
    /// For a handler to answer, beside what it waits for because the caller asked for it.
    pub handler: Duration,
    /// For a connection on which nothing is asked.
    pub keep_alive: Duration,
}

impl Timeouts {
    /// How many bytes of a body have to come in a second.
    pub const BODY_RATE: u64 = 500;
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            body_start: Duration::from_secs(5),
            handler: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
        }
    }
}
