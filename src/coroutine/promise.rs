//! A value that is not there yet: asyncio's class `Future`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::event_loop::{Callback, Handle, Task};

/// A value that somebody will set, once, and that others await. Clones are the same promise.
///
/// Setting runs nothing: those who wait are queued, in the order in which they began to wait.
pub struct Promise<T> {
    shared: Rc<Shared<T>>,
}

struct Shared<T> {
    handle: Handle,
    state: RefCell<State<T>>,
}

struct State<T> {
    value: Value<T>,
    /// Who is told; empty once the promise is done.
    waiters: Waiters,
    /// Waiters ever.
    sequence: u64,
}

/// In the order in which they began to wait. As a rule there is one, who needs no allocation.
#[derive(Default)]
struct Waiters {
    /// `None` when there are none.
    first: Option<(u64, Waiter)>,
    others: VecDeque<(u64, Waiter)>,
}

impl Waiters {
    fn push(&mut self, waiter: (u64, Waiter)) {
        match self.first {
            None => self.first = Some(waiter),
            Some(_) => self.others.push_back(waiter),
        }
    }

    fn get_mut(&mut self, id: u64) -> Option<&mut Waiter> {
        let mut all = self.first.iter_mut().chain(&mut self.others);
        all.find(|waiter| waiter.0 == id).map(|waiter| &mut waiter.1)
    }

    fn remove(&mut self, id: u64) {
        if self.first.as_ref().is_some_and(|first| first.0 == id) {
            self.first = self.others.pop_front();
        } else {
            self.others.retain(|waiter| waiter.0 != id);
        }
    }

    fn into_iter(self) -> impl Iterator<Item = Waiter> {
        self.first.into_iter().chain(self.others).map(|(_, waiter)| waiter)
    }
}

enum Value<T> {
    Pending,
    Set(T),
    Cancelled,
    /// It was moved out.
    Taken,
}

enum Waiter {
    /// A coroutine that awaits.
    Waker(Waker),
    /// A callback that will be handed to the loop.
    Callback(Box<dyn Task>),
}

/// The promise was cancelled: nobody will set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cancelled")
    }
}

impl std::error::Error for Cancelled {}

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
        let state = State { value: Value::Pending, waiters: Waiters::default(), sequence: 0 };
        Promise { shared: Rc::new(Shared { handle: self.clone(), state: RefCell::new(state) }) }
    }
}

impl<T> Promise<T> {
    /// Sets the value, and queues all who wait.
    ///
    /// # Errors
    /// [`InvalidState::Done`] if it was set or cancelled before; `value` is dropped.
    pub fn set(&self, value: T) -> Result<(), InvalidState> {
        if self.settle(Value::Set(value)) { Ok(()) } else { Err(InvalidState::Done) }
    }

    /// Cancels it, and queues all who wait. False if it was set or cancelled before.
    pub fn cancel(&self) -> bool {
        self.settle(Value::Cancelled)
    }

    /// True once it was set or cancelled.
    pub fn is_done(&self) -> bool {
        !matches!(self.shared.state.borrow().value, Value::Pending)
    }

    /// True once it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.shared.state.borrow().value, Value::Cancelled)
    }

    /// Hands `callback` to the loop when the promise is done; at once if it is done already. Either
    /// way it runs in a turn to come.
    #[track_caller]
    pub fn add_done_callback(&self, callback: impl FnOnce(&Handle) + 'static) {
        let callback = Box::new(Callback::new(callback));
        if self.is_done() {
            self.shared.handle.spawn_task(|_| callback);
        } else {
            self.shared.state.borrow_mut().wait(Waiter::Callback(callback));
        }
    }

    /// Moves the value out; `None` if there is none. Afterwards the promise counts as done.
    pub(super) fn take(&self) -> Option<Result<T, Cancelled>> {
        let mut state = self.shared.state.borrow_mut();
        match std::mem::replace(&mut state.value, Value::Taken) {
            Value::Set(value) => Some(Ok(value)),
            Value::Cancelled => Some(Err(Cancelled)),
            other => {
                state.value = other;
                None
            }
        }
    }

    /// Shows the value, where it is there.
    pub(super) fn look<R>(&self, show: impl FnOnce(Option<&T>) -> R) -> R {
        match &self.shared.state.borrow().value {
            Value::Set(value) => show(Some(value)),
            _ => show(None),
        }
    }

    /// Waits without a value; used by those who then look for themselves.
    pub(super) fn done(&self) -> Done<T> {
        Done { promise: self.clone(), waiting: None }
    }

    fn settle(&self, value: Value<T>) -> bool {
        if self.is_done() {
            return false;
        }
        let waiters = {
            let mut state = self.shared.state.borrow_mut();
            state.value = value;
            std::mem::take(&mut state.waiters)
        };
        for waiter in waiters.into_iter() {
            match waiter {
                Waiter::Waker(waker) => waker.wake(),
                Waiter::Callback(callback) => drop(self.shared.handle.spawn_task(|_| callback)),
            }
        }
        true
    }
}

impl<T: Clone> Promise<T> {
    /// The value.
    ///
    /// # Errors
    /// [`InvalidState::NotSet`] while nobody has set it, or if it was cancelled.
    pub fn get(&self) -> Result<T, InvalidState> {
        match &self.shared.state.borrow().value {
            Value::Set(value) => Ok(value.clone()),
            _ => Err(InvalidState::NotSet),
        }
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

impl<T> State<T> {
    fn wait(&mut self, waiter: Waiter) -> u64 {
        self.sequence += 1;
        self.waiters.push((self.sequence, waiter));
        self.sequence
    }
}

impl<T> Clone for Promise<T> {
    fn clone(&self) -> Promise<T> {
        Promise { shared: Rc::clone(&self.shared) }
    }
}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.shared.state.borrow().value {
            Value::Pending => "<Promise pending>",
            Value::Set(_) | Value::Taken => "<Promise finished>",
            Value::Cancelled => "<Promise cancelled>",
        })
    }
}

/// Ready when a promise is done. Dropping it leaves the queue of waiters.
pub(super) struct Done<T> {
    promise: Promise<T>,
    /// Our place among the waiters.
    waiting: Option<u64>,
}

impl<T> Future for Done<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.promise.is_done() {
            self.waiting = None;
            return Poll::Ready(());
        }
        let waker = Waiter::Waker(cx.waker().clone());
        let mut state = self.promise.shared.state.borrow_mut();
        match self.waiting.and_then(|id| state.waiters.get_mut(id)) {
            // Polled for another reason: the place in the queue stays.
            Some(place) => *place = waker,
            None => {
                let waiting = Some(state.wait(waker));
                drop(state);
                self.waiting = waiting;
            }
        }
        Poll::Pending
    }
}

impl<T> Drop for Done<T> {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting {
            self.promise.shared.state.borrow_mut().waiters.remove(waiting);
        }
    }
}
