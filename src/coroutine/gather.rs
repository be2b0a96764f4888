//! Many coroutines at once, results in the order of the arguments.
//!
//! As in asyncio, the end of a child is a callback on the loop, and the last callback wakes the awaiter:
//! two turns from the last child's end to the awaiter.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use super::promise::{Done, Promise};
use super::spawn::JoinError;
use super::watched::Watched;
use crate::event_loop::Handle;

impl Handle {
    /// Spawns every coroutine, in order, now; returns the results in the same order when all have
    /// ended. A failure is a value in its place: asyncio's `gather(…, return_exceptions=True)`.
    ///
    /// Dropped while it is awaited, it cancels those that have not ended.
    #[track_caller]
    pub fn gather<F>(&self, coroutines: impl IntoIterator<Item = F>) -> Gather<F::Output>
    where
        F: Future<Output: 'static> + 'static,
    {
        let children = Children::spawn(self, coroutines, |children, _| children.end_if_all_ended());
        Gather { children, done: None }
    }

    /// As [`gather`](Handle::gather), for coroutines that can fail: the first failure, in time, is
    /// the result at once. The others are not cancelled; they run on, and their results are lost.
    /// A panic and a cancellation are failures, too.
    #[track_caller]
    pub fn try_gather<F, T, E>(&self, coroutines: impl IntoIterator<Item = F>) -> TryGather<T, E>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
        E: From<JoinError> + 'static,
    {
        let first_failure = Rc::new(Cell::new(None));
        let failure = Rc::clone(&first_failure);
        let children = Children::spawn(self, coroutines, move |children, index| {
            if let Some(error) = children.failure(index)
                && !children.ended.is_done()
            {
                failure.set(Some(error));
                children.end();
            }
            children.end_if_all_ended();
        });
        TryGather { children, first_failure, done: None }
    }
}

/// Tasks that are awaited together. Those that run on when they are not awaited any more keep nothing of
/// it.
struct Children<T> {
    tasks: RefCell<Watched<T>>,
    /// Children whose end has not been noticed yet.
    left: Cell<usize>,
    /// Set when there is a result.
    ended: Promise<()>,
}

impl<T: 'static> Children<T> {
    /// Calls `then` with each child's place when that child has ended.
    #[track_caller]
    fn spawn<F>(
        handle: &Handle,
        coroutines: impl IntoIterator<Item = F>,
        then: impl Fn(&Children<T>, usize) + 'static,
    ) -> Rc<Children<T>>
    where
        F: Future<Output = T> + 'static,
    {
        // Not `map`: the caller that is tracked would be the closure.
        let coroutines = coroutines.into_iter();
        let mut tasks = Vec::with_capacity(coroutines.size_hint().0);
        for coroutine in coroutines {
            tasks.push(handle.spawn(coroutine));
        }
        let then = Rc::new(then);
        let children = Rc::new_cyclic(|children: &Weak<Children<T>>| {
            let children = Weak::clone(children);
            let tasks = Watched::new(tasks, move |index| {
                let Some(children) = children.upgrade() else { return };
                children.left.set(children.left.get() - 1);
                then(&children, index);
            });
            let left = Cell::new(tasks.running());
            Children { tasks: RefCell::new(tasks), left, ended: handle.promise() }
        });
        children.end_if_all_ended();
        children
    }

    fn end_if_all_ended(&self) {
        if self.left.get() == 0 {
            self.end();
        }
    }

    fn end(&self) {
        // A failure may have ended it before.
        let _ = self.ended.set(());
    }

    fn results(&self) -> Vec<Result<T, JoinError>> {
        let mut tasks = self.tasks.borrow_mut();
        let tasks = tasks.tasks_mut().iter_mut();
        tasks.map(|task| task.take().unwrap_or(Err(JoinError::Cancelled))).collect()
    }

    fn cancel(&self) {
        for task in self.tasks.borrow().tasks() {
            task.cancel();
        }
    }
}

impl<T: 'static, E: From<JoinError> + 'static> Children<Result<T, E>> {
    /// Takes the failure of a child that has ended; leaves a value where it is.
    fn failure(&self, index: usize) -> Option<E> {
        let mut tasks = self.tasks.borrow_mut();
        let task = &mut tasks.tasks_mut()[index];
        if !task.has_failed(Result::is_ok) {
            return None;
        }
        match task.take()? {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error),
            Err(error) => Some(error.into()),
        }
    }
}

/// Awaits `children`; true when they have a result.
fn poll_children<T>(
    children: &Children<T>,
    done: &mut Option<Done<()>>,
    cx: &mut Context<'_>,
) -> bool {
    let waiting = done.get_or_insert_with(|| children.ended.done());
    let is_ready = Pin::new(waiting).poll(cx).is_ready();
    if is_ready {
        *done = None;
    }
    is_ready
}

/// See [`Handle::gather`].
///
/// ```
/// use helloop::coroutine::{self, Gather, JoinError};
///
/// coroutine::run(|handle| async move {
///     let squares: Gather<u32> = handle.gather((1..=3).map(|number| async move {
///         assert!(number != 2, "planted");
///         number * number
///     }));
///     let failed = Err(JoinError::Panicked("planted".to_owned()));
///     assert_eq!(squares.await, [Ok(1), failed, Ok(9)]);
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Gather<T: 'static> {
    children: Rc<Children<T>>,
    /// Set while it is awaited.
    done: Option<Done<()>>,
}

impl<T> Gather<T> {
    /// True when all have ended, and that was noticed.
    pub fn is_done(&self) -> bool {
        self.children.ended.is_done()
    }
}

impl<T> Future for Gather<T> {
    type Output = Vec<Result<T, JoinError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if !poll_children(&this.children, &mut this.done, cx) {
            return Poll::Pending;
        }
        Poll::Ready(this.children.results())
    }
}

impl<T> Drop for Gather<T> {
    fn drop(&mut self) {
        if self.done.take().is_some() {
            self.children.cancel();
        }
    }
}

/// See [`Handle::try_gather`].
///
/// ```
/// use helloop::coroutine::{self, JoinError, TryGather};
///
/// enum Failure {
///     NotANumber,
///     /// A task panicked, or was cancelled.
///     NoValue,
/// }
///
/// impl From<std::num::ParseIntError> for Failure {
///     fn from(_: std::num::ParseIntError) -> Failure {
///         Failure::NotANumber
///     }
/// }
///
/// impl From<JoinError> for Failure {
///     fn from(_: JoinError) -> Failure {
///         Failure::NoValue
///     }
/// }
///
/// coroutine::run(|handle| async move {
///     let words = ["1", "two", "3"];
///     let numbers: TryGather<u32, Failure> =
///         handle.try_gather(words.map(|word| async { Ok(word.parse::<u32>()?) }));
///     assert!(matches!(numbers.await, Err(Failure::NotANumber)));
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TryGather<T: 'static, E: From<JoinError> + 'static> {
    children: Rc<Children<Result<T, E>>>,
    first_failure: Rc<Cell<Option<E>>>,
    /// Set while it is awaited.
    done: Option<Done<()>>,
}

impl<T, E: From<JoinError>> Future for TryGather<T, E> {
    type Output = Result<Vec<T>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if !poll_children(&this.children, &mut this.done, cx) {
            return Poll::Pending;
        }
        if let Some(error) = this.first_failure.take() {
            return Poll::Ready(Err(error));
        }
        let results = this.children.results().into_iter();
        Poll::Ready(
            results.map(|result| result.unwrap_or_else(|error| Err(error.into()))).collect(),
        )
    }
}

impl<T, E: From<JoinError>> Drop for TryGather<T, E> {
    fn drop(&mut self) {
        if self.done.take().is_some() {
            self.children.cancel();
        }
    }
}

impl<T> fmt::Debug for Gather<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather").field("left", &self.children.left.get()).finish_non_exhaustive()
    }
}

impl<T, E: From<JoinError>> fmt::Debug for TryGather<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryGather").field("left", &self.children.left.get()).finish_non_exhaustive()
    }
}
