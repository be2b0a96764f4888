//! An end for things that take too long.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Sleep;
use crate::event_loop::Handle;

/// The time was over first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed {
    /// How long was waited.
    pub after: Duration,
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.after.is_zero() {
            return f.write_str("no result at once");
        }
        write!(f, "no result after {:?}", self.after)
    }
}

impl std::error::Error for Elapsed {}

impl Handle {
    /// Waits for `future`, for at most `duration`; then `future` is dropped, which cancels it, and a
    /// task that it awaits as well.
    ///
    /// A future that is ready at the first look gives its value, also with a duration of zero.
    pub fn timeout<F: Future>(&self, duration: Duration, future: F) -> Timeout<F> {
        let sleep = self.sleep(duration);
        Timeout { future: Some(Box::pin(future)), sleep, after: duration }
    }
}

/// See [`Handle::timeout`].
#[must_use = "a timeout does nothing unless it is awaited"]
pub struct Timeout<F> {
    /// `None` once it is over.
    future: Option<Pin<Box<F>>>,
    sleep: Sleep,
    after: Duration,
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(future) = &mut this.future else {
            return Poll::Ready(Err(Elapsed { after: this.after }));
        };
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            this.future = None;
            return Poll::Ready(Ok(value));
        }
        if Pin::new(&mut this.sleep).poll(cx).is_pending() {
            return Poll::Pending;
        }
        this.future = None;
        Poll::Ready(Err(Elapsed { after: this.after }))
    }
}

impl<F> fmt::Debug for Timeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout").field("after", &self.after).finish_non_exhaustive()
    }
}
