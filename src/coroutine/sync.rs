//! A semaphore and an event. Waiters are served first come, first served.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use super::promise::Promise;
use crate::event_loop::Handle;

/// So many at a time. A released permit goes to the oldest waiter, so that nobody can overtake.
/// Clones are the same semaphore.
#[derive(Clone)]
pub struct Semaphore {
    inner: Rc<Permits>,
}

struct Permits {
    handle: Handle,
    /// Permits at the beginning.
    bound: usize,
    /// Permits that nobody has and nobody was handed.
    free: Cell<usize>,
    /// Who waits, oldest first; each is set when it is handed a permit.
    waiters: RefCell<VecDeque<Promise<()>>>,
}

impl Permits {
    fn release(&self) {
        let oldest = self.waiters.borrow_mut().pop_front();
        match oldest {
            Some(waiter) => waiter.set(()).expect("a waiter in the queue has nothing"),
            None => self.free.set(self.free.get() + 1),
        }
    }
}

impl Semaphore {
    /// A semaphore with so many permits.
    pub fn new(handle: &Handle, permits: usize) -> Semaphore {
        let (free, waiters) = (Cell::new(permits), RefCell::default());
        let inner = Permits { handle: handle.clone(), bound: permits, free, waiters };
        Semaphore { inner: Rc::new(inner) }
    }

    /// Waits for a permit, which goes back when it is dropped.
    pub async fn acquire(&self) -> Permit {
        if !self.is_locked() {
            self.inner.free.set(self.inner.free.get() - 1);
            return Permit { permits: Rc::clone(&self.inner) };
        }
        let turn = self.inner.handle.promise();
        self.inner.waiters.borrow_mut().push_back(turn.clone());
        let waiting = Waiting { permits: &self.inner, turn };
        waiting.turn.done().await;
        std::mem::forget(waiting);
        Permit { permits: Rc::clone(&self.inner) }
    }

    /// True if an acquire would wait: no permit is free, or others wait already.
    pub fn is_locked(&self) -> bool {
        self.inner.free.get() == 0 || !self.inner.waiters.borrow().is_empty()
    }

    /// Permits that nobody has.
    pub fn available(&self) -> usize {
        self.inner.free.get()
    }

    /// One permit more, also above the number at the beginning.
    pub fn release(&self) {
        self.inner.release();
    }

    /// One permit more, but never above the number at the beginning: asyncio's `BoundedSemaphore`.
    ///
    /// # Errors
    /// [`ReleasedTooOften`] if all permits are free; nothing has changed then.
    pub fn release_bounded(&self) -> Result<(), ReleasedTooOften> {
        if self.inner.free.get() >= self.inner.bound {
            return Err(ReleasedTooOften);
        }
        self.inner.release();
        Ok(())
    }
}

/// A permit was given back that nobody had taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleasedTooOften;

impl fmt::Display for ReleasedTooOften {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("semaphore released too many times")
    }
}

impl std::error::Error for ReleasedTooOften {}

/// A place in the queue that is given up when its coroutine is cancelled; a permit that it was handed
/// meanwhile goes on to the next.
struct Waiting<'a> {
    permits: &'a Permits,
    turn: Promise<()>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.turn.is_done() {
            return self.permits.release();
        }
        self.turn.cancel();
        self.permits.waiters.borrow_mut().retain(|waiter| !waiter.is_cancelled());
    }
}

/// The right to be inside; goes back when it is dropped.
#[must_use = "a permit that is dropped at once protects nothing"]
pub struct Permit {
    permits: Rc<Permits>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.permits.release();
    }
}

/// Something that has happened or not. Clones are the same event.
#[derive(Clone)]
pub struct Event {
    inner: Rc<RefCell<Promise<()>>>,
    handle: Handle,
}

impl Event {
    /// An event that has not happened.
    pub fn new(handle: &Handle) -> Event {
        Event { inner: Rc::new(RefCell::new(handle.promise())), handle: handle.clone() }
    }

    /// It has happened: all who wait are queued, in the order in which they began to wait.
    pub fn set(&self) {
        // It may have happened before.
        let _ = self.inner.borrow().set(());
    }

    /// It has not happened, from now on.
    pub fn clear(&self) {
        if self.is_set() {
            let fresh = self.handle.promise();
            self.inner.replace(fresh);
        }
    }

    /// True if it has happened.
    pub fn is_set(&self) -> bool {
        self.inner.borrow().is_done()
    }

    /// Waits until it has happened.
    pub async fn wait(&self) {
        let present = self.inner.borrow().clone();
        present.done().await;
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.inner.waiters.borrow().len();
        f.debug_struct("Semaphore")
            .field("free", &self.inner.free.get())
            .field("waiting", &waiting)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("set", &self.is_set()).finish_non_exhaustive()
    }
}
