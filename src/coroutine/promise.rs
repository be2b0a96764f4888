//! A value that is not there yet: asyncio's class `Future`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::line::Place;
use super::slot::{Cancelled, DoneCallback, Slot, Value};
use crate::event_loop::Handle;

/// A value that will be set, once, and that tasks await. Clones are the same promise.
///
/// Setting runs nothing: waiters are queued, in the order in which they began to wait.
///
/// ```
/// use helloop::coroutine::{self, Cancelled, InvalidState, Promise};
///
/// coroutine::run(|handle| async move {
///     let promise: Promise<i32> = handle.promise();
///     assert_eq!(promise.get(), Err(InvalidState::NotSet));
///     let sets = promise.clone();
///     handle.call_soon(move |_| assert_eq!(sets.set(42), Ok(())));
///     assert_eq!(promise.wait().await, Ok(42));
///     assert_eq!(promise.set(43), Err(InvalidState::Done));
///
///     let never: Promise<i32> = handle.promise();
///     never.cancel();
///     assert_eq!(never.wait().await, Err(Cancelled));
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Promise<T> {
    slot: Rc<Slot<T>>,
}

/// A promise was read before it was set, or set a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidState {
    /// Its value was asked for and is not there.
    NotSet,
    /// It is done already.
    Done,
}

impl fmt::Display for InvalidState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InvalidState::NotSet => "Result is not set.",
            InvalidState::Done => "invalid state",
        })
    }
}

impl std::error::Error for InvalidState {}

impl Handle {
    /// A promise on this loop: asyncio's `create_future`.
    pub fn promise<T>(&self) -> Promise<T> {
        Promise { slot: Rc::new(Slot::new(self)) }
    }
}

impl<T> Promise<T> {
    /// Sets the value, and queues all waiters.
    ///
    /// # Errors
    /// [`InvalidState::Done`] if it was set or cancelled before; `value` is dropped.
    pub fn set(&self, value: T) -> Result<(), InvalidState> {
        if self.slot.settle(Value::Set(value)) { Ok(()) } else { Err(InvalidState::Done) }
    }

    /// Cancels it, and queues all waiters. False if it was set or cancelled before.
    pub fn cancel(&self) -> bool {
        self.slot.settle(Value::Cancelled)
    }

    /// True once it was set or cancelled.
    pub fn is_done(&self) -> bool {
        self.slot.is_done()
    }

    /// True once it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.slot.look(|value| matches!(value, Value::Cancelled))
    }

    /// Hands `callback` to the loop when the promise is done; at once if it is done already. Either
    /// way it runs in a turn to come.
    #[track_caller]
    pub fn add_done_callback(&self, callback: impl FnOnce(&Handle) + 'static) -> DoneCallback {
        self.slot.add_done_callback(callback)
    }

    /// Takes back a callback that was added to this promise. False if the promise was done before, and
    /// the callback has run or will.
    pub fn remove_done_callback(&self, callback: DoneCallback) -> bool {
        self.slot.remove_done_callback(callback)
    }

    /// Waits without taking the value; for callers that then look themselves.
    pub(super) fn done(&self) -> Done<T> {
        Done { promise: self.clone(), waiting: None }
    }
}

impl<T: Clone> Promise<T> {
    /// The value.
    ///
    /// # Errors
    /// [`InvalidState::NotSet`] while it has not been set, or if it was cancelled.
    pub fn get(&self) -> Result<T, InvalidState> {
        self.slot.look(|value| match value {
            Value::Set(value) => Ok(value.clone()),
            _ => Err(InvalidState::NotSet),
        })
    }

    /// Waits until it is set. A promise that is done does not give up control.
    ///
    /// # Errors
    /// [`Cancelled`] if it is cancelled.
    pub async fn wait(&self) -> Result<T, Cancelled> {
        self.done().await;
        self.get().map_err(|_| Cancelled)
    }
}

impl<T> Clone for Promise<T> {
    fn clone(&self) -> Promise<T> {
        Promise { slot: Rc::clone(&self.slot) }
    }
}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.slot.look(|value| match value {
            Value::Pending => "<Promise pending>",
            Value::Set(_) | Value::Taken => "<Promise finished>",
            Value::Cancelled => "<Promise cancelled>",
        }))
    }
}

/// Ready when a promise is done. Dropping it leaves the queue of waiters.
pub(super) struct Done<T> {
    promise: Promise<T>,
    /// Our place among the waiters.
    waiting: Option<Place>,
}

impl<T> Future for Done<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Done { promise, waiting } = &mut *self;
        promise.slot.poll_done(waiting, cx)
    }
}

impl<T> Drop for Done<T> {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting {
            self.promise.slot.leave(waiting);
        }
    }
}
