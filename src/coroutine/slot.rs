//! The place of a value that is not there yet, and those who wait for it. A
//! [`Promise`](super::Promise) is one that is shared; a task has one in what it shares with its
//! handle.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use super::promise::Cancelled;
use crate::event_loop::{Callback, Handle, Task};

pub(super) struct Slot<T> {
    pub(super) handle: Handle,
    state: RefCell<State<T>>,
}

struct State<T> {
    value: Value<T>,
    /// Who is told; empty once the value is settled.
    waiters: Waiters,
    /// Waiters ever.
    sequence: u64,
}

pub(super) enum Value<T> {
    Pending,
    Set(T),
    Cancelled,
    /// It was moved out.
    Taken,
}

/// Who waits, in the order in which they began to. One waiter, the usual number, needs no
/// allocation.
#[derive(Default)]
enum Waiters {
    #[default]
    None,
    One(u64, Waiter),
    Many(VecDeque<(u64, Waiter)>),
}

enum Waiter {
    /// A coroutine that awaits.
    Waker(Waker),
    /// A callback that will be handed to the loop.
    Callback(Box<dyn Task>),
}

impl<T> Slot<T> {
    pub(super) fn new(handle: &Handle) -> Slot<T> {
        let state = State { value: Value::Pending, waiters: Waiters::None, sequence: 0 };
        Slot { handle: handle.clone(), state: RefCell::new(state) }
    }

    /// Sets or cancels the value, and queues all who wait. False if that was done before.
    pub(super) fn settle(&self, value: Value<T>) -> bool {
        if self.is_done() {
            return false;
        }
        let waiters = {
            let mut state = self.state.borrow_mut();
            state.value = value;
            std::mem::take(&mut state.waiters)
        };
        match waiters {
            Waiters::None => {}
            Waiters::One(_, waiter) => self.tell(waiter),
            Waiters::Many(all) => all.into_iter().for_each(|(_, waiter)| self.tell(waiter)),
        }
        true
    }

    fn tell(&self, waiter: Waiter) {
        match waiter {
            Waiter::Waker(waker) => waker.wake(),
            Waiter::Callback(callback) => drop(self.handle.spawn_task(|_| callback)),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        !matches!(self.state.borrow().value, Value::Pending)
    }

    #[track_caller]
    pub(super) fn add_done_callback(&self, callback: impl FnOnce(&Handle) + 'static) {
        let callback = Waiter::Callback(Box::new(Callback::new(callback)));
        if self.is_done() {
            self.tell(callback);
        } else {
            self.state.borrow_mut().wait(callback);
        }
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
    pub(super) fn poll_done(&self, place: &mut Option<u64>, cx: &Context<'_>) -> Poll<()> {
        if self.is_done() {
            *place = None;
            return Poll::Ready(());
        }
        let waker = Waiter::Waker(cx.waker().clone());
        let mut state = self.state.borrow_mut();
        match place.and_then(|id| state.waiters.get_mut(id)) {
            // Polled for another reason: the place stays.
            Some(waiter) => {
                let before = std::mem::replace(waiter, waker);
                // Not under the borrow: wakers are anybody's.
                drop(state);
                drop(before);
            }
            None => *place = Some(state.wait(waker)),
        }
        Poll::Pending
    }

    /// Gives a place up.
    pub(super) fn leave(&self, place: u64) {
        let waiter = self.state.borrow_mut().waiters.remove(place);
        drop(waiter);
    }
}

impl<T> State<T> {
    fn wait(&mut self, waiter: Waiter) -> u64 {
        self.sequence += 1;
        self.waiters.push(self.sequence, waiter);
        self.sequence
    }
}

impl Waiters {
    fn push(&mut self, id: u64, waiter: Waiter) {
        match std::mem::take(self) {
            Waiters::None => *self = Waiters::One(id, waiter),
            Waiters::One(first, one) => {
                *self = Waiters::Many(VecDeque::from([(first, one), (id, waiter)]));
            }
            Waiters::Many(mut all) => {
                all.push_back((id, waiter));
                *self = Waiters::Many(all);
            }
        }
    }

    fn get_mut(&mut self, id: u64) -> Option<&mut Waiter> {
        match self {
            Waiters::One(first, waiter) if *first == id => Some(waiter),
            Waiters::None | Waiters::One(..) => None,
            Waiters::Many(all) => {
                all.iter_mut().find(|waiter| waiter.0 == id).map(|waiter| &mut waiter.1)
            }
        }
    }

    fn remove(&mut self, id: u64) -> Option<Waiter> {
        match self {
            Waiters::None => None,
            Waiters::One(first, _) if *first != id => None,
            Waiters::One(..) => match std::mem::take(self) {
                Waiters::One(_, waiter) => Some(waiter),
                Waiters::None | Waiters::Many(_) => unreachable!("it is one"),
            },
            Waiters::Many(all) => {
                let at = all.iter().position(|waiter| waiter.0 == id)?;
                all.remove(at).map(|(_, waiter)| waiter)
            }
        }
    }
}
