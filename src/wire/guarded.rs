use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::framing::Framing;
use super::watch::{Patience, Watch};

/// What is said instead of the server's own words when it refuses what it cannot read, with this status.
pub type Refusals = Arc<dyn Fn(u16) -> Vec<u8> + Send + Sync>;

/// The longest that the server's own words for a refusal are.
const CURT: usize = 200;

/// A connection whose requests end where all see them end, whose other end does not take for ever, and on which each
/// refusal has the form that all have.
pub(super) struct Guarded<T> {
    io: T,
    framing: Framing,
    watch: Rc<Watch>,
    patience: Patience,
    refusals: Refusals,
    timer: Pin<Box<Sleep>>,
    /// Since when a head has been coming.
    head_since: Option<Instant>,
    /// What is still to be written before anything else.
    owed: BytesMut,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Guarded<T> {
    pub fn new(io: T, patience: Patience, refusals: Refusals) -> Self {
        Self {
            io,
            framing: Framing::new(),
            watch: Rc::new(Watch::new()),
            timer: Box::pin(sleep(patience.head.min(patience.idle))),
            // The first head is due at once.
            head_since: Some(Instant::now()),
            patience,
            refusals,
            owed: BytesMut::new(),
        }
    }

    pub fn watch(&self) -> Rc<Watch> {
        self.watch.clone()
    }

    fn note(&mut self, came: &mut [u8]) {
        self.framing.feed(came);
        match self.framing.is_in_head() {
            true if self.head_since.is_none() => self.head_since = Some(Instant::now()),
            true => {}
            false => self.head_since = None,
        }
    }

    /// Until when the other end has to do something.
    fn deadline(&self) -> Option<Instant> {
        if self.watch.is_working() {
            return None;
        }
        let since = self.watch.since();
        Some(match self.head_since {
            Some(head) => head.max(since) + self.patience.head,
            None if self.framing.is_in_body() || self.watch.is_closing() => since + self.patience.head,
            None => since + self.patience.idle,
        })
    }

    /// Ready with an error once the other end has taken too long. Where nothing has to be done the timer stays set,
    /// since whoever ends a request does not come by here.
    fn patience_ends(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let now = Instant::now();
            let deadline = self.deadline();
            if deadline.is_some_and(|deadline| deadline <= now) {
                if self.framing.is_in_head() {
                    self.owed.extend_from_slice(&(self.refusals)(408));
                    let _ = self.pay(cx);
                    let _ = Pin::new(&mut self.io).poll_flush(cx);
                }
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            let look = deadline.unwrap_or_else(|| now + self.patience.head);
            if self.timer.is_elapsed() || look < self.timer.deadline() {
                self.timer.as_mut().reset(look);
            }
            ready!(self.timer.as_mut().poll(cx));
        }
    }

    /// Writes what is owed.
    fn pay(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.owed.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.owed))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.owed.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut me.io).poll_read(cx, buf)? {
            Poll::Ready(()) => {
                me.note(&mut buf.filled_mut()[before..]);
                Poll::Ready(Ok(()))
            }
            Poll::Pending => me.patience_ends(cx).map(Err),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        ready!(me.pay(cx))?;
        if let Some((at, status)) = curt(bytes) {
            me.owed.extend_from_slice(&bytes[..at]);
            me.owed.extend_from_slice(&(me.refusals)(status));
            if let Poll::Ready(Err(error)) = me.pay(cx) {
                return Poll::Ready(Err(error));
            }
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = ready!(Pin::new(&mut me.io).poll_write(cx, bytes))?;
        me.watch.wrote();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        ready!(me.pay(cx))?;
        Pin::new(&mut me.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        ready!(me.pay(cx))?;
        Pin::new(&mut me.io).poll_shutdown(cx)
    }
}

/// Where the server's own refusal of what it cannot read begins, and its status. It is the last that is said on a
/// connection, and has a head only, with none of the headers that all of ours have.
fn curt(bytes: &[u8]) -> Option<(usize, u16)> {
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let tail = &bytes[bytes.len().saturating_sub(CURT)..];
    let begin = tail.windows(9).rposition(|nine| nine == b"HTTP/1.1 " || nine == b"HTTP/1.0 ")?;
    let head = std::str::from_utf8(&tail[begin..]).ok()?;
    let status = head.get(9..12)?.parse().ok().filter(|status| matches!(status, 400 | 408 | 431 | 500))?;
    (!head.contains("x-request-id")).then_some((bytes.len() - head.len(), status))
}
