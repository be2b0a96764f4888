//! Waiting for some of many tasks.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use super::queue::Queue;
use super::spawn::{JoinError, JoinHandle};
use super::watched::Watched;
use crate::event_loop::Handle;

/// When [`Handle::wait`] has waited enough.
///
/// ```
/// use helloop::coroutine::{self, ReturnWhen};
/// use std::time::Duration;
///
/// coroutine::run(|handle| async move {
///     let pauses = [30_000, 1].map(Duration::from_millis);
///     let tasks = pauses.map(|pause| handle.spawn(handle.sleep(pause))).into();
///     let (ended, running) = handle.wait(tasks, ReturnWhen::FirstCompleted, None).await;
///     assert_eq!((ended.len(), running.len()), (1, 1));
///     running.iter().for_each(|task| drop(task.cancel()));
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnWhen {
    /// One task has ended.
    FirstCompleted,
    /// All tasks have ended.
    AllCompleted,
}

impl Handle {
    /// Waits until the first or all of `tasks` have ended, or `timeout` is over (which is no error).
    /// Returns those that have ended, and those that have not; cancels nothing, and leaves nothing with
    /// those that run on.
    pub async fn wait<T: 'static>(
        &self,
        tasks: Vec<JoinHandle<T>>,
        when: ReturnWhen,
        timeout: Option<Duration>,
    ) -> (Vec<JoinHandle<T>>, Vec<JoinHandle<T>>) {
        let running = tasks.iter().filter(|task| !task.is_finished()).count();
        let ended = tasks.len() - running;
        let left = match when {
            ReturnWhen::FirstCompleted => usize::from(ended == 0 && running > 0),
            ReturnWhen::AllCompleted => running,
        };
        if left == 0 {
            return tasks.into_iter().partition(JoinHandle::is_finished);
        }
        let enough = self.promise();
        let (left, set) = (Rc::new(Cell::new(left)), enough.clone());
        let tasks = Watched::new(tasks, move |_| {
            left.set(left.get().saturating_sub(1));
            if left.get() == 0 {
                // Later ends change nothing.
                let _ = set.set(());
            }
        });
        match timeout {
            None => drop(enough.wait().await),
            Some(timeout) => drop(self.timeout(timeout, enough.wait()).await),
        }
        tasks.into_tasks().into_iter().partition(JoinHandle::is_finished)
    }
}

/// Spawns every coroutine, in order, now; [`AsCompleted::next`] returns the results in the order in
/// which they come.
#[track_caller]
pub fn as_completed<F>(
    handle: &Handle,
    coroutines: impl IntoIterator<Item = F>,
) -> AsCompleted<F::Output>
where
    F: Future + 'static,
{
    let mut tasks = Vec::new();
    let ended = Queue::new(handle, usize::MAX);
    for coroutine in coroutines {
        tasks.push(handle.spawn(coroutine));
    }
    let queue = ended.clone();
    let tasks = Watched::new(tasks, move |index| {
        queue.put_nowait(index).expect("the queue has no bound");
    });
    AsCompleted { left: tasks.running(), tasks, ended }
}

/// See [`as_completed`].
///
/// ```
/// use helloop::coroutine::{self, AsCompleted, as_completed};
/// use std::time::Duration;
///
/// coroutine::run(|handle| async move {
///     let clock = handle.clone();
///     let naps = [3, 1].map(|millis| {
///         let nap = clock.sleep(Duration::from_millis(millis));
///         async move {
///             nap.await;
///             millis
///         }
///     });
///     let mut naps: AsCompleted<u64> = as_completed(&handle, naps);
///     assert_eq!(naps.next().await, Some(Ok(1)));
///     assert_eq!(naps.next().await, Some(Ok(3)));
///     assert_eq!(naps.next().await, None);
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct AsCompleted<T> {
    tasks: Watched<T>,
    /// The places of those that have ended.
    ended: Queue<usize>,
    /// Results to come.
    left: usize,
}

impl<T> AsCompleted<T> {
    /// The next result; `None` after the last.
    pub async fn next(&mut self) -> Option<Result<T, JoinError>> {
        if self.left == 0 {
            return None;
        }
        let index = self.ended.get().await;
        self.left -= 1;
        self.tasks.tasks_mut()[index].take()
    }
}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("left", &self.left).finish_non_exhaustive()
    }
}
