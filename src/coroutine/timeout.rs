//! An end for things that take too long.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::Sleep;
use crate::event_loop::Handle;

/// The time had passed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed {
    /// How long it waited.
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
    /// A future that is ready at the first look returns its value, even if the duration is zero.
    pub fn timeout<F: Future>(&self, duration: Duration, future: F) -> Timeout<F> {
        let running = Some((Box::pin(future), self.sleep(duration)));
        Timeout { running, after: duration }
    }
}

/// See [`Handle::timeout`].
///
/// ```
/// use helloop::coroutine::{self, Elapsed, Timeout};
/// use std::future::{Pending, pending};
/// use std::time::Duration;
///
/// coroutine::run(|handle| async move {
///     let after = Duration::from_millis(1);
///     let limited: Timeout<Pending<()>> = handle.timeout(after, pending());
///     assert_eq!(limited.await, Err(Elapsed { after }));
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a timeout does nothing unless it is awaited"]
pub struct Timeout<F> {
    /// The future and its end; `None` once it is over.
    running: Option<(Pin<Box<F>>, Sleep)>,
    after: Duration,
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let elapsed = Elapsed { after: self.after };
        let Some((future, sleep)) = &mut self.running else {
            return Poll::Ready(Err(elapsed));
        };
        let result = match future.as_mut().poll(cx) {
            Poll::Ready(value) => Ok(value),
            Poll::Pending => {
                ready!(Pin::new(sleep).poll(cx));
                Err(elapsed)
            }
        };
        self.running = None;
        Poll::Ready(result)
    }
}

impl<F> fmt::Debug for Timeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout").field("after", &self.after).finish_non_exhaustive()
    }
}
