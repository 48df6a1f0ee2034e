//! How long a request may take: its body to arrive, its handler to answer.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::HttpMessage;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::web::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::Timeouts;

/// Until when a handler has to answer. What it waits for on the caller's account is added to it.
#[derive(Debug, Clone)]
pub struct Allowance(Rc<Cell<Instant>>);

impl Allowance {
    fn until(end: Instant) -> Self {
        Self(Rc::new(Cell::new(end)))
    }

    /// Of this request, if it has one.
    pub fn of(request: &impl HttpMessage) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }

    /// Gives the handler more time.
    pub fn extend(&self, by: Duration) {
        self.0.set(self.0.get() + by);
    }

    fn shorten(&self, by: Duration) {
        self.0.set(self.0.get() - by);
    }

    /// What the work comes to in time; nothing if it takes longer.
    async fn within<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let (mut work, mut timer) = (pin!(work), pin!(sleep_until(self.0.get())));
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            if timer.deadline() != self.0.get() {
                timer.as_mut().reset(self.0.get());
            }
            timer.as_mut().poll(cx).map(|()| None)
        })
        .await
    }
}

/// How many bytes are read for no more than that the connection can be kept.
const UNREAD: u64 = 64 * 1024;

/// What a handler leaves unread of a body.
pub struct Rest(Option<Rc<RefCell<Paced>>>);

impl Rest {
    /// Reads it, if the body is a small one. With a body that is not read to its end the connection is closed behind
    /// the answer, and whoever is told to ask again would have to open another one.
    pub async fn pass_over(self) {
        if let Some(body) = self.0 {
            while let Some(Ok(_)) = poll_fn(|cx| body.borrow_mut().poll_next_unpin(cx)).await {}
        }
    }
}

/// Gives the request its time and sees to it that its body arrives in time.
pub fn limit(request: &mut ServiceRequest, timeouts: Timeouts) -> (Allowance, Rest) {
    let allowance = Allowance::until(Instant::now() + timeouts.handler);
    request.extensions_mut().insert(allowance.clone());
    let body = match request.take_payload() {
        Payload::None => return (allowance, Rest(None)),
        body => Rc::new(RefCell::new(Paced::new(body, timeouts, allowance.clone()))),
    };
    request.set_payload(Payload::Stream { payload: Box::pin(Shared(body.clone())) });
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let is_small =
        length.and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length <= UNREAD);
    (allowance, Rest(is_small.then_some(body)))
}

/// A body as its handler reads it.
struct Shared(Rc<RefCell<Paced>>);

impl Stream for Shared {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.borrow_mut().poll_next_unpin(cx)
    }
}

/// Runs a handler for as long as it may take. What it began in a task of its own goes on after that.
pub async fn within<T>(allowance: Option<Allowance>, handler: impl Future<Output = T>) -> Option<T> {
    match allowance {
        Some(allowance) => allowance.within(handler).await,
        None => Some(handler.await),
    }
}

/// Whether a body did not arrive in time.
pub fn is_late(error: &PayloadError) -> bool {
    matches!(error, PayloadError::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}

/// A body that has to arrive at a rate, from a moment after it is asked for, and within a time in all.
struct Paced {
    body: Payload,
    timeouts: Timeouts,
    allowance: Allowance,
    arrived: u64,
    over: bool,
    /// Since it was asked for.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    fn new(body: Payload, timeouts: Timeouts, allowance: Allowance) -> Self {
        Self { body, timeouts, allowance, arrived: 0, over: false, since: None, timer: None }
    }

    /// By when more must have come.
    fn deadline(&self, since: Instant) -> Instant {
        let at_rate = Duration::from_millis(self.arrived * 1000 / Timeouts::BODY_RATE);
        since + self.timeouts.body.min(self.timeouts.body_start + at_rate)
    }

    /// Nothing more comes: what is left of its time is not the handler's.
    fn end(&mut self, since: Instant) {
        self.over = true;
        self.allowance.shorten(self.timeouts.body.saturating_sub(since.elapsed()));
    }
}

impl Stream for Paced {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let me = self.get_mut();
        if me.over {
            return Poll::Ready(None);
        }
        let since = *me.since.get_or_insert_with(|| {
            me.allowance.extend(me.timeouts.body);
            Instant::now()
        });
        if let Poll::Ready(part) = me.body.poll_next_unpin(cx) {
            match &part {
                Some(Ok(bytes)) => me.arrived += bytes.len() as u64,
                _ => me.end(since),
            }
            return Poll::Ready(part);
        }
        let deadline = me.deadline(since);
        let timer = me.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        ready!(timer.as_mut().poll(cx));
        me.end(since);
        Poll::Ready(Some(Err(PayloadError::Io(std::io::ErrorKind::TimedOut.into()))))
    }
}
