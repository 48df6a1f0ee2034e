use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix_web::HttpRequest;
use tokio::time::Instant;

/// What the connection and those who answer on it tell each other.
#[derive(Debug)]
pub struct Watch {
    working: Cell<bool>,
    closing: Cell<bool>,
    /// When it was answered last, or began.
    since: Cell<Instant>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { working: Cell::new(false), closing: Cell::new(false), since: Cell::new(Instant::now()) }
    }

    /// Of the connection that a request came on.
    pub fn of(request: &HttpRequest) -> Option<Rc<Self>> {
        request.conn_data::<Rc<Self>>().cloned()
    }

    /// A request is being answered: the connection may be silent for as long as that takes.
    pub fn begin(&self) {
        self.working.set(true);
    }

    /// It is answered, and the connection is closed after that or not.
    pub fn end(&self, closing: bool) {
        self.working.set(false);
        self.closing.set(closing);
        self.since.set(Instant::now());
    }

    pub(super) fn is_working(&self) -> bool {
        self.working.get()
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    pub(super) fn since(&self) -> Instant {
        self.since.get()
    }

    /// Some of an answer was taken by the other end.
    pub(super) fn wrote(&self) {
        if !self.working.get() {
            self.since.set(Instant::now());
        }
    }
}

/// How long the other end of a connection may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub head: Duration,
    pub idle: Duration,
}
