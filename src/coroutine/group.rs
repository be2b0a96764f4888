//! Tasks that live and die together.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use super::promise::Promise;
use super::spawn::{JoinError, JoinHandle, Member};
use crate::event_loop::Handle;

/// What went wrong in a group: at least one failure, in the order in which they were noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupError<E> {
    /// Failures of the tasks and of the body. Cancelled siblings are none.
    pub failures: Vec<E>,
}

impl<E: fmt::Display> fmt::Display for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failures in a task group")?;
        let mut separator = ": ";
        for failure in &self.failures {
            write!(f, "{separator}{failure}")?;
            separator = "; ";
        }
        Ok(())
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for GroupError<E> {}

/// Tasks of one group. Given to the body of [`Handle::task_group`]; clones are the same group.
///
/// ```
/// use helloop::coroutine::{self, GroupError, JoinError, TaskGroup};
/// use std::future::pending;
///
/// coroutine::run(|handle| async move {
///     let failed = handle
///         .task_group(async |group: &TaskGroup<JoinError>| {
///             group.spawn(async { Ok(pending::<()>().await) });
///             group.spawn(async { Err::<(), _>(JoinError::Panicked("planted".to_owned())) });
///             Ok(())
///         })
///         .await;
///     // The first failure has cancelled the other task.
///     let failures = vec![JoinError::Panicked("planted".to_owned())];
///     assert_eq!(failed, Err(GroupError { failures }));
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TaskGroup<E> {
    inner: Rc<Inner<E>>,
}

struct Inner<E> {
    handle: Handle,
    /// The tasks that were spawned; some may have ended.
    tasks: RefCell<Vec<Rc<dyn Member>>>,
    /// Tasks whose end has not been noticed yet.
    left: Cell<usize>,
    failures: RefCell<Vec<E>>,
    /// Set at the first failure.
    failed: Promise<()>,
    /// Set whenever the last task's end was noticed, then replaced.
    emptied: RefCell<Promise<()>>,
}

impl Handle {
    /// Runs `body`, which may spawn tasks in its group, and waits for all of them, those included
    /// that were spawned late. The first failure cancels the siblings and the body.
    ///
    /// # Errors
    /// All failures, when all tasks have ended.
    pub async fn task_group<R, E: From<JoinError> + 'static>(
        &self,
        body: impl AsyncFnOnce(&TaskGroup<E>) -> Result<R, E>,
    ) -> Result<R, GroupError<E>> {
        let group = TaskGroup::new(self);
        // Cancelled as a whole, it takes its tasks along.
        let _abort = AbortOnDrop(&group.inner);
        let result = group.run_body(body(&group)).await;
        let value = match result {
            Some(Ok(value)) => Some(value),
            Some(Err(failure)) => {
                group.inner.fail(failure);
                None
            }
            None => None,
        };
        while group.inner.left.get() > 0 {
            let emptied = group.inner.emptied.borrow().clone();
            emptied.done().await;
        }
        let failures = group.inner.failures.take();
        match value {
            Some(value) if failures.is_empty() => Ok(value),
            _ => Err(GroupError { failures }),
        }
    }
}

impl<E: From<JoinError> + 'static> TaskGroup<E> {
    fn new(handle: &Handle) -> TaskGroup<E> {
        let inner = Inner {
            handle: handle.clone(),
            tasks: RefCell::default(),
            left: Cell::new(0),
            failures: RefCell::default(),
            failed: handle.promise(),
            emptied: RefCell::new(handle.promise()),
        };
        TaskGroup { inner: Rc::new(inner) }
    }

    /// Spawns a task in the group. Its failure is the group's; its handle returns `None` then.
    #[track_caller]
    pub fn spawn<T: 'static>(
        &self,
        future: impl Future<Output = Result<T, E>> + 'static,
    ) -> JoinHandle<Option<T>> {
        let failure = Rc::new(Cell::new(None));
        let fails = Rc::clone(&failure);
        let task = self.inner.handle.spawn(async move {
            let result = future.await;
            result.map_err(|error| fails.set(Some(error))).ok()
        });
        self.inner.adopt(&task, failure);
        task
    }

    /// `None` if a failure of a task came first; the body is dropped then.
    async fn run_body<R>(&self, body: impl Future<Output = R>) -> Option<R> {
        let mut body = pin!(body);
        let mut failed = self.inner.failed.done();
        poll_fn(|cx| {
            if Pin::new(&mut failed).poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            body.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

/// Ended tasks that a group remembers, at most as many as running ones and so many more.
const ENDED_KEPT: usize = 16;

impl<E: From<JoinError> + 'static> Inner<E> {
    fn adopt<T: 'static>(self: &Rc<Self>, task: &JoinHandle<T>, failure: Rc<Cell<Option<E>>>) {
        self.left.set(self.left.get() + 1);
        let (inner, member) = (Rc::clone(self), task.member());
        self.tasks.borrow_mut().push(Rc::clone(&member));
        task.add_done_callback(move |_| {
            let panicked = || member.panic().map(|words| JoinError::Panicked(words).into());
            if let Some(failure) = failure.take().or_else(panicked) {
                inner.fail(failure);
            }
            inner.task_ended();
        });
    }

    fn fail(&self, failure: E) {
        self.failures.borrow_mut().push(failure);
        if !self.failed.is_done() {
            self.cancel_tasks();
            self.failed.set(()).expect("it was not done, and nothing ran since");
        }
    }

    fn cancel_tasks(&self) {
        for task in self.tasks.borrow().iter() {
            task.cancel();
        }
    }

    fn task_ended(&self) {
        self.left.set(self.left.get() - 1);
        let mut tasks = self.tasks.borrow_mut();
        if tasks.len() > 2 * self.left.get() + ENDED_KEPT {
            tasks.retain(|task| !task.is_finished());
        }
        if self.left.get() == 0 {
            let emptied = self.emptied.replace(self.handle.promise());
            emptied.set(()).expect("it is set once, and replaced then");
        }
    }
}

/// Cancels the tasks of a group whose owner is cancelled.
struct AbortOnDrop<'a, E: From<JoinError> + 'static>(&'a Inner<E>);

impl<E: From<JoinError>> Drop for AbortOnDrop<'_, E> {
    fn drop(&mut self) {
        // Those that have ended do not care.
        self.0.cancel_tasks();
    }
}

impl<E> Clone for TaskGroup<E> {
    fn clone(&self) -> TaskGroup<E> {
        TaskGroup { inner: Rc::clone(&self.inner) }
    }
}

impl<E> fmt::Debug for TaskGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup").field("left", &self.inner.left.get()).finish_non_exhaustive()
    }
}
