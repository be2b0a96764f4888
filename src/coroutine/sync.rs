//! A semaphore and an event. Waiters are served first come, first served.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use super::budget::Share;
use super::line::Called;
use super::promise::Promise;
use crate::event_loop::Handle;

/// So many at a time. A released permit goes to the oldest waiter, so none can overtake it.
/// Clones are the same semaphore.
///
/// ```
/// use helloop::coroutine::{self, Permit, ReleasedTooOften, Semaphore};
///
/// coroutine::run(|handle| async move {
///     let places = Semaphore::new(&handle, 2);
///     let guest = |places: Semaphore| async move {
///         let _place: Permit = places.acquire().await;
///         assert!(places.available() < 2);
///     };
///     let guests = (0..10).map(|_| guest(places.clone()));
///     assert!(handle.gather(guests).await.iter().all(Result::is_ok));
///     assert_eq!(places.release_bounded(), Err(ReleasedTooOften));
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Semaphore {
    inner: Rc<Permits>,
}

struct Permits {
    /// Permits at the beginning.
    bound: usize,
    /// Permits that are free, and have not been handed to a waiter either.
    free: Cell<usize>,
    /// Those that wait. A call hands a permit over.
    waiters: Called,
    /// Of acquires that need not wait.
    acquires: Share,
}

impl Permits {
    fn release(&self) {
        if !self.waiters.call() {
            self.free.set(self.free.get() + 1);
        }
    }
}

impl Semaphore {
    /// A semaphore with so many permits.
    pub fn new(handle: &Handle, permits: usize) -> Semaphore {
        let (free, waiters) = (Cell::new(permits), Called::new());
        let inner = Permits { bound: permits, free, waiters, acquires: Share::new(handle) };
        Semaphore { inner: Rc::new(inner) }
    }

    /// Waits for a permit, which goes back when it is dropped. A task that need not wait for
    /// [`OPERATIONS_PER_RESUME_MAX`](crate::limits::OPERATIONS_PER_RESUME_MAX) of them leaves a turn to
    /// the others.
    pub async fn acquire(&self) -> Permit {
        self.inner.acquires.take().await;
        if self.is_locked() {
            // A permit that was handed to a task which is cancelled meanwhile goes on to the next.
            self.inner.waiters.wait(|| self.inner.release()).await;
        } else {
            self.inner.free.set(self.inner.free.get() - 1);
        }
        Permit { permits: Rc::clone(&self.inner) }
    }

    /// True if an acquire would wait: no permit is free, or others wait already.
    pub fn is_locked(&self) -> bool {
        self.inner.free.get() == 0 || self.inner.waiters.len() > 0
    }

    /// Free permits.
    pub fn available(&self) -> usize {
        self.inner.free.get()
    }

    /// One permit more, even above the number at the beginning.
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

/// A permit was given back that had not been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleasedTooOften;

impl fmt::Display for ReleasedTooOften {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("semaphore released too many times")
    }
}

impl std::error::Error for ReleasedTooOften {}

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
    /// Of waits for what has happened.
    waits: Rc<Share>,
}

impl Event {
    /// An event that has not happened.
    pub fn new(handle: &Handle) -> Event {
        let (inner, waits) = (RefCell::new(handle.promise()), Share::new(handle));
        Event { inner: Rc::new(inner), handle: handle.clone(), waits: Rc::new(waits) }
    }

    /// It has happened: all that wait are queued, in the order in which they began to wait.
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

    /// Waits until it has happened. A task for which it had happened without waiting,
    /// [`OPERATIONS_PER_RESUME_MAX`](crate::limits::OPERATIONS_PER_RESUME_MAX) times in a row, leaves a turn
    /// to the others.
    pub async fn wait(&self) {
        self.waits.take().await;
        let present = self.inner.borrow().clone();
        present.done().await;
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("free", &self.inner.free.get())
            .field("waiting", &self.inner.waiters.len())
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
