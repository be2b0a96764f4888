//! Waiting for some of many tasks.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use super::queue::Queue;
use super::spawn::{JoinError, JoinHandle};
use crate::event_loop::Handle;

/// When [`Handle::wait`] has waited enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnWhen {
    /// One task has ended.
    FirstCompleted,
    /// All tasks have ended.
    AllCompleted,
}

impl Handle {
    /// Waits until the first or all of `tasks` have ended, or `timeout` is over (which is no error).
    /// Gives those that have ended, and those that have not; cancels nothing.
    pub async fn wait<T: 'static>(
        &self,
        tasks: Vec<JoinHandle<T>>,
        when: ReturnWhen,
        timeout: Option<Duration>,
    ) -> (Vec<JoinHandle<T>>, Vec<JoinHandle<T>>) {
        let enough = self.promise();
        let running = tasks.iter().filter(|task| !task.is_finished()).count();
        let ended = tasks.len() - running;
        let left = match when {
            ReturnWhen::FirstCompleted => usize::from(ended == 0 && running > 0),
            ReturnWhen::AllCompleted => running,
        };
        if left > 0 {
            let left = Rc::new(Cell::new(left));
            for task in tasks.iter().filter(|task| !task.is_finished()) {
                let (enough, left) = (enough.clone(), Rc::clone(&left));
                task.add_done_callback(move |_| {
                    left.set(left.get().saturating_sub(1));
                    if left.get() == 0 {
                        // Later ends change nothing.
                        let _ = enough.set(());
                    }
                });
            }
            match timeout {
                None => drop(enough.wait().await),
                Some(timeout) => drop(self.timeout(timeout, enough.wait()).await),
            }
        }
        tasks.into_iter().partition(JoinHandle::is_finished)
    }
}

/// Spawns every coroutine, in order, now; [`AsCompleted::next`] gives the results in the order in
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
    for (index, coroutine) in coroutines.into_iter().enumerate() {
        let task = handle.spawn(coroutine);
        let queue = ended.clone();
        task.add_done_callback(move |_| {
            queue.put_nowait(index).expect("the queue has no bound");
        });
        tasks.push(Some(task));
    }
    AsCompleted { left: tasks.len(), tasks, ended }
}

/// See [`as_completed`].
pub struct AsCompleted<T> {
    /// `None`: its result was given.
    tasks: Vec<Option<JoinHandle<T>>>,
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
        self.tasks[index].take()?.take()
    }
}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("left", &self.left).finish_non_exhaustive()
    }
}
