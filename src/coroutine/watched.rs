//! Tasks whose ends are watched, for as long as the watcher lives.

use super::slot::DoneCallback;
use super::spawn::JoinHandle;

/// Tasks, each with a callback that waits for its end. A task may outlive its watcher by far, and be
/// watched again and again, so dropping this takes the callbacks back. It cancels nothing.
pub(super) struct Watched<T> {
    tasks: Vec<JoinHandle<T>>,
    /// Of the same places; `None` for a task that had ended before.
    callbacks: Vec<Option<DoneCallback>>,
}

impl<T> Watched<T> {
    /// Has the loop call `ended` with the place of each of `tasks` that runs, once it has ended.
    #[track_caller]
    pub(super) fn new(
        tasks: Vec<JoinHandle<T>>,
        ended: impl Fn(usize) + Clone + 'static,
    ) -> Watched<T> {
        let mut callbacks = Vec::with_capacity(tasks.len());
        // Not `map`: the caller that is tracked would be the closure.
        for (index, task) in tasks.iter().enumerate() {
            if task.is_finished() {
                callbacks.push(None);
                continue;
            }
            let ended = ended.clone();
            callbacks.push(Some(task.add_done_callback(move |_| ended(index))));
        }
        Watched { tasks, callbacks }
    }

    pub(super) fn tasks(&self) -> &[JoinHandle<T>] {
        &self.tasks
    }

    pub(super) fn tasks_mut(&mut self) -> &mut [JoinHandle<T>] {
        &mut self.tasks
    }

    /// Tasks whose ends are watched.
    pub(super) fn running(&self) -> usize {
        self.callbacks.iter().flatten().count()
    }

    /// The tasks, which are not watched any more.
    pub(super) fn into_tasks(mut self) -> Vec<JoinHandle<T>> {
        self.forget();
        std::mem::take(&mut self.tasks)
    }

    fn forget(&mut self) {
        for (task, callback) in self.tasks.iter().zip(self.callbacks.drain(..)) {
            if let Some(callback) = callback {
                task.remove_done_callback(callback);
            }
        }
    }
}

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        self.forget();
    }
}
