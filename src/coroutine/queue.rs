//! A bounded queue between coroutines.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use super::budget::Share;
use super::line::Called;
use super::sync::Event;
use crate::event_loop::Handle;

/// A queue: `put` waits while it is full, and `get` while it is empty; both are served first come, first
/// served. Clones are the same queue.
///
/// A task that finds [`OPERATIONS_PER_RESUME_MAX`](crate::limits::OPERATIONS_PER_RESUME_MAX) items, or as
/// much room, without waiting once leaves a turn to the others.
///
/// ```
/// use helloop::coroutine::{self, Full, Queue};
///
/// coroutine::run(|handle| async move {
///     let orders = Queue::new(&handle, 1);
///     let cook = handle.spawn({
///         let orders = orders.clone();
///         async move { [orders.get().await, orders.get().await] }
///     });
///     orders.put("soup").await;
///     assert_eq!(orders.put_nowait("tea"), Err(Full("tea")));
///     orders.put("bread").await;
///     assert_eq!(cook.await, Ok(["soup", "bread"]));
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Queue<T> {
    inner: Rc<Inner<T>>,
}

struct Inner<T> {
    state: RefCell<State<T>>,
    /// Of puts and of gets that need not wait.
    puts: Share,
    gets: Share,
    /// Those that wait for an item. A call says that there is one.
    getters: Called,
    /// Those that wait for room. A call says that there is some.
    putters: Called,
    /// Set while everything that was put was also done.
    all_done: Event,
}

struct State<T> {
    items: VecDeque<T>,
    /// `items` is never longer.
    bound: usize,
    /// Items that were put and not reported as done.
    unfinished: usize,
}

/// The queue is full; this is the item that was to be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is full")
    }
}

impl<T: fmt::Debug> std::error::Error for Full<T> {}

impl<T> Queue<T> {
    /// A queue for at most `bound` items.
    ///
    /// # Panics
    /// If `bound` is zero: nothing could ever be put.
    pub fn new(handle: &Handle, bound: usize) -> Queue<T> {
        assert!(bound > 0, "a queue has room for at least one item");
        let state = State { items: VecDeque::new(), bound, unfinished: 0 };
        let (state, getters, putters) = (RefCell::new(state), Called::new(), Called::new());
        let all_done = Event::new(handle);
        all_done.set();
        let (puts, gets) = (Share::new(handle), Share::new(handle));
        let inner = Inner { state, puts, gets, getters, putters, all_done };
        Queue { inner: Rc::new(inner) }
    }

    /// Puts an item; waits while the queue is full.
    pub async fn put(&self, item: T) {
        let mut item = item;
        self.inner.puts.take().await;
        while let Err(Full(back)) = self.put_nowait(item) {
            item = back;
            self.wait_in(&self.inner.putters).await;
        }
    }

    /// Puts an item at once.
    ///
    /// # Errors
    /// [`Full`], with the item.
    pub fn put_nowait(&self, item: T) -> Result<(), Full<T>> {
        let mut state = self.inner.state.borrow_mut();
        if state.items.len() >= state.bound {
            return Err(Full(item));
        }
        state.items.push_back(item);
        state.unfinished += 1;
        drop(state);
        self.inner.all_done.clear();
        self.inner.getters.call();
        Ok(())
    }

    /// Takes the oldest item; waits while there is none.
    pub async fn get(&self) -> T {
        self.inner.gets.take().await;
        loop {
            if let Some(item) = self.get_nowait() {
                return item;
            }
            self.wait_in(&self.inner.getters).await;
        }
    }

    /// Takes the oldest item, if there is one.
    pub fn get_nowait(&self) -> Option<T> {
        let item = self.inner.state.borrow_mut().items.pop_front()?;
        self.inner.putters.call();
        Some(item)
    }

    /// Says that the work on an item that was taken is done.
    ///
    /// # Panics
    /// If it is said more often than items were put.
    pub fn task_done(&self) {
        let mut state = self.inner.state.borrow_mut();
        assert!(state.unfinished > 0, "task_done() called too many times");
        state.unfinished -= 1;
        if state.unfinished == 0 {
            self.inner.all_done.set();
        }
    }

    /// Waits until the work on every item that was put is done.
    pub async fn join(&self) {
        self.inner.all_done.wait().await;
    }

    /// Items in the queue.
    pub fn len(&self) -> usize {
        self.inner.state.borrow().items.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    async fn wait_in(&self, line: &Called) {
        // If the task that is called is cancelled before it looks, the next one looks instead.
        let pass_on = || {
            line.call();
        };
        line.wait(pass_on).await;
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Queue<T> {
        Queue { inner: Rc::clone(&self.inner) }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("len", &self.len()).finish_non_exhaustive()
    }
}
