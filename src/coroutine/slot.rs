//! The place of a value that is not there yet, and the tasks that wait for it. A
//! [`Promise`](super::Promise) is one that is shared; a task has one in what it shares with its
//! handle.

use std::cell::RefCell;
use std::fmt;
use std::task::{Context, Poll};

use super::callback::Callback;
use super::line::{Line, Place};
use super::waker::Waiting;
use crate::event_loop::{Handle, Task};

pub(super) struct Slot<T> {
    pub(super) handle: Handle,
    state: RefCell<State<T>>,
}

struct State<T> {
    value: Value<T>,
    /// What is called; empty once the value is settled.
    waiters: Line<Waiter>,
}

pub(super) enum Value<T> {
    Pending,
    Set(T),
    Cancelled,
    /// It was moved out.
    Taken,
}

/// The promise was cancelled: it will not be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cancelled")
    }
}

impl std::error::Error for Cancelled {}

/// A callback that waits for the end of a task or for a promise, for taking it back. Dropping this
/// changes nothing.
#[derive(Clone, Copy, Debug)]
pub struct DoneCallback {
    /// `None` if it was handed to the loop at once.
    place: Option<Place>,
}

enum Waiter {
    Coroutine(Waiting),
    /// A callback that will be handed to the loop.
    Callback(Box<dyn Task>),
}

impl<T> Slot<T> {
    pub(super) fn new(handle: &Handle) -> Slot<T> {
        let state = State { value: Value::Pending, waiters: Line::new() };
        Slot { handle: handle.clone(), state: RefCell::new(state) }
    }

    /// Sets or cancels the value, and queues all that wait. False if that was done before.
    pub(super) fn settle(&self, value: Value<T>) -> bool {
        if self.is_done() {
            return false;
        }
        let waiters = {
            let mut state = self.state.borrow_mut();
            state.value = value;
            state.waiters.call_all()
        };
        waiters.for_each(|waiter| self.tell(waiter));
        true
    }

    fn tell(&self, waiter: Waiter) {
        match waiter {
            Waiter::Coroutine(waiting) => waiting.wake(&self.handle),
            Waiter::Callback(callback) => drop(self.handle.spawn_task(|_| callback)),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        !matches!(self.state.borrow().value, Value::Pending)
    }

    #[track_caller]
    pub(super) fn add_done_callback(
        &self,
        callback: impl FnOnce(&Handle) + 'static,
    ) -> DoneCallback {
        let callback = Waiter::Callback(Box::new(Callback::new(callback)));
        if self.is_done() {
            self.tell(callback);
            return DoneCallback { place: None };
        }
        DoneCallback { place: Some(self.state.borrow_mut().waiters.join(callback)) }
    }

    /// False if it was handed to the loop, or taken back before.
    pub(super) fn remove_done_callback(&self, callback: DoneCallback) -> bool {
        callback.place.is_some_and(|place| self.leave(place))
    }

    /// Moves the value out; `None` if there is none. Afterwards the slot counts as settled.
    pub(super) fn take(&self) -> Option<Result<T, Cancelled>> {
        let mut state = self.state.borrow_mut();
        match std::mem::replace(&mut state.value, Value::Taken) {
            Value::Set(value) => Some(Ok(value)),
            Value::Cancelled => Some(Err(Cancelled)),
            other => {
                state.value = other;
                None
            }
        }
    }

    /// Shows the value, in whatever state it is.
    pub(super) fn look<R>(&self, show: impl FnOnce(&Value<T>) -> R) -> R {
        show(&self.state.borrow().value)
    }

    /// Waits until the value is settled. `place` is that of the caller among the waiters: `None` at
    /// first and when this is ready.
    pub(super) fn poll_done(&self, place: &mut Option<Place>, cx: &Context<'_>) -> Poll<()> {
        if self.is_done() {
            *place = None;
            return Poll::Ready(());
        }
        let waiter = Waiter::Coroutine(Waiting::of(&self.handle, cx));
        let mut state = self.state.borrow_mut();
        match place.and_then(|place| state.waiters.get_mut(place)) {
            // Polled for another reason: the place stays.
            Some(present) => {
                let before = std::mem::replace(present, waiter);
                // Not under the borrow: a waker may be foreign code.
                drop(state);
                drop(before);
            }
            None => *place = Some(state.waiters.join(waiter)),
        }
        Poll::Pending
    }

    /// Gives a place up. False if it was empty already.
    pub(super) fn leave(&self, place: Place) -> bool {
        let waiter = self.state.borrow_mut().waiters.leave(place);
        // Not under the borrow: what it holds may be foreign code.
        waiter.is_some()
    }
}
